//! The store: results by id, so that nothing is computed twice.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::files::{self, write_atomic};
use super::id::Id;
use crate::{Error, Result};

/// A folder of results, each under its id, each preceded by the hash of its bytes.
///
/// Entries appear whole (written aside and renamed), so concurrent runs may share a store. An
/// entry that does not match its hash counts as absent.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// What was taken from it or put there, by this handle and its clones.
    used: Arc<Mutex<BTreeSet<Id>>>,
}

/// What the store holds under one id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The id.
    pub id: Id,
    /// The size of its file in bytes.
    pub bytes: u64,
    /// When it was written or last taken.
    pub touched: SystemTime,
}

impl Store {
    /// The store in this folder, which is made when first written to.
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
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

    /// The bytes under `id`, if there and sound.
    pub fn get(&self, id: &Id) -> Option<Vec<u8>> {
        let body = self.sound(id)?;
        self.note(id);
        Some(body)
    }

    /// Keeps bytes under `id`.
    pub fn put(&self, id: &Id, body: &[u8]) -> Result<()> {
        let mut bytes = blake3::hash(body).as_bytes().to_vec();
        bytes.extend_from_slice(body);
        write_atomic(&self.path(id), &bytes)?;
        self.note(id);
        Ok(())
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
                // A file may go while it is looked at: another run cleans up.
                let (Some(id), Ok(meta)) = (Id::read(&format!("{head}{tail}")), path.metadata())
                else {
                    continue;
                };
                entries.push(Entry {
                    id,
                    bytes: meta.len(),
                    touched: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                });
            }
        }
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(entries)
    }

    /// Whether the bytes under `id` match their hash.
    pub fn is_sound(&self, id: &Id) -> bool {
        self.sound(id).is_some()
    }

    /// Forgets what is under `id`.
    pub fn remove(&self, id: &Id) -> Result<()> {
        let path = self.path(id);
        std::fs::remove_file(&path).map_err(|error| Error::at_path(&path, error))
    }

    fn sound(&self, id: &Id) -> Option<Vec<u8>> {
        let mut bytes = std::fs::read(self.path(id)).ok()?;
        let (sum, body) = bytes.split_at_checked(blake3::OUT_LEN)?;
        if blake3::hash(body).as_bytes() != sum {
            return None;
        }
        bytes.drain(..blake3::OUT_LEN);
        Some(bytes)
    }

    fn note(&self, id: &Id) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(id.clone());
    }

    fn path(&self, id: &Id) -> PathBuf {
        let (head, tail) = id.as_str().split_at(2);
        self.root.join(head).join(tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_damaged_entry_is_no_entry() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        let id = Id::of_recipe("test/1", &json!(1));
        assert!(store.get(&id).is_none());
        store.put(&id, b"result").unwrap();
        assert_eq!(store.get(&id).unwrap(), b"result");
        let path = store.path(&id);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(store.get(&id).is_none());
    }
}
