//! Which columns of a table are the texts and the label.

use std::collections::BTreeMap;

use super::glue;
use super::labels::name as label_name;
use super::raw::{RawRow, RawRows};
use super::table::{Cell, Table};
use crate::text::{is_missing, number};
use crate::{Error, Result, nearest};

/// Columns by name, where a file's own names are not the usual ones.
///
/// What is not given is guessed: the texts are the first of `text_a`+`text_b`, `text`+`text_b`,
/// `sentence1`+`sentence2`, `premise`+`hypothesis`, `question`+`sentence`,
/// `question1`+`question2`, `#1 String`+`#2 String`, `text` and `sentence` that the file has. The
/// label is the first of `label`, `gold_label`, `is_duplicate` and `Quality`, or `score` beside
/// `sentence1`.
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
    ("#1 String", Some("#2 String")),
    ("text", None),
    ("sentence", None),
];

/// What a file has to say about labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Labels {
    /// It has a column of them.
    Needed,
    /// It may have none, as hidden test splits.
    Optional,
    /// It is read for its texts only.
    Ignored,
}

/// Takes the texts and labels out of a table.
pub(super) fn choose(table: Table, columns: &Columns, labels: Labels) -> Result<RawRows> {
    if table.rows.is_empty() {
        return Err(Error::new(format!(
            "{}: the dataset is empty, expected at least one row",
            table.source
        )));
    }
    let (text, text_b) = text_columns(&table, columns)?;
    let name = match &columns.label {
        Some(name) => name,
        None => label_column(&table),
    };
    let label = match table.column(name) {
        _ if labels == Labels::Ignored => None,
        None if labels == Labels::Needed => Some(named(&table, name, "label")?),
        found => found,
    };
    let untold = |cells: &[Cell]| {
        label.is_some_and(|column| match &cells[column] {
            Cell::Untold => true,
            Cell::Text(label) => glue::is_untold(name, label.trim()),
            _ => false,
        })
    };
    let mut rows = Vec::with_capacity(table.rows.len());
    for (at, cells) in &table.rows {
        let untold = untold(cells);
        rows.push(RawRow {
            file: 0,
            at: *at,
            untold,
            text: text_of(&table, *at, cells, text)?,
            text_b: text_b
                .map(|column| text_of(&table, *at, cells, column))
                .transpose()?,
            label: match label {
                Some(column) if !untold => label_of(&table, *at, cells, column)?,
                _ => None,
            },
        });
    }
    let order = table.classes.get(name).map(|names| {
        let names = names.iter().map(|name| label_name(name.trim()));
        names.collect()
    });
    if order.is_none() {
        hide_missing(&mut rows);
    }
    Ok(RawRows {
        order,
        label: name.to_string(),
        sources: vec![table.source],
        unit: table.unit,
        rows,
    })
}

/// Takes labels that data frames write for a missing value (NaN, NA, null) for none where the others
/// are numbers. Among names they are names.
fn hide_missing(rows: &mut [RawRow]) {
    let labels = || rows.iter().filter_map(|row| row.label.as_deref());
    let mut filled = labels().filter(|label| !is_missing(label)).peekable();
    let numbers = filled.peek().is_some() && filled.all(|label| number(label).is_some());
    if numbers {
        for row in rows {
            row.label = row.label.take().filter(|label| !is_missing(label));
        }
    }
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
            notice: None,
            classes: table.classes.clone(),
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

/// The label's column as files have it, if it is not named.
fn label_column(table: &Table) -> &'static str {
    let has = |name: &str| table.column(name).is_some();
    let known = ["label"].iter().chain(glue::LABELS).find(|name| has(name));
    match known {
        Some(name) => name,
        None if has(glue::SCORED) && has(glue::SCORE) => glue::SCORE,
        None => "label",
    }
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
        Cell::Missing | Cell::Untold => {
            Err(table.error(at, format_args!("column {name}: no text")))
        }
        Cell::Nested(kind) => Err(table.error(
            at,
            format_args!("column {name}: expected a text, found {kind}"),
        )),
    }
}

fn label_of(table: &Table, at: usize, cells: &[Cell], column: usize) -> Result<Option<String>> {
    let name = &table.columns[column];
    match &cells[column] {
        Cell::Missing | Cell::Untold => Ok(None),
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
            notice: None,
            classes: Default::default(),
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
        let row = choose(table(columns), given, Labels::Optional)
            .unwrap()
            .rows
            .remove(0);
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
    fn the_columns_of_glue_are_known() {
        let none = Columns::default();
        let label = |columns: &[&str]| chosen(columns, &none).2;
        let pair = |label| ["index", "sentence1", "sentence2", label];
        assert_eq!(label(&pair("gold_label")).as_deref(), Some("<gold_label>"));
        assert_eq!(label(&pair("score")).as_deref(), Some("<score>"));
        assert_eq!(label(&["text", "score"]), None);
        assert_eq!(
            chosen(
                &["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"],
                &none
            ),
            (
                "<#1 String>".into(),
                Some("<#2 String>".into()),
                Some("<Quality>".into())
            )
        );
    }

    #[test]
    fn rows_without_agreement_are_left_out() {
        let mut snli = table(&["sentence1", "sentence2", "gold_label"]);
        let mut row = snli.rows[0].clone();
        row.1[2] = Cell::Text("-".into());
        snli.rows.push(row);
        let settled = |table| {
            let mut raw = choose(table, &Columns::default(), Labels::Needed).unwrap();
            raw.settle();
            raw.rows
        };
        assert_eq!(settled(snli.clone()).len(), 1);
        snli.rows.remove(0);
        let hidden = settled(snli);
        assert_eq!((hidden.len(), hidden[0].label.as_deref()), (1, Some("-1")));
    }

    #[test]
    fn missing_labels_are_told_by_the_others() {
        let labels = |labels: &[&str]| {
            let mut all = table(&["text", "label"]);
            let row = all.rows.remove(0);
            for label in labels {
                let cells = vec![row.1[0].clone(), Cell::Text(label.to_string())];
                all.rows.push((2, cells));
            }
            let raw = choose(all, &Columns::default(), Labels::Needed).unwrap();
            let labels = raw.rows.into_iter().map(|row| row.label);
            labels
                .map(|label| label.unwrap_or("-".into()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            labels(&["0.0", "nan", "1.0", "NA"]),
            ["0.0", "-", "1.0", "-"]
        );
        assert_eq!(
            labels(&["None", "other", "null"]),
            ["None", "other", "null"]
        );
        assert_eq!(labels(&["None", "NA"]), ["None", "NA"]);
    }

    #[test]
    fn missing_columns_list_those_there_are() {
        let error = choose(
            table(&["titel", "label"]),
            &Columns::default(),
            Labels::Needed,
        )
        .unwrap_err();
        assert!(
            error.message().ends_with("its columns are titel, label"),
            "{error}"
        );
        let given = Columns {
            text: Some("title".into()),
            ..Columns::default()
        };
        let error = choose(table(&["titel", "label"]), &given, Labels::Needed)
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
        assert_eq!(choose(Labels::Optional).unwrap().rows[0].label, None);
        assert_eq!(
            choose(Labels::Needed).unwrap_err().to_string(),
            "a.csv: no column label; its columns are text, labels; \
             say which with columns: #{ label: \"labels\" }"
        );
    }

    #[test]
    fn a_text_may_be_empty_but_not_absent() {
        let mut empty = table(&["text"]);
        empty.rows[0].1[0] = Cell::Text(String::new());
        assert_eq!(
            choose(empty.clone(), &Columns::default(), Labels::Optional)
                .unwrap()
                .rows[0]
                .text,
            ""
        );
        empty.rows[0].1[0] = Cell::Missing;
        let error = choose(empty, &Columns::default(), Labels::Optional)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "a.csv: line 2: column text: no text");
    }
}
