//! Names of repositories of the hub in a script: what is no path is looked for there.

use std::path::PathBuf;

use crate::hub::{Choose, Hub, Kind, Repo};
use crate::{Error, Result};

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
                    return path.and_then(|_| Err(missing()));
                }
                _ => {}
            }
        }
        let repo = Repo::parse(kind, name)?;
        Hub::from_env()
            .fetch(&repo, choose, self.context())
            .map_err(|error| match name.starts_with("hub:") {
                true => error,
                false => error.within(format!("{name:?} is no folder here, and from the hub")),
            })
    }
}
