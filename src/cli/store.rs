//! `tureen store`: what is kept of earlier runs.

use clap::{Args, Subcommand};

use super::Failure;
use crate::study::Store;
use crate::{Error, Result, bail};

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
                let limit = limit.as_deref().map(bytes).transpose();
                clean(&store, limit.map_err(Failure::Command)?, dry_run)
            }
        }
        .map_err(Failure::Failed)
    }
}

fn size(store: &Store) -> Result<()> {
    let entries = store.entries()?;
    let bytes = entries.iter().map(|entry| entry.bytes).sum();
    crate::say!(
        "{}: {} entries, {}",
        store.root().display(),
        entries.len(),
        shown(bytes)
    );
    Ok(())
}

fn verify(store: &Store, repair: bool) -> Result<()> {
    let entries = store.entries()?;
    let damaged: Vec<_> = entries
        .iter()
        .filter(|entry| !store.is_sound(&entry.id))
        .collect();
    for entry in &damaged {
        crate::say!("{}: does not match its hash", entry.id);
        if repair {
            store.remove(&entry.id)?;
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
    crate::say!(
        "{}{} entries removed, {}; {} kept, {}, by {} runs",
        if dry { "would have: " } else { "" },
        cleaned.removed.0,
        shown(cleaned.removed.1),
        cleaned.kept.0,
        shown(cleaned.kept.1),
        cleaned.runs
    );
    Ok(())
}

const UNITS: [(&str, u64); 4] = [
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// A size for people.
pub(super) fn shown(bytes: u64) -> String {
    let (unit, size) = UNITS
        .into_iter()
        .find(|(_, size)| bytes >= *size)
        .unwrap_or(("B", 1));
    match size {
        1 => format!("{bytes} {unit}"),
        size => format!("{:.1} {unit}", bytes as f64 / size as f64),
    }
}

/// A size as people write it.
pub(super) fn bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = text[digits.len()..].trim();
    let size = UNITS
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .map(|(_, size)| size);
    match (digits.parse::<f64>(), size) {
        (Ok(number), Some(size)) if number >= 0.0 && number.is_finite() => {
            Ok((number * size as f64) as u64)
        }
        _ => {
            Err(Error::new(format!("--limit {text}: expected a size"))
                .hint("such as 500MB or 10GB"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        assert_eq!(bytes("10GB").unwrap(), 10_000_000_000);
        assert_eq!(bytes("0.5 mb").unwrap(), 500_000);
        assert!(bytes("ten").is_err() && bytes("10").is_err() && bytes("-1MB").is_err());
        assert_eq!(shown(12_345_678), "12.3 MB");
        assert_eq!(shown(12), "12 B");
    }
}
