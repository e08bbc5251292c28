//! What a run makes, written down as it is made: `metrics.jsonl` for the numbers on the way,
//! `recipes.jsonl` for how every value came about.
//!
//! Both list what was asked for in the order of its first asking, and neither says whether it was
//! computed or taken from the store: the same study writes the same bytes, whatever the number of
//! threads and whatever was kept of earlier runs.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::files::fresh;
use super::{Id, disk};
use crate::{Error, Result};

/// What a run's folder calls the numbers on the way.
pub const METRICS: &str = "metrics.jsonl";

/// What it calls the list of recipes.
pub const RECIPES: &str = "recipes.jsonl";

/// A value that a run made, loaded or kept: a line of `recipes.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The operation with its version, as in ids: `train/1`; or what it is, where it was not made
    /// by one: `dataset`, `model`, `loaded`, `record`, `table`.
    pub made: String,
    /// What it was made of: an id, or a list of them, by what they are to it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub from: Map<String, Value>,
    /// The settings that count in its id.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub with: Map<String, Value>,
}

impl Made {
    /// A value that is not made of others.
    pub fn plain(made: &str, name: &str, id: &str) -> Self {
        Self {
            id: id.to_string(),
            name: name.to_string(),
            made: made.to_string(),
            from: Map::new(),
            with: Map::new(),
        }
    }

    /// The same made of these.
    #[must_use]
    pub fn from<const N: usize>(mut self, from: [(&str, &str); N]) -> Self {
        for (part, id) in from {
            self.from.insert(part.to_string(), id.into());
        }
        self
    }

    /// The same with these settings, a JSON object.
    #[must_use]
    pub fn with(mut self, settings: Value) -> Self {
        if let Value::Object(map) = settings {
            self.with.extend(map);
        }
        self
    }
}

/// Writes down what a run makes; nothing until it is opened.
#[derive(Debug, Default)]
pub struct Journal(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    metrics: Option<File>,
    recipes: Option<File>,
    /// What was written down.
    told: HashSet<(String, String)>,
    found: BTreeSet<Id>,
    failed: Option<Error>,
}

impl Journal {
    /// Writes to the run's folder from now on.
    pub fn open(&self, folder: &Path) -> Result<()> {
        let created = |name: &str| fresh(&folder.join(name));
        let mut state = self.state();
        state.metrics = Some(created(METRICS)?);
        state.recipes = Some(created(RECIPES)?);
        Ok(())
    }

    /// Whether the value of this id and name was written down.
    pub fn knows(&self, id: &str, name: &str) -> bool {
        let state = self.state();
        state.recipes.is_none() || state.told.contains(&(id.to_string(), name.to_string()))
    }

    /// Writes down a value, once, and the lines of its metrics.
    pub fn made(&self, made: &Made, metrics: impl IntoIterator<Item = Value>) {
        let mut state = self.state();
        let State {
            metrics: Some(out),
            recipes: Some(recipes),
            told,
            failed,
            ..
        } = &mut *state
        else {
            return;
        };
        if !told.insert((made.id.clone(), made.name.clone())) {
            return;
        }
        let write = |file: &mut File, line: String| {
            let line = line + "\n";
            disk::take(line.len() as u64).map_err(std::io::Error::other)?;
            file.write_all(line.as_bytes())
        };
        let line = serde_json::to_string(made).map_err(std::io::Error::other);
        let mut written = line.and_then(|line| write(recipes, line));
        for line in metrics {
            written = written.and_then(|()| write(out, line.to_string()));
        }
        if let Err(error) = written
            && failed.is_none()
        {
            *failed = Some(Error::new(format!("{METRICS} and {RECIPES}: {error}")));
        }
    }

    /// Notes that a result was taken from the store.
    pub fn took(&self, id: &Id) {
        self.state().found.insert(id.clone());
    }

    /// The results that were taken from the store.
    pub fn found(&self) -> BTreeSet<Id> {
        self.state().found.clone()
    }

    /// The first error in writing, if there was one.
    pub fn sound(&self) -> Result<()> {
        match self.state().failed.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_written_down_once_and_nothing_before_the_folder_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::default();
        let made = Made::plain("train/1", "films", "ab")
            .from([("base", "cd")])
            .with(json!({"lr": 0.1}));
        journal.made(&made, [json!({"epoch": 1})]);
        journal.open(folder.path()).unwrap();
        assert!(!journal.knows("ab", "films"));
        journal.made(&made, [json!({"epoch": 1}), json!({"epoch": 2})]);
        journal.made(&made, [json!({"epoch": 3})]);
        journal.made(&Made::plain("dataset", "news", "ef"), []);
        journal.sound().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read(METRICS), "{\"epoch\":1}\n{\"epoch\":2}\n");
        assert_eq!(
            read(RECIPES),
            "{\"id\":\"ab\",\"name\":\"films\",\"made\":\"train/1\",\"from\":{\"base\":\"cd\"},\"with\":{\"lr\":0.1}}\n\
             {\"id\":\"ef\",\"name\":\"news\",\"made\":\"dataset\"}\n"
        );
        assert!(journal.knows("ab", "films"));
    }
}
