//! Tables from files.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use serde_json::Value as Json;

use super::{Column, Format, Table, Value};
use crate::text::{self, Dialect, Field, Number};
use crate::{Error, Result, bail, nearest};

/// How to read a table; what is not given is found out.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The separator and the quote marks of csv and tsv.
    pub dialect: Dialect,
    /// What columns of csv and tsv hold.
    pub types: BTreeMap<String, CellType>,
}

impl ReadOptions {
    /// The first option that acts on csv and tsv only.
    fn given(&self) -> Option<&'static str> {
        let types = (!self.types.is_empty()).then_some("types");
        self.dialect.given().or(types)
    }
}

/// What a column of a csv or tsv file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellType {
    /// Numbers, whole ones where all are.
    Number,
    /// True and false.
    Bool,
    /// Texts as they are.
    Text,
}

impl CellType {
    /// The names of the types.
    pub const NAMES: [&str; 3] = ["number", "bool", "text"];

    fn expected(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Text => "a text",
        }
    }
}

impl FromStr for CellType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "number" => Ok(Self::Number),
            "bool" => Ok(Self::Bool),
            "text" => Ok(Self::Text),
            _ => bail!("expected one of number, bool, text, got {name:?}"),
        }
    }
}

impl Table {
    /// Reads a csv, tsv or jsonl file, each also .gz; see [`Table::decode`].
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_with(path, &ReadOptions::default(), &|_| {})
    }

    /// [`Table::read`] with options; `tell` takes what is to be said of a file that can be read in
    /// two ways.
    pub fn read_with(path: &Path, options: &ReadOptions, tell: &dyn Fn(String)) -> Result<Self> {
        let packed = path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
        let format = match packed {
            true => Format::of(&path.with_extension(""))?,
            false => Format::of(path)?,
        };
        let text = match packed {
            true => {
                let bytes = std::fs::read(path).map_err(|e| Error::at_path(path, e))?;
                text::decode(&path.display().to_string(), text::gunzip(path, &bytes)?)?
            }
            false => text::read(path)?,
        };
        let tell = |notice: String| tell(format!("{}: {notice}", path.display()));
        Self::decode_with(&text, format, options, &tell).map_err(|e| e.within(path.display()))
    }

    /// The table in the text of a csv, tsv or jsonl file.
    ///
    /// A column of csv or tsv is of whole numbers, of numbers, of true and false or of texts: the
    /// first that fits all its filled cells. In the first three, a cell is missing where pandas
    /// takes it for missing (empty, NaN, NA, N/A, null, None and so on); in a column of texts only
    /// an empty cell is, and the others are texts. `007` and numbers too long to hold are texts. A
    /// column whose filled cells all stand in quote marks is one of texts, unless the file quotes
    /// every cell. Lists were written as texts and stay so. In jsonl every line has the keys of the
    /// first, whose order the columns take; arrays are lists.
    pub fn decode(text: &str, format: Format) -> Result<Self> {
        Self::decode_with(text, format, &ReadOptions::default(), &|_| {})
    }

    fn decode_with(
        text: &str,
        format: Format,
        options: &ReadOptions,
        tell: &dyn Fn(String),
    ) -> Result<Self> {
        let text = text::unmarked(text);
        match (format, options.given()) {
            (Format::Csv, _) => separated(text, ',', options, tell),
            (Format::Tsv, _) => separated(text, '\t', options, tell),
            (Format::Jsonl, Some(option)) => {
                bail!("option {option}: a jsonl file has no separated cells"; hint: "the option is for csv and tsv")
            }
            (Format::Jsonl, None) => jsonl(text),
            (Format::Markdown | Format::Latex, _) => {
                bail!("tables are not read from md and tex"; hint: "csv, tsv and jsonl are read")
            }
        }
    }
}

fn separated(
    text: &str,
    usual: char,
    options: &ReadOptions,
    tell: &dyn Fn(String),
) -> Result<Table> {
    let file = text::separated(text, usual, options.dialect)?;
    if let Some(notice) = &file.notice {
        tell(notice.clone());
    }
    let quotes_all = file.quotes_all();
    let quotes_are_text = !file.quotes && text.contains('"');
    let mut records = file.records.into_iter();
    let names: Vec<String> = match records.next() {
        Some(header) => header
            .fields
            .into_iter()
            .map(|f| f.text.into_owned())
            .collect(),
        None => return Ok(Table::default()),
    };
    if let Some(unknown) = options.types.keys().find(|name| !names.contains(name)) {
        let error = Error::new(format!("option types: there is no column `{unknown}`"));
        return Err(match nearest(unknown, names.iter().map(String::as_str)) {
            Some(meant) => error.hint(format!("did you mean `{meant}`?")),
            None => error.hint(format!("the columns are {}", names.join(", "))),
        });
    }
    if names.first().is_some_and(String::is_empty) {
        bail!("line 1: the first column has no name"; hint: "pandas writes its index so: call to_csv(.., index=False), or name the column in the header");
    }
    let mut lines = Vec::new();
    let mut columns: Vec<Vec<Field<'_>>> = vec![Vec::new(); names.len()];
    for record in records {
        if record.fields.len() != names.len() {
            let error = text::unequal(record.line, names.len(), record.fields.len());
            return Err(match quotes_are_text {
                true => error.hint(text::QUOTES_ARE_TEXT),
                false => error,
            });
        }
        lines.push(record.line);
        for (column, mut field) in columns.iter_mut().zip(record.fields) {
            field.quoted &= !quotes_all;
            column.push(field);
        }
    }
    let columns = names.iter().zip(columns).map(|(name, fields)| {
        let place = Place {
            name,
            lines: &lines,
        };
        let cells = match options.types.get(name) {
            Some(kind) => place.forced(&fields, *kind)?,
            None => place.typed(&fields, tell)?,
        };
        Column::new(name, cells)
    });
    Table::of_columns(columns.collect::<Result<_>>()?, lines.len())
}

/// A column with the lines of its cells.
struct Place<'a> {
    name: &'a str,
    lines: &'a [usize],
}

impl Place<'_> {
    fn error(&self, row: usize, message: impl std::fmt::Display) -> Error {
        let line = self.lines.get(row).copied().unwrap_or_default();
        Error::new(format!("line {line}: column {}: {message}", self.name))
    }

    /// The cells as the first kind that fits all that are filled.
    fn typed(&self, fields: &[Field<'_>], tell: &dyn Fn(String)) -> Result<Vec<Value>> {
        let filled = || fields.iter().filter(|field| !is_missing(field));
        if filled().next().is_none() {
            return Ok(vec![Value::Null; fields.len()]);
        }
        // Who quotes a number or NA means a text, as the writer of tables does.
        if filled().all(|field| field.quoted) {
            return Ok(cells(fields, is_missing, |field| Value::text(&field.text)));
        }
        let numbers = || filled().filter_map(|field| text::number(&field.text));
        let count = numbers().count();
        if numbers().all(|number| number != Number::TooLong) && count == filled().count() {
            return self.numbers(fields);
        }
        if filled().all(|field| text::boolean(&field.text).is_some()) {
            return Ok(cells(fields, is_missing, |field| {
                text::boolean(&field.text).into()
            }));
        }
        let odd = |field: &Field<'_>| !is_missing(field) && text::number(&field.text).is_none();
        let bare = |field: &&Field<'_>| !field.quoted && text::number(&field.text).is_some();
        let count = filled().filter(bare).count();
        if count > filled().count() / 2
            && let Some(row) = fields.iter().position(odd)
        {
            tell(format!(
                "{} beside {count} numbers, so the column is read as texts; types: #{{ {}: \"text\" }} says so",
                self.error(row, format_args!("`{}` is not a number", fields[row].text)),
                self.name
            ));
        }
        Ok(cells(fields, is_empty, |field| Value::text(&field.text)))
    }

    /// The cells as a type that was asked for.
    fn forced(&self, fields: &[Field<'_>], kind: CellType) -> Result<Vec<Value>> {
        let wrong = |row: usize| {
            let text = &fields[row].text;
            self.error(row, format_args!("`{text}`, expected {}", kind.expected()))
        };
        let row_of = |fits: &dyn Fn(&str) -> bool| {
            let odd = |field: &Field<'_>| !text::is_missing(&field.text) && !fits(&field.text);
            fields.iter().position(odd)
        };
        let missing = |field: &Field<'_>| text::is_missing(&field.text);
        match kind {
            CellType::Text => Ok(cells(fields, is_empty, |field| Value::text(&field.text))),
            CellType::Bool => match row_of(&|cell| text::boolean(cell).is_some()) {
                Some(row) => Err(wrong(row)),
                None => Ok(cells(fields, missing, |field| {
                    text::boolean(&field.text).into()
                })),
            },
            CellType::Number => {
                let fits = |cell: &str| !matches!(text::number(cell), None | Some(Number::TooLong));
                match row_of(&fits) {
                    Some(row) => Err(wrong(row)),
                    None => self.numbers(fields),
                }
            }
        }
    }

    /// Cells that are all numbers or missing: whole ones where all are.
    fn numbers(&self, fields: &[Field<'_>]) -> Result<Vec<Value>> {
        let number = |field: &Field<'_>| match text::is_missing(&field.text) {
            true => None,
            false => text::number(&field.text),
        };
        if let Some(row) = fields
            .iter()
            .position(|f| number(f) == Some(Number::Infinite))
        {
            let what = format!("`{}` is not a finite number", fields[row].text);
            return Err(self.error(row, what).hint("leave the cell empty instead"));
        }
        let whole = fields
            .iter()
            .filter_map(number)
            .all(|n| matches!(n, Number::Int(_)));
        let value = |field: &Field<'_>| match number(field) {
            Some(Number::Int(value)) if whole => Value::Int(value),
            // The digits themselves: a whole number may be longer than a float holds.
            Some(_) => field
                .text
                .trim()
                .parse::<f64>()
                .map_or(Value::Null, Value::Float),
            None => Value::Null,
        };
        Ok(fields.iter().map(value).collect())
    }
}

/// Nothing where a cell is missing, else its value.
fn cells(
    fields: &[Field<'_>],
    missing: impl Fn(&Field<'_>) -> bool,
    value: impl Fn(&Field<'_>) -> Value,
) -> Vec<Value> {
    let cell = |field: &Field<'_>| match missing(field) {
        true => Value::Null,
        false => value(field),
    };
    fields.iter().map(cell).collect()
}

/// Whether a cell is missing in a column of numbers, or of true and false.
fn is_missing(field: &Field<'_>) -> bool {
    !field.quoted && text::is_missing(&field.text)
}

/// Whether a cell is missing in a column of texts.
fn is_empty(field: &Field<'_>) -> bool {
    !field.quoted && field.text.is_empty()
}

fn jsonl(text: &str) -> Result<Table> {
    let mut rows: Vec<Vec<(String, Value)>> = Vec::new();
    for (line, content) in text.lines().enumerate().map(|(i, line)| (i + 1, line)) {
        if content.trim().is_empty() {
            continue;
        }
        let value = text::json::value(content).map_err(|e| text::json::bad(line, content, &e))?;
        rows.push(object(value).map_err(|e| e.within(format!("line {line}")))?);
    }
    let order: Vec<String> = rows.first().map_or_else(Vec::new, |row| {
        row.iter().map(|(name, _)| name.clone()).collect()
    });
    let order: Vec<&str> = order.iter().map(String::as_str).collect();
    Table::from_rows(&rows, &order)
}

fn object(value: Json) -> Result<Vec<(String, Value)>> {
    let Json::Object(object) = value else {
        bail!("no JSON object, expected one such as {{\"size\": 2}}");
    };
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

    fn column(text: &str, name: &str) -> Vec<Value> {
        csv(text).unwrap().column(name).unwrap().to_vec()
    }

    fn told(text: &str, options: &ReadOptions) -> (Result<Table>, String) {
        let notices = std::cell::RefCell::new(Vec::new());
        let tell = |notice| notices.borrow_mut().push(notice);
        let table = Table::decode_with(text, Format::Csv, options, &tell);
        (table, notices.into_inner().join("; "))
    }

    #[test]
    fn missing_cells_of_numbers_are_those_of_pandas() {
        for missing in ["nan", "NA", "N/A", "null", "None", "", "#N/A", "NaN"] {
            let score = column(&format!("run,score\na,1.5\nb,{missing}\nc,2.5\n"), "score");
            assert_eq!(score, [1.5.into(), Value::Null, 2.5.into()], "{missing}");
        }
        assert_eq!(column("x,y\n1,a\nNA,b\n", "x"), [1.into(), Value::Null]);
        let flags = column("x,y\nTrue,a\nNA,b\nFALSE,c\n", "x");
        assert_eq!(flags, [true.into(), Value::Null, false.into()]);
        // Beside other texts they are texts.
        let texts = column("x,y\nNone,a\nother,b\n,c\nnull,d\n", "x");
        assert_eq!(
            texts,
            ["None".into(), "other".into(), Value::Null, "null".into()]
        );
        assert_eq!(
            column("x,y\nNA,a\nnan,b\n", "x"),
            [Value::Null, Value::Null]
        );
    }

    #[test]
    fn numbers_are_read_as_labels_are() {
        let numbers = column("x,y\n.5,a\n+2,b\n1.,c\n1e5,d\n 3 ,e\n", "x");
        assert_eq!(
            numbers,
            [0.5.into(), 2.0.into(), 1.0.into(), 1e5.into(), 3.0.into()]
        );
        assert_eq!(
            csv("x,y\n1,a\ninf,b\n").unwrap_err().to_string(),
            "line 3: column x: `inf` is not a finite number; leave the cell empty instead"
        );
        assert_eq!(column("x,y\ninf,a\nb,b\n", "x"), ["inf".into(), "b".into()]);
    }

    #[test]
    fn quoted_cells_are_texts_unless_all_are_quoted() {
        assert_eq!(
            column("x,y\n\"1\",2\n\"NA\",3\n", "x"),
            ["1".into(), "NA".into()]
        );
        assert_eq!(
            column("x,y\n\"a\",2\nNA,3\n", "x"),
            ["a".into(), Value::Null]
        );
        let all = "\"x\",\"y\"\n\"1\",\"a\"\n\"NA\",\"b\"\n";
        assert_eq!(column(all, "x"), [1.into(), Value::Null]);
        assert_eq!(
            column("x,y\n,1\n\"\",2\na,3\n", "x"),
            [Value::Null, "".into(), "a".into()]
        );
    }

    #[test]
    fn a_cell_that_is_no_number_is_named() {
        let text = "x,y\n1,a\noops,b\n2,c\n";
        let (table, notice) = told(text, &ReadOptions::default());
        assert_eq!(table.unwrap().column("x").unwrap()[1], "oops".into());
        assert_eq!(
            notice,
            "line 3: column x: `oops` is not a number beside 2 numbers, so the column is read as texts; types: #{ x: \"text\" } says so"
        );
        let types = |kind| ReadOptions {
            types: [("x".to_string(), kind)].into(),
            ..ReadOptions::default()
        };
        let (table, _) = told(text, &types(CellType::Number));
        assert_eq!(
            table.unwrap_err().to_string(),
            "line 3: column x: `oops`, expected a number"
        );
        let (table, notice) = told(text, &types(CellType::Text));
        assert_eq!(table.unwrap().column("x").unwrap()[0], "1".into());
        assert_eq!(notice, "");
        let (table, _) = told("y\n1\n", &types(CellType::Text));
        assert_eq!(
            table.unwrap_err().to_string(),
            "option types: there is no column `x`; the columns are y"
        );
        assert_eq!(
            "int".parse::<CellType>().unwrap_err().to_string(),
            "expected one of number, bool, text, got \"int\""
        );
    }

    #[test]
    fn broken_files_say_where() {
        let error = csv("a,b\n1,2\n3\n").unwrap_err().to_string();
        assert_eq!(error, "line 3: 1 columns, expected 2 as in the header");
        let error = csv("\n,a\n0,1\n").unwrap_err().to_string();
        assert!(error.contains("to_csv(.., index=False)"), "{error}");
        assert!(csv("a,a\n1,2\n").is_err());
        let fails = |text: &str| Table::decode(text, Format::Jsonl).unwrap_err().to_string();
        assert!(fails("{\"a\":1}\n\n[1]\n").starts_with("line 3: no JSON object"));
        assert_eq!(
            fails("{\"a\":1}\n{\"a\" 1}\n"),
            "line 2, column 6: bad JSON: expected `:`"
        );
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
        let marked = Table::decode("\u{feff}{\"a\": NaN}\n{\"a\": 1}", Format::Jsonl).unwrap();
        assert_eq!(marked.column("a").unwrap(), [Value::Null, 1.into()]);
        assert_eq!(csv("a,b\n").unwrap().columns(), ["a", "b"]);
        assert_eq!(
            Table::decode("\n", Format::Jsonl).unwrap(),
            Table::default()
        );
    }
}
