//! How columns of a table go together, and how its levels differ.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use super::tables::{texts, to_value};
use crate::report::table::{CompareOptions, CorrelateOptions, Table};
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::{Acts, NativeSpec, OptionSpec, Options};
use crate::stats::Correlation;
use crate::{Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[CORRELATE, COMPARE, PREDICT];

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
            .otherwise("rows are drawn")
            .acts(&[Acts::Given("ci", "a cluster only matters to the interval")]),
        OptionSpec::int(
            "ci",
            0,
            1_000_000,
            "bootstrap draws for the 95 % interval; 0 for none",
        )
        .unit("draws")
        .or("0"),
        OptionSpec::int("seed", 0, i64::MAX, "moves the draws")
            .otherwise("the study's seed")
            .acts(&[Acts::Given("ci", "nothing is drawn without an interval")]),
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

static PREDICT: NativeSpec = NativeSpec {
    name: "predict",
    options: &[OptionSpec::text(
        "leave_out",
        "the column whose values make the groups of rows that are left out in turn",
    )],
};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Correlation>("Correlation");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
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

    /// How well sets of columns predict a column on groups of rows that were left out of the fit: a
    /// Table with columns, r2 (of the rows fitted), r2_left_out, n and groups. Each group is left out
    /// once, and the least-squares line of the others is held against their mean: 0 is no better than
    /// that mean, below 0 worse. Where cells share members or datasets, this is the honest form of R2;
    /// set against `["size"]`, it tells what a column adds to the trivial.
    ///
    /// - `y`: the column that is predicted
    /// - `sets`: lists of columns, one a row of the result
    ///
    /// ```rhai
    /// let t = table([1, 2, 3, 4, 5, 6].map(|i| #{ group: i % 3, x: i, y: 2 * i }));
    /// t.predict("y", [["x"], []], #{ leave_out: "group" }).column("r2_left_out")    // [1.0, 0.0]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn predict(table: &mut Table, y: &str, sets: Array, options: Map) -> Fallible<Table> {
        let options = Options::read(&PREDICT, &options)?;
        let sets = sets
            .iter()
            .map(|set| match set.as_array_ref() {
                Ok(names) => texts(&names, "predict"),
                Err(_) => bail!("predict: expected lists of columns, got {}", describe(set)),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(table.predict(y, &sets, &options.text("leave_out")?)?)
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
