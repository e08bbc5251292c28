//! Choosing the members of soups, and their weights.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use super::soups::{adapters, datasets, mixing_of};
use crate::Result;
use crate::adapter::Adapter;
use crate::data::Dataset;
use crate::model::Model;
use crate::script::Fallible;
use crate::script::Session;
use crate::script::{Acts, NativeSpec, OptionSpec, Options};
use crate::select::{
    GreedyOptions, LearnOptions, Metric, Search, SignOptions, by_score, by_signs, learned,
};
use crate::{bail, soup};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[GREEDY, LEARNED];

const SPLIT: OptionSpec = OptionSpec::choice(
    "split",
    &["train", "validation", "test"],
    "the split that is looked at",
)
.or("validation");

const SOUP: OptionSpec = OptionSpec::map("soup", "options of `soup` for each soup that is tried")
    .otherwise("a linear soup");

static GREEDY: NativeSpec = NativeSpec {
    name: "greedy_soup",
    options: &[
        OptionSpec::choice(
            "by",
            &[
                "accuracy",
                "f1_macro",
                "matthews",
                "loss",
                "entropy",
                "sign_diff",
            ],
            "what decides who joins: a held-out value, or the sign difference of the mixture",
        )
        .or("accuracy"),
        SPLIT.acts(&[Acts::With(
            "by",
            &["accuracy", "f1_macro", "matthews", "loss", "entropy"],
            "{} looks at no rows",
        )]),
        OptionSpec::int("budget", 1, 1_000_000, "the most members").otherwise("all"),
        OptionSpec::float(
            "threshold",
            0.0,
            1.0,
            "by sign_diff: the most sign difference that the mixture may have",
        )
        .otherwise("0.5, what two unrelated adapters have; 1 where a budget is given")
        .acts(&[Acts::With(
            "by",
            &["sign_diff"],
            "only by: \"sign_diff\" has one",
        )]),
        SOUP,
    ],
};

static LEARNED: NativeSpec = NativeSpec {
    name: "learned_soup",
    options: &[
        OptionSpec::choice(
            "by",
            Metric::NAMES,
            "what is made better; entropy looks at no labels",
        )
        .or("loss"),
        SPLIT,
        OptionSpec::choice(
            "search",
            &["cma_es", "coordinate"],
            "how weights are looked for",
        )
        .or("cma_es"),
        OptionSpec::int("evaluations", 1, 1_000_000, "the most soups that are tried").or("100"),
        OptionSpec::float(
            "bound",
            1e-3,
            1e3,
            "weights lie between plus and minus this",
        )
        .or("1.5"),
        OptionSpec::float(
            "penalty",
            0.0,
            1e6,
            "what the mean magnitude of the weights costs, as LoraHub's",
        )
        .or("0.05"),
        OptionSpec::int("seed", 0, i64::MAX, "moves the search")
            .otherwise("the study's seed")
            .acts(&[Acts::With(
                "search",
                &["cma_es"],
                "the search {} draws nothing",
            )]),
        SOUP,
    ],
};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// A soup of the adapters that help: in the order of their own accuracy on the dataset's
    /// validation split, each joins that makes the soup strictly better. The recipe's `chosen` tells
    /// every step. The soup keeps the head that it was chosen with, also where the adapter that has
    /// it is no member.
    ///
    /// - `model`: what the soups act in
    /// - `members`: the adapters to choose from
    /// - `data`: a dataset, or an array of which the mean counts
    ///
    /// # Source
    /// Wortsman et al. 2022, greedy soup.
    ///
    /// ```rhai
    /// greedy_soup(base, [a, b, c], films).members.len >= 1    // true
    /// ```
    #[rhai_fn(return_raw)]
    pub fn greedy_soup(
        context: NativeCallContext,
        model: Model,
        members: Array,
        data: Dynamic,
    ) -> Fallible<Adapter> {
        Ok(greedy(&context, &model, &members, &data, &Map::new())?)
    }

    /// The same with options. By `sign_diff` it starts from the adapter trained on `data`, else
    /// the first, and adds the one with which the members' signs differ least; no model is run.
    ///
    /// ```rhai
    /// greedy_soup(base, [a, b, c], films, #{ by: "sign_diff", budget: 2 }).members.len    // 2
    /// ```
    #[rhai_fn(name = "greedy_soup", return_raw)]
    pub fn greedy_soup_with(
        context: NativeCallContext,
        model: Model,
        members: Array,
        data: Dynamic,
        options: Map,
    ) -> Fallible<Adapter> {
        Ok(greedy(&context, &model, &members, &data, &options)?)
    }

    /// A soup whose weights are searched for without gradients, for the least loss on the dataset's
    /// validation split: a few rows will do.
    ///
    /// - `model`: what the soups act in
    /// - `members`: the adapters whose weights are searched for
    /// - `data`: a dataset, or an array of which the mean counts
    ///
    /// # Source
    /// Huang et al. 2024, LoraHub; Hansen 2016, CMA-ES.
    ///
    /// ```rhai
    /// learned_soup(base, [a, b], films, #{ evaluations: 10 }).recipe.weights.len    // 2
    /// ```
    #[rhai_fn(return_raw)]
    pub fn learned_soup(
        context: NativeCallContext,
        model: Model,
        members: Array,
        data: Dynamic,
    ) -> Fallible<Adapter> {
        Ok(learn(&context, &model, &members, &data, &Map::new())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// let l = learned_soup(base, [a, b], films, #{ by: "entropy", search: "coordinate", evaluations: 6 });
    /// l.members.len    // 2
    /// ```
    #[rhai_fn(name = "learned_soup", return_raw)]
    pub fn learned_soup_with(
        context: NativeCallContext,
        model: Model,
        members: Array,
        data: Dynamic,
        options: Map,
    ) -> Fallible<Adapter> {
        Ok(learn(&context, &model, &members, &data, &options)?)
    }
}

/// The adapters, datasets and soup options of a call.
fn inputs(
    native: &str,
    session: &Session,
    members: &Array,
    data: &Dynamic,
    options: &Options,
) -> Result<(Vec<Adapter>, Vec<Dataset>, soup::Options)> {
    let members = adapters(members, native)?;
    if members.is_empty() {
        bail!("{native}: no adapters; give at least one");
    }
    let data = datasets(data).map_err(|e| e.within(native))?;
    if data.is_empty() {
        bail!("{native}: no datasets; give at least one");
    }
    let own = options.value::<Map>("soup")?.unwrap_or_default();
    if own.contains_key("weights") {
        return Err(options.error(
            "soup",
            "weights cannot be given: the members are not known yet",
        ));
    }
    let mixing = mixing_of(&own, &members, session)
        .map_err(|e| e.within(format!("{native}: option soup")))?;
    Ok((members, data, mixing))
}

fn greedy(
    context: &NativeCallContext,
    model: &Model,
    members: &Array,
    data: &Dynamic,
    options: &Map,
) -> Result<Adapter> {
    let session = Session::of(context)?;
    let options = Options::read(&GREEDY, options)?;
    let (mut members, data, soup) = inputs("greedy_soup", &session, members, data, &options)?;
    let asked = options.maybe_int("budget")?.map(|b| b as usize);
    let budget = asked.unwrap_or(members.len());
    if options.text("by")? == "sign_diff" {
        let trained = |a: &Adapter| a.training().is_some_and(|t| t.dataset_id == data[0].id());
        if let Some(target) = members.iter().position(trained) {
            members[..=target].rotate_right(1);
        }
        let threshold = options.maybe_float("threshold")?;
        let options = SignOptions {
            budget,
            threshold: threshold.unwrap_or(if asked.is_some() { 1.0 } else { 0.5 }),
            soup,
        };
        return by_signs(&members, &options, session.context());
    }
    let options = GreedyOptions {
        by: options.text("by")?.parse()?,
        split: options.text("split")?.parse()?,
        budget,
        soup,
    };
    by_score(model, &members, &data, &options, session.context())
}

fn learn(
    context: &NativeCallContext,
    model: &Model,
    members: &Array,
    data: &Dynamic,
    options: &Map,
) -> Result<Adapter> {
    let session = Session::of(context)?;
    let options = Options::read(&LEARNED, options)?;
    let (members, data, soup) = inputs("learned_soup", &session, members, data, &options)?;
    let options = LearnOptions {
        by: options.text("by")?.parse()?,
        split: options.text("split")?.parse()?,
        search: match options.text("search")?.as_str() {
            "coordinate" => Search::Coordinate,
            _ => Search::Cmaes,
        },
        evaluations: options.count("evaluations")?,
        bound: options.float("bound")?,
        penalty: options.float("penalty")?,
        seed: options
            .maybe_int("seed")?
            .map_or(session.seed(), |s| s as u64),
        soup,
    };
    learned(model, &members, &data, &options, session.context())
}
