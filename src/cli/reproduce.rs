//! `tureen reproduce RUN`: runs a study again and compares what it records.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Surroundings, diff, lock, run};
use crate::study::{Comparison, Extent, Run};
use crate::{Error, Result, bail};

/// Run a study again as it was run, from nothing kept, and compare what it records.
///
/// On the same class of processor every number must be the same to the last bit; elsewhere a
/// difference within the tolerance is accepted.
#[derive(Debug, Args)]
pub(super) struct Reproduce {
    /// The run: its folder, its name, or the beginning or end of that.
    run: String,
    /// The folder that holds the runs.
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    folder: PathBuf,
    /// How many threads compute (default: one a core).
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// On another class of processor: the largest difference of a recorded number, times the
    /// number's size where that is over 1. Accuracies move by one answer in a test set.
    #[arg(long, default_value_t = 0.01, value_name = "SHARE")]
    tolerance: f64,
    /// Show every recorded value, not only those that differ.
    #[arg(long)]
    all: bool,
}

impl Reproduce {
    pub(super) fn main(self) -> Result<(), Failure> {
        let first = Run::find(&self.run, &self.folder).map_err(Failure::Failed)?;
        let script = PathBuf::from(&first.record.script);
        let unchanged = lock::script_hash(&script).and_then(|hash| {
            if hash != first.record.script_hash {
                bail!("{} has changed since {}", script.display(), first.name(); hint: "the text that was run is {}", first.folder.join(run::SCRIPT).display());
            }
            Ok(())
        });
        unchanged.map_err(Failure::Failed)?;
        let surroundings = Surroundings::again(&first.record.parameters, self.threads);
        let again = run::study(&script, None, surroundings, (None, Extent::All))?;
        let tolerance = match again.record.class == first.record.class {
            true => 0.0,
            false => self.tolerance,
        };
        let both = Comparison::of(&first.record, &again.record, tolerance);
        self.tell(&first, &both, tolerance).map_err(Failure::Failed)
    }

    fn tell(&self, first: &Run, both: &Comparison, tolerance: f64) -> Result<()> {
        diff::print("given", &both.given, self.all)?;
        diff::print("recorded", &both.found, self.all)?;
        if !both.agrees() {
            return Err(Error::new(format!("{} is not reproduced", first.name())));
        }
        match (both.found.len(), tolerance) {
            (0, _) => crate::say!("nothing was recorded: there is nothing to compare"),
            (n, 0.0) => crate::say!("reproduced: {n} values, all the same to the last bit"),
            (n, _) => crate::say!("reproduced: {n} values, within {tolerance}"),
        }
        Ok(())
    }
}
