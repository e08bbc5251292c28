//! Datasets: texts with labels, in splits.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FnPtr, Map, NativeCallContext};

use super::loading::{DATASET, from_maps, load};
use super::tables::texts as names_of;
use super::tensors::map_of;
use crate::data::{Dataset, Label, Row, Split, bundled};
use crate::report::table::{Table, Value};
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::{NativeSpec, OptionSpec, Options};
use crate::{Error, Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[DATASET, SAMPLE];

static SAMPLE: NativeSpec = NativeSpec {
    name: "sample",
    options: &[
        OptionSpec::int("seed", 0, i64::MAX, "moves the choice").otherwise("the study's seed"),
        OptionSpec::list(
            "splits",
            "the splits that are drawn from, such as [\"test\"]; the others stay whole",
        )
        .otherwise("all"),
    ],
};

/// One split of a dataset.
#[derive(Debug, Clone)]
pub struct Part {
    dataset: Dataset,
    split: Split,
}

impl Part {
    /// What it is a part of.
    pub(in crate::script) fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Its rows.
    pub(in crate::script) fn rows(&self) -> &[Row] {
        self.dataset.split(self.split)
    }
}

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Dataset>("Dataset");
    engine.register_type_with_name::<Part>("Split");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// A dataset: one that the binary carries, one of the hub, a file or a folder of splits, as the
    /// GLUE benchmark, the hub and the Ditto library lay them out.
    ///
    /// - `name`: a name that `datasets()` lists; "hub:owner/name", or "hub:owner/name/configuration"
    ///   of a repository with several; a file (.jsonl, .csv, .tsv, each also .gz, .parquet or
    ///   .arrow); a folder, also one that `save_to_disk` of the datasets library wrote
    ///
    /// # Errors
    /// A label in another split that the train split does not have; columns that hold no text; a
    /// repository with several configurations of which none is named.
    ///
    /// ```rhai
    /// dataset("films")    // Dataset films: 1400 train, 200 validation, 400 test; 2 labels: negative, positive
    /// ```
    #[rhai_fn(return_raw)]
    pub fn dataset(context: NativeCallContext, name: &str) -> Fallible<Dataset> {
        Ok(load(&context, name, &Map::new())?)
    }

    /// The same with options.
    ///
    /// Quote marks of a file enclose its cells where every cell that begins with one ends with one,
    /// with those within it doubled; otherwise they are text, as in GLUE's files. `quotes` says so
    /// where a notice finds both possible. A missing label (NaN, NA, null, None or an empty cell)
    /// among labels that are numbers is no label; among labels that are names it is a name.
    ///
    /// ```rhai
    /// write_text("mine.csv", "review,stars\nfine,1\npoor,0\ngood,1\nbad,0\n");
    /// dataset("mine.csv", #{ columns: #{ text: "review", label: "stars" } }).len    // 4
    /// ```
    #[rhai_fn(name = "dataset", return_raw)]
    pub fn dataset_with(context: NativeCallContext, name: &str, options: Map) -> Fallible<Dataset> {
        Ok(load(&context, name, &options)?)
    }

    /// A dataset of maps. All rows have every role, train, validation and test, unless `split` cuts them.
    ///
    /// - `rows`: maps with `text` (and `text_b` for pairs) and `label`: a text, or a number, which
    ///   means regression where it is a fraction
    ///
    /// ```rhai
    /// dataset([#{ text: "fine", label: "good" }, #{ text: "poor", label: "bad" }]).labels    // ["bad", "good"]
    /// ```
    #[rhai_fn(name = "dataset", return_raw)]
    pub fn dataset_of(rows: Array) -> Fallible<Dataset> {
        Ok(from_maps(&rows, &Map::new())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// let rows = [#{ text: "fine", label: 1 }, #{ text: "poor", label: 0 }];
    /// dataset(rows, #{ labels: #{ "0": "bad", "1": "good" } }).labels    // ["bad", "good"]
    /// ```
    #[rhai_fn(name = "dataset", return_raw)]
    pub fn dataset_of_with(rows: Array, options: Map) -> Fallible<Dataset> {
        Ok(from_maps(&rows, &options)?)
    }

    /// The datasets that the binary carries, by name.
    ///
    /// ```rhai
    /// datasets().contains("films")    // true
    /// ```
    #[rhai_fn(return_raw)]
    pub fn datasets() -> Fallible<Array> {
        Ok(bundled::names().map(Dynamic::from).collect())
    }

    /// Several datasets at once: what `dataset` gives for each name.
    ///
    /// - `names`: as `dataset` takes them
    ///
    /// ```rhai
    /// datasets(["films", "news"]).map(|d| d.name)    // ["films", "news"]
    /// ```
    #[rhai_fn(name = "datasets", return_raw)]
    pub fn datasets_of(context: NativeCallContext, names: Array) -> Fallible<Array> {
        let mut all = Array::with_capacity(names.len());
        for name in &names {
            let Ok(name) = name.clone().into_string() else {
                bail!("datasets: expected names, got {}", describe(name));
            };
            all.push(Dynamic::from(load(&context, &name, &Map::new())?));
        }
        Ok(all)
    }

    /// The name.
    #[rhai_fn(get = "name", pure)]
    pub fn name(data: &mut Dataset) -> String {
        data.name().to_string()
    }

    /// The hash of the content.
    #[rhai_fn(get = "id", pure)]
    pub fn id(data: &mut Dataset) -> String {
        data.id().to_string()
    }

    /// The label names in the order that the dataset declares, else sorted; empty in regression.
    #[rhai_fn(get = "labels", pure)]
    pub fn labels(data: &mut Dataset) -> Array {
        data.labels()
            .iter()
            .map(|l| Dynamic::from(l.clone()))
            .collect()
    }

    /// The number of rows over all splits.
    ///
    /// ```rhai
    /// dataset("films").len()    // 2000
    /// ```
    #[rhai_fn(get = "len", name = "len", pure)]
    pub fn length(data: &mut Dataset) -> i64 {
        data.len() as i64
    }

    /// The train split: what training and pruning scores read.
    #[rhai_fn(get = "train", pure)]
    pub fn train_split(data: &mut Dataset) -> Part {
        Part {
            dataset: data.clone(),
            split: Split::Train,
        }
    }

    /// The validation split: what early stopping and choosing read.
    #[rhai_fn(get = "validation", pure)]
    pub fn validation_split(data: &mut Dataset) -> Part {
        Part {
            dataset: data.clone(),
            split: Split::Validation,
        }
    }

    /// The test split: what evaluations report.
    #[rhai_fn(get = "test", pure)]
    pub fn test_split(data: &mut Dataset) -> Part {
        Part {
            dataset: data.clone(),
            split: Split::Test,
        }
    }

    /// All texts, in order; pairs as `[first, second]`.
    #[rhai_fn(get = "texts", pure)]
    pub fn texts(data: &mut Dataset) -> Array {
        data.rows().map(text_of).collect()
    }

    /// One row: a map with `text` (and `text_b`) and `label`. Rows of train come first, then
    /// validation, then test; negative numbers count from the end.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn row(data: &mut Dataset, index: i64) -> Fallible<Map> {
        let at = if index < 0 {
            index + data.len() as i64
        } else {
            index
        };
        let at = usize::try_from(at)
            .map_err(|_| Error::new(format!("row {index} of {}", data.name())))?;
        let row = data.row(at)?.clone();
        Ok(map_of_row(data, &row))
    }

    /// Rows drawn at random, without repetition, from every split.
    ///
    /// - `n`: how many of each split; all where it has fewer
    ///
    /// ```rhai
    /// dataset("films").sample(50).train.len    // 50
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn sample(context: NativeCallContext, data: &mut Dataset, n: i64) -> Fallible<Dataset> {
        Ok(draw(&context, data, n, &Map::new())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// dataset("films").sample(50, #{ seed: 2 }).id != dataset("films").sample(50, #{ seed: 1 }).id    // true
    /// dataset("films").sample(50, #{ splits: ["test"] })    // Dataset films: 1400 train, 200 validation, 50 test; 2 labels: negative, positive
    /// ```
    #[rhai_fn(name = "sample", pure, return_raw)]
    pub fn sample_with(
        context: NativeCallContext,
        data: &mut Dataset,
        n: i64,
        options: Map,
    ) -> Fallible<Dataset> {
        Ok(draw(&context, data, n, &options)?)
    }

    /// The rows of every split for which a closure says `true`.
    ///
    /// - `keep`: a closure of a row, a map with `text` and `label`
    ///
    /// ```rhai
    /// dataset("films").filter(|r| r.label == "positive").labels    // ["positive"]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn filter(context: NativeCallContext, data: Dataset, keep: FnPtr) -> Fallible<Dataset> {
        let mut failed = None;
        let kept = data.filter(|row| {
            match keep.call_within_context::<bool>(&context, (map_of_row(&data, row),)) {
                Ok(keep) => Ok(keep),
                Err(error) => {
                    failed = Some(error);
                    Err(Error::new("the closure failed"))
                }
            }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(kept?),
        }
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn card(data: &mut Dataset) -> String {
        data.to_string()
    }

    /// The number of rows in a split.
    ///
    /// ```rhai
    /// dataset("films").train.len()    // 1400
    /// ```
    #[rhai_fn(get = "len", name = "len", pure)]
    pub fn part_length(part: &mut Part) -> i64 {
        part.dataset.split(part.split).len() as i64
    }

    /// The texts of a split.
    #[rhai_fn(get = "texts", pure)]
    pub fn part_texts(part: &mut Part) -> Array {
        part.dataset.split(part.split).iter().map(text_of).collect()
    }

    /// The labels of a split's rows, by name.
    #[rhai_fn(get = "labels", pure)]
    pub fn part_labels(part: &mut Part) -> Array {
        part.dataset
            .split(part.split)
            .iter()
            .map(|row| label_of(&part.dataset, row.label))
            .collect()
    }

    /// One row of a split: a map with `text` (and `text_b`) and `label`. Negative numbers count from
    /// the end.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn part_row(part: &mut Part, index: i64) -> Fallible<Map> {
        let rows = part.dataset.split(part.split);
        let at = if index < 0 {
            index + rows.len() as i64
        } else {
            index
        };
        match usize::try_from(at).ok().and_then(|at| rows.get(at)) {
            Some(row) => Ok(map_of_row(&part.dataset, row)),
            None => bail!("row {index} of a split with {} rows", rows.len()),
        }
    }

    /// A split as a Table with columns text (text_b) and label.
    ///
    /// ```rhai
    /// films.test.table().columns    // ["text", "label"]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn table(part: &mut Part) -> Fallible<Table> {
        let rows = part.dataset.split(part.split);
        let texts = |pick: &dyn Fn(&Row) -> Value| rows.iter().map(pick).collect::<Vec<_>>();
        let mut columns = vec![("text", texts(&|r| Value::text(&r.text)))];
        if part.dataset.is_paired() {
            columns.push((
                "text_b",
                texts(&|r| r.text_b.as_ref().map_or(Value::Null, Value::text)),
            ));
        }
        let label = |r: &Row| {
            part.dataset
                .label_text(r.label)
                .map_or(Value::Null, Value::text)
        };
        columns.push(("label", texts(&label)));
        Ok(Table::from_columns(columns)?)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn part_card(part: &mut Part) -> String {
        let n = part.dataset.split(part.split).len();
        format!("Split {} of {}: {n} rows", part.split, part.dataset.name())
    }
}

fn draw(context: &NativeCallContext, data: &Dataset, n: i64, options: &Map) -> Result<Dataset> {
    let options = Options::read(&SAMPLE, options)?;
    let seed = match options.maybe_int("seed")? {
        Some(seed) => seed as u64,
        None => Session::of(context)?.seed(),
    };
    let Ok(n) = usize::try_from(n) else {
        bail!("a sample of {n} rows, expected at least 1");
    };
    let only = match options.given("splits") {
        true => {
            let names = names_of(&options.list("splits")?, "splits")?;
            Some(
                names
                    .iter()
                    .map(|name| name.parse())
                    .collect::<Result<Vec<Split>>>()?,
            )
        }
        false => None,
    };
    data.sample(n, seed, only.as_deref())
}

fn text_of(row: &Row) -> Dynamic {
    match &row.text_b {
        None => row.text.to_string().into(),
        Some(b) => vec![Dynamic::from(row.text.to_string()), b.to_string().into()].into(),
    }
}

fn label_of(data: &Dataset, label: Label) -> Dynamic {
    match label {
        Label::Value(value) => value.into(),
        _ => data.label_text(label).map_or(Dynamic::UNIT, Into::into),
    }
}

fn map_of_row(data: &Dataset, row: &Row) -> Map {
    let mut map = map_of([
        ("text", row.text.to_string().into()),
        ("label", label_of(data, row.label)),
    ]);
    if let Some(b) = &row.text_b {
        map.insert("text_b".into(), b.to_string().into());
    }
    map
}
