//! Which files of a repository of the hub are a dataset, and which configuration of it.
//!
//! A repository says so in the `configs` of its README, as the datasets library reads it. Without
//! that, files of splits lie at its root or in `data`, and each other folder with such files is a
//! configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use serde::Deserialize;

use super::layout::{self, Layout, is_place};
use super::load::Tell;
use super::{Dataset, LoadOptions};
use crate::{Error, Result, bail, nearest};

/// The file that describes a repository.
pub const README: &str = "README.md";

/// The files that a dataset is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// By split where the repository names them; else the names tell.
    splits: Option<Vec<(String, Vec<String>)>>,
    /// All of them, by path within the repository.
    pub files: Vec<String>,
    /// The folder that all of them lie in, empty for the repository's own.
    pub folder: String,
}

impl Chosen {
    /// Chooses among the files of `repository`, which has this README.
    ///
    /// # Errors
    /// A configuration that is not there; several, where none is named; no files to read.
    pub fn of(
        repository: &str,
        names: &[String],
        readme: Option<&str>,
        config: Option<&str>,
    ) -> Result<Self> {
        match readme.map(described).transpose()?.flatten() {
            Some(configs) if !configs.is_empty() => {
                Self::described(repository, names, &configs, config)
            }
            _ => Self::by_folder(repository, names, config),
        }
    }

    fn described(
        repository: &str,
        names: &[String],
        configs: &[Config],
        config: Option<&str>,
    ) -> Result<Self> {
        let known: Vec<&str> = configs.iter().map(|c| c.name.as_str()).collect();
        let usual = || configs.iter().find(|c| c.default || c.name == "default");
        let own = match (config, configs) {
            (Some(config), _) => configs
                .iter()
                .find(|c| c.name == config)
                .ok_or_else(|| unknown(repository, config, &known))?,
            (None, [only]) => only,
            (None, _) => usual().ok_or_else(|| several(repository, &known))?,
        };
        let within = own.data_dir.as_deref().map(|dir| dir.trim_matches('/'));
        let prefix = within.map_or(String::new(), |dir| format!("{dir}/"));
        let Some(patterns) = &own.data_files else {
            let inside = names.iter().filter_map(|name| name.strip_prefix(&prefix));
            return Self::of_names(inside, &prefix)?
                .ok_or_else(|| nothing(repository, Some(&own.name)));
        };
        let mut splits = Vec::new();
        for (split, patterns) in patterns.by_split() {
            let mut files = Vec::new();
            for pattern in patterns {
                let found = matching(names, &format!("{prefix}{pattern}"))?;
                files.extend(
                    found
                        .into_iter()
                        .filter(|file| !files.contains(file))
                        .collect::<Vec<_>>(),
                );
            }
            if !files.is_empty() {
                splits.push((split, files));
            }
        }
        let files: Vec<String> = splits.iter().flat_map(|(_, files)| files.clone()).collect();
        match files.is_empty() {
            true => Err(nothing(repository, Some(&own.name))),
            false => Ok(Self {
                folder: common(&files),
                splits: Some(splits),
                files,
            }),
        }
    }

    fn by_folder(repository: &str, names: &[String], config: Option<&str>) -> Result<Self> {
        // A configuration's folder, by the last part of its path.
        let mut folders: BTreeMap<&str, String> = BTreeMap::new();
        for name in names {
            let own = name.strip_prefix("data/").unwrap_or(name);
            let Some((folder, _)) = own.split_once('/') else {
                continue;
            };
            if !is_place(folder) && !folder.starts_with('.') {
                let prefix = name[..name.len() - own.len()].to_string();
                folders
                    .entry(folder)
                    .or_insert(format!("{prefix}{folder}/"));
            }
        }
        let within = |prefix: &str| -> Result<Option<Self>> {
            let inside = names.iter().filter_map(|name| name.strip_prefix(prefix));
            Self::of_names(inside, prefix)
        };
        if config.is_none()
            && let Some(whole) = within("")?
        {
            return Ok(whole);
        }
        let mut found = Vec::new();
        for (name, prefix) in folders {
            if let Some(chosen) = within(&prefix)? {
                found.push((name, chosen));
            }
        }
        let known: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        match config {
            Some(config) => match found.iter().find(|(name, _)| *name == config) {
                Some((_, chosen)) => Ok(chosen.clone()),
                None if known.is_empty() => Err(nothing(repository, Some(config))),
                None => Err(unknown(repository, config, &known)),
            },
            None if found.len() > 1 => Err(several(repository, &known)),
            None => {
                let only = found.pop().map(|(_, chosen)| chosen);
                only.ok_or_else(|| nothing(repository, None))
            }
        }
    }

    /// The files of splits by their names: of parquet files where there are any, else of tables of
    /// texts.
    fn of_names<'n>(names: impl Iterator<Item = &'n str>, prefix: &str) -> Result<Option<Self>> {
        const TEXTS: &[&str] = &[".jsonl", ".csv", ".tsv", ".jsonl.gz", ".csv.gz", ".tsv.gz"];
        let all: Vec<&str> = names.collect();
        for endings in [&[".parquet"][..], TEXTS, &[".json", ".json.gz"]] {
            let fits = |name: &&&str| endings.iter().any(|ending| name.ends_with(ending));
            let own = all.iter().filter(fits).copied();
            let layout = Layout::of_names(Path::new(""), own)?;
            if !layout.is_empty() {
                let files = layout.files().map(|file| {
                    let parts = file.iter().map(|part| part.to_string_lossy());
                    format!("{prefix}{}", parts.collect::<Vec<_>>().join("/"))
                });
                return Ok(Some(Self {
                    splits: None,
                    files: files.collect(),
                    folder: prefix.trim_end_matches('/').to_string(),
                }));
            }
        }
        Ok(None)
    }

    /// The files at their places in the repository's folder, in order of their names within
    /// [`Self::folder`].
    pub fn named(&self, folder: &Path) -> Vec<(String, PathBuf)> {
        let within = |file: &String| {
            let own = file.strip_prefix(&self.folder).unwrap_or(file);
            own.trim_start_matches('/').to_string()
        };
        let mut named: Vec<(String, PathBuf)> = self
            .files
            .iter()
            .map(|file| (within(file), folder.join(file)))
            .collect();
        named.sort_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));
        named.dedup();
        named
    }

    /// Reads the dataset from the repository's folder, where the files lie.
    pub fn load(
        &self,
        name: &str,
        folder: &Path,
        options: &LoadOptions,
        tell: Tell<'_>,
    ) -> Result<Dataset> {
        let layout = match &self.splits {
            Some(splits) => {
                let paths = |files: &Vec<String>| files.iter().map(|f| folder.join(f)).collect();
                let split = |(split, files): &(String, Vec<String>)| (split.clone(), paths(files));
                Layout::of_splits(splits.iter().map(split).collect())?
            }
            None => {
                let prefix = match self.folder.as_str() {
                    "" => String::new(),
                    own => format!("{own}/"),
                };
                let names = self.files.iter().filter_map(|f| f.strip_prefix(&prefix));
                Layout::of_names(&folder.join(&self.folder), names)?
            }
        };
        let name = options.name.as_deref().unwrap_or(name);
        Dataset::of_layout(name.into(), folder, &layout, options, tell)
    }
}

/// The folder that all of these lie in.
fn common(files: &[String]) -> String {
    let folder = |file: &String| {
        file.rsplit_once('/')
            .map_or("", |(folder, _)| folder)
            .to_string()
    };
    let mut folders = files.iter().map(folder);
    let first = folders.next().unwrap_or_default();
    match folders.all(|other| other == first) {
        true => first,
        false => String::new(),
    }
}

/// The files that a pattern means, in order, of those that can be read.
fn matching(names: &[String], pattern: &str) -> Result<Vec<String>> {
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let pattern = pattern.trim_start_matches("./");
    let read = Pattern::new(pattern)
        .map_err(|e| Error::new(format!("{README}: configs: the pattern {pattern:?}: {e}")))?;
    let fits = |name: &&String| read.matches_with(name, options) && layout::is_readable(name);
    let mut found: Vec<String> = names.iter().filter(fits).cloned().collect();
    found.sort();
    Ok(found)
}

fn several(repository: &str, known: &[&str]) -> Error {
    let first = known.first().copied().unwrap_or_default();
    Error::new(format!(
        "{repository} has several configurations: {}",
        shortened(known)
    ))
    .hint(format!("choose one: dataset(\"hub:{repository}/{first}\")"))
}

fn unknown(repository: &str, config: &str, known: &[&str]) -> Error {
    let error = Error::new(format!("{repository} has no configuration {config}"));
    match nearest(config, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean \"hub:{repository}/{near}\"?")),
        None => error.hint(format!("it has {}", shortened(known))),
    }
}

fn shortened(names: &[&str]) -> String {
    const SHOWN: usize = 20;
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", names[..SHOWN].join(", ")),
        _ => names.join(", "),
    }
}

fn nothing(repository: &str, config: Option<&str>) -> Error {
    let of = config.map_or(String::new(), |config| {
        format!(" of its configuration {config}")
    });
    Error::new(format!(
        "{repository} has no file of a split{of} that can be read"
    ))
    .hint("expected names such as train.csv or data/train-00000-of-00001.parquet: .parquet, .jsonl, .json, .csv or .tsv")
}

/// A configuration as the README describes it.
#[derive(Debug, Deserialize)]
struct Config {
    #[serde(rename = "config_name", default = "default_name")]
    name: String,
    #[serde(default)]
    default: bool,
    data_dir: Option<String>,
    data_files: Option<DataFiles>,
}

fn default_name() -> String {
    "default".into()
}

/// Patterns of files: of train alone, or of several splits.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum DataFiles {
    All(Patterns),
    Splits(Vec<SplitFiles>),
    Map(BTreeMap<String, Patterns>),
}

#[derive(Debug, Deserialize)]
struct SplitFiles {
    split: String,
    path: Patterns,
}

/// One pattern or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Patterns {
    One(String),
    Many(Vec<String>),
}

impl Patterns {
    fn all(&self) -> &[String] {
        match self {
            Self::One(pattern) => std::slice::from_ref(pattern),
            Self::Many(patterns) => patterns,
        }
    }
}

impl DataFiles {
    fn by_split(&self) -> Vec<(String, &[String])> {
        match self {
            Self::All(patterns) => vec![("train".into(), patterns.all())],
            Self::Splits(splits) => {
                let split = |one: &'_ SplitFiles| one.split.clone();
                splits
                    .iter()
                    .map(|one| (split(one), one.path.all()))
                    .collect()
            }
            Self::Map(splits) => {
                let split =
                    |(name, patterns): (&String, _)| (name.clone(), Patterns::all(patterns));
                splits.iter().map(split).collect()
            }
        }
    }
}

/// The configurations that a README's header names; none where it names none.
fn described(readme: &str) -> Result<Option<Vec<Config>>> {
    #[derive(Deserialize)]
    struct Header {
        configs: Option<Vec<Config>>,
    }
    let readme = readme.replace("\r\n", "\n");
    let Some(rest) = readme.strip_prefix("---\n") else {
        return Ok(None);
    };
    let Some((header, _)) = rest.split_once("\n---") else {
        return Ok(None);
    };
    if !header.lines().any(|line| line.starts_with("configs:")) {
        return Ok(None);
    }
    match serde_saphyr::from_str::<Header>(header) {
        Ok(header) => Ok(header.configs),
        Err(error) => {
            let message = error.to_string();
            let line = message.lines().next().unwrap_or_default();
            bail!("{README}: {}", line.trim_start_matches("error: "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str], readme: Option<&str>, config: Option<&str>) -> Result<Vec<String>> {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        Chosen::of("o/n", &names, readme, config).map(|chosen| chosen.files)
    }

    const FOLDERS: &[&str] = &[
        ".gitattributes",
        "cola/test-00000-of-00001.parquet",
        "cola/train-00000-of-00001.parquet",
        "sst2/train-00000-of-00001.parquet",
    ];

    #[test]
    fn folders_are_configurations() {
        let cola = chosen(FOLDERS, None, Some("cola")).unwrap();
        assert_eq!(
            cola,
            [
                "cola/train-00000-of-00001.parquet",
                "cola/test-00000-of-00001.parquet"
            ]
        );
        let message = |config| chosen(FOLDERS, None, config).unwrap_err().to_string();
        assert_eq!(
            message(None),
            "o/n has several configurations: cola, sst2; choose one: dataset(\"hub:o/n/cola\")"
        );
        assert_eq!(
            message(Some("colla")),
            "o/n has no configuration colla; did you mean \"hub:o/n/cola\"?"
        );
        let only = ["plain_text/train-00000-of-00001.parquet", "README.md"];
        assert_eq!(chosen(&only, None, None).unwrap(), only[..1]);
        let within = ["data/en/train.csv", "data/de/train.csv"];
        assert_eq!(chosen(&within, None, Some("de")).unwrap(), within[1..]);
    }

    #[test]
    fn files_at_the_root_come_before_folders() {
        let names = ["train.csv", "test.csv", "raw/train.csv", "data/train.txt"];
        assert_eq!(
            chosen(&names, None, None).unwrap(),
            ["train.csv", "test.csv"]
        );
        let both = ["train.csv", "data/train-00000-of-00001.parquet"];
        assert_eq!(chosen(&both, None, None).unwrap(), both[1..]);
        let shards = ["train/0000.parquet", "train/0001.parquet"];
        assert_eq!(chosen(&shards, None, None).unwrap(), shards);
        let message = chosen(&["x.zip"], None, None).unwrap_err().to_string();
        assert!(
            message.starts_with("o/n has no file of a split that can be read"),
            "{message}"
        );
    }

    #[test]
    fn a_readme_says_which_files_are_what() {
        let readme = "---\nlicense: mit\nconfigs:\n\
            - config_name: cola\n  data_files:\n  - split: train\n    path: cola/train-*\n  - split: test\n    path:\n    - cola/test-*\n\
            - config_name: all\n  default: true\n  data_files: '**/train-*.parquet'\n\
            - config_name: plain\n  data_dir: sst2\n---\n# Title\n";
        let of = |config| chosen(FOLDERS, Some(readme), config);
        assert_eq!(
            of(Some("cola")).unwrap(),
            [
                "cola/train-00000-of-00001.parquet",
                "cola/test-00000-of-00001.parquet"
            ]
        );
        assert_eq!(
            of(None).unwrap(),
            [
                "cola/train-00000-of-00001.parquet",
                "sst2/train-00000-of-00001.parquet"
            ]
        );
        assert_eq!(
            of(Some("plain")).unwrap(),
            ["sst2/train-00000-of-00001.parquet"]
        );
        let error = of(Some("mrpc")).unwrap_err().to_string();
        assert_eq!(
            error,
            "o/n has no configuration mrpc; it has cola, all, plain"
        );
        let without = chosen(FOLDERS, Some("---\nlicense: mit\n---\n"), Some("sst2"));
        assert_eq!(without.unwrap(), ["sst2/train-00000-of-00001.parquet"]);
        let map = "---\nconfigs:\n- config_name: x\n  data_files:\n    train: sst2/*\n---\n";
        let x = chosen(FOLDERS, Some(map), None).unwrap();
        assert_eq!(x, ["sst2/train-00000-of-00001.parquet"]);
    }
}
