//! What is wrong with a script, and where: `study.rhai:3:14: error: message; hint`, and below it
//! the code with a caret, the hint and the calls that led there.

use std::fmt;

use rhai::{Engine, EvalAltResult, Scope};
use serde_json::{Value, json};

use super::excerpt::Excerpt;
use super::parsing::place;
use super::pending::waits;
use super::reword::{Known, reword};
use super::sources::Sources;
use super::trace::{Frame, Trace, trace};
use super::{Session, recursion, spot};
use crate::{About, Error, Kind};

/// The most calls that are shown.
const CALLS: usize = 6;

/// What went wrong, and where in the script. `{}` is one line; `{:#}` has the code, the hint and
/// the calls below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The script, module or input.
    pub source: String,
    /// Line and column, both from 1, in characters.
    pub place: Option<(usize, usize)>,
    /// The code at that place.
    pub excerpt: Option<Excerpt>,
    /// Whether the script can run all the same.
    pub severity: Severity,
    /// What went wrong.
    pub error: Error,
    /// The calls of the script's functions that led there, the innermost first.
    pub stack: Vec<Frame>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The script fails there, if it comes there.
    Error,
    /// The script runs, though perhaps not as meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl Diagnostic {
    /// A failure that has no place in a script.
    pub fn of(source: impl Into<String>, error: Error) -> Self {
        Self {
            source: source.into(),
            place: None,
            excerpt: None,
            severity: Severity::Error,
            error,
            stack: Vec::new(),
        }
    }

    /// A failure at a place of `text`.
    pub(super) fn at(source: &str, text: &str, place: (usize, usize), error: Error) -> Self {
        Self {
            place: Some(place),
            excerpt: Excerpt::of(text, place),
            ..Self::of(source, error)
        }
    }

    /// The same without its place, for code that is not the user's.
    #[must_use]
    pub fn without_place(self) -> Self {
        Self::of(self.source, self.error)
    }

    /// The exit code of the program: 130 where the user stopped it, 0 where it waits for what
    /// others compute, else 1.
    pub fn exit_code(&self) -> u8 {
        match self.error.kind() {
            Kind::Interrupted => 130,
            Kind::Invalid | Kind::Limit => 1,
            Kind::Pending => 0,
        }
    }

    /// The same for a program to read: `file`, `line`, `column` and `end_column` (all from 1, the
    /// end not included), `severity`, `message`, `hint`, `stack`.
    pub fn json(&self) -> Value {
        let end = self.excerpt.as_ref().map(|code| code.column + code.width);
        let stack: Vec<Value> = self
            .stack
            .iter()
            .map(|frame| {
                json!({
                    "function": frame.function,
                    "file": frame.source,
                    "line": frame.place.0,
                    "column": frame.place.1,
                })
            })
            .collect();
        json!({
            "file": self.source,
            "line": self.place.map(|(line, _)| line),
            "column": self.place.map(|(_, column)| column),
            "end_column": end,
            "severity": self.severity.to_string(),
            "message": self.error.message(),
            "hint": self.error.advice(),
            "stack": stack,
        })
    }

    /// The calls, one a line.
    fn calls(&self) -> Vec<String> {
        let line = self.place.map(|(line, _)| line);
        let told: Vec<String> = self
            .stack
            .iter()
            // A closure called in the line that it stands in needs no telling.
            .filter(|frame| !frame.function.is_empty() || Some(frame.place.0) != line)
            .map(Frame::to_string)
            .collect();
        let more = told.len().saturating_sub(CALLS);
        let mut shown: Vec<String> = told.into_iter().take(CALLS).collect();
        if more > 0 {
            shown.push(format!("and {more} calls more"));
        }
        shown
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if matches!(self.error.kind(), Kind::Interrupted | Kind::Pending) {
            return write!(f, ": {}", self.error);
        }
        let Some(excerpt) = self.excerpt.as_ref().filter(|_| f.alternate()) else {
            return write!(f, ": {}: {}", self.severity, self.error);
        };
        let gutter = " ".repeat(excerpt.number.to_string().len());
        write!(f, ": {}: {}", self.severity, self.error.message())?;
        write!(f, "\n{excerpt}")?;
        if let Some(hint) = self.error.advice() {
            write!(f, "\n{gutter} = hint: {hint}")?;
        }
        for call in self.calls() {
            write!(f, "\n{gutter} = {call}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// The diagnostic of `error`, raised by `text`, which messages call `source`.
pub(super) fn diagnose(
    session: &Session,
    engine: &Engine,
    scope: &Scope,
    (source, text): (&str, &str),
    error: &EvalAltResult,
) -> Diagnostic {
    let Trace {
        source: file,
        function,
        position,
        stack,
    } = trace(error, source);
    let code = session
        .extension::<Sources>()
        .text(&file, function.as_deref())
        .or_else(|| (file == source).then(|| text.into()));
    let known = Known {
        engine,
        source: &file,
        scope,
        text: code.as_deref().unwrap_or_default(),
        position,
    };
    let raised = super::innermost(error);
    let (error, exact) = match raised {
        EvalAltResult::ErrorStackOverflow(_) => {
            recursion::round(known.text, position, engine.max_call_levels()).unzip()
        }
        _ => (None, None),
    };
    let error = error.unwrap_or_else(|| reword(&known, raised));
    let error = match error.kind() {
        // What was stopped says no more than that; the session knows which limit stopped it.
        Kind::Interrupted => session.stopped_by().unwrap_or(error),
        _ => error,
    };
    let error = waits(session.context().plan().extent(), error);
    let exact = exact.or_else(|| {
        let part = error.subject().cloned().or_else(|| named(&error))?;
        spot::find(known.text, position, &part)
    });
    let position = exact.unwrap_or_else(|| place(known.text, raised, position));
    let place = position
        .line()
        .map(|line| (line, position.position().unwrap_or(1).max(1)));
    Diagnostic {
        excerpt: place.and_then(|place| Excerpt::of(known.text, place)),
        place,
        stack,
        ..Diagnostic::of(file, error)
    }
}

/// What the message names in back-ticks, such as a column.
fn named(error: &Error) -> Option<About> {
    let (_, rest) = error.message().split_once('`')?;
    let (name, _) = rest.split_once('`')?;
    Some(About::Text(name.into()))
}
