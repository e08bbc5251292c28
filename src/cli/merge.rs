//! `tureen merge CONFIG`: whole models by mergekit's recipes.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Bars, Failure, interrupt};
use crate::compute::threads;
use crate::hub::{Hub, Kind, Repo};
use crate::soup::checkpoints::{MergeOptions, merge};
use crate::{Context, Error, Result};

/// Merge whole models by a recipe as mergekit writes it.
#[derive(Debug, Args)]
pub(super) struct Merge {
    /// The recipe: a YAML file.
    config: PathBuf,
    /// The folder to write.
    #[arg(default_value = "merged", value_name = "OUT")]
    output: PathBuf,
    /// The same, as an option.
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    out: Option<PathBuf>,
    /// Seed of the random choices of dare and della (default: 0); other methods take none.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The most bytes of a file of weights.
    #[arg(long, default_value_t = MergeOptions::default().shard, value_name = "BYTES")]
    shard: usize,
    /// How many threads compute (default: one a core). Results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Overwrite what is in the folder. The models to be merged stay.
    #[arg(long)]
    force: bool,
}

impl Merge {
    pub(super) fn main(self) -> Result<(), Failure> {
        // SAFETY: nothing before this starts a thread; Ctrl-C's is started below.
        unsafe { threads::init(self.threads) }.map_err(Failure::Command)?;
        let stop = Arc::default();
        interrupt::install(&stop, 1);
        let context = Context::new(stop, Arc::new(Bars::default()));
        let options = MergeOptions {
            seed: self.seed,
            shard: self.shard,
            keep: !self.force,
        };
        let out = self.out.unwrap_or(self.output);
        let find = |name: &str| folder(name, &context);
        merge(&self.config, &out, &find, &options, &context).map_err(Failure::Failed)?;
        crate::say!("{}", out.display());
        Ok(())
    }
}

/// The folder that a model's name means: one on the disk, or of the hub.
fn folder(name: &str, context: &Context) -> Result<PathBuf> {
    let path = PathBuf::from(name);
    if path.is_dir() {
        return Ok(path);
    }
    let Ok(repo) = Repo::parse(Kind::Model, name) else {
        return Err(Error::at_path(&path, "no such folder"));
    };
    Hub::from_env()
        .fetch(&repo, &needed, context)
        .map_err(|e| e.within(format!("{name:?} is no folder here, and from the hub")))
}

/// The files of a repository that a merge needs: everything small, and the weights, safetensors
/// where there are any.
fn needed(names: &[String]) -> Vec<String> {
    let has = |end: &str| names.iter().any(|n| n.ends_with(end) && !n.contains('/'));
    let safe = has(".safetensors");
    let of = |name: &&String| {
        let top = !name.contains('/') || name.as_str() == "1_Pooling/config.json";
        let weights = match safe {
            true => name.ends_with(".safetensors") && name.starts_with("model"),
            false => name.ends_with(".bin") && name.starts_with("pytorch_model"),
        };
        let ends = [".json", ".txt", ".model", ".jinja"];
        top && (weights || ends.iter().any(|end| name.ends_with(end)))
    };
    names.iter().filter(of).cloned().collect()
}
