//! Tables as files: csv, tsv and jsonl for programs, Markdown and LaTeX for papers.

use std::path::Path;

use serde_json::{Map, Value as Json};

use super::number::exact;
use super::{Table, Value};
use crate::study::files::write_atomic;
use crate::text;
use crate::{Error, Result, bail};

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated, quoted where needed; a list as `a+b+c`, an empty cell as nothing.
    Csv,
    /// The same between tabs.
    Tsv,
    /// A JSON object a line: keeps every cell's kind.
    Jsonl,
    /// A Markdown table, numbers as shown in the terminal.
    Markdown,
    /// A LaTeX `tabular` with booktabs rules, numbers as shown in the terminal.
    Latex,
}

impl Format {
    /// The format that a path's ending names.
    pub fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        match ending.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            "jsonl" => Ok(Self::Jsonl),
            "md" => Ok(Self::Markdown),
            "tex" => Ok(Self::Latex),
            _ => Err(Error::at_path(path, "the ending names no table format")
                .hint("one of csv, tsv, jsonl, md, tex")),
        }
    }
}

impl Table {
    /// The table as the text of a file. In csv, tsv and jsonl floats are the shortest text that
    /// reads back the same.
    pub fn encode(&self, format: Format) -> Result<String> {
        match format {
            Format::Csv => Ok(self.separated(',')),
            Format::Tsv => Ok(self.separated('\t')),
            Format::Jsonl => self.jsonl(),
            Format::Markdown => Ok(self.markdown()),
            Format::Latex => Ok(self.latex()),
        }
    }

    /// Writes the table in the format its path ends in, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomic(path, self.encode(Format::of(path)?)?.as_bytes())
    }

    /// A text that `decode` reads back to the same cells, lists and unlike kinds in one column
    /// aside: a text that could be a number, a truth value or a missing one stands in quote marks,
    /// and so does an empty text.
    fn separated(&self, separator: char) -> String {
        let mut out = String::new();
        if self.columns.is_empty() {
            return out;
        }
        // A line with nothing on it would be no row.
        let alone = self.columns.len() == 1;
        let holes = alone
            && self
                .columns
                .iter()
                .any(|c| c.cells.iter().any(Value::is_null));
        let header = self.columns.iter().map(|column| {
            enclosed(
                &column.name,
                text::name_needs_quotes(&column.name, separator),
            )
        });
        line(&mut out, header, separator);
        for row in 0..self.rows {
            let cells = self.columns.iter().map(|column| {
                let cell = &column.cells[row];
                let unclear = match cell {
                    Value::Null if alone => return "NA".to_string(),
                    Value::Text(text) => holes || !text::is_plain(text),
                    Value::List(_) => holes,
                    _ => false,
                };
                let text = plain(cell);
                enclosed(&text, unclear || text::needs_quotes(&text, separator))
            });
            line(&mut out, cells, separator);
        }
        out
    }

    fn jsonl(&self) -> Result<String> {
        let mut out = String::new();
        for row in 0..self.rows {
            let mut object = Map::new();
            for column in self.columns.iter() {
                object.insert(column.name.to_string(), json(&column.cells[row])?);
            }
            out.push_str(&Json::Object(object).to_string());
            out.push('\n');
        }
        Ok(out)
    }

    fn markdown(&self) -> String {
        let escape = |text: &str| text.replace('|', "\\|").replace(['\n', '\r'], " ");
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut out = line(self.columns().into_iter().map(escape).collect());
        let rules = self.columns.iter().map(|c| match c.is_numeric() {
            true => "---:".to_string(),
            false => ":---".to_string(),
        });
        out.push_str(&line(rules.collect()));
        self.rows_of_texts()
            .for_each(|row| out.push_str(&line(row.iter().map(|text| escape(text)).collect())));
        out
    }

    fn latex(&self) -> String {
        let aligned = self
            .columns
            .iter()
            .map(|c| if c.is_numeric() { 'r' } else { 'l' });
        let line = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
        let mut out = format!(
            "\\begin{{tabular}}{{{}}}\n\\toprule\n",
            aligned.collect::<String>()
        );
        out.push_str(&line(
            self.columns().into_iter().map(escape_latex).collect(),
        ));
        out.push_str("\\midrule\n");
        self.rows_of_texts()
            .for_each(|row| out.push_str(&line(row.iter().map(|t| escape_latex(t)).collect())));
        out.push_str("\\bottomrule\n\\end{tabular}\n");
        out
    }

    /// The cells for reading, whole texts, row by row.
    fn rows_of_texts(&self) -> impl Iterator<Item = Vec<String>> {
        let texts = self.columns.iter().map(|c| c.decimal_texts(0..self.rows));
        let columns: Vec<Vec<String>> = texts.collect();
        (0..self.rows).map(move |row| columns.iter().map(|c| c[row].clone()).collect())
    }
}

/// Adds a row of a csv file.
fn line(out: &mut String, cells: impl Iterator<Item = String>, separator: char) {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            out.push(separator);
        }
        out.push_str(&cell);
    }
    out.push('\n');
}

/// A text in quote marks, its own doubled, or as it is.
fn enclosed(text: &str, quotes: bool) -> String {
    match quotes {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}

/// A cell of a csv file.
fn plain(value: &Value) -> String {
    match value {
        Value::Float(value) => exact(*value),
        Value::List(items) => items.iter().map(plain).collect::<Vec<_>>().join("+"),
        other => other.to_string(),
    }
}

fn json(value: &Value) -> Result<Json> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Float(value) => match serde_json::Number::from_f64(*value) {
            Some(number) => Json::Number(number),
            None => bail!("{value} is no JSON number"),
        },
        Value::Text(text) => Json::from(&**text),
        Value::List(items) => Json::Array(items.iter().map(json).collect::<Result<_>>()?),
    })
}

fn escape_latex(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '\\' => out.push_str("\\textbackslash{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::from_columns([
            ("name", vec!["a|b, \"c\"".into(), "x_1 & 5%\n".into()]),
            ("size", vec![2.into(), Value::Null]),
            ("drop", vec![(0.1 + 0.2).into(), 2.0.into()]),
            ("members", vec![Value::list(["a", "b"]), Value::list([1.5])]),
        ])
        .unwrap()
    }

    fn encode(format: Format) -> String {
        table().encode(format).unwrap()
    }

    #[test]
    fn files_for_programs_are_exact() {
        assert_eq!(
            encode(Format::Csv),
            "name,size,drop,members\n\
             \"a|b, \"\"c\"\"\",2,0.30000000000000004,a+b\n\
             \"x_1 & 5%\n\",,2.0,1.5\n"
        );
        assert!(encode(Format::Tsv).starts_with("name\tsize\tdrop\tmembers\n"));
        let first = encode(Format::Jsonl);
        assert_eq!(
            first.lines().next().unwrap(),
            r#"{"name":"a|b, \"c\"","size":2,"drop":0.30000000000000004,"members":["a","b"]}"#
        );
        assert_eq!(Table::default().encode(Format::Csv).unwrap(), "");
    }

    #[test]
    fn files_for_papers_are_readable_and_escaped() {
        assert_eq!(
            encode(Format::Markdown),
            "| name | size | drop | members |\n\
             | :--- | ---: | ---: | :--- |\n\
             | a\\|b, \"c\" | 2 | 0.3 | a+b |\n\
             | x_1 & 5%  |  | 2.0 | 1.5 |\n"
        );
        assert_eq!(
            encode(Format::Latex),
            "\\begin{tabular}{lrrl}\n\\toprule\nname & size & drop & members \\\\\n\\midrule\n\
             a|b, \"c\" & 2 & 0.3 & a+b \\\\\nx\\_1 \\& 5\\%  &  & 2.0 & 1.5 \\\\\n\
             \\bottomrule\n\\end{tabular}\n"
        );
    }

    #[test]
    fn the_ending_names_the_format() {
        assert_eq!(Format::of(Path::new("a/x.CSV")).unwrap(), Format::Csv);
        assert_eq!(Format::of(Path::new("x.tex")).unwrap(), Format::Latex);
        let error = Format::of(Path::new("x.xlsx")).unwrap_err().to_string();
        assert!(
            error.ends_with("one of csv, tsv, jsonl, md, tex"),
            "{error}"
        );
        assert!(Format::of(Path::new("x")).is_err());
    }

    #[test]
    fn a_saved_table_is_the_encoded_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t/x.csv");
        table().save(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), encode(Format::Csv));
        assert!(table().save(&folder.path().join("x.bin")).is_err());
    }
}
