//! Cleaning the store, without taking anything from a run that is kept.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::files::{leftovers, listed, remove_leftover, write_atomic};
use super::store::{Content, Entry, Store};
use super::{Id, Run, Status};
use crate::{Error, Result};

/// Where the store notes the folders of the runs that used it.
const RUNS: &str = "runs";

/// A file that is written aside and was not touched for so long is not written any more.
const DEAD: Duration = Duration::from_secs(3600);

/// What a record may be late with the time that its run began: it is rounded to seconds.
const ROUNDED: Duration = Duration::from_secs(1);

/// What cleaning did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Entries that stay: how many, how many bytes.
    pub kept: (usize, u64),
    /// Entries that went.
    pub removed: (usize, u64),
    /// Files that went: of writes that never ended, since what wrote them was killed.
    pub leftovers: (usize, u64),
    /// Runs whose entries stay.
    pub runs: usize,
}

impl Store {
    /// Notes that the run in `folder` uses the store: what it used stays as long as its folder.
    pub fn note_run(&self, folder: &Path) -> Result<()> {
        let whole = std::path::absolute(folder).map_err(|error| Error::at_path(folder, error))?;
        let text = whole.display().to_string();
        let name = Id::of_content("run folder", text.as_bytes());
        write_atomic(&self.root().join(RUNS).join(name.as_str()), text.as_bytes())
    }

    /// Removes entries that no kept run needs, the longest untouched first, until the store is no
    /// larger than `limit` bytes; all of them without a limit. Only tells what it would do if
    /// `dry`.
    ///
    /// A run is kept while its folder is there. Of a run that has not ended everything since it
    /// began is kept. How far a result had come that is there by now goes in any case, and so does
    /// what writes that were killed left an hour ago or earlier.
    pub fn gc(&self, limit: Option<u64>, dry: bool) -> Result<Cleaned> {
        let (folders, needed, since) = self.needs()?;
        let entries = self.entries()?;
        let mut size: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let finished = |entry: &Entry| {
            let result = |other: &Entry| other.content == Content::Result && other.id == entry.id;
            entry.content == Content::State && entries.iter().any(result)
        };
        let free = |entry: &Entry| {
            !needed.contains(&entry.id) && since.is_none_or(|since| entry.touched < since)
        };
        let mut going: Vec<(bool, &Entry)> = entries
            .iter()
            .map(|entry| (finished(entry), entry))
            .filter(|(finished, entry)| *finished || free(entry))
            .collect();
        going.sort_by_key(|(finished, entry)| (!finished, entry.touched));
        let mut cleaned = Cleaned {
            runs: folders,
            ..Cleaned::default()
        };
        for (finished, entry) in going {
            if !finished && limit.is_some_and(|limit| size <= limit) {
                break;
            }
            if !dry {
                self.remove(&entry.id, entry.content)?;
            }
            size -= entry.bytes;
            cleaned.removed.0 += 1;
            cleaned.removed.1 += entry.bytes;
        }
        for (path, meta) in leftovers(self.root())? {
            let age = meta.modified().ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age >= DEAD) && (dry || remove_leftover(&path).is_ok()) {
                cleaned.leftovers.0 += 1;
                cleaned.leftovers.1 += meta.len();
            }
        }
        cleaned.kept = (entries.len() - cleaned.removed.0, size);
        Ok(cleaned)
    }

    /// How many runs are kept, what they used, and since when a run that has not ended may use
    /// more. Notes of runs whose folders are gone are dropped.
    fn needs(&self) -> Result<(usize, BTreeSet<Id>, Option<SystemTime>)> {
        let (mut kept, mut needed, mut since) = (0, BTreeSet::new(), None);
        for (name, note) in listed(&self.root().join(RUNS))? {
            // Another run may just be writing its note aside.
            if Id::read(&name).is_none() {
                continue;
            }
            let Ok(folder) = std::fs::read_to_string(&note).map(PathBuf::from) else {
                continue;
            };
            if !Run::is_at(&folder) {
                let _ = std::fs::remove_file(note);
                continue;
            }
            let run = Run::open(&folder)?;
            kept += 1;
            needed.extend(run.record.store);
            if run.record.status == Status::Running {
                let began = run.record.started.parse::<jiff::Timestamp>();
                let began =
                    began.map_or(SystemTime::UNIX_EPOCH, |at| SystemTime::from(at) - ROUNDED);
                since = Some(since.map_or(began, |since: SystemTime| since.min(began)));
            }
        }
        Ok((kept, needed, since))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::study::Record;

    #[test]
    fn what_a_kept_run_used_stays_and_the_rest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store"));
        let id = |n: u8| Id::of_recipe("test/1", &json!(n));
        for n in 0..4 {
            store.put(&id(n), &[n; 100]).unwrap();
        }
        let run = folder.path().join("run");
        let mut record = Record::begin(Path::new("a.rhai"), "1", BTreeMap::new());
        record.store = BTreeSet::from([id(1)]);
        record.end(Ok(()));
        record.save(&run).unwrap();
        store.note_run(&run).unwrap();

        let told = store.gc(None, true).unwrap();
        assert_eq!((told.kept.0, told.removed.0, told.runs), (1, 3, 1));
        assert_eq!(store.entries().unwrap().len(), 4);
        let one = store.entries().unwrap()[0].bytes;
        let limited = store.gc(Some(3 * one), false).unwrap();
        assert_eq!((limited.kept.0, limited.removed.0), (3, 1));
        store.gc(None, false).unwrap();
        assert_eq!(store.get(&id(1)).unwrap().unwrap(), [1; 100]);
        assert_eq!(store.entries().unwrap().len(), 1);

        std::fs::remove_dir_all(&run).unwrap();
        assert_eq!(store.gc(None, false).unwrap().kept, (0, 0));
    }

    #[test]
    fn what_came_since_a_run_began_that_goes_on_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store"));
        let run = folder.path().join("run");
        let mut record = Record::begin(Path::new("a.rhai"), "1", BTreeMap::new());
        record.started = "2020-01-01T00:00:00Z".into();
        record.save(&run).unwrap();
        store.note_run(&run).unwrap();
        store
            .put(&Id::of_recipe("test/1", &json!(1)), b"x")
            .unwrap();
        assert_eq!(store.gc(None, false).unwrap().removed.0, 0);
    }

    #[test]
    fn the_state_of_a_finished_result_goes_and_that_of_a_stopped_run_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store"));
        let id = |n: u8| Id::of_recipe("test/1", &json!(n));
        for n in 0..3 {
            store.put_state(&id(n), b"half").unwrap();
        }
        store.put(&id(0), b"whole").unwrap();
        let run = folder.path().join("run");
        let mut record = Record::begin(Path::new("a.rhai"), "1", BTreeMap::new());
        record.store = BTreeSet::from([id(0), id(1)]);
        record.end(Err(&Error::interrupted()));
        record.save(&run).unwrap();
        store.note_run(&run).unwrap();
        assert_eq!(store.gc(Some(1 << 20), false).unwrap().removed.0, 1);
        assert_eq!(store.gc(None, false).unwrap().removed.0, 1);
        let left = store.entries().unwrap();
        let left: Vec<_> = left.iter().map(|e| (e.id.clone(), e.content)).collect();
        let mut expected = [(id(0), Content::Result), (id(1), Content::State)];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn what_a_killed_write_left_goes_once_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        store
            .put(&Id::of_recipe("test/1", &json!(1)), b"x")
            .unwrap();
        let aside = |name: &str| {
            let path = folder.path().join("ab").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, b"half").unwrap();
            path
        };
        let (old, new) = (aside(".writing-aaaaaa"), aside(".writing-bbbbbb"));
        let file = std::fs::File::options().write(true).open(&old).unwrap();
        file.set_modified(SystemTime::now() - 2 * DEAD).unwrap();
        assert_eq!(store.gc(Some(1 << 20), false).unwrap().leftovers, (1, 4));
        assert!(!old.exists() && new.exists());
        assert_eq!(store.entries().unwrap().len(), 1);
    }
}
