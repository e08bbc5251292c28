//! A run's folder belongs to one process at a time.

use std::path::Path;

use crate::Result;

/// How often, and after how long each, a folder is tried again that is held.
#[cfg(unix)]
const LOOKS: usize = 5;
#[cfg(unix)]
const LOOK: std::time::Duration = std::time::Duration::from_millis(10);

/// Holds a run's folder until it is dropped or the process ends, however that ends.
#[derive(Debug)]
pub struct Claim(#[allow(dead_code)] Option<std::fs::File>);

impl Claim {
    /// Claims the folder, which is made where it is missing, and removes what killed writes of an
    /// earlier run left there. An error where another process holds it. Where folders cannot be
    /// locked (on Windows, on some network file systems) nothing is held or removed.
    pub fn of(folder: &Path) -> Result<Self> {
        #[cfg(unix)]
        return locked(folder).map(Self);
        #[cfg(not(unix))]
        {
            let _ = folder;
            Ok(Self(None))
        }
    }

    /// Whether a process holds the folder; true also where that cannot be told.
    pub fn is_held(folder: &Path) -> bool {
        #[cfg(unix)]
        {
            let file = std::fs::File::open(folder);
            file.is_err() || file.is_ok_and(|file| file.try_lock_shared().is_err())
        }
        #[cfg(not(unix))]
        {
            let _ = folder;
            true
        }
    }
}

#[cfg(unix)]
fn locked(folder: &Path) -> Result<Option<std::fs::File>> {
    use std::fs::{self, File, TryLockError};

    use super::Run;
    use super::files::{leftovers, remove_leftover};
    use crate::Error;

    fs::create_dir_all(folder).map_err(|error| Error::at_path(folder, error))?;
    let file = File::open(folder).map_err(|error| Error::at_path(folder, error))?;
    // Whoever looks whether the folder is held holds it for a moment.
    let held = || file.try_lock();
    let locked = (0..LOOKS).find_map(|_| match held() {
        Err(TryLockError::WouldBlock) => {
            std::thread::sleep(LOOK);
            None
        }
        other => Some(other),
    });
    match locked.unwrap_or_else(held) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::at_path(folder, "another run is writing here")
                .hint("wait until it has ended, or choose another folder: --out FOLDER"));
        }
        Err(TryLockError::Error(_)) => return Ok(None),
    }
    // Elsewhere than in a run's folder others may be writing.
    if Run::is_at(folder) {
        for (path, _) in leftovers(folder)? {
            // Below it may lie folders of other runs, with writes of their own.
            let other = path.ancestors().skip(1).take_while(|p| *p != folder);
            if !other.into_iter().any(Run::is_at) {
                remove_leftover(&path).map_err(|error| Error::at_path(&path, error))?;
            }
        }
    }
    Ok(Some(file))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_and_rid_of_what_a_killed_run_left() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let aside = |at: &Path| {
            std::fs::create_dir_all(at).unwrap();
            std::fs::write(at.join(".writing-aaaaaa"), b"half").unwrap();
        };
        // No run's folder: what lies there is not ours.
        aside(&run);
        let first = Claim::of(&run).unwrap();
        assert!(Claim::is_held(&run));
        assert!(run.join(".writing-aaaaaa").exists());
        let error = Claim::of(&run).unwrap_err().to_string();
        assert!(error.contains("another run is writing here"), "{error}");
        drop(first);
        assert!(!Claim::is_held(&run));

        std::fs::write(run.join("run.json"), b"{}").unwrap();
        aside(&run.join("adapter"));
        aside(&run.join("other"));
        std::fs::write(run.join("other/run.json"), b"{}").unwrap();
        let _again = Claim::of(&run).unwrap();
        let left = super::super::files::leftovers(&run).unwrap();
        let left: Vec<_> = left.into_iter().map(|(path, _)| path).collect();
        assert_eq!(left, [run.join("other/.writing-aaaaaa")]);
    }
}
