//! Tables from files.

use std::path::Path;

use serde_json::{Map, Value as Json};

use super::{Column, Format, Table, Value};
use crate::{Error, Result, bail};

impl Table {
    /// Reads a csv, tsv or jsonl file; see [`Table::decode`].
    pub fn read(path: &Path) -> Result<Self> {
        let format = Format::of(path)?;
        let text = std::fs::read_to_string(path).map_err(|e| Error::at_path(path, e))?;
        Self::decode(&text, format).map_err(|e| e.within(path.display()))
    }

    /// The table in the text of a csv, tsv or jsonl file.
    ///
    /// A column of csv or tsv is of whole numbers, of numbers, of true and false or of texts: the
    /// first that fits all its filled cells. `007` and numbers too long to hold are texts. An
    /// empty cell is empty; lists were written as texts and stay so. In jsonl every line has the keys of the first, whose order the columns
    /// take; arrays are lists.
    pub fn decode(text: &str, format: Format) -> Result<Self> {
        match format {
            Format::Csv => separated(text, b','),
            Format::Tsv => separated(text, b'\t'),
            Format::Jsonl => jsonl(text),
            Format::Markdown | Format::Latex => {
                bail!("tables are not read from md and tex"; hint: "csv, tsv and jsonl are read")
            }
        }
    }
}

fn separated(text: &str, delimiter: u8) -> Result<Table> {
    let failed = |error: csv::Error| Error::new(error.to_string());
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let names = reader.headers().map_err(failed)?.clone();
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    for record in reader.records() {
        let record = record.map_err(failed)?;
        for (column, cell) in columns.iter_mut().zip(record.iter()) {
            column.push(cell.to_string());
        }
    }
    let rows = columns.first().map_or(0, Vec::len);
    let columns = names
        .iter()
        .zip(columns)
        .map(|(name, cells)| Column::new(name, typed(&cells)))
        .collect::<Result<_>>()?;
    Table::of_columns(columns, rows)
}

/// The cells as the first kind that fits all that are filled.
fn typed(cells: &[String]) -> Vec<Value> {
    let kinds: [fn(&str) -> Option<Value>; 3] = [
        |cell| is_number(cell).then(|| cell.parse().ok().map(Value::Int))?,
        |cell| {
            let whole = cell
                .trim_start_matches('-')
                .bytes()
                .all(|b| b.is_ascii_digit());
            if !is_number(cell) || (whole && cell.parse::<i64>().is_err()) {
                return None;
            }
            let value: f64 = cell.parse().ok()?;
            value.is_finite().then_some(Value::Float(value))
        },
        |cell| cell.parse().ok().map(Value::Bool),
    ];
    let read = |kind: fn(&str) -> Option<Value>| -> Option<Vec<Value>> {
        let cell = |cell: &String| match cell.as_str() {
            "" => Some(Value::Null),
            cell => kind(cell),
        };
        cells.iter().map(cell).collect()
    };
    let text = || {
        cells.iter().map(|c| {
            if c.is_empty() {
                Value::Null
            } else {
                Value::text(c)
            }
        })
    };
    kinds
        .into_iter()
        .find_map(read)
        .unwrap_or_else(|| text().collect())
}

/// Whether a text is written as JSON writes numbers: `007`, `1.` and `nan` are not.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (number, power) = match text.split_once(['e', 'E']) {
        Some((number, power)) => (number, Some(power)),
        None => (text, None),
    };
    let (whole, part) = match number.split_once('.') {
        Some((whole, part)) => (whole, Some(part)),
        None => (number, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && part.is_none_or(digits)
        && power.is_none_or(|power| digits(power.strip_prefix(['+', '-']).unwrap_or(power)))
}

fn jsonl(text: &str) -> Result<Table> {
    let mut rows: Vec<Vec<(String, Value)>> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let row = object(line).map_err(|e| e.within(format!("line {}", at + 1)))?;
        rows.push(row);
    }
    let order: Vec<String> = rows.first().map_or_else(Vec::new, |row| {
        row.iter().map(|(name, _)| name.clone()).collect()
    });
    let order: Vec<&str> = order.iter().map(String::as_str).collect();
    Table::from_rows(&rows, &order)
}

fn object(line: &str) -> Result<Vec<(String, Value)>> {
    let object: Map<String, Json> =
        serde_json::from_str(line).map_err(|e| Error::new(format!("no JSON object: {e}")))?;
    object
        .into_iter()
        .map(|(name, json)| {
            let cell = cell(json).map_err(|e| e.within(format!("`{name}`")))?;
            Ok((name, cell))
        })
        .collect()
}

fn cell(json: Json) -> Result<Value> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => match (number.as_i64(), number.is_f64(), number.as_f64()) {
            (Some(value), _, _) => Value::Int(value),
            (None, true, Some(value)) => Value::Float(value),
            _ => bail!("{number} is beyond whole numbers"),
        },
        Json::String(text) => Value::text(text),
        Json::Array(items) => Value::List(items.into_iter().map(cell).collect::<Result<_>>()?),
        Json::Object(_) => bail!("a cell is no object"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(text: &str) -> Result<Table> {
        Table::decode(text, Format::Csv)
    }

    #[test]
    fn columns_take_the_kind_that_fits_them_all() {
        let table = csv("\u{feff}i,f,b,t,id,big,none\n1,1,true,x,007,99999999999999999999,\n-2,2.5e-3,false,2,1,1,\n,,,,,,\n").unwrap();
        let column = |name: &str| table.column(name).unwrap().to_vec();
        assert_eq!(column("i"), [1.into(), (-2).into(), Value::Null]);
        assert_eq!(column("f"), [1.0.into(), 0.0025.into(), Value::Null]);
        assert_eq!(column("b"), [true.into(), false.into(), Value::Null]);
        assert_eq!(column("t"), ["x".into(), "2".into(), Value::Null]);
        assert_eq!(column("id"), ["007".into(), "1".into(), Value::Null]);
        assert_eq!(column("big")[0], "99999999999999999999".into());
        assert_eq!(column("none"), [Value::Null, Value::Null, Value::Null]);
    }

    #[test]
    fn numbers_are_written_as_in_json() {
        for text in ["0", "-1", "10", "1.5", "0.0", "1e5", "-2.5E-3", "1e+2"] {
            assert!(is_number(text), "{text}");
        }
        for text in [
            "", "-", "01", "1.", ".5", "1e", "nan", "inf", "+1", "1_0", "0x1", " 1",
        ] {
            assert!(!is_number(text), "{text}");
        }
        assert_eq!(
            csv("x\n1e999\n").unwrap().column("x").unwrap(),
            ["1e999".into()]
        );
    }

    #[test]
    fn broken_files_say_where() {
        let error = csv("a,b\n1,2\n3\n").unwrap_err().to_string();
        assert!(error.contains("line: 3"), "{error}");
        assert!(csv("a,a\n1,2\n").is_err());
        let fails = |text: &str| Table::decode(text, Format::Jsonl).unwrap_err().to_string();
        assert!(fails("{\"a\":1}\n\n[1]\n").starts_with("line 3: no JSON object"));
        assert_eq!(
            fails("{\"a\":1}\n{\"b\":1}\n"),
            "row 1 has no `a`; it has b"
        );
        assert_eq!(fails("{\"a\":{}}"), "line 1: `a`: a cell is no object");
        assert!(fails("{\"a\":18446744073709551615}").contains("beyond whole numbers"));
        assert!(Table::decode("", Format::Markdown).is_err());
        let missing = Table::read(Path::new("no/such.csv"))
            .unwrap_err()
            .to_string();
        assert!(missing.starts_with("no/such.csv: "), "{missing}");
    }

    #[test]
    fn empty_texts_are_empty_tables() {
        assert_eq!(csv("").unwrap(), Table::default());
        assert_eq!(csv("a,b\n").unwrap().columns(), ["a", "b"]);
        assert_eq!(
            Table::decode("\n", Format::Jsonl).unwrap(),
            Table::default()
        );
    }
}
