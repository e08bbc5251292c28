//! Tables made of tables: joined, in groups, summed up, wide.

use rhai::plugin::*;
use rhai::{Array, Engine, Map, NativeCallContext};

use super::tables::{borrowed, texts};
use crate::report::table::{Aggregate, Grouped, How, Table};
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::{NativeSpec, OptionSpec, Options};
use crate::{Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[JOIN, PIVOT];

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

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Grouped>("Groups");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
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
    pub fn join(
        context: NativeCallContext,
        table: &mut Table,
        other: Table,
        keys: Array,
    ) -> Fallible<Table> {
        let keys = texts(&keys, "join")?;
        room_to_join(&context, table, &other, &keys)?;
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
        context: NativeCallContext,
        table: &mut Table,
        other: Table,
        keys: Array,
        options: Map,
    ) -> Fallible<Table> {
        let options = Options::read(&JOIN, &options)?;
        let how = options.text("how")?.parse()?;
        let keys = texts(&keys, "join")?;
        room_to_join(&context, table, &other, &keys)?;
        let suffix = options.text("suffix")?;
        Ok(table.join(&other, &borrowed(&keys), how, &suffix)?)
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
    pub fn pivot(
        context: NativeCallContext,
        table: &mut Table,
        rows: &str,
        columns: &str,
        values: &str,
    ) -> Fallible<Table> {
        room_to_pivot(&context, table, rows, columns)?;
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
        context: NativeCallContext,
        table: &mut Table,
        rows: &str,
        columns: &str,
        values: &str,
        options: Map,
    ) -> Fallible<Table> {
        let summary = Options::read(&PIVOT, &options)?.text("summary")?.parse()?;
        room_to_pivot(&context, table, rows, columns)?;
        Ok(table.pivot(rows, columns, values, summary)?)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn groups_card(groups: &mut Grouped) -> String {
        let keys = groups.keys().join(", ");
        format!("Groups by {keys}: {} groups", groups.len())
    }
}

fn room_to_join(
    context: &NativeCallContext,
    table: &Table,
    other: &Table,
    keys: &[String],
) -> Result<()> {
    let rows = table.joined_rows(other, &borrowed(keys))?;
    Session::of(context)?.room_for("join: a table", rows)
}

fn room_to_pivot(
    context: &NativeCallContext,
    table: &Table,
    rows: &str,
    columns: &str,
) -> Result<()> {
    let (rows, columns) = (table.unique(rows)?.len(), table.unique(columns)?.len());
    let cells = rows as u128 * columns as u128;
    Session::of(context)?.room_for("pivot: a table", cells)
}
