//! Which files of a folder are which split.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// What a dataset's file may end in.
pub(super) const EXTENSIONS: [&str; 12] = [
    "jsonl", "jsonl.gz", "tsv", "tsv.gz", "csv", "csv.gz", "json", "json.gz", "txt", "txt.gz",
    "parquet", "arrow",
];

/// The names of each split's files: those of most folders, of GLUE's MNLI, of CoLA's release.
const TRAIN: &[&str] = &["train", "in_domain_train"];
const VALIDATION: &[&str] = &[
    "validation",
    "dev",
    "valid",
    "val",
    "validation_matched",
    "dev_matched",
    "in_domain_dev",
];
const TEST: &[&str] = &["test", "test_matched"];
/// Those that are every split.
const ALL: &[&str] = &["all"];
/// Those that are texts only.
const UNLABELED: &[&str] = &["unlabeled", "unlabelled"];

/// The files of each split, in the order they are read; none where the folder has no such split.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub train: Vec<PathBuf>,
    pub validation: Vec<PathBuf>,
    pub test: Vec<PathBuf>,
    pub all: Vec<PathBuf>,
    pub unlabeled: Vec<PathBuf>,
}

impl Layout {
    /// Looks for `train.jsonl` and the like, in the folder or its `data`, for shards such as
    /// `train-00000-of-00002.parquet`, and for folders of shards such as `train/0000.parquet`.
    pub fn of(folder: &Path) -> Result<Self> {
        Self::of_tree(&Tree::read(folder)?)
    }

    /// The same among these files of a folder, by path within it.
    pub fn of_names<'n>(folder: &Path, names: impl IntoIterator<Item = &'n str>) -> Result<Self> {
        let mut files: Vec<String> = names.into_iter().map(String::from).collect();
        files.sort();
        Self::of_tree(&Tree {
            root: folder.to_path_buf(),
            files,
        })
    }

    fn of_tree(tree: &Tree) -> Result<Self> {
        let find = |names| tree.find(names);
        Ok(Self {
            train: find(TRAIN)?,
            validation: find(VALIDATION)?,
            test: find(TEST)?,
            all: find(ALL)?,
            unlabeled: find(UNLABELED)?,
        })
    }

    /// Files of splits whose names are told; those of other names are left out.
    pub fn of_splits(splits: Vec<(String, Vec<PathBuf>)>) -> Result<Self> {
        let mut layout = Self::default();
        for (name, files) in splits {
            let place = match name.as_str() {
                name if TRAIN.contains(&name) => &mut layout.train,
                name if VALIDATION.contains(&name) => &mut layout.validation,
                name if TEST.contains(&name) => &mut layout.test,
                name if ALL.contains(&name) => &mut layout.all,
                name if UNLABELED.contains(&name) => &mut layout.unlabeled,
                _ => continue,
            };
            if let (Some(first), Some(second)) = (place.first(), files.first()) {
                return Err(both(first, second));
            }
            *place = files;
        }
        Ok(layout)
    }

    /// Whether there is no file of any split.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All files, in the order of the splits.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let splits = [
            &self.train,
            &self.validation,
            &self.test,
            &self.all,
            &self.unlabeled,
        ];
        splits.into_iter().flatten()
    }
}

/// Whether a name is one of a split, or of the folder that holds them.
pub(super) fn is_place(name: &str) -> bool {
    let splits = [TRAIN, VALIDATION, TEST, ALL, UNLABELED];
    name == DATA || splits.iter().any(|names| names.contains(&name))
}

/// The folder that may hold a repository's files of data.
const DATA: &str = "data";

/// Whether a file is one of texts only, by its name.
pub(super) fn is_unlabeled(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| UNLABELED.contains(&stem(&name)))
}

/// Whether a file's name ends as a dataset's.
pub(super) fn is_readable(name: &str) -> bool {
    split(name).is_some()
}

/// A file's name without its extension.
pub(super) fn stem(name: &str) -> &str {
    split(name).map_or(name, |(stem, _)| stem)
}

/// A file's name and its extension, if it is one of a dataset.
fn split(name: &str) -> Option<(&str, &str)> {
    EXTENSIONS.iter().find_map(|extension| {
        let stem = name.strip_suffix(extension)?.strip_suffix('.')?;
        Some((stem, *extension))
    })
}

/// A folder with its files, by path within it, sorted.
struct Tree {
    root: PathBuf,
    files: Vec<String>,
}

impl Tree {
    /// The files of a folder, and those of its folders that are named as splits or `data`.
    fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        list(root, "", &mut files)?;
        files.sort();
        Ok(Self {
            root: root.to_path_buf(),
            files,
        })
    }

    /// The names of the files that lie in this folder itself; `prefix` ends in a slash or is empty.
    fn within<'t>(&'t self, prefix: &str) -> impl Iterator<Item = &'t str> {
        let inside = move |file: &'t String| file.strip_prefix(prefix);
        let own = self.files.iter().filter_map(inside);
        own.filter(|name| !name.contains('/'))
    }

    fn path(&self, prefix: &str, name: &str) -> PathBuf {
        self.root.join(format!("{prefix}{name}"))
    }

    /// What there is of this split in a folder: each a file, or shards that make one.
    fn candidates(&self, prefix: &str, split_name: &str) -> Result<Vec<Vec<PathBuf>>> {
        let mut found = Vec::new();
        let mut shards: BTreeMap<(usize, &str), Vec<(usize, &str)>> = BTreeMap::new();
        for file in self.within(prefix) {
            let Some((stem, extension)) = split(file) else {
                continue;
            };
            if stem == split_name {
                found.push(vec![self.path(prefix, file)]);
            } else if let Some((number, of)) = shard(stem, split_name) {
                shards
                    .entry((of, extension))
                    .or_default()
                    .push((number, file));
            }
        }
        for ((of, _), mut shards) in shards {
            shards.sort_unstable();
            let wrong = shards
                .iter()
                .enumerate()
                .find(|(i, (number, _))| i != number);
            if wrong.is_some() || shards.len() != of {
                let missing = wrong.map_or(shards.len(), |(i, _)| i);
                let place = match prefix {
                    "" => self.root.clone(),
                    inner => self.root.join(inner.trim_end_matches('/')),
                };
                return Err(Error::at_path(
                    &place,
                    format!(
                        "{split_name} has {} of {of} shards; number {missing:05} is missing or there twice",
                        shards.len()
                    ),
                ));
            }
            let files = shards.iter().map(|(_, file)| self.path(prefix, file));
            found.push(files.collect());
        }
        let inner = format!("{prefix}{split_name}/");
        let files = self.within(&inner).filter(|file| {
            // Lists of addresses and the like stand beside data as .txt.
            split(file).is_some_and(|(_, extension)| !extension.starts_with("txt"))
        });
        let files: Vec<PathBuf> = files.map(|file| self.path(&inner, file)).collect();
        if !files.is_empty() {
            found.push(files);
        }
        Ok(found)
    }

    /// The files of the split with one of these names.
    fn find(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for prefix in ["", "data/"] {
            for name in names {
                found.extend(self.candidates(prefix, name)?);
            }
        }
        // A text beside a split in another format describes it: only entity pairs come as .txt.
        let is_text = |files: &Vec<PathBuf>| {
            let name = files[0].to_string_lossy();
            split(&name).is_some_and(|(_, extension)| extension.starts_with("txt"))
        };
        if !found.iter().all(is_text) {
            found.retain(|files| !is_text(files));
        }
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(first), Some(second)) => Err(both(&first[0], &second[0])),
            (first, _) => Ok(first.unwrap_or_default()),
        }
    }
}

fn both(first: &Path, second: &Path) -> Error {
    Error::new(format!(
        "both {} and {} are there, expected one of them",
        first.display(),
        second.display()
    ))
    .hint("name the file to read, or remove one")
}

fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|e| Error::at_path(folder, e))? {
        let entry = entry.map_err(|e| Error::at_path(folder, e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        // Follows links: hub caches are full of them.
        match path.is_dir() {
            true if is_place(&name) && prefix.matches('/').count() < 2 => {
                list(&path, &format!("{prefix}{name}/"), files)?;
            }
            true => {}
            false => files.push(format!("{prefix}{name}")),
        }
    }
    Ok(())
}

/// Number and count of a shard: `train-00000-of-00002`, and a hash in the older ones.
fn shard(stem: &str, split_name: &str) -> Option<(usize, usize)> {
    let rest = stem.strip_prefix(split_name)?.strip_prefix('-')?;
    let (number, rest) = rest.split_once("-of-")?;
    let of = rest.split('-').next()?;
    Some((number.parse().ok()?, of.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn layout(files: &[&str]) -> [Vec<String>; 4] {
        let folder = folder(files);
        let found = Layout::of(folder.path()).unwrap();
        [found.train, found.validation, found.test, found.unlabeled].map(|files| {
            let names = files.iter().map(|f| f.strip_prefix(folder.path()).unwrap());
            names.map(|f| f.display().to_string()).collect()
        })
    }

    #[test]
    fn splits_have_several_names() {
        let files = ["train.txt", "valid.txt", "test.txt", "unlabeled.jsonl.gz"];
        assert_eq!(layout(&files), files.map(|file| vec![file.to_string()]));
        let [train, validation, test, _] = layout(&[
            "train.tsv",
            "dev_matched.tsv",
            "dev_mismatched.tsv",
            "test_matched.tsv",
            "diagnostic.tsv",
        ]);
        assert_eq!(train, ["train.tsv"]);
        assert_eq!(validation, ["dev_matched.tsv"]);
        assert_eq!(test, ["test_matched.tsv"]);
    }

    #[test]
    fn shards_are_read_in_order() {
        let [train, validation, test, _] = layout(&[
            "README.md",
            "data/train-00001-of-00002.parquet",
            "data/train-00000-of-00002.parquet",
            "data/validation-00000-of-00001-2a1d.parquet",
            "test/0000.parquet",
            "test/0001.parquet",
            "test/urls.txt",
        ]);
        assert_eq!(
            train,
            [
                "data/train-00000-of-00002.parquet",
                "data/train-00001-of-00002.parquet"
            ]
        );
        assert_eq!(validation, ["data/validation-00000-of-00001-2a1d.parquet"]);
        assert_eq!(test, ["test/0000.parquet", "test/0001.parquet"]);
    }

    #[test]
    fn texts_count_where_there_is_nothing_else() {
        let [train, ..] = layout(&["train.txt", "train.csv"]);
        assert_eq!(train, ["train.csv"]);
    }

    #[test]
    fn missing_shards_and_doubles_are_named() {
        let message = |files: &[&str]| {
            let folder = folder(files);
            let error = Layout::of(folder.path()).unwrap_err().to_string();
            error.replace(&folder.path().display().to_string(), "x")
        };
        assert_eq!(
            message(&[
                "train-00000-of-00003.parquet",
                "train-00002-of-00003.parquet"
            ]),
            "x: train has 2 of 3 shards; number 00001 is missing or there twice"
        );
        assert!(message(&["train.csv", "data/train.csv"]).contains("expected one of them"));
        assert!(message(&["dev.csv", "valid.csv"]).contains("expected one of them"));
    }
}
