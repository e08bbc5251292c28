//! `tureen run study.rhai`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, Surroundings};
use crate::Error;
use crate::script::{Diagnostic, Interpreter, Mode, Session};

/// Run a study.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The script.
    script: PathBuf,
    /// The folder that what the script writes goes under (default: runs/NAME).
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    #[command(flatten)]
    surroundings: Surroundings,
}

impl Run {
    pub(super) fn main(self) -> Result<(), Failure> {
        let name = self.script.file_stem().unwrap_or_default();
        let folder = self.out.unwrap_or_else(|| Path::new("runs").join(name));
        let mode = Mode::Script {
            path: self.script.clone(),
        };
        let session = self
            .surroundings
            .session(mode, folder)
            .map_err(Failure::Command)?;
        execute(&self.script, session)?;
        Ok(())
    }
}

/// Runs the script at `path` in `session`.
pub fn execute(path: &Path, session: Session) -> Result<(), Diagnostic> {
    let source = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Diagnostic::of(&source, Error::new(error.to_string())))?;
    let _value = Interpreter::new(session.clone()).run(&source, &text)?;
    session
        .check_params()
        .map_err(|error| Diagnostic::of(&source, error))
}
