//! Datasets from files, folders and maps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::columns::{self, Columns, Labels};
use super::dataset::{Dataset, Parts};
use super::layout::{self, Layout};
use super::raw::RawRows;
use super::row::{Label, Row, Split};
use super::table::Table;
use super::{cut, labels, saved};
use crate::text::Dialect;
use crate::{Error, Result};

/// Takes what is to be said of a file that can be read in two ways.
pub type Tell<'t> = &'t dyn Fn(String);

/// How to read a dataset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadOptions {
    /// The name it goes by; the file's or folder's without extension if not given.
    pub name: Option<String>,
    /// Its columns, guessed where not given.
    pub columns: Columns,
    /// New names for labels as written, one for each there is; none keeps them. Keys that are
    /// integers give the order of the classes where the file declares none.
    pub labels: BTreeMap<String, String>,
    /// The names of the classes in their order; empty where it is not given.
    pub order: Vec<String>,
    /// Cuts a dataset of one file into train, validation and test by these shares, stratified by
    /// label. Not given, all its rows are in every role.
    pub split: Option<[f64; 3]>,
    /// The seed of that cut.
    pub seed: u64,
    /// How the files of separated cells are read; found out where not given.
    pub dialect: Dialect,
}

impl Dataset {
    /// Reads a file (.jsonl, .json, .csv, .tsv, .txt, each also .gz, .parquet or .arrow), a folder
    /// of files named train, validation or dev, test, or `all` for every role, of shards of them,
    /// too, or a folder that the datasets library's `save_to_disk` wrote.
    ///
    /// Labels are classes in the order that a file or the options declare, integers in ascending
    /// order, else the names in train sorted as strings; numbers with a fraction mean regression.
    /// A split other than train without labels, or with nothing but -1, has hidden ones. A folder
    /// with a single split is read as one file. An `unlabeled` file is texts only: it counts where
    /// it is named or alone. Errors name the file, the line and the column.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self> {
        Self::load_telling(path, options, &|_| {})
    }

    /// [`Self::load`], with notices of files that can be read in two ways.
    pub fn load_telling(path: &Path, options: &LoadOptions, tell: Tell<'_>) -> Result<Self> {
        let name = match &options.name {
            Some(name) => name.clone(),
            None => name_of(path),
        };
        if !path.is_dir() {
            let only = [path.to_path_buf()];
            if layout::is_unlabeled(path) {
                return texts(name, &only, options, tell);
            }
            return one(name, &read(&only, Labels::Needed, options, tell)?, options);
        }
        let files = match saved::layout(path)? {
            Some(files) => files,
            None => Layout::of(path)?,
        };
        Self::of_layout(name, path, &files, options, tell)
    }

    /// Reads these files of a folder.
    pub(super) fn of_layout(
        name: String,
        folder: &Path,
        files: &Layout,
        options: &LoadOptions,
        tell: Tell<'_>,
    ) -> Result<Self> {
        let splits = [&files.all, &files.train, &files.validation, &files.test];
        let given: Vec<&Vec<PathBuf>> = splits.into_iter().filter(|f| !f.is_empty()).collect();
        match (given[..].first(), given.len()) {
            (None, _) if !files.unlabeled.is_empty() => {
                texts(name, &files.unlabeled, options, tell)
            }
            (None, _) => Err(Error::at_path(
                folder,
                "no train, validation, test or all file, each .jsonl, .json, .tsv, .csv or .txt, also .gz, .parquet or .arrow",
            )),
            (Some(only), 1) => one(name, &read(only, Labels::Needed, options, tell)?, options),
            (Some(all), _) if !files.all.is_empty() => Err(Error::at_path(
                folder,
                format!("{} beside files of single splits", all[0].display()),
            )
            .hint("name the file to read")),
            _ if files.train.is_empty() => Err(Error::at_path(
                folder,
                "no train file beside its other splits",
            )
            .hint("name the file to read")),
            _ if options.split.is_some() => Err(Error::at_path(
                folder,
                "split is given, but the folder has splits",
            )
            .hint("name one of its files to cut that")),
            _ => {
                let train = read(&files.train, Labels::Needed, options, tell)?;
                let other = |files: &Vec<PathBuf>| match files.is_empty() {
                    true => Ok(None),
                    false => read(files, Labels::Optional, options, tell).map(Some),
                };
                many(
                    name,
                    &train,
                    [other(&files.validation)?, other(&files.test)?],
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
        if let Some(option) = options.dialect.given() {
            return Err(Error::new(format!(
                "option {option}: rows of a script have no separated cells"
            )));
        }
        let table = Table::from_maps(format!("dataset {name}"), rows);
        let mut raw = columns::choose(table, &options.columns, Labels::Needed)?;
        raw.settle();
        name_labels(&mut raw, options)?;
        one(name.into(), &raw, options)
    }

    /// Reads the bytes of a file that is called `name`, as [`Self::load`] reads the file.
    pub fn from_bytes(name: &str, bytes: Vec<u8>, options: &LoadOptions) -> Result<Self> {
        let table = Table::of_bytes(Path::new(name), bytes, options.dialect)?;
        let mut raw = columns::choose(table, &options.columns, Labels::Needed)?;
        raw.settle();
        name_labels(&mut raw, options)?;
        one(name.into(), &raw, options)
    }

    /// Makes a dataset of tables for train, validation and test, which are published with the order
    /// of their labels: sorted as strings.
    pub(super) fn from_tables(name: &str, tables: [Table; 3]) -> Result<Self> {
        let read = |table| columns::choose(table, &Columns::default(), Labels::Needed);
        let [train, validation, test] = tables;
        let mut train = read(train)?;
        labels::declare_sorted(&mut train);
        many(
            name.into(),
            &train,
            [Some(read(validation)?), Some(read(test)?)],
        )
    }
}

/// The rows of some files, one after the other, their labels as they are to be named.
fn read(
    files: &[PathBuf],
    labels: Labels,
    options: &LoadOptions,
    tell: Tell<'_>,
) -> Result<RawRows> {
    let mut all: Option<RawRows> = None;
    for file in files {
        let mut table = Table::read(file, options.dialect)?;
        if let Some(notice) = table.notice.take() {
            tell(notice);
        }
        let rows = columns::choose(table, &options.columns, labels)?;
        match &mut all {
            None => all = Some(rows),
            Some(all) => all.append(rows)?,
        }
    }
    let mut all = all.ok_or_else(|| Error::new("no file to read"))?;
    all.settle();
    name_labels(&mut all, options)?;
    Ok(all)
}

/// Names and orders the labels as the options say.
fn name_labels(raw: &mut RawRows, options: &LoadOptions) -> Result<()> {
    labels::rename(raw, &options.labels)?;
    labels::declare(raw, &options.order)
}

/// Texts only, in every role.
fn texts(
    name: String,
    files: &[PathBuf],
    options: &LoadOptions,
    tell: Tell<'_>,
) -> Result<Dataset> {
    let raw = read(files, Labels::Ignored, options, tell)?;
    unlabeled(name, &raw, options)
}

fn unlabeled(name: String, raw: &RawRows, options: &LoadOptions) -> Result<Dataset> {
    if options.split.is_some() {
        return Err(Error::new(format!(
            "{}: split is given, but there are no labels to cut by",
            raw.sources[0]
        )));
    }
    let rows = raw.rows.iter().map(|row| Row {
        text: row.text.as_str().into(),
        text_b: row.text_b.as_deref().map(Into::into),
        label: Label::Hidden,
    });
    Ok(Dataset::unlabeled(name, rows.collect::<Vec<_>>().into()))
}

/// One set of rows in every role, or cut. Labels that are all marked as hidden are none.
fn one(name: String, raw: &RawRows, options: &LoadOptions) -> Result<Dataset> {
    if labels::are_marked(raw) {
        return unlabeled(name, raw, options);
    }
    let task = labels::task(raw, raw.order.as_deref())?;
    let rows = labels::rows(raw, &task, false)?;
    if let Some(shares) = options.split {
        let splits = cut::stratified(&rows, &task, shares, options.seed)
            .map_err(|e| e.within(&raw.sources[0]))?;
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
    if labels::are_marked(train) {
        return Err(Error::new(format!(
            "{}: all labels of train are {}, which marks hidden ones",
            train.sources[0],
            labels::HIDDEN
        )));
    }
    let orders = others
        .iter()
        .flatten()
        .filter_map(|raw| raw.order.as_deref());
    let declared = match &train.order {
        Some(order) => Some(&order[..]),
        None => orders.into_iter().find(|order| labels::cover(order, train)),
    };
    let task = labels::task(train, declared)?;
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

fn name_of(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    if let Some(repository) = crate::hub::repository_at(&whole) {
        return repository;
    }
    let name = whole
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    if path.is_dir() {
        return name;
    }
    layout::stem(&name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Task;

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
            unseen.ends_with(
                "test.csv: line 3: column label: \"z\" is not among the labels of train: x, y"
            ),
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
