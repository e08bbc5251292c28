//! The one error type of the crate: a line a user can act on.

use std::fmt;
use std::path::Path;

/// What went wrong, in one line, with an optional advice on what to do.
///
/// Displayed as `message; hint`. Positions in a script are added by the script layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    about: Option<About>,
}

/// The part of a call that an error is about, for the caret under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// The key of this option.
    Key(String),
    /// The value of this option.
    Value(String),
    /// This text, where it stands in the call as a literal.
    Text(String),
}

/// Why an operation ended; the command line turns it into an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The input, an option or a file is not what was expected.
    Invalid,
    /// The user stopped the operation (Ctrl-C).
    Interrupted,
    /// It needs a result that this run leaves to others, or to later.
    Pending,
    /// It takes more than it may: time, memory, space on the disk.
    Limit,
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with this message, kept to one line.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Invalid,
            message: one_line(&message.into()),
            hint: None,
            about: None,
        }
    }

    /// The operation was stopped by the user.
    pub fn interrupted() -> Self {
        Self {
            kind: Kind::Interrupted,
            message: "interrupted".into(),
            hint: None,
            about: None,
        }
    }

    /// A result that this run does not compute is needed.
    pub fn pending(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Pending,
            ..Self::new(message)
        }
    }

    /// The operation takes more than it may.
    pub fn limit(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Limit,
            ..Self::new(message)
        }
    }

    /// An error about a file or folder: `path: message`.
    pub fn at_path(path: &Path, message: impl fmt::Display) -> Self {
        Self::new(format!("{}: {message}", path.display()))
    }

    /// The same error with advice on what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(one_line(&hint.into()));
        self
    }

    /// The same error, its message preceded by `context: `.
    #[must_use]
    pub fn within(mut self, context: impl fmt::Display) -> Self {
        if self.kind == Kind::Invalid {
            self.message = one_line(&format!("{context}: {}", self.message));
        }
        self
    }

    /// The same error, which names the path `to` where it named `from`.
    #[must_use]
    pub(crate) fn renamed(mut self, from: &Path, to: &Path) -> Self {
        let (from, to) = (from.display().to_string(), to.display().to_string());
        self.message = self.message.replace(&from, &to);
        self.hint = self.hint.map(|hint| hint.replace(&from, &to));
        self
    }

    /// Why the operation ended.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same error, known to be about one part of the call.
    #[must_use]
    pub fn about(mut self, part: About) -> Self {
        self.about = Some(part);
        self
    }

    /// The part of the call that the error is about, where that is known.
    pub fn subject(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// The message without its hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do, where that is known.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        // With RUST_BACKTRACE it carries one, which a line for users has no room for.
        match error {
            candle_core::Error::WithBacktrace { inner, .. } => (*inner).into(),
            error => Self::new(error.to_string()),
        }
    }
}

/// For operations that candle calls.
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        Self::Msg(error.to_string())
    }
}

/// `bail!("...")` returns early with an [`Error`]; `bail!("..."; hint: "...")` adds advice.
#[macro_export]
macro_rules! bail {
    ($fmt:literal $(, $arg:expr)* ; hint: $hint:literal $(, $harg:expr)*) => {
        return Err($crate::Error::new(format!($fmt $(, $arg)*)).hint(format!($hint $(, $harg)*)).into())
    };
    ($fmt:literal $(, $arg:expr)* $(,)?) => {
        return Err($crate::Error::new(format!($fmt $(, $arg)*)).into())
    };
}

/// The nearest of `known` to a misspelt `name`, if any is near enough to be meant; first what
/// differs in capitals alone, then what it is the beginning of.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// So much of a name's beginning says which it is.
    const TELLING: usize = 3;
    let known: Vec<&str> = known.into_iter().collect();
    let lower = name.to_lowercase();
    if let Some(same) = known.iter().find(|k| k.to_lowercase() == lower) {
        return Some(same);
    }
    let begun = known
        .iter()
        .filter(|k| name.len() >= TELLING && k.starts_with(name));
    if let Some(longer) = begun.min_by_key(|k| (k.len(), **k)) {
        return Some(longer);
    }
    known
        .iter()
        .map(|k| {
            (
                strsim::damerau_levenshtein(name, k),
                !k.starts_with(name),
                k,
            )
        })
        .filter(|(distance, _, k)| {
            let shorter = k.len().min(name.len());
            // A name with no letter in common is another one.
            *distance < shorter && *distance <= 1 + shorter / 3
        })
        .min()
        .map(|(.., k)| *k)
}

fn one_line(text: &str) -> String {
    if text.contains(['\n', '\r']) {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    } else {
        text.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_its_hint() {
        let error = Error::new("bad\n  thing").hint("do this").within("soup");
        assert_eq!(error.to_string(), "soup: bad thing; do this");
    }

    #[test]
    fn a_backtrace_is_left_out() {
        let error = candle_core::Error::WithBacktrace {
            inner: Box::new(candle_core::Error::Msg("no memory".into())),
            backtrace: Box::new(std::backtrace::Backtrace::force_capture()),
        };
        assert_eq!(Error::from(error).to_string(), "no memory");
    }

    #[test]
    fn nearest_finds_typos_and_not_strangers() {
        let known = ["epochs", "seed", "adapter"];
        assert_eq!(nearest("epoch", known), Some("epochs"));
        assert_eq!(nearest("sede", known), Some("seed"));
        assert_eq!(nearest("temperature", known), None);
        assert_eq!(nearest("Seed", known), Some("seed"));
        assert_eq!(nearest("lab", ["len", "labels"]), Some("labels"));
        assert_eq!(nearest("y", ["x"]), None);
        assert_eq!(nearest("sorte", ["sort", "sorted"]), Some("sorted"));
    }
}
