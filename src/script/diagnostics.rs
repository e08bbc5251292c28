//! A failure as one line: `study.rhai:3:14: error: message; hint`.

use std::fmt;

use rhai::{Engine, EvalAltResult, Position, Scope};

use super::reword::{Known, reword};
use crate::{Error, Kind};

/// What went wrong, and where in the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The script, module or input.
    pub source: String,
    /// Line and column, both from 1, in characters.
    pub place: Option<(usize, usize)>,
    /// What went wrong.
    pub error: Error,
}

impl Diagnostic {
    /// A failure that has no place in a script.
    pub fn of(source: impl Into<String>, error: Error) -> Self {
        Self {
            source: source.into(),
            place: None,
            error,
        }
    }

    /// The exit code of the program: 130 where the user stopped it, else 1.
    pub fn exit_code(&self) -> u8 {
        match self.error.kind() {
            Kind::Interrupted => 130,
            Kind::Invalid => 1,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        match self.error.kind() {
            Kind::Interrupted => write!(f, ": {}", self.error),
            Kind::Invalid => write!(f, ": error: {}", self.error),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// The diagnostic of `error`, raised by `text`, which messages call `source`.
pub(super) fn diagnose(
    engine: &Engine,
    scope: &Scope,
    source: &str,
    text: &str,
    error: &EvalAltResult,
) -> Diagnostic {
    let (source, position) = place(error, source, Position::NONE);
    let known = Known {
        engine,
        scope,
        text,
        position,
    };
    Diagnostic {
        source: source.to_string(),
        place: position
            .line()
            .map(|line| (line, position.position().unwrap_or(1).max(1))),
        error: reword(&known, super::innermost(error)),
    }
}

/// The innermost place that is known, and the file it is in.
fn place<'a>(error: &'a EvalAltResult, source: &'a str, outer: Position) -> (&'a str, Position) {
    let own = error.position();
    let here = if own.is_none() { outer } else { own };
    let inner = match error {
        EvalAltResult::ErrorInFunctionCall(_, file, inner, _) => {
            let file = if file.is_empty() { source } else { file };
            // Without a place of its own the inner error is where the call is.
            let (file, position) = place(inner, file, Position::NONE);
            (!position.is_none()).then_some((file, position))
        }
        EvalAltResult::ErrorInModule(file, inner, _) => {
            let file = if file.is_empty() { source } else { file };
            let (file, position) = place(inner, file, Position::NONE);
            (!position.is_none()).then_some((file, position))
        }
        _ => None,
    };
    inner.unwrap_or((source, here))
}
