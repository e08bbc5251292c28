//! What a script may take of the machine, and the line that says so where it takes more.
//!
//! Counting costs nothing that can be noticed: operations are counted where the engine looks
//! whether to stop, sizes are looked at where a call makes a value larger (see
//! [`super::growth`]), time and memory by a thread beside the script (see [`super::watch`]).

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use super::Session;
use crate::{Error, Result, text};

/// What a script may take. Each limit has a flag of its name (`--max-operations`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Steps of the script itself; what natives compute is not counted. Ten billion, some ten
    /// minutes of a loop that does nothing else.
    pub operations: u64,
    /// Calls of functions within each other; 64.
    pub depth: usize,
    /// Bytes of one text that a call makes or reads; 256 MB.
    pub string: usize,
    /// Values of one list, entries of a map, rows or cells of a table that a call makes; ten
    /// million.
    pub array: usize,
    /// Bytes of memory of the whole program; none, and three quarters of the machine's on the
    /// command line.
    pub memory: Option<u64>,
    /// How long one script, or one input, may run; without an end.
    pub time: Option<Duration>,
    /// Bytes by which files may grow, those in the store among them; without an end, and 20 GB on
    /// the command line. Holds for the whole process.
    pub disk: Option<u64>,
}

impl Limits {
    /// Bytes on the disk on the command line.
    pub const DISK: u64 = 20_000_000_000;

    /// Nothing is limited but what would end the program itself.
    pub fn none() -> Self {
        Self {
            operations: u64::MAX,
            string: usize::MAX,
            array: usize::MAX,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 10_000_000_000,
            depth: 64,
            string: 256_000_000,
            array: 10_000_000,
            memory: None,
            time: None,
            disk: None,
        }
    }
}

/// The error of a limit that `flag` raises.
pub(super) fn reached(message: impl Into<String>, flag: &str, value: &str) -> Error {
    Error::limit(message).hint(format!("raise the limit with --max-{flag} {value}"))
}

/// So many values, or bytes of text, are too many for one that a native makes. Asked before it is
/// made.
impl Session {
    /// An error where `count` values are more than `what` may have: "a list", "a table".
    pub(super) fn room_for(&self, what: &str, count: u128) -> Result<()> {
        let most = self.setup().limits.array;
        match count > most as u128 {
            true => {
                let message = format!("{what} of {count} values is too large, at most {most}");
                Err(reached(message, "array", "N"))
            }
            false => Ok(()),
        }
    }

    /// The same of a text's bytes.
    pub(super) fn room_for_text(&self, bytes: u128) -> Result<()> {
        let most = self.setup().limits.string;
        match bytes > most as u128 {
            true => {
                let message = format!("a text of {bytes} bytes is too long, at most {most}");
                Err(reached(message, "string", "SIZE"))
            }
            false => Ok(()),
        }
    }

    /// The text of a file that may be read, without a byte-order mark.
    pub(super) fn text_of(&self, file: &Path) -> Result<String> {
        let failed = |error: std::io::Error| Error::at_path(file, error);
        if file.is_dir() {
            return Err(Error::at_path(file, "is a folder, not a file"));
        }
        let opened = std::fs::File::open(file).map_err(failed)?;
        let length = opened.metadata().map_err(failed)?.len();
        self.room_for_text(length.into())?;
        // Some of a system's files tell no length.
        let most = self.setup().limits.string as u64;
        let mut bytes = Vec::new();
        let mut rest = opened.take(most.saturating_add(1));
        rest.read_to_end(&mut bytes).map_err(failed)?;
        self.room_for_text(bytes.len() as u128)?;
        text::decode(&file.display().to_string(), bytes)
    }
}
