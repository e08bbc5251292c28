//! Files that appear whole or not at all.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Id, disk};
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
    write_file(path, |file| write(file))
}

/// [`write_whole`] for a format that goes back in its file.
pub fn write_file(path: &Path, write: impl FnOnce(&mut Counted<'_>) -> Result<()>) -> Result<()> {
    let failed = |error: std::io::Error| Error::at_path(path, error);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if path.file_name().is_none() {
        return Err(Error::at_path(path, "is not a file's path"));
    }
    let made = Made::folder(folder).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(ASIDE);
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
        Ok(before) => {
            disk::give_back(before);
            made.keep();
        }
        Err(error) => {
            disk::give_back(taken);
            return Err(error);
        }
    }
    Ok(())
}

/// Folders that go again, unless what is written in them is whole.
struct Made(Vec<PathBuf>);

impl Made {
    /// Makes a folder and those above it.
    fn folder(folder: &Path) -> std::io::Result<Self> {
        let missing = folder.ancestors().take_while(|above| {
            // The last one above a relative path is empty.
            !above.as_os_str().is_empty() && !above.exists()
        });
        let made = Self(missing.map(Path::to_path_buf).collect());
        std::fs::create_dir_all(folder)?;
        Ok(made)
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Only empty ones go.
        for folder in &self.0 {
            if std::fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }
}

/// Puts what `write` writes into the folder that it is given in `folder`, all or nothing: aside,
/// then in its place. The file `last` comes last where the folder holds others already.
pub fn write_folder<T>(
    folder: &Path,
    last: &str,
    write: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    let failed = |error: std::io::Error| Error::at_path(folder, error);
    let exists = folder.is_dir();
    let above = match folder.parent() {
        _ if exists => folder,
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    let made = Made::folder(above).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(ASIDE);
    // A temporary folder is private by default.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let aside = builder.tempdir_in(above).map_err(failed)?;
    let result = write(aside.path()).map_err(|error| error.renamed(aside.path(), folder))?;
    if exists {
        let mut files = tree(aside.path(), Links::Left)?;
        files.sort_by_key(|(name, _)| name == last);
        for (name, from) in files {
            let to = folder.join(name);
            if let Some(above) = to.parent() {
                std::fs::create_dir_all(above).map_err(failed)?;
            }
            std::fs::rename(from, to).map_err(failed)?;
        }
    } else {
        std::fs::rename(aside.path(), folder).map_err(failed)?;
        // Nothing is left to be removed.
        let _ = aside.keep();
    }
    made.keep();
    Ok(result)
}

/// Runs `write`, which puts files in `folder`; where it fails and the folder was not there, or
/// empty, it is so again.
pub fn unless_failed<T>(folder: &Path, write: impl FnOnce() -> Result<T>) -> Result<T> {
    let existed = folder.exists();
    if existed && !listed(folder).is_ok_and(|all| all.is_empty()) {
        return write();
    }
    let missing = folder.ancestors();
    let missing = missing.take_while(|above| !above.as_os_str().is_empty() && !above.exists());
    let made = Made(missing.map(Path::to_path_buf).collect());
    let result = write();
    match result.is_ok() {
        true => made.keep(),
        false => {
            // What cannot be removed is left; the error that counts is the one of the writing.
            for (_, path) in listed(folder).unwrap_or_default() {
                let _ = match path.is_dir() && !path.is_symlink() {
                    true => std::fs::remove_dir_all(path),
                    false => std::fs::remove_file(path),
                };
            }
        }
    }
    result
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

/// A file that grows no further than the process may write. What is written twice counts twice.
pub struct Counted<'a> {
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

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

/// A folder in which files are written aside, and from which they take the places of those in
/// another. Until then nothing of that other folder is changed, or even made.
#[derive(Debug)]
pub struct Aside {
    aside: tempfile::TempDir,
    folder: PathBuf,
}

impl Aside {
    /// One for `folder`, on its file system: in it where it exists, else in the nearest folder
    /// above that does.
    pub fn of(folder: &Path) -> Result<Self> {
        let exists = |path: &&Path| path.is_dir();
        let near = std::path::absolute(folder).map_err(|error| Error::at_path(folder, error))?;
        let near = near.ancestors().find(exists).unwrap_or(Path::new("."));
        let aside = tempfile::Builder::new()
            .prefix(ASIDE)
            .tempdir_in(near)
            .map_err(|error| Error::at_path(near, error))?;
        Ok(Self {
            aside,
            folder: folder.to_path_buf(),
        })
    }

    /// Where to write: a folder of the same name, which is not made yet.
    pub fn path(&self) -> PathBuf {
        let name = self.folder.file_name();
        self.aside
            .path()
            .join(name.unwrap_or(std::ffi::OsStr::new("adapter")))
    }

    /// The same result; an error names the place that files are meant for, not the one aside.
    pub fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.renamed(&self.path(), &self.folder))
    }

    /// Puts what was written in its place, file by file, those with one of the names `last` at
    /// the end: a folder without them is not whole. Files of the folder that `stale` names by
    /// their paths in it go, unless they were written anew.
    pub fn settle(self, last: &[&str], stale: &[String]) -> Result<()> {
        let from = self.path();
        if !from.is_dir() {
            return Ok(());
        }
        let mut files = tree(&from, Links::Left)?;
        let is_last = |name: &str| last.contains(&name.rsplit('/').next().unwrap_or(name));
        files.sort_by_key(|(name, _)| is_last(name));
        for (name, path) in &files {
            let to = self.folder.join(name);
            let failed = |error: std::io::Error| Error::at_path(&to, error);
            if let Some(above) = to.parent() {
                std::fs::create_dir_all(above).map_err(failed)?;
            }
            let before = to.symlink_metadata().map_or(0, |meta| meta.len());
            std::fs::rename(path, &to).map_err(failed)?;
            disk::give_back(before);
        }
        for name in stale {
            if files.iter().any(|(new, _)| new == name) {
                continue;
            }
            let path = self.folder.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::at_path(&path, error));
                }
                _ => {}
            }
        }
        // The names last as long as the files; where a folder cannot be synced, the system does.
        #[cfg(unix)]
        if let Ok(folder) = File::open(&self.folder) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

/// Whether two paths lead to one file or folder, through links and `..` too.
pub fn same_place(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Whether a folder holds anything but what writes that go on hold aside.
pub fn is_filled(folder: &Path) -> Result<bool> {
    let aside = |(name, _): &(String, PathBuf)| name.starts_with(ASIDE);
    Ok(!listed(folder)?.iter().all(aside))
}

/// A path with slashes between its parts on every system.
pub fn slashed(path: &Path) -> String {
    let text = path.display().to_string();
    match std::path::MAIN_SEPARATOR {
        '/' => text,
        other => text.replace(other, "/"),
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

/// What writes that have not ended hold aside, in a folder and those in it: writes that go on,
/// and those whose process was killed. Links are not followed.
pub(super) fn leftovers(folder: &Path) -> Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    for (name, path) in listed(folder)? {
        // A write may end while it is looked at.
        let Ok(meta) = path.symlink_metadata() else {
            continue;
        };
        if meta.is_dir() && name.starts_with(ASIDE) {
            let before = found.len();
            inside(&path, &mut found)?;
            if found.len() == before {
                found.push((path, meta));
            }
        } else if meta.is_dir() {
            found.extend(leftovers(&path)?);
        } else if meta.is_file() && name.starts_with(ASIDE) {
            found.push((path, meta));
        }
    }
    Ok(found)
}

/// All files in a folder and those in it, hidden ones included: a file in a folder that is written
/// aside is written aside itself.
fn inside(folder: &Path, found: &mut Vec<(PathBuf, Metadata)>) -> Result<()> {
    for (_, path) in listed(folder)? {
        match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => inside(&path, found)?,
            Ok(meta) => found.push((path, meta)),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Removes what a killed write left, and the folders that were made for it.
pub(super) fn remove_leftover(path: &Path) -> std::io::Result<()> {
    // Folders alone, in which no file was begun.
    if path.is_dir() {
        return std::fs::remove_dir_all(path);
    }
    std::fs::remove_file(path)?;
    let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
    let is_aside = |path: &Path| name(path).is_some_and(|name| name.starts_with(ASIDE));
    if let Some(root) = path.ancestors().skip(1).find(|path| is_aside(path)) {
        let above = path.ancestors().skip(1).take_while(|p| p.starts_with(root));
        // A folder with more in it stays until that goes too.
        above.for_each(|folder| drop(std::fs::remove_dir(folder)));
    }
    Ok(())
}

/// Whether links inside a folder are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// What they point to counts as lying there.
    Followed,
    /// They are passed over.
    Left,
}

/// The files under a folder by their paths within it, with slashes, in order of their names; of a
/// file itself the one, whose path within it is empty. Hidden files are notes of tools (locks,
/// resumed downloads) and are passed over.
pub fn tree(path: &Path, links: Links) -> Result<Vec<(String, PathBuf)>> {
    let mut all = Vec::new();
    grow(path, "", links, &mut all)?;
    Ok(all)
}

fn grow(path: &Path, name: &str, links: Links, all: &mut Vec<(String, PathBuf)>) -> Result<()> {
    if !path.is_dir() {
        all.push((name.to_string(), path.to_path_buf()));
        return Ok(());
    }
    for (part, path) in listed(path)? {
        if part.starts_with('.') || (links == Links::Left && path.is_symlink()) {
            continue;
        }
        let name = match name {
            "" => part,
            above => format!("{above}/{part}"),
        };
        grow(&path, &name, links, all)?;
    }
    Ok(())
}

/// The id of a file's content, or of the names and contents of the files under a folder.
pub fn files_id(path: &Path) -> Result<Id> {
    files_id_of(&tree(path, Links::Followed)?)
}

/// The id of the names and contents of these files.
pub fn files_id_of(files: &[(String, PathBuf)]) -> Result<Id> {
    Id::of_pieces("files", |feed| {
        for (name, path) in files {
            let failed = |error: std::io::Error| Error::at_path(path, error);
            let file = File::open(path).map_err(failed)?;
            let length = file.metadata().map_err(failed)?.len();
            feed(&(name.len() as u64).to_le_bytes());
            feed(name.as_bytes());
            feed(&length.to_le_bytes());
            each_piece(file, &mut *feed).map_err(failed)?;
        }
        Ok(())
    })
}

/// Hands on all that `from` holds, piece by piece.
pub fn each_piece(mut from: impl Read, mut to: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 18];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => to(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bail;

    #[test]
    fn a_folder_is_written_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("above/out");
        let fails = |folder: &Path| -> Result<()> {
            write_atomic(&folder.join("in/a"), b"1")?;
            bail!("{}: no more", folder.join("b").display());
        };
        let message = write_folder(&out, "a", fails).unwrap_err().to_string();
        assert_eq!(message, format!("{}: no more", out.join("b").display()));
        assert!(unless_failed(&out, || fails(&out)).is_err());
        assert_eq!(listed(root.path()).unwrap(), []);
        std::fs::create_dir_all(&out).unwrap();
        assert!(unless_failed(&out, || fails(&out)).is_err());
        assert_eq!(listed(&out).unwrap(), []);
        let writes = |text: &'static [u8]| {
            write_folder(&out, "a", |folder| {
                write_atomic(&folder.join("a"), text)?;
                write_atomic(&folder.join("in/b"), text)
            })
        };
        writes(b"1").unwrap();
        std::fs::write(out.join("own"), "kept").unwrap();
        assert!(write_folder(&out, "a", fails).is_err());
        assert_eq!(std::fs::read(out.join("a")).unwrap(), b"1");
        writes(b"2").unwrap();
        assert_eq!(std::fs::read(out.join("in/b")).unwrap(), b"2");
        assert_eq!(std::fs::read(out.join("own")).unwrap(), b"kept");
        assert_eq!(listed(out.parent().unwrap()).unwrap().len(), 1);
    }

    #[test]
    fn folders_made_for_a_file_that_fails_go_again() {
        let root = tempfile::tempdir().unwrap();
        let fails = |_: &mut (dyn Write + Send)| -> Result<()> { bail!("no") };
        assert!(write_whole(&root.path().join("a/b/c"), fails).is_err());
        assert_eq!(listed(root.path()).unwrap(), []);
        std::fs::create_dir(root.path().join("a")).unwrap();
        assert!(write_whole(&root.path().join("a/b/c"), fails).is_err());
        assert_eq!(listed(root.path()).unwrap().len(), 1);
        assert_eq!(listed(&root.path().join("a")).unwrap(), []);
    }

    #[test]
    fn names_and_contents_of_a_folder_count_and_hidden_files_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("in")).unwrap();
        std::fs::write(at("in/a"), "1").unwrap();
        let hash = || files_id(folder.path()).unwrap();
        let first = hash();
        std::fs::write(at(".lock"), "x").unwrap();
        assert_eq!(hash(), first);
        std::fs::rename(at("in/a"), at("in/b")).unwrap();
        let renamed = hash();
        assert_ne!(renamed, first);
        std::fs::write(at("in/b"), "2").unwrap();
        assert_ne!(hash(), renamed);
        let names = |links| -> Vec<String> {
            let all = tree(folder.path(), links).unwrap();
            all.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(Links::Left), ["in/b"]);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("in"), at("link")).unwrap();
            assert_eq!(names(Links::Left), ["in/b"]);
            assert_eq!(names(Links::Followed), ["in/b", "link/b"]);
        }
    }

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

    #[test]
    fn files_written_aside_take_their_places_together() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("new/deep");
        let write = |aside: &Aside, name: &str, text: &str| {
            write_atomic(&aside.path().join(name), text.as_bytes()).unwrap();
        };
        let names = || -> Vec<String> {
            let all = tree(folder.path(), Links::Left).unwrap();
            all.into_iter().map(|(name, _)| name).collect()
        };
        let aside = Aside::of(&target).unwrap();
        write(&aside, "a/b", "1");
        assert!(aside.path().ends_with("deep") && !target.exists());
        aside.settle(&[], &[]).unwrap();
        assert_eq!(names(), ["new/deep/a/b"]);
        let aside = Aside::of(&target).unwrap();
        write(&aside, "a/c", "2");
        assert_eq!(leftovers(folder.path()).unwrap().len(), 1);
        aside
            .settle(&["c"], &["a/b".into(), "a/c".into(), "x".into()])
            .unwrap();
        assert_eq!(names(), ["new/deep/a/c"]);
        // What was dropped leaves nothing, and what was killed is found.
        let aside = Aside::of(&target).unwrap();
        write(&aside, "a/d", "3");
        drop(aside);
        assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1);
        let killed = target.join(".writing-abc/deep/x");
        write_atomic(&killed, b"half").unwrap();
        assert!(is_filled(&target).unwrap() && !is_filled(&folder.path().join("no")).unwrap());
        let left = leftovers(folder.path()).unwrap();
        assert_eq!(left[0].0, killed);
        remove_leftover(&killed).unwrap();
        assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1);
        // One that was killed within the write of a file, and one before it.
        let halves = [".writing-abc/deep/.writing-x", ".writing-def/deep"].map(|p| target.join(p));
        std::fs::create_dir_all(halves[0].parent().unwrap()).unwrap();
        std::fs::write(&halves[0], b"half").unwrap();
        std::fs::create_dir_all(&halves[1]).unwrap();
        let left = leftovers(folder.path()).unwrap();
        assert_eq!(left.len(), 2);
        left.iter()
            .for_each(|(path, _)| remove_leftover(path).unwrap());
        assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1);
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
