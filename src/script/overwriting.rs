//! What a script may overwrite: what it wrote itself, now or in an earlier run in the same folder,
//! and what is the same already. Everything else it is asked to with `force: true`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rhai::Map;

use super::{Mode, NativeSpec, OptionSpec, Options, Session};
use crate::Result;
use crate::adapter::Adapter;
use crate::adapter::formats::{self, Layout, Standing, is_used, may_replace, refused, standing};
use crate::study::files::{Links, tree};

/// The option of natives that write.
pub(super) const FORCE: OptionSpec = OptionSpec::bool(
    "force",
    "overwrite what is there and was not written by this script",
)
.or("false");

/// The options of natives that write a file.
static FILE: NativeSpec = NativeSpec {
    name: "save",
    options: &[FORCE],
};

/// Whether the options of a native that writes a file say to overwrite.
pub(super) fn forced(options: &Map) -> Result<bool> {
    Options::read(&FILE, options)?.bool("force")
}

/// Nothing beside a file.
pub(super) fn alone(_: &Path) -> Vec<PathBuf> {
    Vec::new()
}

/// What a session read and wrote, for what it may overwrite.
#[derive(Debug, Default)]
pub(super) struct Touched {
    read: BTreeSet<PathBuf>,
    written: BTreeSet<PathBuf>,
    /// The folder of the run, where it holds nothing but what runs of the study wrote.
    own: Option<PathBuf>,
}

impl Session {
    /// Lets the script overwrite what is in this folder, where nobody but it has written.
    pub fn own(&self, folder: &Path) {
        self.state().touched.borrow_mut().own = Some(folder.to_path_buf());
    }

    /// Notes a file or folder that the script read, which it does not overwrite unasked.
    pub(super) fn note_read(&self, path: &Path) {
        if let Ok(path) = path.canonicalize() {
            let mut touched = self.state().touched.borrow_mut();
            if !touched.written.contains(&path) {
                touched.read.insert(path);
            }
        }
    }

    fn note_written(&self, path: &Path) {
        if let Ok(path) = path.canonicalize() {
            self.state().touched.borrow_mut().written.insert(path);
        }
    }

    fn wrote(&self, path: &Path) -> bool {
        let touched = self.state().touched.borrow();
        path.canonicalize()
            .is_ok_and(|path| touched.written.contains(&path))
    }

    fn wrote_all_in(&self, folder: &Path) -> Result<bool> {
        let files = match folder.is_dir() {
            true => tree(folder, Links::Left)?,
            false => Vec::new(),
        };
        Ok(files.iter().all(|(_, path)| self.wrote(path)))
    }

    fn has_read(&self, path: &Path) -> bool {
        let touched = self.state().touched.borrow();
        path.canonicalize()
            .is_ok_and(|path| touched.read.contains(&path))
    }

    /// Whether this run or an earlier one in the same folder wrote `path`.
    fn is_own(&self, path: &Path) -> bool {
        let touched = self.state().touched.borrow();
        let (Mode::Script { .. }, Some(folder)) = (&self.setup().mode, &touched.own) else {
            return false;
        };
        match (path.canonicalize(), folder.canonicalize()) {
            (Ok(path), Ok(folder)) => path.starts_with(folder),
            _ => false,
        }
    }

    /// Saves an adapter to the folder that the script calls `path`, with the adapters it was made
    /// of on request.
    pub(super) fn save_adapter(
        &self,
        adapter: &Adapter,
        path: &str,
        layout: Layout,
        (members, force): (bool, bool),
    ) -> Result<()> {
        let folder = self.write_path(path)?;
        if !force && !self.wrote(&folder) {
            let own = self.is_own(&folder) || self.wrote_all_in(&folder)?;
            let own = own && !self.has_read(&folder);
            let replaced = match own.then(|| standing(adapter, &folder)).transpose()? {
                Some(Standing::Ours { edited, same, .. }) => same || !edited,
                Some(Standing::Foreign(_)) => !is_used(&folder),
                Some(Standing::Nothing) | None => false,
            };
            if !replaced {
                let read = self
                    .state()
                    .touched
                    .borrow()
                    .read
                    .iter()
                    .cloned()
                    .collect::<Vec<_>>();
                may_replace(adapter, &folder, &read)?;
            }
        }
        formats::save_over(adapter, &folder, layout, !force)?;
        if members {
            formats::save_inputs(adapter, &folder)?;
        }
        self.note_written(&folder);
        Ok(())
    }

    /// Writes the file that the script calls `path` by `write`, and the files that it puts beside
    /// it. Files that are there already and were not written by the script are left as they are,
    /// and an error unless they have the same content.
    pub(super) fn write_file(
        &self,
        path: &str,
        force: bool,
        beside: impl Fn(&Path) -> Vec<PathBuf>,
        write: impl Fn(&Path) -> Result<()>,
    ) -> Result<()> {
        let file = self.write_path(path)?;
        let all = || std::iter::once(file.clone()).chain(beside(&file));
        let own = |path: &PathBuf| {
            !path.exists() || self.wrote(path) || self.is_own(path) && !self.has_read(path)
        };
        let foreign: Vec<PathBuf> = all().filter(|path| !own(path)).collect();
        if force || foreign.is_empty() {
            write(&file)?;
        } else {
            // Written aside, it shows whether anything would be lost.
            let aside = tempfile::tempdir().map_err(|e| crate::Error::new(e.to_string()))?;
            let again = aside.path().join(file.file_name().unwrap_or_default());
            write(&again)?;
            for path in &foreign {
                let new = aside.path().join(path.file_name().unwrap_or_default());
                if std::fs::read(&new).ok() != std::fs::read(path).ok() {
                    let why = match self.has_read(path) {
                        true => "is an input, which would be overwritten",
                        false => "is there already",
                    };
                    return Err(refused(path, why));
                }
            }
            write(&file)?;
        }
        all().for_each(|path| self.note_written(&path));
        Ok(())
    }
}
