//! What a script reads, noted for its record and held against its lock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Session;
use super::session::Mode;
use crate::Result;
use crate::study::files::files_id;

impl Session {
    /// Notes that the script read `name`, whose identity is `id`. An error where the study is
    /// locked and the lock has another, or none.
    pub(super) fn note_input(&self, kind: &str, name: &str, id: &str) -> Result<()> {
        let input = format!("{kind} {name}");
        if let Some(lock) = &self.setup().lock {
            lock.check_input(&input, id)?;
        }
        self.state()
            .inputs
            .borrow_mut()
            .insert(input, id.to_string());
        Ok(())
    }

    /// The same of a file, or of a folder with all its files, which are read for their hash. What
    /// the script itself wrote is no input, and only of a script anything is noted.
    pub(super) fn note_files(&self, kind: &str, name: &str, path: &Path) -> Result<()> {
        let Mode::Script { .. } = self.setup().mode else {
            return Ok(());
        };
        let written = self.write_folder();
        let whole = |path: &Path| path.canonicalize().ok();
        if let (Some(path), Some(written)) = (whole(path), whole(&written))
            && path.starts_with(&written)
        {
            return Ok(());
        }
        self.note_input(kind, name, files_id(path)?.as_str())
    }

    /// The file or folder that `path` means, noted.
    pub(super) fn input(&self, kind: &str, path: &str) -> Result<PathBuf> {
        let file = self.read_file(path)?;
        self.note_files(kind, path, &file)?;
        Ok(file)
    }

    /// What was read so far: ids by kind and name.
    pub fn inputs(&self) -> BTreeMap<String, String> {
        self.state().inputs.borrow().clone()
    }
}
