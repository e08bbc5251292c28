//! The store: results by id, so that nothing is computed twice.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::files::{self, write_atomic};
use super::id::Id;
use crate::{Error, Result};

/// A folder of results, each under its id, each preceded by the hash of its bytes. Beside a result
/// that is long in the making may lie how far it has come: its state, under the same id.
///
/// Entries appear whole (written aside, synced and renamed), so concurrent runs may share a store
/// and may be killed. An entry that does not match its hash is never used.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    opened: SystemTime,
    /// What was taken from it or put there, by this handle and its clones.
    used: Arc<Mutex<BTreeSet<Id>>>,
}

/// What an entry of the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// A result.
    Result,
    /// How far a result has come that is still in the making: what makes it can go on from there.
    State,
}

/// What the store holds under one id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The id.
    pub id: Id,
    /// What it holds.
    pub content: Content,
    /// The size of its file in bytes.
    pub bytes: u64,
    /// When it was written or, by a run that began later, last taken.
    pub touched: SystemTime,
}

/// The end of the names of states' files.
const STATE: &str = ".state";

impl Store {
    /// The store in this folder, which is made when first written to.
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            opened: SystemTime::now(),
            used: Arc::default(),
        }
    }

    /// `TUREEN_STORE`, else `tureen/store` under the user's cache folder.
    pub fn default_path() -> Result<PathBuf> {
        use etcetera::BaseStrategy;
        if let Some(path) = std::env::var_os("TUREEN_STORE").filter(|p| !p.is_empty()) {
            return Ok(PathBuf::from(path));
        }
        let dirs = etcetera::choose_base_strategy().map_err(|e| {
            Error::new(format!("no cache folder: {e}")).hint("set TUREEN_STORE to a folder")
        })?;
        Ok(dirs.cache_dir().join("tureen").join("store"))
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The bytes under `id`; none where there is no such entry, an error where it cannot be read
    /// or does not match its hash.
    pub fn get(&self, id: &Id) -> Result<Option<Vec<u8>>> {
        self.take(id, Content::Result)
    }

    /// Keeps bytes under `id`.
    pub fn put(&self, id: &Id, body: &[u8]) -> Result<()> {
        self.keep(id, Content::Result, body)
    }

    /// How far the result `id` has come, as it was last kept; none and errors as in
    /// [`Self::get`].
    pub fn state(&self, id: &Id) -> Result<Option<Vec<u8>>> {
        self.take(id, Content::State)
    }

    /// Keeps how far the result `id` has come, in place of what was kept before.
    pub fn put_state(&self, id: &Id, body: &[u8]) -> Result<()> {
        self.keep(id, Content::State, body)
    }

    /// Forgets how far the result `id` had come, if that is kept: the result is there now.
    pub fn drop_state(&self, id: &Id) -> Result<()> {
        self.remove(id, Content::State)
    }

    /// What was taken from the store or put there so far.
    pub fn used(&self) -> BTreeSet<Id> {
        self.used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// All it holds, by id. What is no entry is passed over.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for (head, folder) in files::listed(&self.root)? {
            if head.len() != 2 || !folder.is_dir() {
                continue;
            }
            for (tail, path) in files::listed(&folder)? {
                let (tail, content) = match tail.strip_suffix(STATE) {
                    Some(tail) => (tail, Content::State),
                    None => (&tail[..], Content::Result),
                };
                // A file may go while it is looked at: another run cleans up.
                let (Some(id), Ok(meta)) = (Id::read(&format!("{head}{tail}")), path.metadata())
                else {
                    continue;
                };
                entries.push(Entry {
                    id,
                    content,
                    bytes: meta.len(),
                    touched: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                });
            }
        }
        entries.sort();
        Ok(entries)
    }

    /// Whether the bytes of an entry match their hash; so they do where it has gone meanwhile.
    pub fn is_sound(&self, entry: &Entry) -> bool {
        self.read(&entry.id, entry.content).is_ok()
    }

    /// Forgets what is under `id`. No error where another has forgotten it already.
    pub fn remove(&self, id: &Id, content: Content) -> Result<()> {
        let path = self.path(id, content);
        match std::fs::remove_file(&path) {
            Err(error) if !is_absent(&error) => Err(Error::at_path(&path, error)),
            _ => Ok(()),
        }
    }

    fn take(&self, id: &Id, content: Content) -> Result<Option<Vec<u8>>> {
        let body = self.read(id, content)?;
        if body.is_some() {
            self.touch(&self.path(id, content));
            self.note(id);
        }
        Ok(body)
    }

    fn keep(&self, id: &Id, content: Content, body: &[u8]) -> Result<()> {
        let mut bytes = blake3::hash(body).as_bytes().to_vec();
        bytes.extend_from_slice(body);
        write_atomic(&self.path(id, content), &bytes)?;
        self.note(id);
        Ok(())
    }

    fn read(&self, id: &Id, content: Content) -> Result<Option<Vec<u8>>> {
        let path = self.path(id, content);
        let mut bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(Error::at_path(&path, error)),
        };
        let damaged = || {
            Error::new(format!(
                "the store's entry {} does not match its hash",
                id.short()
            ))
        };
        let (sum, body) = bytes
            .split_at_checked(blake3::OUT_LEN)
            .ok_or_else(damaged)?;
        if blake3::hash(body).as_bytes() != sum {
            return Err(damaged());
        }
        bytes.drain(..blake3::OUT_LEN);
        Ok(Some(bytes))
    }

    /// Marks a file as in use since this run began: cleaning takes nothing of a run that has not
    /// ended. Where another user owns the file it stays as it is.
    fn touch(&self, path: &Path) {
        let old = |path: &Path| path.metadata()?.modified().map(|at| at < self.opened);
        if old(path).unwrap_or(false)
            && let Ok(file) = File::open(path)
        {
            let _ = file.set_modified(SystemTime::now());
        }
    }

    fn note(&self, id: &Id) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(id.clone());
    }

    fn path(&self, id: &Id, content: Content) -> PathBuf {
        let (head, tail) = id.as_str().split_at(2);
        let end = match content {
            Content::Result => "",
            Content::State => STATE,
        };
        self.root.join(head).join(format!("{tail}{end}"))
    }
}

/// Whether there is nothing at a path, not even a folder above it.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_damaged_entry_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        let id = Id::of_recipe("test/1", &json!(1));
        assert_eq!(store.get(&id), Ok(None));
        store.put(&id, b"result").unwrap();
        assert_eq!(store.get(&id).unwrap().unwrap(), b"result");
        let path = store.path(&id, Content::Result);
        let sound = std::fs::read(&path).unwrap();
        let mut flipped = sound.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bytes in [&flipped[..], &sound[..sound.len() - 1], &sound[..3], &[]] {
            std::fs::write(&path, bytes).unwrap();
            let error = store.get(&id).unwrap_err().to_string();
            assert!(error.contains("does not match its hash"), "{error}");
            assert!(!store.is_sound(&store.entries().unwrap()[0]));
        }
    }

    #[test]
    fn a_state_lies_beside_its_result() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        let id = Id::of_recipe("test/1", &json!(1));
        store.put_state(&id, b"first").unwrap();
        store.put_state(&id, b"second").unwrap();
        assert_eq!(store.get(&id), Ok(None));
        assert_eq!(store.state(&id).unwrap().unwrap(), b"second");
        store.put(&id, b"result").unwrap();
        let contents = |store: &Store| {
            let entries = store.entries().unwrap();
            entries.iter().map(|e| e.content).collect::<Vec<_>>()
        };
        assert_eq!(contents(&store), [Content::Result, Content::State]);
        store.drop_state(&id).unwrap();
        store.drop_state(&id).unwrap();
        assert_eq!(contents(&store), [Content::Result]);
        assert_eq!(store.used().len(), 1);
    }

    #[test]
    fn what_is_taken_counts_as_touched_since_the_store_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let id = Id::of_recipe("test/1", &json!(1));
        Store::open(folder.path()).put(&id, b"result").unwrap();
        let store = Store::open(folder.path());
        let file = File::open(store.path(&id, Content::Result)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        store.get(&id).unwrap().unwrap();
        assert!(store.entries().unwrap()[0].touched >= store.opened);
    }
}
