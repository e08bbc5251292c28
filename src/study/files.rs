//! Files that appear whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::disk;
use crate::{Error, Result};

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
    builder.prefix(".writing-");
    // A temporary file is private by default; what replaces a file is as readable as any.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut aside = builder.tempfile_in(folder).map_err(failed)?;
    let mut counted = Counted {
        file: aside.as_file_mut(),
        taken: 0,
        refused: None,
    };
    let written = write(&mut counted);
    let (taken, refused) = (counted.taken, counted.refused);
    let written = refused.map_or(written, Err);
    let kept = written
        .map_err(|error| error.within(path.display()))
        .and_then(|()| aside.as_file().sync_all().map_err(failed))
        .and_then(|()| {
            let before = path.symlink_metadata().map_or(0, |meta| meta.len());
            aside.persist(path).map_err(|error| failed(error.error))?;
            Ok(before)
        });
    match kept {
        Ok(before) => disk::give_back(before),
        Err(error) => {
            disk::give_back(taken);
            return Err(error);
        }
    }
    Ok(())
}

/// A new, empty file in place of whatever stood there; a link there goes, not what it points to.
pub fn fresh(path: &Path) -> Result<std::fs::File> {
    let failed = |error: std::io::Error| Error::at_path(path, error);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    std::fs::File::create_new(path).map_err(failed)
}

/// A file that grows no further than the process may write.
struct Counted<'a> {
    file: &'a mut std::fs::File,
    taken: u64,
    /// Why it does not grow further.
    refused: Option<Error>,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Err(error) = disk::take(bytes.len() as u64) {
            self.refused = Some(error);
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let written = self.file.write(bytes);
        let short = bytes.len() - *written.as_ref().unwrap_or(&0);
        disk::give_back(short as u64);
        self.taken += (bytes.len() - short) as u64;
        written
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
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
