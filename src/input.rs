//! Files that a user names, read whole.
//!
//! A clone without Git LFS holds small texts in place of large files. They are recognised here, so
//! that every reader says the same about them.

use std::path::Path;

use crate::{Error, Result};

/// How the texts begin that stand in place of files: Git LFS's, and those of its first releases.
const POINTERS: &[&str] = &[
    "version https://git-lfs.github.com/spec/v1",
    "version https://hawser.github.com/spec/v1",
    "version http://git-media.io/v/2",
];

/// Every pointer is shorter than this, in bytes.
pub const LONGEST: usize = 1024;

/// The bytes of a file; an error for a Git LFS pointer.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(|e| Error::at_path(path, e))?;
    check(&bytes).map_err(|e| e.within(path.display()))?;
    Ok(bytes)
}

/// An error if the file is a Git LFS pointer, for readers that open it themselves.
pub fn check_file(path: &Path) -> Result<()> {
    match path.metadata() {
        Ok(told) if told.is_file() && told.len() < LONGEST as u64 => read(path).map(|_| ()),
        _ => Ok(()),
    }
}

/// An error if a file of these bytes is a Git LFS pointer.
pub fn check(bytes: &[u8]) -> Result<()> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if bytes.len() < LONGEST => text.trim_start_matches('\u{feff}'),
        _ => return Ok(()),
    };
    let mut lines = text.lines().map(str::trim_end);
    let first = lines.next().unwrap_or_default();
    if !POINTERS.contains(&first) {
        return Ok(());
    }
    let size = lines.find_map(|line| line.strip_prefix("size ")?.parse::<u64>().ok());
    let size = size.map_or(String::new(), |size| format!(" of {size} bytes"));
    Err(Error::new(format!(
        "this is a Git LFS pointer, not the file{size} that it stands for"
    ))
    .hint("run `git lfs pull` in the clone that holds it, or download the file itself"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_told_with_the_size_of_their_file() {
        let id = "0".repeat(64);
        for first in POINTERS {
            for end in ["\n", "\r\n"] {
                let text = format!("{first}{end}oid sha256:{id}{end}size 268{end}");
                let message = check(text.as_bytes()).unwrap_err().to_string();
                assert!(message.contains("of 268 bytes"), "{message}");
                assert!(message.contains("git lfs pull"), "{message}");
            }
        }
        assert!(check(POINTERS[0].as_bytes()).is_err());
    }

    #[test]
    fn what_only_begins_like_a_pointer_is_none() {
        let long = format!("{}\n{}", POINTERS[0], "text\n".repeat(300));
        assert!(check(long.as_bytes()).is_ok());
        let other = format!("{} and more", POINTERS[0]);
        assert!(check(other.as_bytes()).is_ok());
        assert!(check(b"").is_ok());
        assert!(check(b"\xff\xfeversion").is_ok());
    }
}
