//! The lock of a study: the hashes of everything that a run of it read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Record;
use super::files::write_atomic;
use crate::{Error, Result, bail};

/// What `STUDY.rhai.lock` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The layout of the file: 1.
    pub lock: u32,
    /// The version of the program that made it.
    pub version: String,
    /// The hash of the script's text.
    pub script: String,
    /// Hashes of imported modules, by path.
    pub imports: BTreeMap<String, String>,
    /// Ids of what the script read, by kind and name: `dataset films`, `file x.csv`.
    pub inputs: BTreeMap<String, String>,
}

impl Lock {
    /// What a run read, as a lock.
    pub fn of(record: &Record) -> Self {
        Self {
            lock: 1,
            version: record.version.clone(),
            script: record.script_hash.clone(),
            imports: record.imports.clone(),
            inputs: record.inputs.clone(),
        }
    }

    /// Where the lock of a script lies: beside it.
    pub fn path(script: &Path) -> PathBuf {
        let mut path = script.as_os_str().to_os_string();
        path.push(".lock");
        PathBuf::from(path)
    }

    /// The lock of a script.
    pub fn read(script: &Path) -> Result<Self> {
        let path = Self::path(script);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::at_path(&path, error).hint("tureen lock makes it from a run of the study")
        })?;
        crate::input::check(text.as_bytes()).map_err(|e| e.within(path.display()))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::at_path(&path, format!("is no lock: {error}")))
    }

    /// Writes it beside the script.
    pub fn save(&self, script: &Path) -> Result<PathBuf> {
        let path = Self::path(script);
        write_atomic(&path, self.text()?.as_bytes())?;
        Ok(path)
    }

    /// The text of its file.
    pub fn text(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::new(e.to_string()))?;
        Ok(text + "\n")
    }

    /// An error unless it pins what another does: script, modules and inputs; the first that it
    /// has otherwise, or not, is named.
    pub fn agrees(&self, other: &Self) -> Result<()> {
        self.check_script(&other.script)?;
        for (path, hash) in &other.imports {
            self.check_import(path, hash)?;
        }
        for (input, id) in &other.inputs {
            self.check_input(input, id)?;
        }
        Ok(())
    }

    /// An error unless the script's text is the one that was locked.
    pub fn check_script(&self, hash: &str) -> Result<()> {
        same("the script", &self.script, hash)
    }

    /// An error unless a module is the one that was locked.
    pub fn check_import(&self, path: &str, hash: &str) -> Result<()> {
        pinned("module", path, self.imports.get(path), hash)
    }

    /// An error unless what is read is what was locked; `input` is its kind and name.
    pub fn check_input(&self, input: &str, id: &str) -> Result<()> {
        let (kind, name) = input.split_once(' ').unwrap_or(("input", input));
        pinned(kind, name, self.inputs.get(input), id)
    }
}

fn pinned(kind: &str, name: &str, locked: Option<&String>, found: &str) -> Result<()> {
    match locked {
        Some(locked) => same(&format!("the {kind} {name}"), locked, found),
        None => {
            bail!("the {kind} {name} is not in the lock"; hint: "run without --locked, then lock that run: tureen lock")
        }
    }
}

fn same(what: &str, locked: &str, found: &str) -> Result<()> {
    if locked == found {
        return Ok(());
    }
    let short = |hash: &str| hash.chars().take(8).collect::<String>();
    bail!(
        "{what} has changed since the study was locked: {} then, {} now", short(locked), short(found);
        hint: "bring it back, or run without --locked and lock that run"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_tells_what_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("s.rhai");
        let mut record = Record::begin(&script, "1", BTreeMap::new());
        record
            .inputs
            .insert("file x.csv".into(), "aaaabbbbcccc".into());
        Lock::of(&record).save(&script).unwrap();
        let lock = Lock::read(&script).unwrap();
        assert_eq!(lock, Lock::of(&record));
        assert!(lock.check_script(&record.script_hash).is_ok());
        assert!(lock.check_input("file x.csv", "aaaabbbbcccc").is_ok());
        let told = |result: Result<()>| result.unwrap_err().message().to_string();
        assert_eq!(
            told(lock.check_input("file x.csv", "ddddeeeeffff")),
            "the file x.csv has changed since the study was locked: aaaabbbb then, ddddeeee now"
        );
        assert_eq!(
            told(lock.check_input("file y.csv", "d")),
            "the file y.csv is not in the lock"
        );
        assert!(told(lock.check_script("other")).starts_with("the script has changed"));
        assert!(Lock::read(&folder.path().join("t.rhai")).is_err());
    }
}
