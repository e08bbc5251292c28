//! Figures of tables.

use std::path::Path;

use rhai::plugin::*;
use rhai::{Array, Engine, Map, NativeCallContext};

use crate::Result;
use crate::bail;
use crate::report::figure::{
    BarOptions, BoxOptions, Figure, HeatmapOptions, LineOptions, ScatterOptions,
};
use crate::report::table::Table;
use crate::script::overwriting::forced;
use crate::script::pending::{Later, all_known, later};
use crate::script::{Fallible, NativeSpec, OptionSpec, Options, Session, describe};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[SCATTER, LINE, BAR, BOX, HEATMAP, SUBPLOTS];

const TITLE: OptionSpec = OptionSpec::text("title", "the title").otherwise("none");
const COLOR: OptionSpec =
    OptionSpec::text("color", "a column whose values are told apart").otherwise("none");

static SCATTER: NativeSpec = NativeSpec {
    name: "scatter",
    options: &[
        COLOR,
        TITLE,
        OptionSpec::bool("trend", "a least-squares line through all points").or("false"),
    ],
};
static LINE: NativeSpec = NativeSpec {
    name: "line",
    options: &[
        COLOR,
        OptionSpec::text("over", "a column of repetitions: the line is their mean")
            .otherwise("none"),
        OptionSpec::choice("band", &["ci95", "sd"], "a band around the mean").otherwise("none"),
        TITLE,
    ],
};
static BAR: NativeSpec = NativeSpec {
    name: "bar",
    options: &[COLOR, TITLE],
};
static BOX: NativeSpec = NativeSpec {
    name: "box",
    options: &[TITLE],
};
static HEATMAP: NativeSpec = NativeSpec {
    name: "heatmap",
    options: &[
        TITLE,
        OptionSpec::bool("annotate", "whether values are written into the cells")
            .otherwise("yes up to 12 columns"),
        OptionSpec::text("label", "what the values are, written at the colour bar")
            .otherwise("none"),
    ],
};
static SUBPLOTS: NativeSpec = NativeSpec {
    name: "subplots",
    options: &[OptionSpec::int("columns", 1, 20, "figures in a row").or("2")],
};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Figure>("Figure");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// Two columns against each other, a point a row.
    ///
    /// - `x`: the column along the bottom
    /// - `y`: the column along the side
    ///
    /// ```rhai
    /// table([#{ x: 1, y: 2 }, #{ x: 2, y: 3 }]).scatter("x", "y");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn scatter(table: &mut Table, x: &str, y: &str) -> Fallible<Figure> {
        Ok(table.scatter(x, y, &ScatterOptions::default())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// rows.scatter("sign_diff", "drop", #{ color: "dataset", trend: true });
    /// ```
    #[rhai_fn(name = "scatter", pure, return_raw)]
    pub fn scatter_with(table: &mut Table, x: &str, y: &str, options: Map) -> Fallible<Figure> {
        let options = Options::read(&SCATTER, &options)?;
        let settings = ScatterOptions {
            color: options.maybe_text("color")?,
            title: options.maybe_text("title")?,
            trend: options.bool("trend")?,
        };
        Ok(table.scatter(x, y, &settings)?)
    }

    /// One column along another.
    ///
    /// - `x`: the column along the bottom
    /// - `y`: the column along the side
    ///
    /// ```rhai
    /// table([#{ x: 1, y: 2 }, #{ x: 2, y: 3 }]).line("x", "y");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn line(table: &mut Table, x: &str, y: &str) -> Fallible<Figure> {
        Ok(table.line(x, y, &LineOptions::default())?)
    }

    /// The same with options: a line for each `color`, the mean `over` repetitions, a `band`. A group
    /// with a single place, such as a baseline, is drawn as a level across the figure.
    ///
    /// ```rhai
    /// rows.line("size", "accuracy", #{ color: "dataset", over: "soup", band: "sd" });
    /// ```
    #[rhai_fn(name = "line", pure, return_raw)]
    pub fn line_with(table: &mut Table, x: &str, y: &str, options: Map) -> Fallible<Figure> {
        let options = Options::read(&LINE, &options)?;
        let settings = LineOptions {
            color: options.maybe_text("color")?,
            over: options.maybe_text("over")?,
            band: options.maybe_text("band")?.map(|b| b.parse()).transpose()?,
            title: options.maybe_text("title")?,
        };
        Ok(table.line(x, y, &settings)?)
    }

    /// The mean of a column for each category of another.
    ///
    /// - `category`: the column that names the bars
    /// - `value`: the column whose means they show
    ///
    /// ```rhai
    /// rows.bar("dataset", "drop");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn bar(table: &mut Table, category: &str, value: &str) -> Fallible<Figure> {
        Ok(table.bar(category, value, &BarOptions::default())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// rows.bar("dataset", "drop", #{ color: "size" });
    /// ```
    #[rhai_fn(name = "bar", pure, return_raw)]
    pub fn bar_with(
        table: &mut Table,
        category: &str,
        value: &str,
        options: Map,
    ) -> Fallible<Figure> {
        let options = Options::read(&BAR, &options)?;
        let settings = BarOptions {
            color: options.maybe_text("color")?,
            title: options.maybe_text("title")?,
        };
        Ok(table.bar(category, value, &settings)?)
    }

    /// The spread of a column for each category of another: median, quartiles, and the farthest values
    /// within one and a half times their distance.
    ///
    /// - `category`: the column that names the boxes
    /// - `value`: the column whose spread they show
    ///
    /// # Source
    /// Tukey 1977.
    ///
    /// ```rhai
    /// rows.box("dataset", "drop");
    /// ```
    #[rhai_fn(name = "box", pure, return_raw)]
    pub fn box_plain(table: &mut Table, category: &str, value: &str) -> Fallible<Figure> {
        Ok(table.box_plot(category, value, &BoxOptions::default())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// rows.box("dataset", "drop", #{ title: "What soups lose" });
    /// ```
    #[rhai_fn(name = "box", pure, return_raw)]
    pub fn box_with(
        table: &mut Table,
        category: &str,
        value: &str,
        options: Map,
    ) -> Fallible<Figure> {
        let options = Options::read(&BOX, &options)?;
        Ok(table.box_plot(
            category,
            value,
            &BoxOptions {
                title: options.maybe_text("title")?,
            },
        )?)
    }

    /// A Table in colours: its first column names the rows, the others are numbers.
    ///
    /// ```rhai
    /// evaluate(base, a, films).confusion.heatmap();
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn heatmap(table: &mut Table) -> Fallible<Figure> {
        Ok(table.heatmap(&HeatmapOptions::default())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// evaluate(base, a, films).confusion.heatmap(#{ annotate: true });
    /// ```
    #[rhai_fn(name = "heatmap", pure, return_raw)]
    pub fn heatmap_with(table: &mut Table, options: Map) -> Fallible<Figure> {
        Ok(table.heatmap(&heatmap_options(&options)?)?)
    }

    /// A column's values in colours, by two others.
    ///
    /// - `rows`: the column that names the rows
    /// - `columns`: the column that names the columns
    /// - `values`: the column that gives the colours
    ///
    /// ```rhai
    /// let means = rows.group(["dataset", "size"]).agg(#{ drop: "mean" });
    /// means.heatmap("dataset", "size", "drop_mean");
    /// ```
    #[rhai_fn(name = "heatmap", pure, return_raw)]
    pub fn heatmap_of(
        table: &mut Table,
        rows: &str,
        columns: &str,
        values: &str,
    ) -> Fallible<Figure> {
        Ok(table.heatmap_of(rows, columns, values, &HeatmapOptions::default())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// let means = rows.group(["dataset", "size"]).agg(#{ drop: "mean" });
    /// means.heatmap("dataset", "size", "drop_mean", #{ title: "What soups lose" });
    /// ```
    #[rhai_fn(name = "heatmap", pure, return_raw)]
    pub fn heatmap_of_with(
        table: &mut Table,
        rows: &str,
        columns: &str,
        values: &str,
        options: Map,
    ) -> Fallible<Figure> {
        Ok(table.heatmap_of(rows, columns, values, &heatmap_options(&options)?)?)
    }

    /// Figures side by side in one.
    ///
    /// - `figures`: the figures, row by row
    ///
    /// ```rhai
    /// subplots([rows.bar("dataset", "drop"), rows.scatter("sign_diff", "drop")]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn subplots(figures: Array) -> Fallible<Later<Figure>> {
        later(figures_of(&figures).and_then(|figures| Figure::subplots(&figures, 2)))
    }

    /// The same with options.
    ///
    /// ```rhai
    /// subplots([rows.bar("dataset", "drop"), rows.scatter("sign_diff", "drop")], #{ columns: 1 });
    /// ```
    #[rhai_fn(name = "subplots", return_raw)]
    pub fn subplots_with(figures: Array, options: Map) -> Fallible<Later<Figure>> {
        let columns = Options::read(&SUBPLOTS, &options)?.count("columns")?;
        later(figures_of(&figures).and_then(|figures| Figure::subplots(&figures, columns)))
    }

    /// Draws the figure in the terminal: as an image where it takes images, else in characters and
    /// the colours it has; plain and 80 characters wide where there is no terminal.
    ///
    /// ```rhai
    /// table([#{ x: 1, y: 2 }, #{ x: 2, y: 3 }]).line("x", "y").show();
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn show(context: NativeCallContext, figure: &mut Figure) -> Fallible<()> {
        let session = Session::of(&context)?;
        session.print(&figure.show(&session.screen()));
        Ok(())
    }

    /// Saves the figure, and its rows beside it: those of `line.svg` in `line.svg.csv`.
    ///
    /// - `path`: a .svg, .pdf or .png file under the folder of the run; .pdf has its font with it
    ///
    /// ```rhai
    /// table([#{ x: 1, y: 2 }, #{ x: 2, y: 3 }]).line("x", "y").save("line.svg");
    /// read_table("line.svg.csv").len    // 2
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn save(context: NativeCallContext, figure: &mut Figure, path: &str) -> Fallible<()> {
        Ok(saved(&context, figure, path, false)?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// table([#{ x: 1, y: 2 }, #{ x: 2, y: 3 }]).line("x", "y").save("line.svg", #{ force: true });
    /// ```
    #[rhai_fn(name = "save", pure, return_raw)]
    pub fn save_with(
        context: NativeCallContext,
        figure: &mut Figure,
        path: &str,
        options: Map,
    ) -> Fallible<()> {
        Ok(saved(&context, figure, path, forced(&options)?)?)
    }

    /// The rows it was drawn from.
    #[rhai_fn(get = "data", pure)]
    pub fn data(figure: &mut Figure) -> Table {
        figure.data().clone()
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn card(figure: &mut Figure) -> String {
        figure.to_string()
    }
}

fn saved(context: &NativeCallContext, figure: &Figure, path: &str, force: bool) -> Result<()> {
    let rows = |file: &Path| vec![Figure::rows_of(file)];
    Session::of(context)?.write_file(path, force, rows, |file| figure.save(file))
}

fn heatmap_options(options: &Map) -> Result<HeatmapOptions> {
    let options = Options::read(&HEATMAP, options)?;
    Ok(HeatmapOptions {
        title: options.maybe_text("title")?,
        annotate: options.value("annotate")?,
        label: options.maybe_text("label")?,
    })
}

fn figures_of(items: &Array) -> Result<Vec<Figure>> {
    all_known(items)?;
    items
        .iter()
        .map(|item| match item.clone().try_cast::<Figure>() {
            Some(figure) => Ok(figure),
            None => bail!("subplots: expected figures, got {}", describe(item)),
        })
        .collect()
}
