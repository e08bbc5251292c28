//! Which columns of a table are the texts and the label.

use std::collections::BTreeMap;

use super::table::{Cell, Table};
use crate::{Error, Result, nearest};

/// Columns by name, where a file's own names are not the usual ones.
///
/// What is not given is guessed: the texts are the first of `text_a`+`text_b`, `text`+`text_b`,
/// `sentence1`+`sentence2`, `premise`+`hypothesis`, `question`+`sentence`,
/// `question1`+`question2`, `text` and `sentence` that the file has, the label is `label`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// The text, or the first of a pair.
    pub text: Option<String>,
    /// The second text of a pair; only with `text`.
    pub text_b: Option<String>,
    /// The label.
    pub label: Option<String>,
}

/// Pairs come first: `question`+`sentence` has a `sentence`, too.
const TEXTS: &[(&str, Option<&str>)] = &[
    ("text_a", Some("text_b")),
    ("text", Some("text_b")),
    ("sentence1", Some("sentence2")),
    ("premise", Some("hypothesis")),
    ("question", Some("sentence")),
    ("question1", Some("question2")),
    ("text", None),
    ("sentence", None),
];

/// A row with its label as written.
#[derive(Debug, Clone)]
pub(super) struct RawRow {
    pub at: usize,
    pub text: String,
    pub text_b: Option<String>,
    pub label: Option<String>,
}

/// The rows of one file, and how to speak of them.
#[derive(Debug, Clone)]
pub(super) struct RawRows {
    pub source: String,
    pub unit: &'static str,
    pub rows: Vec<RawRow>,
}

impl RawRows {
    /// An error about one row: `source: line 3: message`.
    pub fn error(&self, at: usize, message: impl std::fmt::Display) -> Error {
        Error::new(format!("{}: {} {at}: {message}", self.source, self.unit))
    }
}

/// Takes the texts and labels out of a table. Where labels are not needed, as in hidden test
/// splits, a file without a label column has all of them missing.
pub(super) fn choose(table: Table, columns: &Columns, needs_labels: bool) -> Result<RawRows> {
    if table.rows.is_empty() {
        return Err(Error::new(format!(
            "{}: the dataset is empty, expected at least one row",
            table.source
        )));
    }
    let (text, text_b) = text_columns(&table, columns)?;
    let name = columns.label.as_deref().unwrap_or("label");
    let label = match table.column(name) {
        None if needs_labels => Some(named(&table, name, "label")?),
        found => found,
    };
    let mut rows = Vec::with_capacity(table.rows.len());
    for (at, cells) in &table.rows {
        rows.push(RawRow {
            at: *at,
            text: text_of(&table, *at, cells, text)?,
            text_b: text_b
                .map(|column| text_of(&table, *at, cells, column))
                .transpose()?,
            label: match label {
                Some(column) => label_of(&table, *at, cells, column)?,
                None => None,
            },
        });
    }
    Ok(RawRows {
        source: table.source,
        unit: table.unit,
        rows,
    })
}

/// Divides a table by the values of a column.
pub(super) fn divide(table: Table, column: &str) -> Result<BTreeMap<String, Table>> {
    let by = named(&table, column, column)?;
    let mut parts: BTreeMap<String, Table> = BTreeMap::new();
    for (at, cells) in table.rows {
        let Cell::Text(value) = &cells[by] else {
            return Err(Error::new(format!("{}: no {column}", table.source)));
        };
        let part = parts.entry(value.clone()).or_insert_with(|| Table {
            source: table.source.clone(),
            unit: table.unit,
            columns: table.columns.clone(),
            rows: Vec::new(),
        });
        part.rows.push((at, cells));
    }
    Ok(parts)
}

fn text_columns(table: &Table, columns: &Columns) -> Result<(usize, Option<usize>)> {
    if let Some(text) = &columns.text {
        let text_b = columns.text_b.as_deref();
        return Ok((
            named(table, text, "text")?,
            text_b
                .map(|name| named(table, name, "text_b"))
                .transpose()?,
        ));
    }
    if columns.text_b.is_some() {
        return Err(Error::new("columns names text_b without text")
            .hint("name both, such as columns: #{ text: \"first\", text_b: \"second\" }"));
    }
    for (first, second) in TEXTS {
        let first = table.column(first);
        match (first, second.map(|name| table.column(name))) {
            (Some(text), None) => return Ok((text, None)),
            (Some(text), Some(Some(text_b))) => return Ok((text, Some(text_b))),
            _ => {}
        }
    }
    Err(Error::new(format!(
        "{}: no column text, sentence, or a pair such as text_a and text_b; its columns are {}",
        table.source,
        list(&table.columns)
    ))
    .hint("say which with columns: #{ text: \"...\" }"))
}

/// The column of this name, for `role` in an advice on what to write.
fn named(table: &Table, name: &str, role: &str) -> Result<usize> {
    table.column(name).ok_or_else(|| {
        let known = table.columns.iter().map(String::as_str);
        let meant = nearest(name, known).unwrap_or("...");
        Error::new(format!(
            "{}: no column {name}; its columns are {}",
            table.source,
            list(&table.columns)
        ))
        .hint(format!(
            "say which with columns: #{{ {role}: \"{meant}\" }}"
        ))
    })
}

fn text_of(table: &Table, at: usize, cells: &[Cell], column: usize) -> Result<String> {
    let name = &table.columns[column];
    match &cells[column] {
        Cell::Text(text) => Ok(text.clone()),
        Cell::Missing => Err(table.error(at, format_args!("column {name}: no text"))),
        Cell::Nested(kind) => Err(table.error(
            at,
            format_args!("column {name}: expected a text, found {kind}"),
        )),
    }
}

fn label_of(table: &Table, at: usize, cells: &[Cell], column: usize) -> Result<Option<String>> {
    let name = &table.columns[column];
    match &cells[column] {
        Cell::Missing => Ok(None),
        Cell::Text(text) if text.trim().is_empty() => Ok(None),
        Cell::Text(text) => Ok(Some(text.trim().to_string())),
        Cell::Nested(kind) => Err(table.error(
            at,
            format_args!("column {name}: expected a label, found {kind}"),
        )),
    }
}

fn list(columns: &[String]) -> String {
    if columns.is_empty() {
        "none".into()
    } else {
        columns.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[&str]) -> Table {
        Table {
            source: "a.csv".into(),
            unit: "line",
            columns: columns.iter().map(|c| c.to_string()).collect(),
            rows: vec![(
                2,
                columns
                    .iter()
                    .map(|c| Cell::Text(format!("<{c}>")))
                    .collect(),
            )],
        }
    }

    fn chosen(columns: &[&str], given: &Columns) -> (String, Option<String>, Option<String>) {
        let row = choose(table(columns), given, false).unwrap().rows.remove(0);
        (row.text, row.text_b, row.label)
    }

    #[test]
    fn pairs_are_guessed_before_single_texts() {
        let none = Columns::default();
        assert_eq!(
            chosen(&["index", "question", "sentence", "label"], &none),
            (
                "<question>".into(),
                Some("<sentence>".into()),
                Some("<label>".into())
            )
        );
        assert_eq!(
            chosen(&["sentence"], &none),
            ("<sentence>".into(), None, None)
        );
    }

    #[test]
    fn columns_are_taken_as_named() {
        let given = Columns {
            text: Some("b".into()),
            label: Some("a".into()),
            ..Columns::default()
        };
        assert_eq!(
            chosen(&["a", "b", "text"], &given),
            ("<b>".into(), None, Some("<a>".into()))
        );
    }

    #[test]
    fn missing_columns_list_those_there_are() {
        let error = choose(table(&["titel", "label"]), &Columns::default(), true).unwrap_err();
        assert!(
            error.message().ends_with("its columns are titel, label"),
            "{error}"
        );
        let given = Columns {
            text: Some("title".into()),
            ..Columns::default()
        };
        let error = choose(table(&["titel", "label"]), &given, true)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "a.csv: no column title; its columns are titel, label; \
             say which with columns: #{ text: \"titel\" }"
        );
    }

    #[test]
    fn a_label_column_is_asked_for_where_needed() {
        let choose = |needed| choose(table(&["text", "labels"]), &Columns::default(), needed);
        assert_eq!(choose(false).unwrap().rows[0].label, None);
        assert_eq!(
            choose(true).unwrap_err().to_string(),
            "a.csv: no column label; its columns are text, labels; \
             say which with columns: #{ label: \"labels\" }"
        );
    }

    #[test]
    fn a_text_may_be_empty_but_not_absent() {
        let mut empty = table(&["text"]);
        empty.rows[0].1[0] = Cell::Text(String::new());
        assert_eq!(
            choose(empty.clone(), &Columns::default(), false)
                .unwrap()
                .rows[0]
                .text,
            ""
        );
        empty.rows[0].1[0] = Cell::Missing;
        let error = choose(empty, &Columns::default(), false)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "a.csv: line 2: column text: no text");
    }
}
