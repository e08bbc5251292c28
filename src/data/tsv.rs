//! Lines of cells between tabs: a header and no quotes, as the GLUE benchmark has them, or one of
//! the layouts that are known without a header.

use super::table::{Cell, Table, lines, unequal};
use super::{entity, glue};
use crate::{Error, Result};

/// Reads a text. Empty lines are skipped.
pub(super) fn read(source: String, text: &str) -> Result<Table> {
    let mut lines = lines(text).filter(|(_, line)| !line.is_empty()).peekable();
    let first: Vec<&str> = match lines.peek() {
        Some((_, line)) => line.split('\t').collect(),
        None => Vec::new(),
    };
    let known = entity::columns(&first).or_else(|| glue::headerless(&first));
    let columns: Vec<String> = match known {
        Some(columns) => columns.iter().map(|name| name.to_string()).collect(),
        None => {
            lines.next();
            first.iter().map(|name| name.to_string()).collect()
        }
    };
    let pairs = known == Some(entity::PAIRS) || known == Some(entity::LABELLED);
    let gaps = glue::has_broken_lines(&columns);
    let mut rows = Vec::new();
    for (at, line) in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        if cells.len() < columns.len() && gaps {
            continue;
        }
        if cells.len() != columns.len() {
            let error = unequal(&source, at, columns.len(), cells.len());
            return Err(match known {
                Some(columns) => error.hint(format!(
                    "the first line has no header, so its columns are {}",
                    columns.join(", ")
                )),
                None => error,
            });
        }
        if pairs && let Some(column) = cells.iter().take(2).position(|cell| !entity::is_one(cell)) {
            return Err(Error::new(format!(
                "{source}: line {at}: column {}: expected an entity such as COL name VAL value",
                columns[column]
            )));
        }
        let cell = |cell: &str| match pairs {
            true => Cell::Text(cell.trim().into()),
            false => Cell::Text(cell.into()),
        };
        rows.push((at, cells.into_iter().map(cell).collect()));
    }
    Ok(Table {
        source,
        unit: "line",
        columns,
        rows,
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

    fn message(text: &str) -> String {
        read("a.tsv".into(), text).unwrap_err().to_string()
    }

    #[test]
    fn there_are_no_quotes() {
        let table = read(
            "a.tsv".into(),
            "sentence\tlabel\r\n\"open\t1\r\n\r\n\t0\r\n",
        )
        .unwrap();
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
        let table = read("a.tsv".into(), lines).unwrap();
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
