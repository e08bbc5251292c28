//! Files that appear whole or not at all.

use std::fs::Metadata;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// How the names of files begin that are written aside.
const ASIDE: &str = ".writing-";

/// Writes `bytes` to `path`: aside in the same folder, synced, then renamed over whatever stood
/// there. Makes the folders above; on an error nothing half-written is left behind.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole(path, |out| {
        out.write_all(bytes)
            .map_err(|error| Error::new(error.to_string()))
    })
}

/// [`write_atomic`] of what `write` puts out piece by piece.
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>,
) -> Result<()> {
    let failed = |error: std::io::Error| Error::at_path(path, error);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if path.file_name().is_none() {
        return Err(Error::at_path(path, "is not a file's path"));
    }
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(ASIDE);
    // A temporary file is private by default; what replaces a file is as readable as any.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut aside = builder.tempfile_in(folder).map_err(failed)?;
    write(&mut aside).map_err(|error| error.within(path.display()))?;
    aside.as_file().sync_all().map_err(failed)?;
    aside.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// What a folder holds, by name in order; nothing where there is no such folder.
pub fn listed(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::at_path(folder, error)),
    };
    let mut found: Vec<(String, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect();
    found.sort();
    Ok(found)
}

/// What writes that have not ended hold aside, in a folder and those in it: writes that go on,
/// and those whose process was killed. Links are not followed.
pub(super) fn leftovers(folder: &Path) -> Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    for (name, path) in listed(folder)? {
        // A write may end while it is looked at.
        let Ok(meta) = path.symlink_metadata() else {
            continue;
        };
        if meta.is_dir() {
            found.extend(leftovers(&path)?);
        } else if meta.is_file() && name.starts_with(ASIDE) {
            found.push((path, meta));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/deep/x.csv");
        write_atomic(&path, b"first, and longer").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        let beside = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_written_file_is_as_readable_as_any() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("a"), folder.path().join("b"));
        write_atomic(&ours, b"").unwrap();
        std::fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn a_path_that_cannot_be_written_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_atomic(folder.path(), b"x").unwrap_err().to_string();
        assert!(error.contains(&folder.path().display().to_string()));
        // The failed write leaves nothing beside the folder's own content.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(write_atomic(Path::new(""), b"x").is_err());
        assert!(write_atomic(Path::new("/"), b"x").is_err());
    }
}
