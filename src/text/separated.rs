//! Which characters separate the cells of a file, and whether its quote marks enclose cells or are
//! text.
//!
//! One rule holds for every file of separated cells, whatever reads it:
//!
//! - The separator is the one that the file's name stands for (a comma in .csv, a tab in .tsv and
//!   .txt) where the header has it and the rows fit; else the one of comma, semicolon, tab and bar
//!   that cuts all rows into equally many cells, at least two.
//! - Quote marks enclose cells where every cell that begins with one also ends with one, before a
//!   separator or the end of the line, and has those within it doubled. Otherwise they are text, as
//!   in the files of GLUE.

use super::records::{self, Record, fit, plain, quoted};
use crate::{Error, Result};

/// The separators that are found, in the order they are tried.
pub const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];

/// How to read a file of separated cells; what is not given is found out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dialect {
    /// The character between cells.
    pub separator: Option<char>,
    /// Whether quote marks enclose cells.
    pub quotes: Option<bool>,
}

impl Dialect {
    /// The first option that is given.
    pub fn given(&self) -> Option<&'static str> {
        match (self.separator, self.quotes) {
            (Some(_), _) => Some("separator"),
            (_, Some(_)) => Some("quotes"),
            _ => None,
        }
    }
}

/// The rows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Separated<'t> {
    /// The rows, the header among them; empty lines are left out.
    pub records: Vec<Record<'t>>,
    /// The character between their cells.
    pub separator: char,
    /// Whether quote marks enclose cells; false where there are none.
    pub quotes: bool,
    /// What is said of a file that can be read in another way, too.
    pub notice: Option<String>,
}

impl Separated<'_> {
    /// Whether the file puts every cell in quote marks: those say nothing about numbers and texts.
    pub fn quotes_all(&self) -> bool {
        let fields = || self.records.iter().flat_map(|record| &record.fields);
        let asked = |text: &str| name_needs_quotes(text, self.separator);
        let header = self.records.first().map(|header| &header.fields[..]);
        let unasked = header.unwrap_or_default().iter();
        self.quotes
            && fields().all(|field| field.quoted || field.text.is_empty())
            && unasked.clone().any(|field| !asked(&field.text))
    }
}

/// Reads a text; `usual` is the separator that its file's name stands for.
///
/// # Errors
/// Quote marks that enclose no cell although [`Dialect::quotes`] says so, by line; a file that fits
/// neither with nor without them.
pub fn separated(text: &str, usual: char, dialect: Dialect) -> Result<Separated<'_>> {
    if let Some(separator) = dialect.separator {
        return split(text, separator, dialect.quotes);
    }
    let counts = counts(text);
    let count = |separator| {
        let at = SEPARATORS.iter().position(|known| *known == separator);
        at.map_or(0, |at| counts[at])
    };
    let first = split(text, usual, dialect.quotes);
    if count(usual) > 0 && first.as_ref().is_ok_and(|read| fit(&read.records)) {
        return first;
    }
    let mut others: Vec<char> = SEPARATORS
        .into_iter()
        .filter(|other| *other != usual && count(*other) > 0)
        .collect();
    others.sort_by_key(|other| std::cmp::Reverse(count(*other)));
    for other in others {
        let Ok(mut read) = split(text, other, dialect.quotes) else {
            continue;
        };
        let rows = read.records.len() > 1;
        if rows && fit(&read.records) && read.records[0].fields.len() > 1 {
            if count(usual) > 0 {
                read.notice.get_or_insert_with(|| {
                    format!(
                        "its cells are separated by {}, not by {}; the option separator says otherwise",
                        named(other),
                        named(usual)
                    )
                });
            }
            return Ok(read);
        }
    }
    first
}

/// A separator in words.
fn named(separator: char) -> String {
    match separator {
        '\t' => "tabs".into(),
        other => format!("\"{other}\""),
    }
}

/// How often each separator stands in the header, outside of quote marks.
fn counts(text: &str) -> [usize; SEPARATORS.len()] {
    let header = records::lines(text).map(|(_, line)| line);
    let header = header.into_iter().find(|line| !line.is_empty());
    let header = header.unwrap_or_default();
    let balanced = header.matches('"').count().is_multiple_of(2);
    let mut counts = [0; SEPARATORS.len()];
    let mut inside = false;
    for c in header.chars() {
        inside ^= balanced && c == '"';
        if !inside && let Some(at) = SEPARATORS.iter().position(|known| *known == c) {
            counts[at] += 1;
        }
    }
    counts
}

/// The rows between these separators.
fn split(text: &str, separator: char, quotes: Option<bool>) -> Result<Separated<'_>> {
    let of = |records, quotes, notice: Option<String>| Separated {
        records,
        separator,
        quotes,
        notice,
    };
    if quotes == Some(false) || !text.contains('"') {
        return Ok(of(plain(text, separator), false, None));
    }
    let enclosed = quoted(text, separator);
    if quotes == Some(true) {
        return enclosed
            .map(|records| of(records, true, None))
            .map_err(|line| stray(line).hint("double a quote mark within a quoted cell"));
    }
    let bare = plain(text, separator);
    let enclosed = match enclosed {
        Ok(enclosed) => enclosed,
        Err(line) if separator == ',' && !fit(&bare) => {
            return Err(stray(line).hint(
                "double a quote mark within a quoted cell, or read all of them as text with quotes: false",
            ));
        }
        Err(line) => {
            let told = separator == ',' || bare.iter().any(looks_enclosed);
            let notice = told.then(|| {
                format!(
                    "line {line}: a cell begins with a quote mark and does not end with one, so quote marks are read as text; quotes: false says so, quotes: true refuses such a cell"
                )
            });
            return Ok(of(bare, false, notice));
        }
    };
    if !enclosed.iter().any(|r| r.fields.iter().any(|f| f.quoted)) {
        return Ok(of(enclosed, true, None));
    }
    if !fit(&bare) {
        return Ok(of(enclosed, true, None));
    }
    if !fit(&enclosed) {
        let notice = "quote marks are read as text, since the rows have equally many cells only so; the option quotes says otherwise";
        return Ok(of(bare, false, Some(notice.into())));
    }
    let notice = ambiguous(&enclosed, separator);
    Ok(of(enclosed, true, notice))
}

fn stray(line: usize) -> Error {
    Error::new(format!(
        "line {line}: a cell begins with a quote mark, but no quote mark before a separator or the end of a line closes it"
    ))
}

/// Whether a row has a cell as only writers of quoted cells write it.
fn looks_enclosed(record: &Record<'_>) -> bool {
    record.fields.iter().any(|field| {
        let inner = field
            .text
            .strip_prefix('"')
            .and_then(|t| t.strip_suffix('"'));
        inner.is_some_and(|inner| inner.contains("\"\""))
    })
}

/// Why a file that fits with its quote marks as text, too, may have been meant so: a quoted cell
/// holds what would be whole rows, or one is quoted for no reason where others are not.
fn ambiguous(records: &[Record<'_>], separator: char) -> Option<String> {
    let spanning = records.iter().find(|record| record.lines > 1);
    if let Some(record) = spanning {
        return Some(format!(
            "line {}: a quoted cell runs over {} lines, which would be rows of their own without the quote marks; quotes: false reads them so, quotes: true is silent",
            record.line, record.lines
        ));
    }
    if separator == ',' {
        return None;
    }
    let columns = records.first().map_or(0, |header| header.fields.len());
    let rows = records.get(1..).unwrap_or_default();
    let asked = |text: &str| {
        let apart = |c: char| SEPARATORS.contains(&c) || c == '"' || c == '\n' || c == '\r';
        text.contains(apart) || text != text.trim() || !super::is_plain(text)
    };
    let unasked = (0..columns).find_map(|column| {
        let cells = || rows.iter().map(|row| (row.line, &row.fields[column]));
        let bare = cells().any(|(_, f)| !f.quoted && super::is_plain(&f.text));
        let found = cells().find(|(_, f)| f.quoted && !asked(&f.text));
        found.filter(|_| bare)
    });
    unasked.map(|(line, _)| {
        format!(
            "line {line}: the quote marks around a cell are not read as a part of its text; quotes: false keeps them, quotes: true is silent"
        )
    })
}

/// What to do where rows differ in length and quote marks were read as text.
pub const QUOTES_ARE_TEXT: &str =
    "the quote marks of this file are read as text; quotes: true reads them as enclosing cells";

/// The error of a row that has not as many cells as the header.
pub fn unequal(line: usize, expected: usize, found: usize) -> Error {
    Error::new(format!(
        "line {line}: {found} columns, expected {expected} as in the header"
    ))
}

/// Whether a cell is written in quote marks so that it is read back as it is.
pub fn needs_quotes(text: &str, separator: char) -> bool {
    let apart = |c: char| c == separator || c == '"' || c == '\n' || c == '\r';
    text.contains(apart) || text.starts_with('\u{feff}')
}

/// The same of a column's name, so that no separator is found in it.
pub fn name_needs_quotes(name: &str, separator: char) -> bool {
    name.contains(SEPARATORS) || needs_quotes(name, separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, usual: char) -> Separated<'_> {
        separated(text, usual, Dialect::default()).unwrap()
    }

    fn rows(read: &Separated<'_>) -> Vec<Vec<String>> {
        let texts =
            |record: &Record<'_>| record.fields.iter().map(|f| f.text.to_string()).collect();
        read.records.iter().map(texts).collect()
    }

    #[test]
    fn separators_are_found() {
        for separator in SEPARATORS {
            let text = format!("a{separator}b\n1{separator}2\n");
            for usual in [',', '\t'] {
                let read = read(&text, usual);
                assert_eq!((read.separator, read.notice), (separator, None));
            }
        }
        // One column, whatever its texts hold.
        let one = read("text\na; b\nc\n", ',');
        assert_eq!((one.separator, rows(&one)[1].len()), (',', 1));
        let quoted = read("\"a;b\"\n\"c;d\"\n", ',');
        assert_eq!(rows(&quoted), [["a;b"], ["c;d"]]);
        let mixed = read("a;b, c\n1;2,5\n3;4,5,6\n", ',');
        assert_eq!(mixed.separator, ';');
        assert!(
            mixed
                .notice
                .unwrap()
                .contains("separated by \";\", not by \",\"")
        );
        let given = Dialect {
            separator: Some('|'),
            quotes: None,
        };
        let read = separated("a,b|c\n1,2|3\n", ',', given).unwrap();
        assert_eq!(rows(&read), [["a,b", "c"], ["1,2", "3"]]);
    }

    #[test]
    fn quote_marks_enclose_cells_or_are_text() {
        let quotes = read(
            "text\tlabel\n\"She said \"\"no\"\" to me\"\ta\nplain\tb\n",
            '\t',
        );
        assert_eq!(rows(&quotes)[1], ["She said \"no\" to me", "a"]);
        let lines = read("text\tlabel\n\"two\nlines\"\ta\nplain\tb\n", '\t');
        assert_eq!(rows(&lines)[1], ["two\nlines", "a"]);
        let glue = read(
            "text\tlabel\n\"Fine\" he said\ta\n\"It begins\tb\nplain\ta\nand ends\"\tb\n",
            '\t',
        );
        assert_eq!(rows(&glue)[2], ["\"It begins", "b"]);
        for read in [&quotes, &lines, &glue] {
            assert_eq!(read.notice, None);
        }
        assert!(quotes.quotes && lines.quotes && !glue.quotes);
    }

    #[test]
    fn what_can_be_meant_in_two_ways_is_said() {
        let notice = |text, usual| read(text, usual).notice.unwrap_or_default();
        let swallows = "text\tlabel\n\"It begins\ta\nand ends\"\tb\n";
        assert!(notice(swallows, '\t').starts_with("line 2: a quoted cell runs over 2 lines"));
        let around = "text\tlabel\n\"Fine\"\ta\nplain\tb\n";
        assert!(notice(around, '\t').starts_with("line 2: the quote marks around a cell"));
        assert_eq!(notice("text,label\n\"Fine\",a\nplain,b\n", ','), "");
        let all = "\"text\"\t\"label\"\n\"Fine\"\t\"a\"\n";
        assert_eq!(notice(all, '\t'), "");
        assert!(read(all, '\t').quotes_all());
        let stray = "text,label\n\"a\" b,x\nc,y\n";
        assert!(notice(stray, ',').starts_with("line 2: a cell begins with a quote mark"));
        let with = |quotes| Dialect {
            separator: None,
            quotes: Some(quotes),
        };
        let bare = separated(around, '\t', with(false)).unwrap();
        assert_eq!(rows(&bare)[1], ["\"Fine\"", "a"]);
        assert_eq!(separated(around, '\t', with(true)).unwrap().notice, None);
        let error = separated(stray, ',', with(true)).unwrap_err().to_string();
        assert_eq!(
            error,
            "line 2: a cell begins with a quote mark, but no quote mark before a separator or the end of a line closes it; double a quote mark within a quoted cell"
        );
    }
}
