//! What the parser says, in the users' words.

use rhai::{EvalAltResult, LexError, ParseErrorType, Position};

use super::foreign;
use super::reword::{Known, lower};
use crate::Error;

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

/// The parser's error, reworded.
pub(super) fn parsing(known: &Known, kind: &ParseErrorType) -> Error {
    match kind {
        ParseErrorType::VariableUndefined(name) => known.variable(name),
        ParseErrorType::ModuleUndefined(name) => Error::new(format!("unknown module {name}"))
            .hint(format!("import it first: import \"{name}\" as {name};")),
        ParseErrorType::UnexpectedEOF => Error::new("the code ends too early"),
        ParseErrorType::MissingToken(token, why) if token == ";" => {
            let error = Error::new(format!("missing `;` {why}"));
            let words = [known.word_before(), known.word()];
            let foreign = words.into_iter().flatten().find_map(|word| {
                let here = foreign::here(word)?;
                Some(format!("{word} is of another language; here it is {here}"))
            });
            match foreign {
                Some(hint) => error.hint(hint),
                None => error,
            }
        }
        ParseErrorType::MissingToken(..)
        | ParseErrorType::PropertyExpected
        | ParseErrorType::VariableExpected
        | ParseErrorType::ExprExpected(_)
            if known.word().is_some_and(|word| RESERVED.contains(&word)) =>
        {
            known.reserved(known.word().unwrap_or_default())
        }
        ParseErrorType::MissingToken(token, why) => Error::new(format!("expected `{token}` {why}")),
        ParseErrorType::Reserved(word) => known.reserved(word),
        ParseErrorType::BadInput(LexError::ImproperSymbol(word, _))
            if word.chars().all(char::is_alphabetic) =>
        {
            known.reserved(word)
        }
        ParseErrorType::BadInput(LexError::UnterminatedString) => {
            Error::new("the text has no closing quote")
                .hint("texts of several lines go in back-ticks")
        }
        ParseErrorType::PropertyExpected => Error::new("expected the name of a property")
            .hint("a key that is a reserved word goes in quotes: #{ \"in\": 1 }, x[\"in\"]"),
        ParseErrorType::VariableExpected => {
            Error::new("expected the name of a variable").hint("a name has a letter in it")
        }
        other => Error::new(lower(&other.to_string())),
    }
}

/// Where the user looks for the error: a missing `;` at the end of what it should end, not at what
/// comes after.
pub(super) fn place(text: &str, error: &EvalAltResult, position: Position) -> Position {
    let EvalAltResult::ErrorParsing(ParseErrorType::MissingToken(token, _), _) = error else {
        return position;
    };
    let (Some(line), Some(column), ";") = (position.line(), position.position(), token.as_str())
    else {
        return position;
    };
    let lines: Vec<&str> = text.lines().take(line).collect();
    for (index, code) in lines.iter().enumerate().rev() {
        let count = match index + 1 == line {
            true => column - 1,
            false => usize::MAX,
        };
        let before: String = code.chars().take(count).collect();
        // Where a comment stands between, its end is not the code's.
        if before.contains("//") || before.contains("*/") {
            return position;
        }
        let end = before.trim_end().chars().count();
        if end > 0 {
            let fits = |n: usize| u16::try_from(n).ok();
            return match (fits(index + 1), fits(end + 1)) {
                (Some(line), Some(column)) => Position::new(line, column),
                _ => position,
            };
        }
    }
    position
}

impl Known<'_> {
    /// The word at the place of the error.
    fn word(&self) -> Option<&str> {
        let line = self.text.lines().nth(self.position.line()? - 1)?;
        let start = line
            .char_indices()
            .nth(self.position.position()?.checked_sub(1)?)?
            .0;
        line[start..]
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .next()
    }

    /// What stands before the place of the error in its line.
    fn before(&self) -> Option<&str> {
        let line = self.text.lines().nth(self.position.line()? - 1)?;
        let (end, _) = line
            .char_indices()
            .nth(self.position.position()?.checked_sub(1)?)?;
        Some(line[..end].trim())
    }

    /// The word before the place of the error, in its line.
    fn word_before(&self) -> Option<&str> {
        self.before()?
            .rsplit(|c: char| !(c.is_alphanumeric() || c == '_'))
            .next()
    }

    fn reserved(&self, word: &str) -> Error {
        if word == "eval" {
            return Error::new("eval is not available").hint("a script runs no code made of texts");
        }
        let error = Error::new(format!("{word} is a reserved word"));
        let before = self.before().unwrap_or_default();
        let statement = before.is_empty() || before.ends_with([';', '}']);
        match foreign::here(word).filter(|_| statement) {
            Some(here) => error.hint(format!("here it is {here}")),
            None if before.ends_with("let") || before.ends_with("const") => {
                error.hint("a variable needs another name")
            }
            None => error.hint(format!(
                "as a key it goes in quotes: #{{ \"{word}\": 1 }}, x[\"{word}\"]"
            )),
        }
    }
}
