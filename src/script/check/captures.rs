//! Closures that are kept and use a variable that changes: they see its new value.
//!
//! `for k in 1..=3 { fs.push(|x| x * k) }` gives three closures with the last `k`, for a closure
//! shares its variables. One that a call uses at once (`map`, `filter`) never notices.

use rhai::{Expr, FnCallExpr, Ident, Stmt};

use super::walk::Walk;
use crate::Error;

/// The methods that keep a closure given to them.
const KEEPING: &[&str] = &["push", "insert"];

/// The changes of variables, in the order of the walk, and the closures that may notice one.
#[derive(Debug, Default)]
pub(super) struct Captures {
    /// The numbers of the variables assigned to.
    changed: Vec<usize>,
    kept: Vec<Kept>,
    loops: Vec<Loop>,
}

/// A variable in a kept closure.
#[derive(Debug)]
struct Kept {
    captured: Ident,
    /// The variable's number.
    number: usize,
    /// Where the changes that come after the closure start.
    after: usize,
}

/// A loop around the place.
#[derive(Debug)]
struct Loop {
    /// How many variables were declared before it.
    declared: usize,
    /// How many changes came before it.
    changed: usize,
}

impl<'w> Walk<'w, '_> {
    /// Notes that the body of a loop begins.
    pub(super) fn loop_begins(&mut self) {
        self.captures.loops.push(Loop {
            declared: self.visible.declared(),
            changed: self.captures.changed.len(),
        });
    }

    pub(super) fn loop_ends(&mut self) {
        self.captures.loops.pop();
    }

    /// Notes an assignment to a variable.
    pub(super) fn changes(&mut self, name: &str) {
        if let Some(variable) = self.visible.find(name) {
            self.captures.changed.push(variable.number);
        }
    }

    /// How many changes came before the place.
    pub(super) fn changes_so_far(&self) -> usize {
        self.captures.changed.len()
    }

    /// Notes the closures that a call keeps.
    pub(super) fn keeps_arguments(&mut self, call: &'w FnCallExpr, before: usize) {
        if KEEPING.contains(&call.name.as_str()) {
            for argument in &call.args {
                self.keeps(argument, before);
            }
        }
    }

    /// Notes the closures in a value that is kept; `before` is how many changes came before it.
    pub(super) fn keeps(&mut self, value: &'w Expr, before: usize) {
        match value {
            Expr::Array(values, _) => values.iter().for_each(|v| self.keeps(v, before)),
            Expr::Map(entries, _) => {
                for (_, value) in &entries.0 {
                    self.keeps(value, before);
                }
            }
            Expr::Stmt(block) => {
                if let [Stmt::Share(captured), Stmt::Expr(_)] = block.statements() {
                    for (captured, _) in captured.iter() {
                        self.keep(captured, before);
                    }
                }
            }
            _ => {}
        }
    }

    fn keep(&mut self, captured: &Ident, before: usize) {
        let Some(variable) = self.visible.find(&captured.name) else {
            return;
        };
        let number = variable.number;
        // A closure that changes the variable itself shares it on purpose.
        if self.captures.changed[before..].contains(&number) {
            return;
        }
        if variable.looped {
            return self.shared(captured);
        }
        // In a loop the changes above the closure come again after it.
        let again = self.captures.loops.iter().find(|l| number < l.declared);
        let after = again.map_or(self.captures.changed.len(), |l| l.changed);
        self.captures.kept.push(Kept {
            captured: captured.clone(),
            number,
            after,
        });
    }

    /// Warns of the kept closures whose variables change, once the file is walked.
    pub(super) fn changed_captures(&mut self) {
        for kept in std::mem::take(&mut self.captures.kept) {
            if self.captures.changed[kept.after..].contains(&kept.number) {
                self.shared(&kept.captured);
            }
        }
    }

    fn shared(&mut self, captured: &Ident) {
        let name = &captured.name;
        let error = Error::new(format!(
            "the closure keeps {name} itself, not its value now: after {name} changes it sees the new one"
        ))
        .hint(format!("let own = {name}; and use own in the closure"));
        self.checker
            .warn(self.source, self.text, captured.pos, error);
    }
}
