//! What the engine reads in another way than it looks.

use rhai::{Expr, FnCallExpr, Position};

use super::walk::Walk;
use crate::Error;
use crate::script::code;

impl<'w> Walk<'w, '_> {
    /// `-x ** 2` is the square of `-x`.
    pub(super) fn negative_base(&mut self, call: &'w FnCallExpr, at: Position) {
        let base = match call.args.first() {
            Some(Expr::FnCall(minus, at)) if minus.name == "-" && minus.args.len() == 1 => *at,
            Some(Expr::IntegerConstant(number, at)) if *number < 0 => *at,
            Some(Expr::FloatConstant(number, at)) if **number < 0.0 => *at,
            _ => return,
        };
        let bare = code::bare(self.text);
        let before = |at: Position| Some(bare[..code::offset(self.text, at)?].trim_end());
        let (Some(base), Some(power)) = (before(base), before(at)) else {
            return;
        };
        // The brackets are not in the tree.
        let bracketed = base.trim_end_matches(['-', ' ']).ends_with('(') && power.ends_with(')');
        if call.name == "**" && !bracketed {
            let error = Error::new("the minus comes before the power: -x ** 2 is (-x) ** 2")
                .hint("write -(x ** 2), or (-x) ** 2 where that is meant");
            self.checker.warn(self.source, self.text, at, error);
        }
    }

    /// `switch 1.0 { 1 => ... }` finds no case.
    pub(super) fn float_among_ints(&mut self, at: Position) {
        let bare = code::bare(self.text);
        let Some(label) = code::offset(self.text, at).and_then(|at| int_label(&bare[at..])) else {
            return;
        };
        let error = Error::new(format!(
            "the value is a float, which no case of a whole number is: {label}.0 is not {label} here"
        ))
        .hint(format!("write {label}.0 => ..."));
        self.checker.warn(self.source, self.text, at, error);
    }
}

/// The first case of the `switch` that starts the code whose label is a whole number.
fn int_label(bare: &str) -> Option<&str> {
    let body = &bare[bare.find('{')? + 1..];
    let mut depth = 0;
    for (at, c) in body.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return None,
            ')' | ']' | '}' => depth -= 1,
            '=' if depth == 0 && body[at..].starts_with("=>") => {
                let label = body[..at].trim_end();
                let start = label.rfind([',', '{', '}', '|']).map_or(0, |at| at + 1);
                let label = label[start..].trim();
                if !label.is_empty() && label.chars().all(|c| c.is_ascii_digit()) {
                    return Some(label);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::int_label;

    #[test]
    fn a_whole_number_is_found_among_the_cases() {
        assert_eq!(int_label("switch x { 1 => 2 }"), Some("1"));
        assert_eq!(
            int_label("switch x { 1.0 => f(2, 3), 2 | 3 => 4 }"),
            Some("3")
        );
        assert_eq!(int_label("switch x { 1.0 => 2, y => 3 } 1 => 2"), None);
        assert_eq!(
            int_label("switch x { 1.0 => { switch y { 1 => 2 } } }"),
            None
        );
    }
}
