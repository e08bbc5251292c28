//! What a script reads, noted for its record and held against its lock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Session;
use super::paths::plain;
use super::session::Mode;
use crate::compute::device_name;
use crate::model::Model;
use crate::study::files::{files_id, files_id_of, listed};
use crate::{Context, Error, Result};

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
        self.note_read(path);
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
        sound(path, 0, self.context())?;
        self.note_input(kind, name, files_id(path)?.as_str())
    }

    /// The same of some files of a folder, by their names.
    pub(super) fn note_listed(
        &self,
        kind: &str,
        name: &str,
        files: &[(String, PathBuf)],
    ) -> Result<()> {
        let Mode::Script { .. } = self.setup().mode else {
            return Ok(());
        };
        for (_, path) in files {
            sound(path, 0, self.context())?;
        }
        self.note_input(kind, name, files_id_of(files)?.as_str())
    }

    /// The file or folder that `path` means, noted.
    pub(super) fn input(&self, kind: &str, path: &str) -> Result<PathBuf> {
        let file = self.read_file(path)?;
        self.note_files(kind, path, &file)?;
        Ok(file)
    }

    /// Notes on which device and in which precision a model computes.
    pub(super) fn note_model(&self, name: &str, model: &Model) {
        let how = format!("{} {}", device_name(model.device()), model.precision());
        let mut models = self.state().models.borrow_mut();
        models.entry(name.to_string()).or_default().insert(how);
    }

    /// How models computed so far, by name: device and precision.
    pub fn models(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.state().models.borrow().clone()
    }

    /// What was read so far: ids by kind and name.
    pub fn inputs(&self) -> BTreeMap<String, String> {
        self.state().inputs.borrow().clone()
    }
}

/// How deep folders may lie in each other: a link may lead back.
const DEEPEST: usize = 64;

/// Files and folders alone lie under `path`, and no link leads around in a circle.
fn sound(path: &Path, depth: usize, context: &Context) -> Result<()> {
    context.check()?;
    plain(&path.display().to_string(), path)?;
    if !path.is_dir() {
        return Ok(());
    }
    if depth > DEEPEST || leads_back(path) {
        return Err(Error::at_path(
            path,
            "a link that leads back to its own folder",
        ));
    }
    for (part, path) in listed(path)? {
        if !part.starts_with('.') {
            sound(&path, depth + 1, context)?;
        }
    }
    Ok(())
}

/// Whether `path` is a link to a folder that it lies in.
fn leads_back(path: &Path) -> bool {
    let above = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (path.is_symlink(), path.canonicalize(), above) {
        (true, Ok(target), Some(above)) => above.starts_with(target),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Id;

    fn fed(path: &Path) -> Result<Id> {
        sound(path, 0, &Context::silent())?;
        files_id(path)
    }

    fn hash(path: &Path) -> Id {
        fed(path).unwrap()
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_that_holds_itself_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::os::unix::fs::symlink("..", folder.path().join("in/up")).unwrap();
        let told = fed(folder.path()).unwrap_err().to_string();
        assert!(
            told.ends_with("a link that leads back to its own folder"),
            "{told}"
        );
    }

    #[test]
    fn names_and_contents_of_a_folder_count_and_hidden_files_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("in")).unwrap();
        std::fs::write(at("in/a"), "1").unwrap();
        let first = hash(folder.path());
        std::fs::write(at(".lock"), "x").unwrap();
        assert_eq!(hash(folder.path()), first);
        std::fs::rename(at("in/a"), at("in/b")).unwrap();
        let renamed = hash(folder.path());
        assert_ne!(renamed, first);
        std::fs::write(at("in/b"), "2").unwrap();
        assert_ne!(hash(folder.path()), renamed);
    }
}
