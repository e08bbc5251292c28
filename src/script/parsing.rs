//! What the parser says, in the users' words.

use rhai::{EvalAltResult, LexError, ParseErrorType, Position};

use super::reserved::RESERVED;
use super::reword::{Known, lower};
use super::{code, foreign};
use crate::Error;

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
        | ParseErrorType::FnMissingName
            if known.is_reserved_name() =>
        {
            known.reserved(known.word().unwrap_or_default())
        }
        ParseErrorType::MissingToken(token, why) => missing(token, why),
        ParseErrorType::Reserved(word) => known.reserved(word),
        ParseErrorType::BadInput(error) => known.unreadable(error),
        ParseErrorType::MismatchedType(expected, got) => known.mismatched(expected, got),
        ParseErrorType::AssignmentToConstant(name) if !name.is_empty() => constant(name),
        ParseErrorType::DuplicatedProperty(key) => {
            Error::new(format!("the key {key} stands twice in the map"))
        }
        ParseErrorType::PropertyExpected => Error::new("expected the name of a property")
            .hint("what is no name goes in quotes: #{ \"1\": 2 }, x[\"1\"]"),
        ParseErrorType::VariableExpected => {
            Error::new("expected the name of a variable").hint("a name has a letter in it")
        }
        other => Error::new(lower(&other.to_string())),
    }
}

/// A constant that is assigned to.
pub(super) fn constant(name: &str) -> Error {
    Error::new(format!("{name} is a constant")).hint("declare it with let to change it")
}

/// A token that is not there.
fn missing(token: &str, why: &str) -> Error {
    let key = why
        .strip_prefix("to follow the property '")
        .and_then(|rest| rest.split_once('\''));
    match key {
        Some((key, _)) if token == ":" => Error::new(format!("expected `:` after {key}"))
            .hint(format!("there is no shorthand: #{{ {key}: {key} }}")),
        _ => Error::new(format!("expected `{token}` {}", plain(why))),
    }
}

/// The parser's words for values, as users know them.
fn plain(words: &str) -> String {
    [
        ("object map literal", "map"),
        ("an object map", "a map"),
        ("array literal", "list"),
        ("an array", "a list"),
        ("a string", "a text"),
        ("a floating-point number", "a number"),
    ]
    .iter()
    .fold(words.to_string(), |text, (theirs, ours)| {
        text.replace(theirs, ours)
    })
}

/// Where the user looks for the error: a missing `;` at the end of what it should end, not at what
/// comes after.
pub(super) fn place(text: &str, error: &EvalAltResult, position: Position) -> Position {
    let EvalAltResult::ErrorParsing(ParseErrorType::MissingToken(token, _), _) = error else {
        return position;
    };
    if token != ";" {
        return position;
    }
    code::offset(text, position)
        .map(|at| code::end_of_code(text, at))
        .filter(|end| *end > 0)
        .and_then(|end| code::position(text, end))
        .unwrap_or(position)
}

impl Known<'_> {
    /// A piece of the text that is no code.
    fn unreadable(&self, error: &LexError) -> Error {
        match error {
            LexError::ImproperSymbol(word, _) if word.chars().all(char::is_alphabetic) => {
                self.reserved(word)
            }
            LexError::ImproperSymbol(symbol, why) if symbol == "=" && why.contains("'=='") => {
                Error::new("a condition compares with ==").hint("= sets a variable")
            }
            LexError::UnterminatedString => Error::new("the text has no closing quote")
                .hint("texts of several lines go in back-ticks"),
            LexError::MalformedChar(text) => Error::new("single quotes hold one letter")
                .hint(format!("a text goes in double quotes: {text:?}")),
            other => Error::new(lower(&other.to_string())),
        }
    }

    /// A literal where its kind cannot stand.
    fn mismatched(&self, expected: &str, got: &str) -> Error {
        let got = plain(got);
        let number = self.word().filter(|word| word.parse::<i64>().is_ok());
        match expected {
            "a boolean expression" => {
                let error = Error::new(format!("a condition is true or false, got {got}"));
                match got.as_str() {
                    "a number" => error.hint("write x != 0"),
                    _ => error,
                }
            }
            "an iterable value" => {
                let error = Error::new(format!("`for` cannot go over {got}"));
                match number {
                    Some(number) => error.hint(format!("for i in 0..{number}")),
                    None => {
                        error.hint("it takes a list, a range, a table's rows or a map's keys()")
                    }
                }
            }
            _ => Error::new(format!("expected {expected}, got {got}")),
        }
    }

    /// Whether a reserved word stands at the place of the error where a name belongs.
    fn is_reserved_name(&self) -> bool {
        self.word()
            .is_some_and(|word| RESERVED.contains(&word) && self.role(word).is_some())
    }

    /// The text from the place of the error on.
    pub(super) fn rest(&self) -> Option<&str> {
        self.text.get(code::offset(self.text, self.position)?..)
    }

    /// The word at the place of the error.
    pub(super) fn word(&self) -> Option<&str> {
        self.rest()?
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .next()
    }

    /// What stands before the place of the error in its line.
    pub(super) fn before(&self) -> Option<&str> {
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
}
