//! Links within a folder that lead out of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::study::files::listed;
use crate::{Error, Result};

/// The first link in the folder at `path`, or in a folder within it, to what is not `inside`; none
/// where there is no such folder.
pub(super) fn stray(path: &Path, inside: &dyn Fn(&Path) -> bool) -> Result<Option<PathBuf>> {
    let mut seen = BTreeSet::new();
    let mut open = vec![path.to_path_buf()];
    while let Some(folder) = open.pop() {
        // A link may lead back: each folder is looked at once.
        let Ok(real) = folder.canonicalize() else {
            continue;
        };
        if !real.is_dir() || !seen.insert(real) {
            continue;
        }
        for (_, entry) in listed(&folder)? {
            let meta = entry
                .symlink_metadata()
                .map_err(|error| Error::at_path(&entry, error))?;
            if meta.is_symlink() && !inside(&entry) {
                return Ok(Some(entry));
            }
            if entry.is_dir() {
                open.push(entry);
            }
        }
    }
    Ok(None)
}
