//! `tureen store`: what is kept of earlier runs.

use clap::{Args, Subcommand};

use super::Failure;
use crate::study::size::{bytes as shown, read_bytes};
use crate::study::{Content, Entry, Store};
use crate::{Result, bail};

/// Look at the store of results, verify it, clean it.
#[derive(Debug, Args)]
pub(super) struct StoreCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tell where it is and how much it holds.
    Size,
    /// Read every entry and tell which do not match their hash.
    Verify {
        /// Remove those: they would be computed anew when they are needed.
        #[arg(long)]
        repair: bool,
    },
    /// Remove what no run needs whose folder is still there.
    Gc {
        /// Only until the store is no larger: 500MB, 10GB.
        #[arg(long, value_name = "SIZE")]
        limit: Option<String>,
        /// Tell what would go, and remove nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

impl StoreCommand {
    pub(super) fn main(self) -> Result<(), Failure> {
        let store = Store::default_path().map(Store::open);
        let store = store.map_err(Failure::Command)?;
        match self.what {
            What::Size => size(&store),
            What::Verify { repair } => verify(&store, repair),
            What::Gc { limit, dry_run } => {
                let limit = limit.as_deref().map(read_bytes).transpose();
                let limit = limit.map_err(|error| error.within("--limit"));
                clean(&store, limit.map_err(Failure::Command)?, dry_run)
            }
        }
        .map_err(Failure::Failed)
    }
}

fn size(store: &Store) -> Result<()> {
    let entries = store.entries()?;
    let (states, results): (Vec<_>, Vec<_>) =
        (entries.iter()).partition(|entry| entry.content == Content::State);
    let bytes = |of: &[&Entry]| shown(of.iter().map(|entry| entry.bytes).sum());
    let unfinished = match states.len() {
        0 => String::new(),
        n => format!("; {n} unfinished trainings, {}", bytes(&states)),
    };
    crate::say!(
        "{}: {} entries, {}{unfinished}",
        store.root().display(),
        results.len(),
        bytes(&results),
    );
    Ok(())
}

fn verify(store: &Store, repair: bool) -> Result<()> {
    let entries = store.entries()?;
    let damaged: Vec<_> = entries
        .iter()
        .filter(|entry| !store.is_sound(entry))
        .collect();
    for entry in &damaged {
        crate::say!("{}: does not match its hash", entry.id);
        if repair {
            store.remove(&entry.id, entry.content)?;
        }
    }
    match (damaged.len(), repair) {
        (0, _) => crate::say!("{} entries, all sound", entries.len()),
        (n, true) => crate::say!("{n} of {} entries removed", entries.len()),
        (n, false) => bail!(
            "{n} of {} entries are damaged; none is ever used", entries.len();
            hint: "tureen store verify --repair removes them"
        ),
    }
    Ok(())
}

fn clean(store: &Store, limit: Option<u64>, dry: bool) -> Result<()> {
    let cleaned = store.gc(limit, dry)?;
    let leftovers = match cleaned.leftovers {
        (0, _) => String::new(),
        (n, bytes) => format!("; {n} files of killed writes removed, {}", shown(bytes)),
    };
    crate::say!(
        "{}{} entries removed, {}; {} kept, {}, by {} runs{leftovers}",
        if dry { "would have: " } else { "" },
        cleaned.removed.0,
        shown(cleaned.removed.1),
        cleaned.kept.0,
        shown(cleaned.kept.1),
        cleaned.runs
    );
    Ok(())
}
