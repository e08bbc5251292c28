//! The store: results by id, so that nothing is computed twice.

use std::path::{Path, PathBuf};

use super::files::write_atomic;
use super::id::Id;
use crate::{Error, Result};

/// A folder of results, each under its id, each preceded by the hash of its bytes.
///
/// Entries appear whole (written aside and renamed), so concurrent runs may share a store. An
/// entry that does not match its hash counts as absent.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in this folder, which is made when first written to.
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
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
        let bytes = std::fs::read(self.path(id)).ok()?;
        let (sum, body) = bytes.split_at_checked(blake3::OUT_LEN)?;
        (blake3::hash(body).as_bytes() == sum).then(|| body.to_vec())
    }

    /// Keeps bytes under `id`.
    pub fn put(&self, id: &Id, body: &[u8]) -> Result<()> {
        let mut bytes = blake3::hash(body).as_bytes().to_vec();
        bytes.extend_from_slice(body);
        write_atomic(&self.path(id), &bytes)
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
