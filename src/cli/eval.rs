//! `tureen -e CODE`.

use std::path::PathBuf;

use super::{Failure, Surroundings};
use crate::script::{Diagnostic, Interpreter, Mode};

/// What messages call the code.
const SOURCE: &str = "-e";

pub(super) fn main(code: &str, surroundings: Surroundings) -> Result<(), Failure> {
    let session = surroundings
        .session(Mode::Eval, PathBuf::from("."))
        .map_err(Failure::Command)?;
    let mut interpreter = Interpreter::new(session.clone());
    let value = interpreter.run(SOURCE, code)?;
    if !value.is_unit() {
        session.print(&interpreter.text(&value));
    }
    session
        .check_params()
        .map_err(|error| Diagnostic::of(SOURCE, error))?;
    Ok(())
}
