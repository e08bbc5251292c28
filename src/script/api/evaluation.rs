//! Evaluating adapters and soups.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use crate::adapter::Adapter;
use crate::data::Dataset;
use crate::evaluate::{
    Cell, Companions, EvaluateOptions, GridOptions, Score, chosen_on, evaluate, evaluate_all,
};
use crate::model::Model;
use crate::report::table::{Table, Value};
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::pending::{Later, later};
use crate::script::values::in_order;
use crate::script::{NativeSpec, OptionSpec, Options};
use crate::stats::mcnemar;
use crate::{Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[EVALUATE, EVALUATE_ALL];

const SPLIT: OptionSpec = OptionSpec::choice(
    "split",
    &["train", "validation", "test"],
    "the split that is read",
)
.otherwise("test; validation where the test labels are hidden");
const MAX_LENGTH: OptionSpec = OptionSpec::int("max_length", 2, 1 << 20, "the longest text")
    .unit("tokens")
    .otherwise("as the adapter was trained, else the model's own limit");

static EVALUATE: NativeSpec = NativeSpec {
    name: "evaluate",
    options: &[SPLIT, MAX_LENGTH],
};

static EVALUATE_ALL: NativeSpec = NativeSpec {
    name: "evaluate_all",
    options: &[
        OptionSpec::value(
            "on",
            "\"members\" or an array of datasets",
            "the datasets of each soup",
        )
        .or("members"),
        OptionSpec::value(
            "domains",
            "a map #{ name: dataset } or an array of datasets",
            "the datasets of adapters that do not know theirs, by adapter name, and of soups, those that a search chose them on",
        )
        .otherwise("adapters trained here know their datasets"),
        OptionSpec::choice(
            "space",
            &["factors", "delta"],
            "for LoRA: sign_diff of the entries of A and B, or of the change B A, which is what a soup mixes",
        )
        .or("factors"),
        OptionSpec::bool(
            "companions",
            "columns cosine, l2 and conflict_mass too: means over the pairs of members, which the sign difference is held against",
        )
        .or("false"),
        SPLIT,
        MAX_LENGTH,
    ],
};

/// A score with the texts it was made on.
#[derive(Debug, Clone)]
pub struct Scored {
    score: Score,
    data: Dataset,
}

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Scored>("Score");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// How well an adapter with its head for a dataset does on the dataset's test split.
    ///
    /// - `model`: what the adapter acts in
    /// - `adapter`: an adapter or a soup. A soup takes the head of that dataset, else its only one,
    ///   with a notice
    /// - `data`: the dataset; its labels must be the head's. A head without names for its classes
    ///   takes them in the order that the dataset declares, with a notice
    ///
    /// # Errors
    /// Several heads, none of them the dataset's: choose one with `with_head`. Labels that the head
    /// does not have. A head without names for a dataset whose labels have no declared order.
    ///
    /// ```rhai
    /// evaluate(base, a, films).n    // 40
    /// ```
    #[rhai_fn(name = "evaluate", return_raw)]
    pub fn evaluate_plain(
        context: NativeCallContext,
        model: Model,
        adapter: Adapter,
        data: Dataset,
    ) -> Fallible<Later<Scored>> {
        later(score(&context, &model, &adapter, &data, &Map::new()))
    }

    /// The same with options.
    ///
    /// ```rhai
    /// evaluate(base, a, films, #{ split: "validation" }).split    // validation
    /// ```
    #[rhai_fn(name = "evaluate", return_raw)]
    pub fn evaluate_with(
        context: NativeCallContext,
        model: Model,
        adapter: Adapter,
        data: Dataset,
        options: Map,
    ) -> Fallible<Later<Scored>> {
        later(score(&context, &model, &adapter, &data, &options))
    }

    /// Every soup on every dataset that its members were trained on: a Table with columns soup,
    /// members, size, dataset, accuracy, alone (the member's own accuracy), drop (alone -
    /// accuracy; positive is a loss), sign_diff, both_nonzero and n. What the cells share (tokens, the
    /// model below the first adapter, partial sums) is computed once; each cell equals a separate
    /// `evaluate`.
    ///
    /// - `model`: what the soups act in
    /// - `soups`: soups or adapters
    ///
    /// ```rhai
    /// evaluate_all(base, soups(subsets([a, b, c], 2))).columns    // ["soup", "members", "size", "dataset", "accuracy", "alone", "drop", "sign_diff", "both_nonzero", "n"]
    /// ```
    #[rhai_fn(name = "evaluate_all", return_raw)]
    pub fn evaluate_all_plain(
        context: NativeCallContext,
        model: Model,
        soups: Array,
    ) -> Fallible<Later<Table>> {
        later(grid(&context, &model, &soups, &Map::new()))
    }

    /// The same with options.
    ///
    /// ```rhai
    /// evaluate_all(base, [soup([a, b])], #{ on: [films, products] }).column("dataset")    // ["films", "products"]
    /// let rows = evaluate_all(base, soups(subsets([a, b, c], 2)), #{ companions: true });
    /// rows[0].cosine == weight_diff([a, b])[0].cosine    // true
    /// ```
    #[rhai_fn(name = "evaluate_all", return_raw)]
    pub fn evaluate_all_with(
        context: NativeCallContext,
        model: Model,
        soups: Array,
        options: Map,
    ) -> Fallible<Later<Table>> {
        later(grid(&context, &model, &soups, &options))
    }

    /// Share of rows answered right.
    #[rhai_fn(get = "accuracy", pure, return_raw)]
    pub fn accuracy(scored: &mut Scored) -> Fallible<f64> {
        Ok(scored.score.accuracy()?)
    }

    /// The share of the most frequent right answer: what always giving it would score.
    #[rhai_fn(get = "majority", pure, return_raw)]
    pub fn majority(scored: &mut Scored) -> Fallible<f64> {
        scored.score.accuracy()?;
        Ok(scored.score.majority())
    }

    /// Mean loss over the rows.
    #[rhai_fn(get = "loss", pure)]
    pub fn loss(scored: &mut Scored) -> f64 {
        scored.score.loss
    }

    /// Number of rows.
    #[rhai_fn(get = "n", pure)]
    pub fn n(scored: &mut Scored) -> i64 {
        scored.score.n() as i64
    }

    /// The name of the head that was used: that of the dataset it was trained on or, of a loaded
    /// adapter, the adapter's.
    ///
    /// ```rhai
    /// evaluate(base, soup([a, b]), films).head    // films
    /// ```
    #[rhai_fn(get = "head", pure)]
    pub fn head(scored: &mut Scored) -> String {
        scored.score.head.clone()
    }

    /// The split that was read.
    #[rhai_fn(get = "split", pure)]
    pub fn split(scored: &mut Scored) -> String {
        scored.score.split.clone()
    }

    /// The dataset's name.
    #[rhai_fn(get = "dataset", pure)]
    pub fn dataset(scored: &mut Scored) -> String {
        scored.score.dataset.clone()
    }

    /// The mean F1 over the classes.
    #[rhai_fn(get = "f1_macro", pure, return_raw)]
    pub fn f1_macro(scored: &mut Scored) -> Fallible<f64> {
        Ok(scored.score.confusion()?.f1_macro())
    }

    /// One row a text: i, text, gold, predicted, p (the probability of the answer), correct.
    #[rhai_fn(get = "predictions", pure, return_raw)]
    pub fn predictions(scored: &mut Scored) -> Fallible<Table> {
        Ok(predictions_of(scored)?)
    }

    /// Counts by right answer (rows) and given answer (columns), as a Table.
    #[rhai_fn(get = "confusion", pure, return_raw)]
    pub fn confusion(scored: &mut Scored) -> Fallible<Table> {
        Ok(confusion_of(&scored.score)?)
    }

    /// What changed against another score on the same rows: a map with `accuracy` and `loss` (this less
    /// the other), `gained` and `lost` (rows right only here, only there) and `p` (McNemar's exact
    /// test). Of other rows only the differences.
    ///
    /// - `other`: the score it is compared with
    ///
    /// # Source
    /// McNemar 1947, the exact binomial form.
    ///
    /// ```rhai
    /// let alone = evaluate(base, a, films);
    /// let mixed = evaluate(base, soup([a, b]), films);
    /// mixed.compare(alone).keys()    // ["accuracy", "gained", "loss", "lost", "p"]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn compare(scored: &mut Scored, other: Scored) -> Fallible<Map> {
        Ok(changes(&scored.score, &other.score)?)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn card(scored: &mut Scored) -> String {
        scored.score.to_string()
    }
}

fn score(
    context: &NativeCallContext,
    model: &Model,
    adapter: &Adapter,
    data: &Dataset,
    options: &Map,
) -> Result<Scored> {
    let session = Session::of(context)?;
    let options = Options::read(&EVALUATE, options)?;
    let settings = EvaluateOptions {
        split: options
            .maybe_text("split")?
            .map(|s| s.parse())
            .transpose()?,
        max_length: options.maybe_int("max_length")?.map(|n| n as usize),
    };
    if data.shared_roles()
        && adapter
            .training()
            .is_some_and(|t| t.dataset_id == data.id())
    {
        session.notice_once(format!(
            "{} is one file without splits: {} is evaluated on rows it was trained on; cut it with split: [0.8, 0.1, 0.1]",
            data.name(),
            adapter.name()
        ));
    }
    let score = evaluate(model, adapter, data, &settings, session.context())?;
    Ok(Scored {
        score,
        data: data.clone(),
    })
}

fn grid(context: &NativeCallContext, model: &Model, soups: &Array, options: &Map) -> Result<Table> {
    let session = Session::of(context)?;
    let options = Options::read(&EVALUATE_ALL, options)?;
    let soups = super::soups::adapters(soups, "evaluate_all")?;
    let mut settings = GridOptions {
        split: options
            .maybe_text("split")?
            .map(|s| s.parse())
            .transpose()?,
        max_length: options.maybe_int("max_length")?.map(|n| n as usize),
        delta_signs: options.text("space")? == "delta",
        companions: options.bool("companions")?,
        ..GridOptions::default()
    };
    let on = options.get("on").cloned().unwrap_or_default();
    if let Ok(list) = on.as_array_ref() {
        settings.on = Some(list.iter().map(as_dataset).collect::<Result<_>>()?);
    } else if on.clone().into_string().as_deref() != Ok("members") {
        return Err(options.error(
            "on",
            format!("expected \"members\" or datasets, got {}", describe(&on)),
        ));
    }
    if let Some(domains) = options.get("domains") {
        if let Ok(map) = domains.as_map_ref() {
            for (name, data) in in_order(&map) {
                let data = as_dataset(data)?;
                if !soups.iter().any(|soup| has_member(soup, name, &data)) {
                    let why = format!("no adapter of the grid is called {name}");
                    return Err(options.error("domains", why));
                }
                settings.domains.insert(name.to_string(), data);
            }
        } else if let Ok(list) = domains.as_array_ref() {
            for data in list.iter() {
                let data = as_dataset(data)?;
                settings.domains.insert(data.name().to_string(), data);
            }
        } else {
            return Err(options.error(
                "domains",
                format!("expected a map of datasets, got {}", describe(domains)),
            ));
        }
    }
    let cells = evaluate_all(model, &soups, &settings, session.context())?;
    to_table(&cells, settings.companions)
}

/// Whether an adapter or a member of it has this name, or was trained or chosen on the dataset.
fn has_member(soup: &Adapter, name: &str, data: &Dataset) -> bool {
    let fits = |m: &Adapter| {
        let trained = m.training();
        m.name() == name
            || trained.is_some_and(|t| t.dataset_id == data.id() || t.dataset == data.name())
    };
    fits(soup) || soup.members().iter().any(fits) || chosen_on(soup, data)
}

/// A value as a dataset; an error for anything else.
pub(super) fn as_dataset(value: &Dynamic) -> Result<Dataset> {
    match value.clone().try_cast::<Dataset>() {
        Some(data) => Ok(data),
        None => bail!("expected a dataset, got {}", describe(value)),
    }
}

fn to_table(cells: &[Cell], companions: bool) -> Result<Table> {
    let column = |of: &dyn Fn(&Cell) -> Value| cells.iter().map(of).collect::<Vec<_>>();
    let number = |v: Option<f64>| v.map_or(Value::Null, Value::Float);
    let mut columns = vec![
        ("soup", column(&|c| Value::text(&c.soup))),
        (
            "members",
            column(&|c| Value::list(c.members.iter().map(Value::text))),
        ),
        ("size", column(&|c| Value::Int(c.members.len() as i64))),
        ("dataset", column(&|c| Value::text(&c.dataset))),
        ("accuracy", column(&|c| Value::Float(c.accuracy))),
        ("alone", column(&|c| number(c.alone))),
        ("drop", column(&|c| number(c.alone.map(|a| a - c.accuracy)))),
        ("sign_diff", column(&|c| number(c.signs.map(|s| s.all)))),
        (
            "both_nonzero",
            column(&|c| number(c.signs.and_then(|s| s.both_nonzero))),
        ),
    ];
    if companions {
        let of = |which: fn(&Companions) -> f64| {
            column(&move |c| number(c.companions.as_ref().map(which).filter(|v| v.is_finite())))
        };
        columns.push(("cosine", of(|c| c.cosine)));
        columns.push(("l2", of(|c| c.l2)));
        columns.push(("conflict_mass", of(|c| c.conflict_mass)));
    }
    columns.push(("n", column(&|c| Value::Int(c.n as i64))));
    Table::from_columns(columns)
}

fn answers(score: &Score, values: &[f64]) -> Vec<Value> {
    let names = score.labels.names();
    values
        .iter()
        .map(|v| match score.labels {
            crate::adapter::Labels::Number => Value::Float(*v),
            _ => names.get(*v as usize).map_or(Value::Null, Value::text),
        })
        .collect()
}

fn predictions_of(scored: &Scored) -> Result<Table> {
    let score = &scored.score;
    let rows = scored.data.split(score.split.parse()?);
    let mut columns = vec![
        ("i", (0..score.n()).map(|i| Value::Int(i as i64)).collect()),
        (
            "text",
            rows.iter()
                .map(|r| Value::text(&r.text))
                .collect::<Vec<_>>(),
        ),
    ];
    if scored.data.is_paired() {
        columns.push((
            "text_b",
            rows.iter()
                .map(|r| r.text_b.as_ref().map_or(Value::Null, Value::text))
                .collect(),
        ));
    }
    columns.push(("gold", answers(score, &score.gold)));
    columns.push(("predicted", answers(score, &score.predicted)));
    if score.labels != crate::adapter::Labels::Number {
        columns.push((
            "p",
            score
                .p
                .iter()
                .map(|p| Value::Float(f64::from(*p)))
                .collect(),
        ));
        let correct = score
            .gold
            .iter()
            .zip(&score.predicted)
            .map(|(g, p)| Value::Bool(g == p));
        columns.push(("correct", correct.collect()));
    }
    Table::from_columns(columns)
}

fn confusion_of(score: &Score) -> Result<Table> {
    let names = score.labels.names();
    let confusion = score.confusion()?;
    let counts = confusion.counts();
    let mut columns = vec![(
        "gold".to_string(),
        names.iter().map(Value::text).collect::<Vec<_>>(),
    )];
    for (j, name) in names.iter().enumerate() {
        columns.push((
            name.clone(),
            counts.iter().map(|row| Value::Int(row[j] as i64)).collect(),
        ));
    }
    Table::from_columns(columns)
}

fn changes(new: &Score, old: &Score) -> Result<Map> {
    let mut map = Map::new();
    map.insert(
        "accuracy".into(),
        (new.accuracy()? - old.accuracy()?).into(),
    );
    map.insert("loss".into(), (new.loss - old.loss).into());
    if new.dataset_id == old.dataset_id && new.split == old.split && new.n() == old.n() {
        let right = |s: &Score| -> Vec<bool> {
            s.gold
                .iter()
                .zip(&s.predicted)
                .map(|(gold, given)| gold == given)
                .collect()
        };
        let test = mcnemar(&right(new), &right(old))?;
        map.insert("gained".into(), (test.only_first as i64).into());
        map.insert("lost".into(), (test.only_second as i64).into());
        map.insert("p".into(), test.p.into());
    }
    Ok(map)
}
