//! Files as tables of cells: JSON lines and JSON arrays, plain or gzipped; separated cells, parquet
//! and Arrow have files of their own.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;

use serde_json::{Map, Value};

use super::{arrow, parquet, separated};
use crate::text::{self, Dialect, gunzip, json};
use crate::{Error, Result};

const UNKNOWN_KIND: &str = "unknown kind of dataset file, expected .jsonl, .json, .csv, .tsv or .txt, each also .gz, .parquet or .arrow";

/// One value of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// Null, or a key that the row has not.
    Missing,
    /// A text, or a number or boolean as written.
    Text(String),
    /// A list, a map or whatever else is no text, named so.
    Nested(&'static str),
    /// A label that is there to say that it is not told.
    Untold,
}

/// Rows of cells under named columns, each knowing where it stood.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// The file or value read, as errors name it.
    pub source: String,
    /// What positions count: "line" in files, "row" in arrays.
    pub unit: &'static str,
    pub columns: Vec<String>,
    /// Position and cells, as many as there are columns.
    pub rows: Vec<(usize, Vec<Cell>)>,
    /// What is said of a file that can be read in another way, too.
    pub notice: Option<String>,
    /// The class names that the file declares, in their order, by column.
    pub classes: HashMap<String, Vec<String>>,
}

impl Table {
    /// Reads a file by its extension: .jsonl, .json (an array or lines), .csv, .tsv or .txt (cells
    /// between separators), each also .gz, .parquet or .arrow.
    ///
    /// # Errors
    /// A dialect for a file that has no separated cells.
    pub fn read(path: &Path, dialect: Dialect) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::at_path(path, "no such file or folder"),
            _ => Error::at_path(path, e),
        })?;
        Self::of_bytes(path, bytes, dialect)
    }

    /// The same of the bytes of a file that is called so.
    pub fn of_bytes(path: &Path, bytes: Vec<u8>, dialect: Dialect) -> Result<Self> {
        crate::input::check(&bytes).map_err(|e| e.within(path.display()))?;
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().to_lowercase())
            .unwrap_or_default();
        let (name, bytes) = match name.strip_suffix(".gz") {
            Some(inner) => (inner.to_string(), gunzip(path, &bytes)?),
            None => (name, bytes),
        };
        let source = path.display().to_string();
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        let usual = match extension {
            Some("csv") => Some(','),
            Some("tsv" | "txt") => Some('\t'),
            _ => None,
        };
        if let (None, Some(option)) = (usual, dialect.given()) {
            return Err(
                Error::new(format!("option {option}: {source} has no separated cells"))
                    .hint("the options separator and quotes are for .csv, .tsv and .txt"),
            );
        }
        match (extension, usual) {
            (Some("parquet"), _) => parquet::read(source, bytes),
            (Some("arrow"), _) => arrow::read(source, &bytes),
            (_, Some(usual)) => {
                let text = text::decode(&source, bytes)?;
                separated::read(source, &text, usual, dialect)
            }
            (Some("jsonl"), _) => Self::json_lines(source.clone(), &text::decode(&source, bytes)?),
            (Some("json"), _) => {
                let text = text::decode(&source, bytes)?;
                match text.trim_start().starts_with('[') {
                    true => Self::json_array(source, &text),
                    false => Self::json_lines(source, &text),
                }
            }
            _ => Err(Error::at_path(path, UNKNOWN_KIND)),
        }
    }

    /// Maps from a script, in order, counted from 0.
    pub fn from_maps(source: String, maps: &[Map<String, Value>]) -> Self {
        let mut builder = Builder::default();
        for (at, map) in maps.iter().enumerate() {
            builder.push(at, map);
        }
        builder.finish(source, "row")
    }

    /// One JSON object a line; empty lines are skipped.
    pub fn json_lines(source: String, text: &str) -> Result<Self> {
        let mut builder = Builder::default();
        for (at, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line)) {
            if line.trim().is_empty() {
                continue;
            }
            let value = json::value(line).map_err(|e| json::bad(at, line, &e).within(&source))?;
            builder.push(at, object(&source, "line", at, &value)?);
        }
        Ok(builder.finish(source, "line"))
    }

    fn json_array(source: String, text: &str) -> Result<Self> {
        let values = json::value(text).map_err(|e| json::bad(1, text, &e).within(&source))?;
        let mut builder = Builder::default();
        for (at, value) in values.as_array().into_iter().flatten().enumerate() {
            builder.push(at, object(&source, "row", at, value)?);
        }
        Ok(builder.finish(source, "row"))
    }

    /// An error about one row: `source: line 3: message`.
    pub fn error(&self, at: usize, message: impl Display) -> Error {
        Error::new(format!("{}: {} {at}: {message}", self.source, self.unit))
    }

    /// The number of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }
}

/// Gathers objects whose keys may differ from row to row.
#[derive(Default)]
struct Builder {
    columns: Vec<String>,
    index: HashMap<String, usize>,
    rows: Vec<(usize, Vec<Cell>)>,
}

impl Builder {
    fn push(&mut self, at: usize, object: &Map<String, Value>) {
        let mut cells = vec![Cell::Missing; self.columns.len()];
        for (key, value) in object {
            let column = match self.index.get(key) {
                Some(&column) => column,
                None => {
                    self.index.insert(key.clone(), self.columns.len());
                    self.columns.push(key.clone());
                    cells.push(Cell::Missing);
                    self.columns.len() - 1
                }
            };
            cells[column] = cell(value);
        }
        self.rows.push((at, cells));
    }

    fn finish(mut self, source: String, unit: &'static str) -> Table {
        for (_, cells) in &mut self.rows {
            cells.resize(self.columns.len(), Cell::Missing);
        }
        Table {
            source,
            unit,
            columns: self.columns,
            rows: self.rows,
            notice: None,
            classes: HashMap::new(),
        }
    }
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Missing,
        Value::String(text) => Cell::Text(text.clone()),
        Value::Bool(_) | Value::Number(_) => Cell::Text(value.to_string()),
        Value::Array(_) => Cell::Nested("a list"),
        Value::Object(_) => Cell::Nested("a map"),
    }
}

fn object<'a>(
    source: &str,
    unit: &str,
    at: usize,
    value: &'a Value,
) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| {
        Error::new(format!(
            "{source}: {unit} {at}: expected an object such as {{\"text\": \"...\", \"label\": \"...\"}}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: &[u8]) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        Table::read(&path, Dialect::default())
    }

    fn message(name: &str, content: &[u8]) -> String {
        let text = read(name, content).unwrap_err().to_string();
        text[text.find(name).unwrap()..].to_string()
    }

    fn texts(table: &Table, row: usize) -> Vec<&str> {
        table.rows[row]
            .1
            .iter()
            .map(|cell| match cell {
                Cell::Text(text) => text.as_str(),
                Cell::Missing => "-",
                Cell::Nested(kind) => kind,
                Cell::Untold => "?",
            })
            .collect()
    }

    #[test]
    fn csv_knows_quotes_and_lines() {
        let table = read(
            "a.csv",
            b"\xef\xbb\xbftext,label\n\"a, \"\"b\"\"\nc\",x\nd,y\n",
        )
        .unwrap();
        assert_eq!(table.columns, ["text", "label"]);
        assert_eq!(texts(&table, 0), ["a, \"b\"\nc", "x"]);
        assert_eq!(table.rows[1].0, 4);
        assert_eq!(
            message("a.csv", b"text,label\nonly\n"),
            "a.csv: line 2: 1 columns, expected 2 as in the header"
        );
    }

    #[test]
    fn json_rows_may_differ_in_their_keys() {
        let table = read(
            "a.jsonl",
            b"{\"text\": \"a\", \"label\": 1}\n\n{\"label\": 0.5, \"word\": null, \"x\": []}\n",
        )
        .unwrap();
        assert_eq!(table.columns, ["text", "label", "word", "x"]);
        assert_eq!(texts(&table, 0), ["a", "1", "-", "-"]);
        assert_eq!(texts(&table, 1), ["-", "0.5", "-", "a list"]);
        assert_eq!(table.rows[1].0, 3);
        let array = read("a.json", b"[{\"text\": true}]").unwrap();
        assert_eq!((texts(&array, 0), array.unit), (vec!["true"], "row"));
    }

    #[test]
    fn what_unpacks_without_end_is_refused() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let megabyte = vec![b'a'; 1 << 20];
        for _ in 0..64 {
            std::io::Write::write_all(&mut packer, &megabyte).unwrap();
        }
        let error = message("a.csv.gz", &packer.finish().unwrap());
        assert!(error.contains("far more than its size"), "{error}");
    }

    #[test]
    fn bad_files_are_told_by_line() {
        assert_eq!(
            message("a.jsonl", b"{\"text\": \"a\"}\n{\"text\" 1}\n"),
            "a.jsonl: line 2, column 9: bad JSON: expected `:`"
        );
        assert!(message("a.jsonl", b"[1]\n").contains("line 1: expected an object"));
        assert!(message("a.csv", b"text\na\n\xff\n").contains("line 3: not UTF-8"));
        assert!(message("a.csv.gz", b"text").contains("gzip"));
        assert!(message("a.xlsx", b"").contains("expected .jsonl"));
    }
}
