//! Tables: rows to choose, group, join, compare and save.

use std::any::TypeId;

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FnPtr, Map, NativeCallContext};

use super::loading::{CELLS, QUOTES, SEPARATOR, dialect};
use crate::report::table::{CellType, Condition, Order, ReadOptions, Table, Value};
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::overwriting::{alone, forced};
use crate::script::pending::{Later, all_known, later};
use crate::script::values::in_order;
use crate::script::{NativeSpec, OptionSpec, Options};
use crate::study::Made;
use crate::{Error, Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[READ, SORT];

static READ: NativeSpec = NativeSpec {
    name: "read_table",
    options: &[
        SEPARATOR,
        QUOTES,
        OptionSpec::map(
            "types",
            "what columns of .csv and .tsv hold, each \"number\", \"bool\" or \"text\": #{ score: \"number\" }; a cell that does not fit is an error",
        )
        .otherwise("the first of these that fits all filled cells")
        .acts(CELLS),
    ],
};

static SORT: NativeSpec = NativeSpec {
    name: "sort",
    options: &[OptionSpec::bool("descending", "the greatest first").or("false")],
};

/// The Table in a file.
fn read(context: &NativeCallContext, path: &str, options: &Map) -> Result<Table> {
    let options = Options::read(&READ, options)?;
    let mut how = ReadOptions {
        dialect: dialect(&options)?,
        ..ReadOptions::default()
    };
    for (column, kind) in options.value::<Map>("types")?.unwrap_or_default() {
        let named = match kind.clone().into_string() {
            Ok(name) => name.parse::<CellType>().map_err(|e| e.to_string()),
            Err(_) => Err(format!(
                "expected one of {}, got {}",
                CellType::NAMES.join(", "),
                describe(&kind)
            )),
        };
        let named = named.map_err(|what| options.error("types", format!("{column}: {what}")))?;
        how.types.insert(column.to_string(), named);
    }
    let session = Session::of(context)?;
    let file = session.input("file", path)?;
    Table::read_with(&file, &how, &|notice| session.context().notice(notice))
}

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Table>("Table");
    let mut module = rhai::exported_module!(natives);
    // `for row in table`: its rows as maps.
    module.set_iter_result(TypeId::of::<Table>(), |table| {
        let table = table.cast::<Table>();
        Box::new((0..table.len()).map(move |i| Ok(map_of_row(&table, i).map(Dynamic::from)?)))
    });
    engine.register_global_module(module.into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// A Table of maps, its columns in natural order of their names.
    ///
    /// - `rows`: maps of one row each, all with the same keys; `()` is an empty cell
    ///
    /// ```rhai
    /// table([#{ size: 2, loss: 0.1 }]).columns    // ["loss", "size"]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn table(rows: Array) -> Fallible<Table> {
        Ok(of_maps(&rows, None)?)
    }

    /// The same with the columns in an order of your own, which also names those of no rows.
    ///
    /// - `columns`: the keys in the order of the columns
    ///
    /// ```rhai
    /// table([#{ size: 2, loss: 0.1 }], ["size", "loss"]).columns    // ["size", "loss"]
    /// ```
    #[rhai_fn(name = "table", return_raw)]
    pub fn table_ordered(rows: Array, columns: Array) -> Fallible<Table> {
        let order = texts(&columns, "columns")?;
        Ok(of_maps(&rows, Some(order))?)
    }

    /// A Table from a file.
    ///
    /// In a column of numbers, and in one of true and false, cells such as NaN, NA, null and None
    /// are missing, as pandas takes them; in a column of texts only an empty cell is. What `save`
    /// writes is read back as it was, lists of .csv and .tsv aside, which become texts.
    ///
    /// - `path`: a .csv, .tsv or .jsonl file, each also .gz, relative to the script
    ///
    /// # Errors
    /// Rows of unequal length; text that is not UTF-8; two columns of one name; infinite numbers.
    ///
    /// ```rhai
    /// table([#{ x: 1 }, #{ x: 2 }]).save("numbers.csv");
    /// read_table("numbers.csv").column("x")    // [1, 2]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn read_table(context: NativeCallContext, path: &str) -> Fallible<Table> {
        Ok(read(&context, path, &Map::new())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// write_text("scores.csv", "run;score\na;1.5\nb;NA\nc;2.5\n");
    /// read_table("scores.csv", #{ separator: ";", types: #{ score: "number" } }).column("score")    // [1.5, (), 2.5]
    /// ```
    #[rhai_fn(name = "read_table", return_raw)]
    pub fn read_table_with(
        context: NativeCallContext,
        path: &str,
        options: Map,
    ) -> Fallible<Table> {
        Ok(read(&context, path, &options)?)
    }

    /// Tables one below another.
    ///
    /// - `tables`: Tables with the same columns
    ///
    /// ```rhai
    /// let t = table([#{ x: 1 }]);
    /// concat([t, t]).len    // 2
    /// ```
    #[rhai_fn(return_raw)]
    pub fn concat(tables: Array) -> Fallible<Later<Table>> {
        later(all_known(&tables).and_then(|()| joined(tables)))
    }

    /// Writes a Table to a file, whole or not at all.
    ///
    /// - `path`: a .csv, .tsv, .jsonl, .md or .tex file under the folder of the run
    ///
    /// ```rhai
    /// table([#{ x: 1 }]).save("x.md");
    /// read_text("x.md").split("\n").len > 2    // true
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn save(context: NativeCallContext, table: &mut Table, path: &str) -> Fallible<()> {
        Ok(saved(&context, table, path, false)?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// table([#{ x: 1 }]).save("x.md", #{ force: true });
    /// ```
    #[rhai_fn(name = "save", pure, return_raw)]
    pub fn save_with(
        context: NativeCallContext,
        table: &mut Table,
        path: &str,
        options: Map,
    ) -> Fallible<()> {
        Ok(saved(&context, table, path, forced(&options)?)?)
    }

    /// The number of rows.
    ///
    /// ```rhai
    /// table([#{ x: 1 }]).len()    // 1
    /// ```
    #[rhai_fn(get = "len", name = "len", pure)]
    pub fn length(table: &mut Table) -> i64 {
        table.len() as i64
    }

    /// The names of the columns, in order.
    #[rhai_fn(get = "columns", pure)]
    pub fn columns(table: &mut Table) -> Array {
        table
            .columns()
            .into_iter()
            .map(|name| name.to_string().into())
            .collect()
    }

    /// The hash of the content.
    #[rhai_fn(get = "id", pure)]
    pub fn id(table: &mut Table) -> String {
        table.id()
    }

    /// Some of the columns, in an order of your own.
    ///
    /// - `columns`: their names
    ///
    /// ```rhai
    /// rows.columns(["size", "drop"]).columns    // ["size", "drop"]
    /// ```
    #[rhai_fn(name = "columns", pure, return_raw)]
    pub fn select(table: &mut Table, columns: Array) -> Fallible<Table> {
        let columns = texts(&columns, "columns")?;
        Ok(table.select(&borrowed(&columns))?)
    }

    /// One column as an array.
    ///
    /// - `name`: the column's name
    ///
    /// ```rhai
    /// rows.column("size").unique()    // [2, 3]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn column(table: &mut Table, name: &str) -> Fallible<Array> {
        Ok(table.column(name)?.iter().map(to_dynamic).collect())
    }

    /// One row as a map; negative numbers count from the end.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn row(table: &mut Table, index: i64) -> Fallible<Map> {
        let at = if index < 0 {
            index + table.len() as i64
        } else {
            index
        };
        Ok(map_of_row(
            table,
            usize::try_from(at).unwrap_or(usize::MAX),
        )?)
    }

    /// All rows as maps; `for row in table` goes over them, too.
    #[rhai_fn(get = "rows", pure, return_raw)]
    pub fn rows(table: &mut Table) -> Fallible<Array> {
        Ok((0..table.len())
            .map(|i| map_of_row(table, i).map(Dynamic::from))
            .collect::<Result<Array>>()?)
    }

    /// The first rows.
    ///
    /// - `n`: how many; all where there are fewer
    ///
    /// ```rhai
    /// rows.first(2).len    // 2
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn first(table: &mut Table, n: i64) -> Fallible<Table> {
        match usize::try_from(n) {
            Ok(n) => Ok(table.first(n)),
            Err(_) => bail!("first({n}): expected a count"),
        }
    }

    /// The rows whose cells are as a map says.
    ///
    /// - `conditions`: for each column a value, an array of values or a range of numbers
    ///
    /// ```rhai
    /// table([#{ size: 2 }, #{ size: 5 }]).where(#{ size: 2..=4 }).len    // 1
    /// ```
    #[rhai_fn(name = "where", pure, return_raw)]
    pub fn where_(table: &mut Table, conditions: Map) -> Fallible<Table> {
        let conditions = conditions
            .iter()
            .map(|(name, value)| Ok((name.as_str(), condition(value)?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(table.where_(&conditions)?)
    }

    /// The rows for which a closure says `true`.
    ///
    /// - `keep`: a closure of a row, which it gets as a map
    ///
    /// ```rhai
    /// table([#{ x: 1 }, #{ x: 3 }]).filter(|r| r.x > 2).len    // 1
    /// ```
    #[rhai_fn(return_raw)]
    pub fn filter(context: NativeCallContext, table: Table, keep: FnPtr) -> Fallible<Table> {
        let mut kept = Vec::with_capacity(table.len());
        for i in 0..table.len() {
            kept.push(keep.call_within_context::<bool>(&context, (map_of_row(&table, i)?,))?);
        }
        Ok(table.filter(&kept)?)
    }

    /// A further column, computed row by row.
    ///
    /// - `name`: the new column's name
    /// - `compute`: a closure of a row, which it gets as a map; or an array with one value a row
    ///
    /// ```rhai
    /// table([#{ x: 1 }]).add("y", |r| 2 * r.x).column("y")    // [2]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn add(
        context: NativeCallContext,
        table: Table,
        name: &str,
        compute: FnPtr,
    ) -> Fallible<Table> {
        let mut cells = Vec::with_capacity(table.len());
        for i in 0..table.len() {
            let cell: Dynamic = compute.call_within_context(&context, (map_of_row(&table, i)?,))?;
            cells.push(to_value(&cell)?);
        }
        Ok(table.with_column(name, cells)?)
    }

    /// The same with values that are there already.
    ///
    /// - `values`: one a row
    ///
    /// ```rhai
    /// table([#{ x: 1 }]).add("y", [5]).column("y")    // [5]
    /// ```
    #[rhai_fn(name = "add", return_raw)]
    pub fn add_values(table: Table, name: &str, values: Array) -> Fallible<Table> {
        let cells = values.iter().map(to_value).collect::<Result<Vec<_>>>()?;
        Ok(table.with_column(name, cells)?)
    }

    /// New names for columns.
    ///
    /// - `names`: a map of old names to new ones
    ///
    /// ```rhai
    /// table([#{ drop: 0.1 }]).rename(#{ drop: "fall" }).columns    // ["fall"]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn rename(table: &mut Table, names: Map) -> Fallible<Table> {
        let mut pairs = Vec::new();
        for (from, to) in &names {
            match to.clone().into_string() {
                Ok(to) => pairs.push((from.to_string(), to)),
                Err(_) => bail!("rename: {from} needs a name, got {}", describe(to)),
            }
        }
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        Ok(table.rename(&pairs)?)
    }

    /// The rows sorted by a column, the least first; rows that are equal keep their order.
    ///
    /// - `by`: a column, or an array of columns, the first of which decides first
    ///
    /// ```rhai
    /// table([#{ x: 2 }, #{ x: 1 }]).sort("x").column("x")    // [1, 2]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn sort(table: &mut Table, by: &str) -> Fallible<Table> {
        Ok(table.sort(&[(by, Order::default())])?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// table([#{ x: 1 }, #{ x: 2 }]).sort("x", #{ descending: true }).column("x")    // [2, 1]
    /// ```
    #[rhai_fn(name = "sort", pure, return_raw)]
    pub fn sort_with(table: &mut Table, by: &str, options: Map) -> Fallible<Table> {
        let options = Options::read(&SORT, &options)?;
        let order = if options.bool("descending")? {
            Order::Descending
        } else {
            Order::Ascending
        };
        Ok(table.sort(&[(by, order)])?)
    }

    /// The same by several columns.
    ///
    /// ```rhai
    /// rows.sort(["size", "drop"])[0].size    // 2
    /// ```
    #[rhai_fn(name = "sort", pure, return_raw)]
    pub fn sort_by(table: &mut Table, by: Array) -> Fallible<Table> {
        let by = texts(&by, "sort")?;
        let by: Vec<(&str, Order)> = by.iter().map(|b| (b.as_str(), Order::default())).collect();
        Ok(table.sort(&by)?)
    }

    /// The different values of a column, in the order they come.
    ///
    /// - `column`: the column's name
    ///
    /// ```rhai
    /// rows.unique("size")    // [2, 3]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn unique(table: &mut Table, column: &str) -> Fallible<Array> {
        Ok(table.unique(column)?.iter().map(to_dynamic).collect())
    }

    /// The cells of a column, as `column(name)` gives them.
    ///
    /// - `name`: the column
    ///
    /// ```rhai
    /// table([#{ x: 1 }, #{ x: 3 }])["x"]    // [1, 3]
    /// ```
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn column_at(table: &mut Table, name: &str) -> Fallible<Array> {
        Ok(table.column(name)?.iter().map(to_dynamic).collect())
    }

    #[rhai_fn(name = "to_string", pure)]
    pub fn card(table: &mut Table) -> String {
        table.to_string()
    }

    // Inside a list or a map, where a table has one line.
    #[rhai_fn(name = "to_debug", pure)]
    pub fn line_card(table: &mut Table) -> String {
        table.summary()
    }
}

fn saved(context: &NativeCallContext, table: &Table, path: &str, force: bool) -> Result<()> {
    let session = Session::of(context)?;
    session.write_file(path, force, alone, |file| table.save(file))?;
    if let Some(journal) = session.context().journal() {
        journal.made(&Made::plain("table", path, &table.id()), []);
    }
    Ok(())
}

/// Tables one below another.
fn joined(tables: Array) -> Result<Table> {
    let tables = tables
        .into_iter()
        .map(|item| {
            let what = describe(&item);
            item.try_cast::<Table>()
                .ok_or_else(|| Error::new(format!("concat: expected Tables, got {what}")))
        })
        .collect::<Result<Vec<_>>>()?;
    Table::concat(&tables)
}

fn of_maps(rows: &Array, order: Option<Vec<String>>) -> Result<Table> {
    let mut cells = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        let Ok(map) = row.as_map_ref() else {
            bail!("table: row {i} is {}, expected a map", describe(row));
        };
        cells.push(
            in_order(&map)
                .into_iter()
                .map(|(name, value)| Ok((name.to_string(), to_value(value)?)))
                .collect::<Result<Vec<_>>>()?,
        );
    }
    let order = match (order, cells.first()) {
        (Some(order), _) => order,
        (None, Some(first)) => first.iter().map(|(name, _)| name.clone()).collect(),
        (None, None) => {
            bail!("table: no rows, so no columns"; hint: "name them: table([], [\"a\"])")
        }
    };
    Table::from_rows(&cells, &borrowed(&order))
}

/// Texts of an array; an error for anything else in it.
pub(super) fn texts(items: &Array, what: &str) -> Result<Vec<String>> {
    items
        .iter()
        .map(|item| match item.clone().into_string() {
            Ok(text) => Ok(text),
            Err(_) => bail!("{what}: expected texts, got {}", describe(item)),
        })
        .collect()
}

/// The texts as the tables take them.
pub(super) fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn condition(value: &Dynamic) -> Result<Condition> {
    if let Some(range) = value.clone().try_cast::<std::ops::RangeInclusive<i64>>() {
        return Ok(Condition::between(*range.start(), *range.end(), true));
    }
    if let Some(range) = value.clone().try_cast::<std::ops::Range<i64>>() {
        return Ok(Condition::between(range.start, range.end, false));
    }
    match value.as_array_ref() {
        Ok(several) => Ok(Condition::OneOf(
            several.iter().map(to_value).collect::<Result<_>>()?,
        )),
        Err(_) => Ok(Condition::Equals(to_value(value)?)),
    }
}

fn map_of_row(table: &Table, row: usize) -> Result<Map> {
    Ok(table
        .row(row)?
        .into_iter()
        .map(|(name, value)| (name.into(), to_dynamic(value)))
        .collect())
}

/// A cell as a script's value.
pub(super) fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(b) => (*b).into(),
        Value::Int(i) => (*i).into(),
        Value::Float(f) => (*f).into(),
        Value::Text(t) => t.to_string().into(),
        Value::List(items) => items.iter().map(to_dynamic).collect::<Array>().into(),
    }
}

/// A script's value as a cell.
pub(super) fn to_value(value: &Dynamic) -> Result<Value> {
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(b) = value.as_bool() {
        return Ok(Value::Bool(b));
    }
    if let Ok(i) = value.as_int() {
        return Ok(Value::Int(i));
    }
    if let Ok(f) = value.as_float() {
        return Ok(Value::Float(f));
    }
    if let Ok(text) = value.clone().into_string() {
        return Ok(Value::text(text));
    }
    if let Ok(items) = value.as_array_ref() {
        return Ok(Value::List(
            items.iter().map(to_value).collect::<Result<_>>()?,
        ));
    }
    bail!(
        "a Table's cell holds numbers, texts, true or false or lists, not {}",
        describe(value)
    )
}
