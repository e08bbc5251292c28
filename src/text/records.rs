//! Lines of cells between separators, with quote marks around cells or as a part of them.

use std::borrow::Cow;

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'t> {
    /// Its text, without the quote marks around it.
    pub text: Cow<'t, str>,
    /// Whether it stood in quote marks.
    pub quoted: bool,
}

/// One row of cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'t> {
    /// The line it begins on, counted from 1.
    pub line: usize,
    /// How many lines it takes.
    pub lines: usize,
    /// Its cells, at least one.
    pub fields: Vec<Field<'t>>,
}

/// The lines of a text without their ends, with their numbers from 1. A carriage return ends a
/// line where the text has no line feed, as on old systems.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = line_end(text);
    text.split(end)
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .enumerate()
        .map(|(i, line)| (i + 1, line))
}

fn line_end(text: &str) -> char {
    match text.contains('\n') {
        true => '\n',
        false => '\r',
    }
}

/// The rows of a text whose quote marks are text. Empty lines are skipped.
pub(super) fn plain(text: &str, separator: char) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    for (line, content) in lines(text).filter(|(_, line)| !line.is_empty()) {
        let cell = |text| Field {
            text: Cow::Borrowed(text),
            quoted: false,
        };
        records.push(Record {
            line,
            lines: 1,
            fields: content.split(separator).map(cell).collect(),
        });
    }
    records
}

/// The rows of a text in which a cell may stand in quote marks, with its own ones doubled.
///
/// # Errors
/// The line of the first cell that begins with a quote mark and whose closing one is missing, or is
/// not followed by a separator or the end of the line.
pub(super) fn quoted(text: &str, separator: char) -> Result<Vec<Record<'_>>, usize> {
    let end = line_end(text);
    let mut records = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while !rest.is_empty() {
        let begin = line;
        let mut fields = Vec::new();
        loop {
            let (field, after) = match rest.strip_prefix('"') {
                Some(inner) => {
                    let (text, after) = enclosed(inner).ok_or(line)?;
                    line += text.matches(end).count();
                    let quoted = true;
                    (Field { text, quoted }, after)
                }
                None => {
                    let stop = rest.find([separator, end]).unwrap_or(rest.len());
                    let (cell, after) = rest.split_at(stop);
                    let ends = after.starts_with(end) || after.is_empty();
                    let cell = match ends {
                        true => cell.strip_suffix('\r').unwrap_or(cell),
                        false => cell,
                    };
                    let text = Cow::Borrowed(cell);
                    let quoted = false;
                    (Field { text, quoted }, after)
                }
            };
            fields.push(field);
            if let Some(next) = after.strip_prefix(separator) {
                rest = next;
                continue;
            }
            let after = match after.strip_prefix('\r') {
                Some(next) if next.is_empty() || next.starts_with(end) => next,
                _ => after,
            };
            match after.strip_prefix(end) {
                Some(next) => rest = next,
                None if after.is_empty() => rest = after,
                // Text after the closing quote mark.
                None => return Err(line),
            }
            break;
        }
        line += 1;
        let blank = matches!(&fields[..], [only] if only.text.is_empty() && !only.quoted);
        if !blank {
            records.push(Record {
                line: begin,
                lines: line - begin,
                fields,
            });
        }
    }
    Ok(records)
}

/// A cell up to its closing quote mark, its doubled ones single, and what follows.
fn enclosed(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut cell: Option<String> = None;
    let mut rest = text;
    loop {
        let stop = rest.find('"')?;
        let (part, after) = (&rest[..stop], &rest[stop + 1..]);
        match after.strip_prefix('"') {
            Some(next) => {
                let cell = cell.get_or_insert_default();
                cell.push_str(part);
                cell.push('"');
                rest = next;
            }
            None => {
                let text = match cell {
                    Some(mut cell) => {
                        cell.push_str(part);
                        Cow::Owned(cell)
                    }
                    None => Cow::Borrowed(part),
                };
                return Some((text, after));
            }
        }
    }
}

/// Whether all rows have as many cells.
pub(super) fn fit(records: &[Record<'_>]) -> bool {
    records
        .windows(2)
        .all(|pair| pair[0].fields.len() == pair[1].fields.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(records: &[Record<'_>]) -> Vec<Vec<String>> {
        let row = |record: &Record<'_>| {
            let cells = record.fields.iter().map(|field| field.text.to_string());
            cells.collect()
        };
        records.iter().map(row).collect()
    }

    #[test]
    fn quoted_cells_may_hold_anything() {
        let text = "a,\"b, \"\"c\"\"\nd\"\r\n\n\"\",e\r\n,\n\"f\"";
        let records = quoted(text, ',').unwrap();
        assert_eq!(
            texts(&records),
            [
                vec!["a", "b, \"c\"\nd"],
                vec!["", "e"],
                vec!["", ""],
                vec!["f"]
            ]
        );
        let lines: Vec<(usize, usize)> = records.iter().map(|r| (r.line, r.lines)).collect();
        assert_eq!(lines, [(1, 2), (4, 1), (5, 1), (6, 1)]);
        assert!(records[1].fields[0].quoted && !records[2].fields[0].quoted);
    }

    #[test]
    fn a_quote_mark_within_a_cell_is_text() {
        assert_eq!(
            texts(&quoted("a \"b\" c,\n", ',').unwrap()),
            [["a \"b\" c", ""]]
        );
        assert_eq!(quoted("a,b\n\"a\" b,c\n", ','), Err(2));
        assert_eq!(quoted("a,b\nc,\"d\n", ','), Err(2));
        assert_eq!(
            texts(&plain("\"a\" b,c\r\n\r\n\"d,\n", ',')),
            [["\"a\" b", "c"], ["\"d", ""]]
        );
    }

    #[test]
    fn a_lone_carriage_return_ends_lines_where_nothing_else_does() {
        assert_eq!(
            texts(&quoted("a,b\rc,d\r", ',').unwrap()),
            [["a", "b"], ["c", "d"]]
        );
        assert_eq!(texts(&plain("a,b\rc,d\r", ',')), [["a", "b"], ["c", "d"]]);
        assert_eq!(texts(&plain("a\rb,c\n", ',')), [["a\rb", "c"]]);
    }
}
