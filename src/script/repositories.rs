//! Names of repositories of the hub in a script: what is no path is looked for there.

use std::path::{Path, PathBuf};

use crate::hub::{Choose, Hub, Kind, Repo};
use crate::{Error, Result, nearest};

use super::Session;

impl Session {
    /// The folder that `name` means: one on the disk, or a repository of the hub, whose files
    /// `choose` picks. `hub:` in front means the hub alone. A name that is neither gives `missing`.
    pub fn path_or_repository(
        &self,
        kind: Kind,
        name: &str,
        choose: Choose<'_>,
        missing: impl FnOnce() -> Error,
    ) -> Result<PathBuf> {
        if !name.starts_with("hub:") {
            let path = self.read_path(name);
            match &path {
                Ok(found) if found.exists() => return path,
                // What looks like a path is none of the hub's names.
                _ if Repo::parse(kind, name).is_err() => {
                    return path.and_then(|_| Err(self.or_near(name, missing())));
                }
                _ => {}
            }
        }
        let repo = Repo::parse(kind, name)?;
        self.check_hub(name)?;
        Hub::from_env()
            .fetch(&repo, choose, self.context())
            .map_err(|error| match name.starts_with("hub:") {
                true => error,
                false => {
                    let what = format!("{name:?} is no folder here, and from the hub");
                    self.or_near(name, error.within(what))
                }
            })
    }

    /// The error with the advice to take a folder that is called nearly so, where there is one.
    pub(super) fn or_near(&self, name: &str, error: Error) -> Error {
        match self.near(name, Path::is_dir) {
            Some(near) => error.hint(format!("did you mean {near:?}?")),
            None => error,
        }
    }

    /// The error with the advice to take a file or folder that is called nearly so, else with the
    /// folder where it is looked for.
    pub(super) fn or_near_file(&self, path: &str, error: Error) -> Error {
        match self.near(path, |_| true) {
            Some(near) => error.hint(format!("did you mean {near:?}?")),
            None => error.hint(format!("it is looked for in {}", self.folder().display())),
        }
    }

    /// What is called nearly so, as a path written in the same way.
    fn near(&self, name: &str, wanted: impl Fn(&Path) -> bool) -> Option<String> {
        let path = self.read_path(name).ok()?;
        let own = path.file_name()?.to_str()?;
        let entries = std::fs::read_dir(path.parent()?).ok()?.flatten();
        let found = entries.filter(|entry| wanted(&entry.path()));
        let mut names: Vec<String> = found
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        let near = nearest(own, names.iter().map(String::as_str))?;
        Some(format!("{}{near}", name.strip_suffix(own)?))
    }
}
