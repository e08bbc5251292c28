//! The variables that code sees, and what is known of their types.

use super::natives::Type;

/// A variable.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) type_: Type,
    pub(super) constant: bool,
    /// Whether a `for` gives it one value after another.
    pub(super) looped: bool,
    /// Which declaration of the file it is.
    pub(super) number: usize,
}

/// The variables seen at a place, the innermost last.
#[derive(Debug, Default)]
pub(super) struct Visible {
    seen: Vec<Variable>,
    declared: usize,
}

impl Visible {
    pub(super) fn declare(&mut self, name: &str, type_: Type, constant: bool) {
        self.seen.push(Variable {
            name: name.to_string(),
            type_,
            constant,
            looped: false,
            number: self.declared,
        });
        self.declared += 1;
    }

    /// Declares the variable of a `for`.
    pub(super) fn declare_looped(&mut self, name: &str) {
        self.declare(name, None, false);
        if let Some(last) = self.seen.last_mut() {
            last.looped = true;
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<&Variable> {
        self.seen.iter().rev().find(|known| known.name == name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.seen.iter().map(|variable| variable.name.as_str())
    }

    /// How many variables the file declared up to here.
    pub(super) fn declared(&self) -> usize {
        self.declared
    }

    /// Where the block that starts now returns to.
    pub(super) fn mark(&self) -> usize {
        self.seen.len()
    }

    /// Forgets what was declared since `mark`.
    pub(super) fn back_to(&mut self, mark: usize) {
        self.seen.truncate(mark);
    }

    /// Takes all variables out of sight, as a function's body does.
    pub(super) fn hide(&mut self) -> Vec<Variable> {
        std::mem::take(&mut self.seen)
    }

    /// Brings them back.
    pub(super) fn show(&mut self, hidden: Vec<Variable>) {
        self.seen = hidden;
    }
}
