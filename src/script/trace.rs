//! The way from the script's top to the place of an error.

use std::fmt;

use rhai::{EvalAltResult, Position};

/// One call of a function of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The function; empty for a closure.
    pub function: String,
    /// The file of the call.
    pub source: String,
    /// The line and column of the call.
    pub place: (usize, usize),
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.place;
        match self.function.as_str() {
            "" => f.write_str("in the closure")?,
            function => write!(f, "in {function}")?,
        }
        write!(f, ", called at {}:{line}:{column}", self.source)
    }
}

/// Where an error is.
pub(super) struct Trace {
    /// The file.
    pub(super) source: String,
    /// The function there, none at the top.
    pub(super) function: Option<String>,
    /// The place there.
    pub(super) position: Position,
    /// The calls that led there, the innermost first.
    pub(super) stack: Vec<Frame>,
}

/// The innermost place of `error` that is known; `source` is the file it was raised from.
pub(super) fn trace(error: &EvalAltResult, source: &str) -> Trace {
    follow(error, source, None)
}

fn follow(error: &EvalAltResult, source: &str, function: Option<&str>) -> Trace {
    let inner = match error {
        EvalAltResult::ErrorInFunctionCall(name, file, inner, position) => {
            let file = if file.is_empty() { source } else { file };
            let mut inner = follow(inner, file, Some(name));
            if let Some(line) = position.line() {
                let closure = name.starts_with("anon$");
                inner.stack.push(Frame {
                    function: if closure { String::new() } else { name.clone() },
                    source: source.to_string(),
                    place: (line, position.position().unwrap_or(1).max(1)),
                });
            }
            Some(inner)
        }
        EvalAltResult::ErrorInModule(file, inner, _) => {
            let file = if file.is_empty() { source } else { file };
            Some(follow(inner, file, None))
        }
        _ => None,
    };
    match inner {
        // Without a place of its own the inner error is where the call is.
        Some(inner) if !inner.position.is_none() => inner,
        _ => Trace {
            source: source.to_string(),
            function: function.map(str::to_string),
            position: error.position(),
            stack: Vec::new(),
        },
    }
}
