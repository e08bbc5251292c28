//! Files of separated cells: with a header, or in one of the layouts that are known without one.

use std::collections::HashMap;

use super::table::{Cell, Table};
use super::{entity, glue};
use crate::text::{self, Dialect, Field};
use crate::{Error, Result};

/// Reads a text; `usual` is the separator that the file's name stands for. Empty lines are skipped.
pub(super) fn read(source: String, text: &str, usual: char, dialect: Dialect) -> Result<Table> {
    let file = text::separated(text, usual, dialect).map_err(|e| e.within(&source))?;
    let quotes_are_text = !file.quotes && text.contains('"');
    let mut records = file.records.into_iter().peekable();
    let texts = |fields: &[Field<'_>]| -> Vec<String> {
        fields.iter().map(|field| field.text.to_string()).collect()
    };
    let first = records.peek().map(|record| texts(&record.fields));
    let first = first.unwrap_or_default();
    let names: Vec<&str> = first.iter().map(String::as_str).collect();
    let known = match file.separator {
        '\t' => entity::columns(&names).or_else(|| glue::headerless(&names)),
        _ => None,
    };
    let columns: Vec<String> = match known {
        Some(columns) => columns.iter().map(|name| name.to_string()).collect(),
        None => {
            records.next();
            first
        }
    };
    let pairs = known == Some(entity::PAIRS) || known == Some(entity::LABELLED);
    let gaps = glue::has_broken_lines(&columns);
    let mut rows = Vec::new();
    for record in records {
        let (at, cells) = (record.line, record.fields);
        if cells.len() < columns.len() && gaps {
            continue;
        }
        if cells.len() != columns.len() {
            let error = text::unequal(at, columns.len(), cells.len()).within(&source);
            return Err(match known {
                Some(columns) => error.hint(format!(
                    "the first line has no header, so its columns are {}",
                    columns.join(", ")
                )),
                None if quotes_are_text => error.hint(text::QUOTES_ARE_TEXT),
                None => error,
            });
        }
        let stray = |cell: &Field<'_>| !entity::is_one(&cell.text);
        if pairs && let Some(column) = cells.iter().take(2).position(stray) {
            return Err(Error::new(format!(
                "{source}: line {at}: column {}: expected an entity such as COL name VAL value",
                columns[column]
            )));
        }
        let cell = |cell: Field<'_>| match pairs {
            true => Cell::Text(cell.text.trim().into()),
            false => Cell::Text(cell.text.into_owned()),
        };
        rows.push((at, cells.into_iter().map(cell).collect()));
    }
    Ok(Table {
        notice: file.notice.map(|notice| format!("{source}: {notice}")),
        source,
        unit: "line",
        columns,
        rows,
        classes: HashMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(table: &Table, row: usize) -> Vec<&str> {
        let cells = table.rows[row].1.iter();
        cells
            .map(|cell| match cell {
                Cell::Text(text) => text.as_str(),
                _ => "-",
            })
            .collect()
    }

    fn tsv(text: &str) -> Result<Table> {
        read("a.tsv".into(), text, '\t', Dialect::default())
    }

    fn message(text: &str) -> String {
        tsv(text).unwrap_err().to_string()
    }

    #[test]
    fn open_quotes_are_text() {
        let table = tsv("sentence\tlabel\r\n\"open\t1\r\n\r\n\t0\r\n").unwrap();
        assert_eq!(texts(&table, 0), ["\"open", "1"]);
        assert_eq!(texts(&table, 1), ["", "0"]);
        assert_eq!(table.rows[1].0, 4);
        assert_eq!(
            message("a\tb\n1\t2\n1\t2\t3\n"),
            "a.tsv: line 3: 3 columns, expected 2 as in the header"
        );
    }

    #[test]
    fn entities_are_pairs_without_a_header() {
        let lines = "COL a VAL x COL b VAL \t COL a VAL y\t0\nCOL a VAL z\tCOL a VAL z\t1\n";
        let table = tsv(lines).unwrap();
        assert_eq!(table.columns, ["text", "text_b", "label"]);
        assert_eq!(
            texts(&table, 0),
            ["COL a VAL x COL b VAL", "COL a VAL y", "0"]
        );
        assert_eq!((table.rows.len(), table.rows[0].0), (2, 1));
        assert_eq!(
            message("COL a VAL x\tCOL a VAL y\t0\nCOL a VAL z\tb\t1\n"),
            "a.tsv: line 2: column text_b: expected an entity such as COL name VAL value"
        );
        assert_eq!(
            message("COL a VAL x\tCOL a VAL y\t0\nCOL a VAL z\t1\n"),
            "a.tsv: line 2: 2 columns, expected 3 as in the header; \
             the first line has no header, so its columns are text, text_b, label"
        );
    }
}
