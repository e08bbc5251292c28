//! Datasets from files, folders and maps.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::columns::{self, Columns, RawRows};
use super::dataset::{Dataset, Parts};
use super::row::{Row, Split};
use super::table::Table;
use super::{cut, labels};
use crate::{Error, Result};

/// How to read a dataset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadOptions {
    /// The name it goes by; the file's or folder's without extension if not given.
    pub name: Option<String>,
    /// Its columns, guessed where not given.
    pub columns: Columns,
    /// Cuts a dataset of one file into train, validation and test by these shares, stratified by
    /// label. Not given, all its rows are in every role.
    pub split: Option<[f64; 3]>,
    /// The seed of that cut.
    pub seed: u64,
}

const EXTENSIONS: [&str; 8] = [
    "jsonl", "jsonl.gz", "tsv", "tsv.gz", "csv", "csv.gz", "json", "json.gz",
];

/// The file names of each split, and of the file that is every split.
const TRAIN: &[&str] = &["train"];
const VALIDATION: &[&str] = &["validation", "dev"];
const TEST: &[&str] = &["test"];
const ALL: &[&str] = &["all"];

impl Dataset {
    /// Reads a file (.jsonl, .json, .csv, .tsv, each also .gz) or a folder of files named train,
    /// validation or dev, test, or `all` for every role.
    ///
    /// Labels are the names in train, sorted as strings; numbers with a fraction mean regression.
    /// A split other than train without labels, or with nothing but -1, has hidden ones. A folder
    /// with a single file is read as that file. Errors name the file, the line and the column.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self> {
        let name = match &options.name {
            Some(name) => name.clone(),
            None => name_of(path),
        };
        if !path.is_dir() {
            let rows = columns::choose(Table::read(path)?, &options.columns, true)?;
            return one(name, &rows, options);
        }
        let find = |names| find(path, names);
        let (train, validation, test) = (find(TRAIN)?, find(VALIDATION)?, find(TEST)?);
        let read = |file: &Path, needs_labels| {
            columns::choose(Table::read(file)?, &options.columns, needs_labels)
        };
        match (find(ALL)?, train, validation, test) {
            (None, None, None, None) => Err(Error::at_path(
                path,
                "no train, validation, test or all file, each .jsonl, .json, .tsv or .csv, also .gz",
            )),
            (Some(only), None, None, None)
            | (None, Some(only), None, None)
            | (None, None, Some(only), None)
            | (None, None, None, Some(only)) => one(name, &read(&only, true)?, options),
            (Some(all), ..) => Err(Error::at_path(
                path,
                format!("{} beside files of single splits", all.display()),
            )
            .hint("name the file to read")),
            (None, None, ..) => Err(
                Error::at_path(path, "no train file beside its other splits")
                    .hint("name the file to read"),
            ),
            (None, Some(train), validation, test) => {
                if options.split.is_some() {
                    return Err(
                        Error::at_path(path, "split is given, but the folder has splits")
                            .hint("name one of its files to cut that"),
                    );
                }
                let read_some =
                    |file: Option<PathBuf>| file.map(|file| read(&file, false)).transpose();
                many(
                    name,
                    &read(&train, true)?,
                    [read_some(validation)?, read_some(test)?],
                )
            }
        }
    }

    /// Makes a dataset of maps with the keys that files have as columns.
    ///
    /// Errors name the row, counted from 0.
    pub fn from_rows(
        name: &str,
        rows: &[Map<String, Value>],
        options: &LoadOptions,
    ) -> Result<Self> {
        let table = Table::from_maps(format!("dataset {name}"), rows);
        one(
            name.into(),
            &columns::choose(table, &options.columns, true)?,
            options,
        )
    }

    /// Makes a dataset of tables for train, validation and test.
    pub(super) fn from_tables(name: &str, tables: [Table; 3]) -> Result<Self> {
        let read = |table| columns::choose(table, &Columns::default(), true);
        let [train, validation, test] = tables;
        many(
            name.into(),
            &read(train)?,
            [Some(read(validation)?), Some(read(test)?)],
        )
    }
}

/// One set of rows in every role, or cut.
fn one(name: String, raw: &RawRows, options: &LoadOptions) -> Result<Dataset> {
    let task = labels::task(raw)?;
    let rows = labels::rows(raw, &task, false)?;
    if let Some(shares) = options.split {
        let splits = cut::stratified(&rows, &task, shares, options.seed)
            .map_err(|e| e.within(&raw.source))?;
        return Ok(Dataset::new(Parts {
            name,
            task,
            splits: splits.map(Into::into),
            hidden: [false; 3],
            shared: false,
        }));
    }
    Ok(Dataset::shared(name, task, rows.into()))
}

/// A set of rows for each split; those absent are empty.
fn many(name: String, train: &RawRows, others: [Option<RawRows>; 2]) -> Result<Dataset> {
    let task = labels::task(train)?;
    let read = |raw: &Option<RawRows>| -> Result<(Vec<Row>, bool)> {
        let Some(raw) = raw else {
            return Ok((Vec::new(), false));
        };
        let hidden = labels::are_hidden(raw, train);
        Ok((labels::rows(raw, &task, hidden)?, hidden))
    };
    let (validation, validation_hidden) = read(&others[0])?;
    let (test, test_hidden) = read(&others[1])?;
    let train = labels::rows(train, &task, false)?;
    check_pairs(&name, [&train, &validation, &test])?;
    Ok(Dataset::new(Parts {
        name,
        task,
        splits: [train.into(), validation.into(), test.into()],
        hidden: [false, validation_hidden, test_hidden],
        shared: false,
    }))
}

/// All splits have pairs of texts, or none has.
fn check_pairs(name: &str, splits: [&[Row]; 3]) -> Result<()> {
    let pairs = |rows: &[Row]| rows.first().map(|row| row.text_b.is_some());
    let train = pairs(splits[0]);
    for split in [Split::Validation, Split::Test] {
        let own = pairs(splits[split as usize]);
        if own.is_some() && own != train {
            return Err(Error::new(format!(
                "dataset {name}: train and {split} differ: only one of them has pairs of texts"
            )));
        }
    }
    Ok(())
}

/// The one file of a folder with one of these names.
fn find(folder: &Path, names: &[&str]) -> Result<Option<PathBuf>> {
    let mut found = names
        .iter()
        .flat_map(|name| EXTENSIONS.map(|extension| folder.join(format!("{name}.{extension}"))))
        .filter(|path| path.is_file());
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => Err(Error::new(format!(
            "both {} and {} are there, expected one of them",
            first.display(),
            second.display()
        ))
        .hint("name the file to read, or remove one")),
        (first, _) => Ok(first),
    }
}

fn name_of(path: &Path) -> String {
    let name = path
        .canonicalize()
        .unwrap_or_else(|_| path.to_path_buf())
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    if path.is_dir() {
        return name;
    }
    let stem = EXTENSIONS
        .iter()
        .filter_map(|extension| name.strip_suffix(&format!(".{extension}")))
        .min_by_key(|stem| stem.len());
    stem.unwrap_or(&name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Label, Task};

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn load(files: &[(&str, &str)]) -> Result<Dataset> {
        Dataset::load(folder(files).path(), &LoadOptions::default())
    }

    #[test]
    fn a_folder_has_splits() {
        let data = load(&[
            ("train.tsv", "sentence\tlabel\na\t1\nb\t0\n"),
            ("dev.jsonl", "{\"text\": \"c\", \"label\": 1}\n"),
            ("test.csv", "index,sentence\n0,d\n"),
        ])
        .unwrap();
        assert_eq!(data.labels(), ["0", "1"]);
        assert_eq!(data.split(Split::Validation)[0].label, Label::Class(1));
        assert!(data.is_hidden(Split::Test) && !data.is_hidden(Split::Validation));
        assert_eq!(data.split(Split::Test)[0].label, Label::Hidden);
        assert!(!data.shared_roles());
    }

    #[test]
    fn one_file_plays_every_role_or_is_cut() {
        let content: String = (0..20).map(|i| format!("t{i},{}\n", i % 2)).collect();
        let folder = folder(&[("all.csv", &format!("text,label\n{content}"))]);
        let whole = Dataset::load(folder.path(), &LoadOptions::default()).unwrap();
        assert!(whole.shared_roles());
        assert_eq!(whole.split(Split::Test).len(), 20);
        let file = folder.path().join("all.csv");
        let options = LoadOptions {
            split: Some([0.8, 0.1, 0.1]),
            ..LoadOptions::default()
        };
        let cut = Dataset::load(&file, &options).unwrap();
        assert_eq!(cut.name(), "all");
        assert_eq!(Split::ALL.map(|s| cut.split(s).len()), [16, 2, 2]);
    }

    #[test]
    fn the_id_is_that_of_the_content() {
        let rows = |label: &str| {
            format!("{{\"text\": \"a\", \"label\": {label}}}\n{{\"text\": \"b\", \"label\": 1}}\n")
        };
        let lines = load(&[("train.jsonl", &rows("0"))]).unwrap();
        let csv = load(&[("all.csv", "label,text\n0,a\n1,b\n")]).unwrap();
        assert_eq!(lines.id(), csv.id());
        assert_eq!(lines.id().len(), 32);
        assert_ne!(load(&[("train.jsonl", &rows("1"))]).unwrap().id(), csv.id());
    }

    #[test]
    fn maps_make_a_dataset() {
        let maps = |text| serde_json::from_str::<Vec<Map<String, Value>>>(text).unwrap();
        let rows = maps(r#"[{"text": "a", "label": 0.5}, {"text": "b", "label": 1}]"#);
        let data = Dataset::from_rows("mine", &rows, &LoadOptions::default()).unwrap();
        assert_eq!(data.task(), &Task::Regression);
        let rows = maps(r#"[{"text": "a", "label": "x"}, {"label": "y"}]"#);
        let error = Dataset::from_rows("mine", &rows, &LoadOptions::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "dataset mine: row 1: column text: no text"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |files: &[(&str, &str)]| load(files).unwrap_err().to_string();
        assert!(message(&[]).contains("no train, validation, test or all file"));
        assert!(message(&[("train.csv", "text,label\n")]).contains("the dataset is empty"));
        let train = ("train.csv", "text,label\na,x\nb,y\n");
        let unseen = message(&[train, ("test.csv", "text,label\na,x\nb,z\n")]);
        assert!(
            unseen
                .ends_with("test.csv: line 3: label \"z\" is not among the labels of train: x, y"),
            "{unseen}"
        );
        assert!(message(&[train, ("train.jsonl", "")]).contains("expected one of them"));
        assert!(message(&[train, ("all.csv", "")]).contains("beside files of single splits"));
        assert!(message(&[("dev.csv", ""), ("test.csv", "")]).contains("no train file"));
        let pairs = message(&[train, ("dev.csv", "text_a,text_b,label\na,b,x\n")]);
        assert!(pairs.contains("only one of them has pairs"), "{pairs}");
        let absent = Dataset::load(Path::new("no/such.csv"), &LoadOptions::default());
        assert_eq!(
            absent.unwrap_err().to_string(),
            "no/such.csv: no such file or folder"
        );
    }
}
