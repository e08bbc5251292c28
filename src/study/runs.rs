//! The runs that a folder holds.

use std::path::{Path, PathBuf};

use super::files::listed;
use super::pack::{Pack, is_pack};
use super::{Claim, Recipes, Record, Status};
use crate::{Error, Result, nearest};

/// A run by its folder.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// Its record.
    pub record: Record,
}

impl Run {
    /// The run whose folder this is.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("run.json");
        let text = crate::text::read(&path)?;
        let record = serde_json::from_str(&text)
            .map_err(|error| Error::at_path(&path, format!("is no record of a run: {error}")))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            record,
        })
    }

    /// Whether a folder holds the record of a run.
    pub fn is_at(folder: &Path) -> bool {
        folder.join("run.json").is_file()
    }

    /// The run that `name` means: a folder, or the name of one in `runs`, or the beginning or the
    /// end of one; or the archive of a study, for the run in it.
    pub fn find(name: &str, runs: &Path) -> Result<Self> {
        if is_pack(Path::new(name)) && Path::new(name).is_file() {
            return Pack::open(Path::new(name))?.run();
        }
        for folder in [Path::new(name).to_path_buf(), runs.join(name)] {
            if Self::is_at(&folder) {
                return Self::open(&folder);
            }
        }
        let names: Vec<String> = listed(runs)?.into_iter().map(|(name, _)| name).collect();
        let fits = |known: &&String| known.starts_with(name) || known.ends_with(name);
        let mut fitting = names.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Self::open(&runs.join(one)),
            (Some(_), Some(_)) => Err(Error::new(format!("several runs begin or end with {name}"))
                .hint("give more of the name; tureen runs lists them")),
            _ => {
                let error = Error::new(format!("no run {name} here or in {}", runs.display()));
                Err(match nearest(name, names.iter().map(String::as_str)) {
                    Some(near) => error.hint(format!("did you mean {near}?")),
                    None => error.hint("tureen runs lists them"),
                })
            }
        }
    }

    /// [`Self::find`], with the recipes of the run's values.
    pub fn with_recipes(name: &str, runs: &Path) -> Result<(Self, Recipes)> {
        if is_pack(Path::new(name)) && Path::new(name).is_file() {
            let mut pack = Pack::open(Path::new(name))?;
            return Ok((pack.run()?, pack.recipes()?));
        }
        let run = Self::find(name, runs)?;
        let recipes = Recipes::read(&run.folder)?;
        Ok((run, recipes))
    }

    /// All runs in a folder, the oldest first. What holds no record is passed over.
    pub fn all(runs: &Path) -> Result<Vec<Self>> {
        let mut found: Vec<Self> = listed(runs)?
            .iter()
            .filter_map(|(_, folder)| Self::open(folder).ok())
            .collect();
        found.sort_by(|a, b| a.record.started.cmp(&b.record.started));
        Ok(found)
    }

    /// How it stands: a run that no process is at any more, though its record says so, was
    /// interrupted.
    pub fn status(&self) -> Status {
        match self.record.status {
            Status::Running if !Claim::is_held(&self.folder) => Status::Interrupted,
            status => status,
        }
    }

    /// The last part of its folder.
    pub fn name(&self) -> String {
        let name = self.folder.file_name();
        name.map_or_else(
            || self.folder.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_run_is_found_by_its_folder_and_by_the_beginning_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record::begin(Path::new("a.rhai"), "1", BTreeMap::new());
        for name in ["first-1", "second-1", "second-2"] {
            record.save(&folder.path().join(name)).unwrap();
        }
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        assert_eq!(Run::all(folder.path()).unwrap().len(), 3);
        let find = |name: &str| Run::find(name, folder.path()).map(|run| run.name());
        assert_eq!(find("fi").unwrap(), "first-1");
        assert_eq!(find("-2").unwrap(), "second-2");
        assert_eq!(find("second-2").unwrap(), "second-2");
        let whole = folder.path().join("second-1").display().to_string();
        assert_eq!(find(&whole).unwrap(), "second-1");
        // What is said to run is held by what runs.
        let run = Run::find("fi", folder.path()).unwrap();
        assert_eq!(run.record.status, Status::Running);
        if cfg!(unix) {
            assert_eq!(run.status(), Status::Interrupted);
        }
        let _claim = Claim::of(&run.folder).unwrap();
        assert_eq!(run.status(), Status::Running);
        assert!(find("second").unwrap_err().to_string().contains("several"));
        let error = find("frist-1").unwrap_err().to_string();
        assert!(error.ends_with("did you mean first-1?"), "{error}");
    }
}
