//! `tureen reproduce RUN`: runs a study again and compares what it records.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use super::opened::Opened;
use super::surroundings::Allowed;
use super::{Failure, Surroundings, diff, run};
use crate::study::pack::is_pack;
use crate::study::{Comparison, Extent, Recipes, Run, SCRIPT};
use crate::{Error, Result, bail};

/// Run a study again as it was run, from nothing kept, and compare what it records.
///
/// What is compared is what the study gives to `record`, not the files it saves. On the same class
/// of processor, with operations of the same versions, every number must be the same to the last
/// bit; elsewhere a difference within the tolerance is accepted. Operations that have a new version
/// since the run are listed.
#[derive(Debug, Args)]
pub(super) struct Reproduce {
    /// The run: its folder, its name, or the beginning or end of that; or an archive of a study,
    /// for the run in it.
    run: String,
    /// The folder that holds the runs.
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    folder: PathBuf,
    /// Where inputs are that an archive leaves out.
    #[arg(long, value_name = "FOLDER")]
    inputs: Option<PathBuf>,
    /// How many threads compute (default: one a core).
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// On another class of processor, or with operations of new versions: the largest difference of a recorded number, times the
    /// number's size where that is over 1. Accuracies move by one answer in a test set.
    #[arg(long, default_value_t = 0.01, value_name = "SHARE")]
    tolerance: f64,
    /// Show every recorded value, not only those that differ.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    allowed: Allowed,
}

impl Reproduce {
    pub(super) fn main(self) -> Result<(), Failure> {
        let first = Run::find(&self.run, &self.folder).map_err(Failure::Failed)?;
        let opened = self.study(&first).map_err(Failure::Failed)?;
        let surroundings =
            Surroundings::again(&first.record.parameters, self.threads, self.allowed.clone());
        let again = run::study(&opened, None, surroundings, (None, Extent::All))?;
        let versions = self.versions(&again).map_err(Failure::Failed)?;
        let exact = again.record.class == first.record.class && versions.is_empty();
        let tolerance = if exact { 0.0 } else { self.tolerance };
        for (own, now) in versions {
            crate::say!("new version: {own} was run, {now} is run now");
        }
        let both = Comparison::of(&first.record, &again.record, tolerance);
        self.tell(&first, &both, tolerance).map_err(Failure::Failed)
    }

    /// The operations of the run that have another version now. A run without recipes has none.
    fn versions(&self, again: &Run) -> Result<BTreeSet<(String, String)>> {
        let Ok((_, then)) = Run::with_recipes(&self.run, &self.folder) else {
            return Ok(BTreeSet::new());
        };
        let now = Recipes::read(&again.folder)?;
        let own = |(a, b): (&str, &str)| (a.to_string(), b.to_string());
        Ok(then.versions(&now).into_iter().map(own).collect())
    }

    /// The study that was run, if it is as it was.
    fn study(&self, first: &Run) -> Result<Opened> {
        let script = match is_pack(Path::new(&self.run)) {
            true => PathBuf::from(&self.run),
            false => PathBuf::from(&first.record.script),
        };
        let opened = Opened::at(&script, self.inputs.as_deref());
        let opened = opened.map_err(|error| match is_pack(&script) {
            true => error,
            false => error.within(script.display()),
        })?;
        if opened.hash() != first.record.script_hash {
            bail!("{} has changed since {}", script.display(), first.name(); hint: "the text that was run is {}", first.folder.join(SCRIPT).display());
        }
        Ok(opened)
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
