//! Tables: rows to choose, group, join, compare and save.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FnPtr, Map, NativeCallContext};

use crate::report::table::{
    Aggregate, CompareOptions, Condition, CorrelateOptions, Grouped, How, Order, Table, Value,
};
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::{NativeSpec, OptionSpec, Options};
use crate::stats::Correlation;
use crate::{Error, Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[SORT, JOIN, PIVOT, CORRELATE, COMPARE];

static SORT: NativeSpec = NativeSpec {
    name: "sort",
    options: &[OptionSpec::bool("descending", "the greatest first").or("false")],
};

/// What tells apart columns of one name in a join.
const SUFFIX: &str = "_right";

static JOIN: NativeSpec = NativeSpec {
    name: "join",
    options: &[
        OptionSpec::choice(
            "how",
            &["inner", "left", "outer"],
            "which rows without a partner stay",
        )
        .or("inner"),
        OptionSpec::text(
            "suffix",
            "what is put behind the name of a column of the second Table that both have and that is no key",
        )
        .or(SUFFIX),
    ],
};

static PIVOT: NativeSpec = NativeSpec {
    name: "pivot",
    options: &[OptionSpec::choice(
        "summary",
        &["mean", "sd", "n", "ci95", "median", "min", "max", "sum"],
        "what stands where several rows meet",
    )
    .or("mean")],
};

static CORRELATE: NativeSpec = NativeSpec {
    name: "correlate",
    options: &[
        OptionSpec::choice(
            "method",
            &["pearson", "spearman", "kendall"],
            "which correlation",
        )
        .or("pearson"),
        OptionSpec::list("given", "columns held fixed (partial correlation)").or("[]"),
        OptionSpec::text("within", "a column whose groups are centred first")
            .otherwise("no centring"),
        OptionSpec::text("cluster", "a column whose groups the bootstrap draws whole")
            .otherwise("rows are drawn"),
        OptionSpec::int(
            "ci",
            0,
            1_000_000,
            "bootstrap draws for the 95 % interval; 0 for none",
        )
        .unit("draws")
        .or("0"),
        OptionSpec::int("seed", 0, i64::MAX, "moves the draws").otherwise("the study's seed"),
    ],
};

static COMPARE: NativeSpec = NativeSpec {
    name: "compare",
    options: &[
        OptionSpec::value(
            "against",
            "a value of the column",
            "the level that the others are compared with",
        ),
        OptionSpec::list("pair", "the columns that make two rows a pair"),
        OptionSpec::choice("test", &["wilcoxon", "t"], "the paired test").or("wilcoxon"),
    ],
};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Table>("Table");
    engine.register_type_with_name::<Grouped>("Groups");
    engine.register_type_with_name::<Correlation>("Correlation");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// A Table of maps, its columns in alphabetical order.
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
    /// - `path`: a .csv, .tsv or .jsonl file, relative to the script
    ///
    /// ```rhai
    /// table([#{ x: 1 }, #{ x: 2 }]).save("numbers.csv");
    /// read_table("numbers.csv").column("x")    // [1, 2]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn read_table(context: NativeCallContext, path: &str) -> Fallible<Table> {
        let file = Session::of(&context)?.input("file", path)?;
        Ok(Table::read(&file)?)
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
    pub fn concat(tables: Array) -> Fallible<Table> {
        let tables = tables
            .into_iter()
            .map(|item| {
                let what = describe(&item);
                item.try_cast::<Table>()
                    .ok_or_else(|| Error::new(format!("concat: expected Tables, got {what}")))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Table::concat(&tables)?)
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
        Ok(table.save(&Session::of(&context)?.write_path(path)?)?)
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

    /// All rows as maps.
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

    /// Rows of two Tables that agree in some columns, put side by side. A column that both have and
    /// that is no key comes twice, the second time with `_right` behind its name.
    ///
    /// - `other`: the Table whose columns come after
    /// - `keys`: the columns that must agree
    ///
    /// # Errors
    /// An empty key; keys that hold unlike things in the two Tables.
    ///
    /// ```rhai
    /// let sizes = table([#{ k: "a", x: 1 }, #{ k: "b", x: 2 }]);
    /// let colours = table([#{ k: "a", y: 3 }]);
    /// sizes.join(colours, ["k"]).len    // 1
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn join(table: &mut Table, other: Table, keys: Array) -> Fallible<Table> {
        let keys = texts(&keys, "join")?;
        Ok(table.join(&other, &borrowed(&keys), How::default(), SUFFIX)?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// let sizes = table([#{ k: "a", x: 1 }, #{ k: "b", x: 2 }]);
    /// let colours = table([#{ k: "a", y: 3 }]);
    /// sizes.join(colours, ["k"], #{ how: "left" }).column("y")    // [3, ()]
    /// ```
    #[rhai_fn(name = "join", pure, return_raw)]
    pub fn join_with(
        table: &mut Table,
        other: Table,
        keys: Array,
        options: Map,
    ) -> Fallible<Table> {
        let options = Options::read(&JOIN, &options)?;
        let how = options.text("how")?.parse()?;
        let keys = texts(&keys, "join")?;
        let suffix = options.text("suffix")?;
        Ok(table.join(&other, &borrowed(&keys), how, &suffix)?)
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

    /// Rows in groups that agree in some columns; `agg` sums them up.
    ///
    /// - `keys`: the columns
    ///
    /// ```rhai
    /// rows.group(["size"]).agg(#{ drop: "mean" }).columns    // ["size", "drop_mean"]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn group(table: &mut Table, keys: Array) -> Fallible<Grouped> {
        let keys = texts(&keys, "group")?;
        Ok(table.group(&borrowed(&keys))?)
    }

    /// The same of one column.
    ///
    /// - `key`: the column
    ///
    /// ```rhai
    /// rows.group("size").agg(#{ drop: "mean" }).len    // 2
    /// ```
    #[rhai_fn(name = "group", pure, return_raw)]
    pub fn group_by_one(table: &mut Table, key: &str) -> Fallible<Grouped> {
        Ok(table.group(&[key])?)
    }

    /// One row a group, with summaries of columns: `#{ accuracy: ["mean", "sd"] }` gives the columns
    /// accuracy_mean and accuracy_sd.
    ///
    /// - `summaries`: for each column one or several of mean, sd (n - 1), n, ci95 (half the width of the
    ///   95 % interval of the mean, by Student's t), median, min, max, sum
    ///
    /// ```rhai
    /// table([#{ k: "a", x: 1 }, #{ k: "a", x: 3 }]).group(["k"]).agg(#{ x: ["mean"] }).column("x_mean")    // [2.0]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn agg(groups: &mut Grouped, summaries: Map) -> Fallible<Table> {
        let mut wanted: Vec<(&str, Vec<Aggregate>)> = Vec::new();
        for (column, names) in &summaries {
            let names = match names.clone().into_string() {
                Ok(one) => vec![one],
                Err(_) => match names.as_array_ref() {
                    Ok(several) => texts(&several, "agg")?,
                    Err(_) => bail!(
                        "agg: {column} needs names of summaries, got {}",
                        describe(names)
                    ),
                },
            };
            let parsed = names
                .iter()
                .map(|n| n.parse())
                .collect::<Result<Vec<Aggregate>>>()?;
            wanted.push((column.as_str(), parsed));
        }
        Ok(groups.agg(&wanted)?)
    }

    /// A wide Table: one row a value of one column, one column a value of another.
    ///
    /// - `rows`: the column whose values name the rows
    /// - `columns`: the column whose values become columns
    /// - `values`: the column that fills the cells; where several rows meet, with their mean
    ///
    /// # Errors
    /// Several rows meet where there are no numbers to take a mean of.
    ///
    /// ```rhai
    /// let long = table([#{ a: "x", b: "p", v: 1 }, #{ a: "x", b: "q", v: 2 }, #{ a: "x", b: "q", v: 3 }]);
    /// let wide = long.pivot("a", "b", "v");
    /// wide.columns        // ["a", "p", "q"]
    /// wide.column("q")    // [2.5]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn pivot(table: &mut Table, rows: &str, columns: &str, values: &str) -> Fallible<Table> {
        Ok(table.pivot(rows, columns, values, Aggregate::Mean)?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// let long = table([#{ a: "x", b: "q", v: 2 }, #{ a: "x", b: "q", v: 3 }]);
    /// long.pivot("a", "b", "v", #{ summary: "n" }).column("q")    // [2]
    /// ```
    #[rhai_fn(name = "pivot", pure, return_raw)]
    pub fn pivot_with(
        table: &mut Table,
        rows: &str,
        columns: &str,
        values: &str,
        options: Map,
    ) -> Fallible<Table> {
        let summary = Options::read(&PIVOT, &options)?.text("summary")?.parse()?;
        Ok(table.pivot(rows, columns, values, summary)?)
    }

    /// The correlation of two columns: `.r .p .n`, and with `ci` also `.lo .hi`.
    ///
    /// - `x`: a column of numbers
    /// - `y`: another
    ///
    /// # Source
    /// The p value by Student's t with n - 2 less the number of `given` columns degrees of freedom for
    /// Pearson's and Spearman's, the normal approximation for Kendall's tau-b; the interval by the
    /// percentile bootstrap (Efron 1979).
    ///
    /// ```rhai
    /// let t = table([#{ x: 1, y: 2 }, #{ x: 2, y: 3 }, #{ x: 3, y: 5 }, #{ x: 4, y: 4 }]);
    /// t.correlate("x", "y").r    // 0.8
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn correlate(
        context: NativeCallContext,
        table: &mut Table,
        x: &str,
        y: &str,
    ) -> Fallible<Correlation> {
        Ok(correlation(&context, table, x, y, &Map::new())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// rows.correlate("sign_diff", "drop", #{ method: "spearman", given: ["size"] }).n    // 9
    /// ```
    #[rhai_fn(name = "correlate", pure, return_raw)]
    pub fn correlate_with(
        context: NativeCallContext,
        table: &mut Table,
        x: &str,
        y: &str,
        options: Map,
    ) -> Fallible<Correlation> {
        Ok(correlation(&context, table, x, y, &options)?)
    }

    /// How a value differs between the levels of a column and the one it is compared against, pair by
    /// pair: a Table with the level, diff (the mean of the differences), lo, hi (its 95 % interval by
    /// Student's t), p and n (pairs). Wilcoxon's test passes over differences of zero and cannot come
    /// below p = 0.05 with fewer than six others, whatever the interval says. With several levels,
    /// `holm(t.column("p"))` of std/stats corrects for their number. One baseline stands against many
    /// settings where each setting is a level of its own: `rows.add("level", |r| ...)`.
    ///
    /// - `column`: the column with the levels
    /// - `value`: the column that is compared
    ///
    /// # Errors
    /// A row without a partner, or with two.
    ///
    /// # Source
    /// Wilcoxon 1945, the signed-rank test; Student's paired t test.
    ///
    /// ```rhai
    /// let runs = table([
    ///     #{ kind: "lora", seed: 1, score: 0.7 }, #{ kind: "pfeiffer", seed: 1, score: 0.8 },
    ///     #{ kind: "lora", seed: 2, score: 0.6 }, #{ kind: "pfeiffer", seed: 2, score: 0.8 },
    ///     #{ kind: "lora", seed: 3, score: 0.6 }, #{ kind: "pfeiffer", seed: 3, score: 0.7 },
    /// ]);
    /// runs.compare("kind", "score", #{ against: "lora", pair: ["seed"], test: "t" }).column("n")    // [3]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn compare(table: &mut Table, column: &str, value: &str, options: Map) -> Fallible<Table> {
        let options = Options::read(&COMPARE, &options)?;
        let settings = CompareOptions {
            against: to_value(options.get("against").unwrap_or(&Dynamic::UNIT))?,
            pair: texts(&options.list("pair")?, "pair")?,
            test: options.text("test")?.parse()?,
        };
        Ok(table.compare(column, value, &settings)?)
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

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn groups_card(groups: &mut Grouped) -> String {
        let keys = groups.keys().join(", ");
        format!("Groups by {keys}: {} groups", groups.len())
    }

    /// The coefficient, -1 to 1.
    #[rhai_fn(get = "r", pure)]
    pub fn r(c: &mut Correlation) -> f64 {
        c.r
    }

    /// The two-sided p value of no association.
    #[rhai_fn(get = "p", pure)]
    pub fn p(c: &mut Correlation) -> f64 {
        c.p
    }

    /// The number of rows.
    #[rhai_fn(get = "n", pure)]
    pub fn n(c: &mut Correlation) -> i64 {
        c.n as i64
    }

    /// The lower end of the 95 % interval.
    #[rhai_fn(get = "lo", pure, return_raw)]
    pub fn lo(c: &mut Correlation) -> Fallible<f64> {
        interval(c.lo)
    }

    /// The upper end of the 95 % interval.
    #[rhai_fn(get = "hi", pure, return_raw)]
    pub fn hi(c: &mut Correlation) -> Fallible<f64> {
        interval(c.hi)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn correlation_card(c: &mut Correlation) -> String {
        c.to_string()
    }
}

fn interval(end: Option<f64>) -> Fallible<f64> {
    match end {
        Some(end) => Ok(end),
        None => bail!("the correlation has no interval"; hint: "ask for one: #{{ ci: 1000 }}"),
    }
}

fn correlation(
    context: &NativeCallContext,
    table: &Table,
    x: &str,
    y: &str,
    options: &Map,
) -> Result<Correlation> {
    let session = Session::of(context)?;
    let options = Options::read(&CORRELATE, options)?;
    let settings = CorrelateOptions {
        method: options.text("method")?.parse()?,
        given: texts(&options.list("given")?, "given")?,
        within: options.maybe_text("within")?,
        cluster: options.maybe_text("cluster")?,
        ci: options.count("ci")?,
        seed: options
            .maybe_int("seed")?
            .map_or(session.seed(), |s| s as u64),
    };
    table.correlate(x, y, &settings, session.context())
}

fn of_maps(rows: &Array, order: Option<Vec<String>>) -> Result<Table> {
    let mut cells = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        let Ok(map) = row.as_map_ref() else {
            bail!("table: row {i} is {}, expected a map", describe(row));
        };
        cells.push(
            map.iter()
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

fn borrowed(texts: &[String]) -> Vec<&str> {
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
