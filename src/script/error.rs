//! The crate's errors inside the script engine, and back.
//!
//! A native returns [`Fallible`]; `?` on a [`crate::Result`] works in it, and so does `bail!`.

use rhai::{Dynamic, EvalAltResult, Position};

use crate::{Error, Kind};

/// What a native returns.
pub type Fallible<T> = Result<T, Box<EvalAltResult>>;

impl From<Error> for Box<EvalAltResult> {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        let value = Dynamic::from(error);
        Box::new(match kind {
            // A script cannot catch these.
            Kind::Interrupted | Kind::Limit | Kind::Pending => {
                EvalAltResult::ErrorTerminated(value, Position::NONE)
            }
            Kind::Invalid => EvalAltResult::ErrorRuntime(value, Position::NONE),
        })
    }
}

/// The crate's error inside `error`, where a native raised it.
pub fn raised(error: &EvalAltResult) -> Option<Error> {
    match innermost(error) {
        EvalAltResult::ErrorRuntime(value, _) => value.clone().try_cast::<Error>(),
        EvalAltResult::ErrorTerminated(value, _) => {
            let error = value.clone().try_cast::<Error>();
            Some(error.unwrap_or_else(Error::interrupted))
        }
        _ => None,
    }
}

/// The error that calls and imports wrapped.
pub fn innermost(error: &EvalAltResult) -> &EvalAltResult {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _)
        | EvalAltResult::ErrorInModule(_, inner, _) => innermost(inner),
        other => other,
    }
}

/// For a native that hands a script's closure down to the domain: the closure's failure as the
/// crate's error, its position in the message.
pub fn lowered(error: &EvalAltResult) -> Error {
    raised(error).unwrap_or_else(|| Error::new(innermost(error).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_survives_the_engine() {
        let there: Box<EvalAltResult> = Error::interrupted().into();
        let wrapped = EvalAltResult::ErrorInFunctionCall(
            "f".into(),
            String::new(),
            there,
            Position::new(3, 1),
        );
        assert_eq!(raised(&wrapped).unwrap().kind(), Kind::Interrupted);
        let there: Box<EvalAltResult> = Error::new("bad").hint("do this").into();
        assert_eq!(raised(&there).unwrap().to_string(), "bad; do this");
    }
}
