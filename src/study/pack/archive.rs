//! Writing a zip whose bytes follow from its files alone.

use std::collections::BTreeMap;
use std::io::{Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::study::files::each_piece;
use crate::{Error, Result};

/// The archive as it is written.
pub struct Archive<W: Write + Seek> {
    zip: ZipWriter<W>,
    /// The hash of every file so far, by name.
    pub hashes: BTreeMap<String, String>,
}

impl<W: Write + Seek> Archive<W> {
    /// One that is written to `out`.
    pub fn new(out: W) -> Self {
        Self {
            zip: ZipWriter::new(out),
            hashes: BTreeMap::new(),
        }
    }

    /// Adds a file, and its hash to the list.
    pub fn add(&mut self, name: &str, content: impl std::io::Read) -> Result<()> {
        // Stored, because what a compressor makes of the same bytes differs by its version.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o644)
            .large_file(true);
        self.zip.start_file(name, options).map_err(unwritten)?;
        let mut hasher = blake3::Hasher::new();
        let mut outcome = Ok(());
        each_piece(content, |bytes| {
            hasher.update(bytes);
            if outcome.is_ok() {
                outcome = self.zip.write_all(bytes);
            }
        })
        .and(outcome)
        .map_err(|error| Error::new(error.to_string()).within(name))?;
        let hash = hasher.finalize().to_hex().to_string();
        self.hashes.insert(name.to_string(), hash);
        Ok(())
    }

    /// Ends it; its size.
    pub fn finish(self) -> Result<u64> {
        let mut out = self.zip.finish().map_err(unwritten)?;
        out.stream_position().map_err(|e| Error::new(e.to_string()))
    }
}

fn unwritten(error: zip::result::ZipError) -> Error {
    Error::new(error.to_string())
}
