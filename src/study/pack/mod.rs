//! A study in one file that runs anywhere the program does: an archive of its script, its modules,
//! its lock, its small inputs and the records of one run.
//!
//! The archive is a zip whose files are stored as they are, in order of their names, without times:
//! the same contents give the same bytes. Inside lie
//!
//! ```text
//! study/        the script, its modules, its lock, its inputs, as they lie beside each other
//! modules/      modules that were found in the folders of TUREEN_PATH
//! run/          what the run left: run.json, log.txt, report.html, tables, figures, adapters
//! tureen.json   the manifest: the script's place, the hash of every file, what was left out
//! ```

mod archive;
mod make;
mod open;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

pub use make::{Packed, Packing};
pub use open::Pack;

/// The ending of an archive's name.
pub const ENDING: &str = "tureen";

/// What records and locks put before the name of a module from the folders of `TUREEN_PATH`.
pub const ON_PATH: &str = "$TUREEN_PATH/";

/// The folders of an archive.
const STUDY: &str = "study";
const MODULES: &str = "modules";
const RUN: &str = "run";

/// The file that says what an archive holds.
const MANIFEST: &str = "tureen.json";

/// What `tureen.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of the archive: 1.
    pub pack: u32,
    /// The version of the program that made it.
    pub version: String,
    /// The script's name in the archive.
    pub script: String,
    /// The name of the run whose records are in it.
    pub run: String,
    /// The hash (BLAKE3, hex) of every other file, by name.
    pub files: BTreeMap<String, String>,
    /// What the run read or left and the archive does not hold.
    pub left_out: Vec<LeftOut>,
}

/// Something that an archive does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its kind and name: `dataset reviews.csv`, `run adapter/adapter.safetensors`.
    pub what: String,
    /// Its id, as the lock has it.
    pub id: String,
    /// Its size, where it is known.
    pub bytes: Option<u64>,
    /// Where it would lie in the archive; none where it comes from elsewhere.
    pub place: Option<String>,
    /// Why it is not there.
    pub why: String,
}

/// Whether a path is that of an archive, by its name.
pub fn is_pack(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == ENDING)
}

/// Whether the name of a file in an archive stays within the folder it is unpacked to, on every
/// system.
fn is_inside(name: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    !name.is_empty()
        && !name.contains(['\\', ':', '\0'])
        && name.split('/').all(|part| !part.is_empty() && part != ".")
        && Path::new(name).components().all(plain)
}
