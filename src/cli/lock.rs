//! `tureen lock study.rhai`: pins what a run of a study read.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use crate::study::{self, Lock, Run, Status};
use crate::{Error, Result, bail};

/// Pin what a run of a study read: its script, modules, models, datasets, adapters and files.
#[derive(Debug, Args)]
pub(super) struct LockCommand {
    /// The script; its lock is written beside it, as NAME.rhai.lock.
    script: PathBuf,
    /// The run whose inputs are pinned (default: the last one of this script that is done).
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// The folder that holds the runs.
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    folder: PathBuf,
}

impl LockCommand {
    pub(super) fn main(self) -> Result<(), Failure> {
        self.lock().map_err(Failure::Failed)
    }

    fn lock(&self) -> Result<()> {
        let hash = script_hash(&self.script)?;
        let run = match &self.run {
            Some(name) => Run::find(name, &self.folder)?,
            None => self.last(&hash)?,
        };
        if run.record.script_hash != hash {
            bail!("{} was a run of another text than {} has now", run.name(), self.script.display(); hint: "run it again, then lock it");
        }
        let lock = Lock::of(&run.record);
        let path = lock.save(&self.script)?;
        crate::say!(
            "{}: {} modules and {} inputs of {} ({})",
            path.display(),
            lock.imports.len(),
            lock.inputs.len(),
            run.name(),
            super::runs::parameters(&run.record)
        );
        Ok(())
    }

    fn last(&self, hash: &str) -> Result<Run> {
        let runs = Run::all(&self.folder)?;
        let fits = |run: &Run| run.record.script_hash == hash && run.record.status == Status::Done;
        runs.into_iter().rev().find(fits).ok_or_else(|| {
            let script = self.script.display();
            Error::new(format!("no run of {script} as it is now is done"))
                .hint(format!("tureen run {script}, then lock it"))
        })
    }
}

/// The hash of a script's text as it is now.
pub(super) fn script_hash(script: &Path) -> Result<String> {
    let text = std::fs::read(script).map_err(|error| Error::at_path(script, error))?;
    Ok(study::script_hash(&text))
}
