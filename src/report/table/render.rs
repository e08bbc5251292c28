//! A table for reading in a terminal.

use std::fmt;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table as Drawing, TableStyle,
    Width,
};

use super::number::{decimals, shown_with};
use super::value::Kind;
use super::{Column, Table, Value};

/// Longer tables show their head and tail only.
const LONGEST: usize = 30;
const HEAD: usize = 20;
const TAIL: usize = 5;
/// Longer cells are cut.
const WIDEST_CELL: usize = 60;
/// A text column is not made narrower than this for others' sake.
const NARROWEST: usize = 10;
/// Where there is no terminal, so that what a script prints is the same everywhere.
const DEFAULT_WIDTH: usize = 100;
/// A text up to so many characters is not broken over lines: a name, a kind, a measure.
const SHORT: usize = 14;
/// Stands for the rows left out; no cell holds a control character once it is made printable.
const GAP: &str = "\u{1}";

impl Table {
    /// The table as text, about `width` characters wide where given: long texts wrap, and names of
    /// columns, numbers and short texts stay whole. Numbers to the right with at most four decimals,
    /// long tables as head and tail with the number of rows between.
    pub fn render(&self, width: Option<usize>) -> String {
        if self.columns.is_empty() {
            return "(an empty table)".into();
        }
        let shown: Vec<usize> = if self.rows > LONGEST {
            (0..HEAD).chain(self.rows - TAIL..self.rows).collect()
        } else {
            (0..self.rows).collect()
        };
        let columns: Vec<Vec<String>> = self.columns.iter().map(|c| c.texts(&shown)).collect();
        let mut drawing = Drawing::new();
        drawing.load_style(
            TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')),
        );
        if let Some(width) = width {
            drawing.set_content_arrangement(ContentArrangement::Dynamic);
            drawing.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        }
        drawing.set_header(self.columns.iter().map(|c| printable(&c.name)));
        for row in 0..shown.len() {
            if self.rows > LONGEST && row == HEAD {
                drawing.add_row([GAP]);
            }
            drawing.add_row(columns.iter().map(|texts| &texts[row]));
        }
        let drawn = drawing.column_iter_mut();
        for ((column, texts), drawn) in self.columns.iter().zip(&columns).zip(drawn) {
            drawn.set_padding((0, 1));
            // Names of columns, numbers and short texts are never broken over lines.
            let longest = texts.iter().map(|text| text.width()).max().unwrap_or(0);
            let mut least = printable(&column.name).width();
            if column.is_numeric() {
                drawn.set_cell_alignment(CellAlignment::Right);
                least = least.max(longest);
            } else {
                least = least.max(longest.min(SHORT));
            }
            let least = u16::try_from(least + 1).unwrap_or(u16::MAX);
            drawn.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
        }
        let mut lines: Vec<String> = drawing.lines().map(|l| l.trim_end().to_string()).collect();
        for line in &mut lines {
            if line.contains(GAP) {
                *line = format!("... ({} rows)", self.rows);
            }
        }
        if self.rows == 0 {
            lines.push("(no rows)".into());
        }
        lines.join("\n")
    }
}

impl Table {
    /// The table in one line: how many rows, which columns.
    pub fn summary(&self) -> String {
        let plural = if self.rows == 1 { "" } else { "s" };
        let columns = self.columns().join(", ");
        format!("Table of {} row{plural}: {columns}", self.rows)
    }

    /// The table for a screen `width` characters wide: a row a line. Where it is too wide, texts are
    /// cut first, to no less than ten characters, then the last columns are left out, with
    /// their names below.
    pub fn fitted(&self, width: usize) -> String {
        let shown: Vec<usize> = match self.rows > LONGEST {
            true => (0..HEAD).chain(self.rows - TAIL..self.rows).collect(),
            false => (0..self.rows).collect(),
        };
        let mut columns: Vec<Fit> = self.columns.iter().map(|c| Fit::of(c, &shown)).collect();
        if columns.is_empty() {
            return "(an empty table)".into();
        }
        let total = |columns: &[Fit]| columns.iter().map(|c| c.width + 2).sum::<usize>() - 2;
        // The widest texts give way first, one character at a time, so that they end equally wide.
        while total(&columns) > width {
            let widest = columns
                .iter_mut()
                .filter(|column| !column.numeric && column.width > NARROWEST)
                .max_by_key(|column| column.width);
            match widest {
                Some(column) => column.width -= 1,
                None => break,
            }
        }
        while columns.len() > 1 && total(&columns) > width {
            columns.pop();
        }
        let line = |cell: &dyn Fn(&Fit) -> String| {
            let cells: Vec<String> = columns.iter().map(cell).collect();
            cells.join("  ").trim_end().to_string()
        };
        let mut lines = vec![
            line(&|column| column.padded(&column.name)),
            "─".repeat(total(&columns).min(width)),
        ];
        for row in 0..shown.len() {
            if self.rows > LONGEST && row == HEAD {
                lines.push(format!("... {} more rows ...", self.rows - shown.len()));
            }
            lines.push(line(&|column| column.padded(&column.texts[row])));
        }
        if self.rows == 0 {
            lines.push("(no rows)".into());
        }
        let hidden: Vec<&str> = self.columns[columns.len()..]
            .iter()
            .map(|c| &*c.name)
            .collect();
        if !hidden.is_empty() {
            let plural = if hidden.len() == 1 { "" } else { "s" };
            lines.push(cut(
                &format!(
                    "... {} more column{plural}: {}",
                    hidden.len(),
                    hidden.join(", ")
                ),
                width,
            ));
        }
        lines.join("\n")
    }
}

/// A column as it is fitted.
struct Fit {
    name: String,
    texts: Vec<String>,
    numeric: bool,
    width: usize,
}

impl Fit {
    fn of(column: &Column, rows: &[usize]) -> Self {
        let texts = column.texts(rows);
        let name = printable(&column.name);
        let all = texts.iter().chain([&name]);
        Self {
            numeric: column.is_numeric(),
            width: all.map(|text| text.width()).max().unwrap_or(0),
            texts,
            name,
        }
    }

    /// `text` as wide as the column, numbers to the right.
    fn padded(&self, text: &str) -> String {
        let text = cut(text, self.width);
        let space = " ".repeat(self.width - text.width().min(self.width));
        match self.numeric {
            true => format!("{space}{text}"),
            false => format!("{text}{space}"),
        }
    }
}

/// As much of `text` as fits into `width`: its start, and of a name, which has no spaces, its end
/// too, since names often differ there.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.into();
    }
    let room = width.saturating_sub(1);
    let end = if text.contains(' ') { 0 } else { room / 2 };
    let fitting = |letters: &mut dyn Iterator<Item = char>, room: usize| -> Vec<char> {
        let mut filled = 0;
        let fits = |c: &char| {
            filled += c.width().unwrap_or(0);
            filled <= room
        };
        letters.take_while(fits).collect()
    };
    let mut cut = fitting(&mut text.chars(), room - end);
    cut.push('…');
    cut.extend(fitting(&mut text.chars().rev(), end).iter().rev());
    cut.into_iter().collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Some(DEFAULT_WIDTH)))
    }
}

impl Column {
    /// Whether every filled cell is a number, and one is filled.
    pub(super) fn is_numeric(&self) -> bool {
        let mut filled = self.cells.iter().filter(|cell| !cell.is_null()).peekable();
        filled.peek().is_some() && filled.all(|cell| cell.kind() == Kind::Number)
    }

    /// The cells at `rows` as text that a terminal can show.
    fn texts(&self, rows: &[usize]) -> Vec<String> {
        let texts = self.decimal_texts(rows.iter().copied());
        texts.iter().map(|text| printable(text)).collect()
    }

    /// The cells at `rows` as text, the floats with as many decimals as the one that needs most.
    pub(super) fn decimal_texts(&self, rows: impl Iterator<Item = usize> + Clone) -> Vec<String> {
        let needed = |row: usize| match &self.cells[row] {
            Value::Float(value) => decimals(*value),
            _ => 0,
        };
        let most = rows.clone().map(needed).max().unwrap_or(0);
        let text = |row: usize| match &self.cells[row] {
            Value::Float(value) => shown_with(*value, most),
            cell => cell.to_string(),
        };
        rows.map(text).collect()
    }
}

/// On one line, without what steers a terminal, and not too long.
fn printable(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == WIDEST_CELL {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::from_columns([
            (
                "members",
                vec![Value::list(["films", "news"]), Value::list(["films"])],
            ),
            ("size", vec![2.into(), 10.into()]),
            ("drop", vec![0.123456.into(), (-0.5).into()]),
            ("p", vec![1.23456e-7.into(), Value::Null]),
        ])
        .unwrap()
    }

    #[test]
    fn columns_align_by_type() {
        let expected = "\
members     size     drop         p
───────────────────────────────────
films+news     2   0.1235  1.235e-7
films         10  -0.5000";
        let strip = |text: &str| -> Vec<String> {
            let lines = text.lines();
            lines
                .map(|l| l.trim_end().trim_end_matches('─').to_string())
                .collect()
        };
        assert_eq!(strip(&table().render(None)), strip(expected));
        assert_eq!(table().to_string(), table().render(Some(100)));
    }

    #[test]
    fn a_long_table_shows_its_ends() {
        let cells = (0..40).map(Value::from).collect();
        let table = Table::from_columns([("i", cells)]).unwrap();
        let text = table.render(Some(80));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 + HEAD + 1 + TAIL);
        assert_eq!(lines[2 + HEAD], "... (40 rows)");
        assert_eq!((lines[2].trim(), lines[2 + HEAD - 1].trim()), ("0", "19"));
        assert_eq!(lines[lines.len() - 1].trim(), "39");
        assert!(!table.first(LONGEST).render(None).contains("..."));
    }

    #[test]
    fn a_narrow_terminal_wraps_and_a_hostile_text_is_harmless() {
        let long = "word ".repeat(30);
        let table = Table::from_columns([
            ("text", vec![long.as_str().into(), "a\u{1b}[2J\nb".into()]),
            ("p", vec![0.5.into(), 0.25.into()]),
        ])
        .unwrap();
        let text = table.render(Some(40));
        assert!(
            text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
        );
        assert!(text.contains('…'));
        assert!(table.render(None).contains("a\\u{1b}[2J\\nb"));
        for width in 0..12 {
            assert!(!table.render(Some(width)).is_empty());
        }
    }

    #[test]
    fn a_wide_table_gives_way_in_order() {
        let long = "word ".repeat(8);
        let table = Table::from_columns([
            ("name", vec![long.as_str().into(), "日本語".into()]),
            ("accuracy", vec![0.123456.into(), 1.0.into()]),
            ("note", vec!["a".into(), "b".into()]),
        ])
        .unwrap();
        let wide = table.fitted(80);
        assert!(wide.contains(long.trim()), "{wide}");
        for width in [30, 26] {
            let cut = table.fitted(width);
            assert!(
                cut.contains("word w") && cut.contains('…') && cut.contains("note"),
                "{cut}"
            );
            assert!(cut.lines().all(|line| line.width() <= width), "{cut}");
        }
        let narrow = table.fitted(22);
        assert!(narrow.ends_with("... 1 more column: no…"), "{narrow}");
        assert!(
            narrow.contains("0.1235") && !narrow.contains("note"),
            "{narrow}"
        );
        for width in 0..12 {
            assert!(!table.fitted(width).is_empty());
        }
        let rows = (0..40).map(Value::from).collect();
        let long = Table::from_columns([("i", rows)]).unwrap().fitted(60);
        assert!(long.contains("... 15 more rows ..."), "{long}");
    }

    #[test]
    fn empty_tables_say_so() {
        assert_eq!(Table::default().to_string(), "(an empty table)");
        let text = table().first(0).to_string();
        assert!(text.starts_with("members"), "{text}");
        assert!(text.ends_with("(no rows)"), "{text}");
    }

    #[test]
    fn short_texts_stay_whole_beside_long_ones() {
        let long = "what is long wraps ".repeat(6);
        let columns = [
            ("measure", vec!["conflict_mass1".into()]),
            ("why", vec![long.as_str().into()]),
        ];
        let text = Table::from_columns(columns).unwrap().render(Some(30));
        assert!(text.contains("conflict_mass1"), "{text}");
        assert!(text.lines().count() > 4, "{text}");
    }
}
