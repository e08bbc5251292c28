//! The bytes of a file as text.

use std::io::Read;
use std::path::Path;

use crate::{Error, Result};

/// The character that some programs put in front of a text in UTF-8.
const MARK: char = '\u{feff}';
/// Its bytes.
const BYTES: &[u8] = &[0xef, 0xbb, 0xbf];

/// The text without a byte-order mark in front.
pub fn unmarked(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// The same of a text's bytes.
pub fn unmarked_bytes(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTES).unwrap_or(text)
}

/// The text of a file in UTF-8, without a byte-order mark.
pub fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::at_path(path, "no such file or folder"),
        _ => Error::at_path(path, e),
    })?;
    decode(&path.display().to_string(), bytes)
}

/// Bytes in UTF-8 as text, without a byte-order mark; `source` names them in errors.
///
/// # Errors
/// Another encoding, by its name where that can be seen; a Git LFS pointer.
pub fn decode(source: &str, mut bytes: Vec<u8>) -> Result<String> {
    crate::input::check(&bytes).map_err(|e| e.within(source))?;
    if let Some(encoding) = wide(&bytes) {
        return Err(
            Error::new(format!("{source}: is {encoding} text, expected UTF-8")).hint(format!(
                "convert it: iconv -f {encoding} -t UTF-8 FILE > NEW"
            )),
        );
    }
    if bytes.starts_with(BYTES) {
        bytes.drain(..BYTES.len());
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let at = 1 + e.as_bytes()[..good].iter().filter(|b| **b == b'\n').count();
        Error::new(format!("{source}: line {at}: not UTF-8 text")).hint("convert the file to UTF-8")
    })
}

/// The encoding of two or four bytes a character that a text begins like: by its byte-order mark,
/// or by the zero bytes of its first letters.
fn wide(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [1..=255, 0, 1..=255, 0, ..] => Some("UTF-16LE"),
        [0, 1..=255, 0, 1..=255, ..] => Some("UTF-16BE"),
        _ => None,
    }
}

/// The memory that the content of a compressed file of `bytes` bytes may take: no text packs better
/// than this, only a file made to fill memory does.
pub(crate) fn room(bytes: usize) -> usize {
    bytes.saturating_mul(64).saturating_add(16 << 20)
}

/// What a gzip file holds, all its members; an error where that is far more than its size allows.
pub fn gunzip(path: &Path, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    let room = room(bytes.len());
    flate2::read::MultiGzDecoder::new(bytes)
        .take(room as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|e| Error::at_path(path, format!("not a readable gzip file: {e}")))?;
    if plain.len() > room {
        return Err(Error::at_path(
            path,
            format!(
                "unpacks to more than {} MiB, far more than its size",
                room >> 20
            ),
        ));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_no_part_of_the_text() {
        let read = |bytes: &[u8]| decode("a.csv", bytes.to_vec());
        assert_eq!(read(b"\xef\xbb\xbfa").unwrap(), "a");
        assert_eq!(read(b"a\xef\xbb\xbf").unwrap(), "a\u{feff}");
        assert_eq!(read(b"").unwrap(), "");
        assert_eq!(unmarked("\u{feff}a"), "a");
    }

    #[test]
    fn other_encodings_are_named() {
        let message = |bytes: &[u8]| decode("a.csv", bytes.to_vec()).unwrap_err().to_string();
        let utf_16 = "a.csv: is UTF-16 text, expected UTF-8; convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW";
        assert_eq!(message(b"\xff\xfet\0e\0"), utf_16);
        assert_eq!(message(b"\xfe\xff\0t\0e"), utf_16);
        assert!(message(b"t\0e\0x\0").contains("UTF-16LE"));
        assert!(message(b"\0t\0e").contains("UTF-16BE"));
        assert!(message(b"\xff\xfe\0\0t\0\0\0").contains("UTF-32"));
        assert_eq!(
            message(b"a\ncaf\xe9\n"),
            "a.csv: line 2: not UTF-8 text; convert the file to UTF-8"
        );
    }
}
