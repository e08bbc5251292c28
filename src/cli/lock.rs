//! `tureen lock study.rhai`: pins what a run of a study read.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use crate::adapter::formats::refused;
use crate::study::pack::is_pack;
use crate::study::{self, Lock, Run, Status};
use crate::{Error, Result, bail};

/// Pin what a run of a study read: its script, modules, models, datasets, adapters and files.
#[derive(Debug, Args)]
pub(super) struct LockCommand {
    /// The script; its lock is written beside it, as NAME.rhai.lock.
    script: PathBuf,
    /// The run whose inputs are pinned (default: the last one of this script that is done,
    /// reproductions aside).
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// The folder that holds the runs.
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    folder: PathBuf,
    /// Overwrite a file of the lock's name that is no lock.
    #[arg(long)]
    force: bool,
}

impl LockCommand {
    pub(super) fn main(self) -> Result<(), Failure> {
        self.lock().map_err(Failure::Failed)
    }

    fn lock(&self) -> Result<()> {
        if is_pack(&self.script) {
            bail!("{} holds its lock already", self.script.display(); hint: "tureen lock takes a script");
        }
        let run = chosen(&self.script, self.run.as_deref(), &self.folder)?;
        let lock = Lock::of(&run.record);
        // A lock is there to be made anew; anything else of its name is not.
        let path = Lock::path(&self.script);
        if !self.force && path.exists() && Lock::read(&self.script).is_err() {
            return Err(refused(&path, "is there already, and is no lock"));
        }
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
}

/// The run of a script as it is now: the one that is named, else the last in the folder that is
/// done.
pub(super) fn chosen(script: &Path, run: Option<&str>, folder: &Path) -> Result<Run> {
    let text = crate::input::read(script)?;
    let hash = study::script_hash(&text);
    let script = script.display();
    if let Some(name) = run {
        let run = Run::find(name, folder)?;
        if run.record.script_hash != hash {
            bail!("{} was a run of another text than {script} has now", run.name(); hint: "run it again");
        }
        return Ok(run);
    }
    let fits = |Run { record, .. }: &Run| {
        record.script_hash == hash && record.status == Status::Done && !record.is_reproduction()
    };
    let runs = Run::all(folder)?;
    runs.into_iter().rev().find(fits).ok_or_else(|| {
        Error::new(format!("no run of {script} as it is now is done"))
            .hint(format!("tureen run {script} first"))
    })
}
