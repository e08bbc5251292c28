//! Words that the language keeps for itself, where a script uses one as a name.

use super::reword::Known;
use super::{code, foreign};
use crate::Error;
use crate::script::api::options_of;

/// Words that the language keeps for itself.
pub(super) const RESERVED: &[&str] = &[
    "as",
    "async",
    "await",
    "break",
    "case",
    "catch",
    "const",
    "continue",
    "default",
    "do",
    "else",
    "export",
    "fn",
    "for",
    "global",
    "go",
    "goto",
    "if",
    "import",
    "in",
    "is",
    "let",
    "loop",
    "match",
    "module",
    "new",
    "nil",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "shared",
    "spawn",
    "static",
    "super",
    "switch",
    "sync",
    "this",
    "thread",
    "throw",
    "try",
    "until",
    "use",
    "var",
    "void",
    "while",
    "with",
    "yield",
];

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// What follows a dot.
    Property,
    /// The key of a map.
    Key,
    /// The function that is declared.
    Function,
    /// A variable or parameter that is declared.
    Variable,
}

/// What the `word` at byte `at` of `text` stands for; none where that is not plain.
pub(super) fn role(text: &str, at: usize, word: &str) -> Option<Role> {
    let bare = code::bare(text.get(..at)?);
    let before = bare.trim_end();
    let after = text.get(at + word.len()..)?.trim_start();
    let brackets = code::open(before);
    let inner = brackets.last();
    if before.ends_with('.') && !before.ends_with("..") {
        return Some(Role::Property);
    }
    if after.starts_with(':') && !after.starts_with("::") && inner.is_some_and(code::Open::is_map) {
        return Some(Role::Key);
    }
    match code::last_word(before) {
        "fn" => return Some(Role::Function),
        "let" | "const" | "for" | "as" => return Some(Role::Variable),
        _ => {}
    }
    let declares = inner.is_some_and(|open| {
        let head = code::last_word(open.before);
        open.bracket == '(' && (open.function().is_some() || matches!(head, "for" | "catch"))
    });
    (declares || in_parameters(before)).then_some(Role::Variable)
}

/// Whether code ends within the parameters of a closure.
fn in_parameters(before: &str) -> bool {
    let Some((head, names)) = before.rsplit_once('|') else {
        return false;
    };
    let name = |c: char| c.is_alphanumeric() || c == '_' || c == ',' || c.is_whitespace();
    let head = head.trim_end();
    let starts = head.is_empty() || head.ends_with(['(', ',', '=', '[', '{', ':', ';', '>']);
    starts
        && names.chars().all(name)
        && (names.trim().is_empty() || names.trim_end().ends_with(','))
}

impl Known<'_> {
    /// What the `word` at the place of the error stands for.
    pub(super) fn role(&self, word: &str) -> Option<Role> {
        role(self.text, code::offset(self.text, self.position)?, word)
    }

    /// A reserved word, told by what it was meant for.
    pub(super) fn reserved(&self, word: &str) -> Error {
        if word == "#" {
            return Error::new("# begins no comment").hint("a comment begins with //");
        }
        if matches!(word, "print" | "debug") && self.role(word).is_none() {
            return Error::new(format!("{word} is a function")).hint(format!("write {word}(...)"));
        }
        let error = Error::new(format!("{word} is a reserved word"));
        match self.role(word) {
            Some(Role::Property) if self.calls(word) => error.hint("a function needs another name"),
            Some(Role::Property) => error.hint(format!("write x[\"{word}\"]")),
            Some(Role::Key) => match self.option(word) {
                Some(unknown) => unknown,
                None => error.hint(format!("write \"{word}\": ...")),
            },
            Some(Role::Function) => error.hint("a function needs another name"),
            Some(Role::Variable) => error.hint("a variable needs another name"),
            None if word == "eval" => {
                Error::new("eval is not available").hint("a script runs no code made of texts")
            }
            None if word == "this" => {
                Error::new("this has a value only in a function called as a method")
            }
            None => match foreign::here(word) {
                Some(here) => error.hint(format!("here it is {here}")),
                None if self.calls(word) => error.hint("a function needs another name"),
                None => error.hint("a variable needs another name"),
            },
        }
    }

    /// Whether brackets of a call follow the `word` at the place of the error.
    fn calls(&self, word: &str) -> bool {
        code::offset(self.text, self.position)
            .and_then(|at| self.text.get(at + word.len()..))
            .is_some_and(|after| after.starts_with('('))
    }

    /// Where the map is the options of a native, which has none of this name.
    fn option(&self, word: &str) -> Option<Error> {
        let at = code::offset(self.text, self.position)?;
        let bare = code::bare(self.text.get(..at)?);
        let brackets = code::open(&bare);
        let [.., call, map] = brackets.as_slice() else {
            return None;
        };
        let spec = options_of(call.called()?)?;
        (map.is_map() && spec.find(word).is_none()).then(|| spec.unknown(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_the_role_of_its_place() {
        for (before, after, expected) in [
            ("x.", "", Some(Role::Property)),
            ("x.get(\"a\").", "()", Some(Role::Property)),
            ("0..", "", None),
            ("#{ ", ": 1 }", Some(Role::Key)),
            ("#{ a: f(1), ", " : 1 }", Some(Role::Key)),
            ("switch x { ", " => 1 }", None),
            ("fn ", "(x) { x }", Some(Role::Function)),
            ("fn f(x, ", ") { x }", Some(Role::Variable)),
            ("let ", " = 1;", Some(Role::Variable)),
            ("for ", " in 0..3 { }", Some(Role::Variable)),
            ("for (x, ", ") in xs { }", Some(Role::Variable)),
            ("xs.map(|", "| 1)", Some(Role::Variable)),
            ("xs.map(|a, ", "| 1)", Some(Role::Variable)),
            ("let y = a | ", ";", None),
            ("print(", ");", None),
            ("f(1, ", ");", None),
        ] {
            let text = format!("{before}match{after}");
            assert_eq!(role(&text, before.len(), "match"), expected, "{text}");
        }
    }
}
