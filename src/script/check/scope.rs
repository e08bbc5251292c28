//! The variables that code sees, and what is known of their types.

use super::natives::Type;

/// A variable.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) type_: Type,
    pub(super) constant: bool,
}

/// The variables seen at a place, the innermost last.
#[derive(Debug, Default)]
pub(super) struct Visible(Vec<Variable>);

impl Visible {
    pub(super) fn declare(&mut self, name: &str, type_: Type, constant: bool) {
        self.0.push(Variable {
            name: name.to_string(),
            type_,
            constant,
        });
    }

    pub(super) fn find(&self, name: &str) -> Option<&Variable> {
        self.0.iter().rev().find(|variable| variable.name == name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|variable| variable.name.as_str())
    }

    /// Where the block that starts now returns to.
    pub(super) fn mark(&self) -> usize {
        self.0.len()
    }

    /// Forgets what was declared since `mark`.
    pub(super) fn back_to(&mut self, mark: usize) {
        self.0.truncate(mark);
    }
}
