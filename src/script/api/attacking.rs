//! Attacking adapters and soups.

use rhai::plugin::*;
use rhai::{Dynamic, Engine, Map, NativeCallContext};

use super::models::mini;
use crate::Result;
use crate::adapter::Adapter;
use crate::attack::{Attack, AttackOptions, Outcome, Source, attack as run, recipe};
use crate::data::Dataset;
use crate::model::Model;
use crate::report::table::{Table, Value};
use crate::script::pending::{Later, later};
use crate::script::{Acts, Fallible, NativeSpec, OptionSpec, Options, Session};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[ATTACK];

static ATTACK: NativeSpec = NativeSpec {
    name: "attack",
    options: &[
        OptionSpec::choice(
            "recipe",
            &["textfooler", "textbugger", "deepwordbug"],
            "how words are changed, and what must stay",
        )
        .or("textfooler"),
        OptionSpec::int(
            "n",
            1,
            1 << 40,
            "how many texts of the split are attacked: those that data.sample(n, #{ seed }) draws",
        )
        .unit("texts")
        .otherwise("all"),
        OptionSpec::choice(
            "split",
            &["train", "validation", "test"],
            "the split whose texts are attacked",
        )
        .otherwise("test; validation where the test labels are hidden"),
        OptionSpec::int("seed", 0, i64::MAX, "draws the texts and random letters")
            .otherwise("the study's seed")
        .acts(&[Acts::Any(&[
            Acts::With("recipe", &["textbugger", "deepwordbug"], ""),
            Acts::Given("n", ""),
        ])]),
        OptionSpec::text(
            "neighbors",
            "words that take others' places: a file of word vectors (a word a line, then its numbers, as GloVe's; also .gz), or WordNet's dict folder",
        )
        .otherwise("the carried table of counter-fitted neighbours, at most 8 a word")
        .acts(&[Acts::With("recipe", &["textfooler", "textbugger"], "{} replaces no words by others")]),
        OptionSpec::text(
            "wordnet",
            "for textfooler: WordNet's dict folder (index.noun, data.noun...), which tells parts of speech",
        )
        .otherwise("none, and the constraint is left out; neighbours from WordNet tell them")
        .acts(&[Acts::With("recipe", &["textfooler"], "{} asks for no part of speech")]),
        OptionSpec::value(
            "encoder",
            "a Model",
            "what tells how like two texts are, by the angle of its sentence embeddings",
        )
        .otherwise("mini")
        .acts(&[Acts::With("recipe", &["textfooler", "textbugger"], "{} asks for no likeness of texts")]),
        OptionSpec::choice(
            "pairs",
            &["second", "both"],
            "which texts of a pair are changed",
        )
        .otherwise("second for textfooler, both for the others")
        .acts(&[Acts::Where("with pairs of texts")]),
        OptionSpec::int("max_length", 2, 1 << 20, "the longest text the model reads")
            .unit("tokens")
            .otherwise("as the adapter was trained, else the model's own limit"),
    ],
};

/// What an attack found, with the texts it began with.
#[derive(Debug, Clone)]
pub struct Attacked {
    attack: Attack,
    data: Dataset,
}

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Attacked>("Attack");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// Attacks an adapter with TextFooler: how many of a dataset's test texts lose their label when
    /// words are changed that should not matter.
    ///
    /// - `model`: what the adapter acts in
    /// - `adapter`: an adapter or a soup. A soup takes the head of that dataset, else its only one
    /// - `data`: the dataset; its labels must be the head's
    ///
    /// A text whose label is wrong is skipped. The words of others are ranked by how sure the model
    /// is without them; each has its turn once; the change is kept that makes the model least sure of
    /// the right label. Once the label is another, the likest text of those that change it is the
    /// result.
    ///
    /// # Errors
    /// Labels that are numbers; labels that the head does not have.
    ///
    /// # Source
    /// Morris et al. 2020, TextAttack 0.3.11, whose search, constraints and metrics these are; Jin et
    /// al. 2020, TextFooler; Li et al. 2019, TextBugger; Gao et al. 2018, DeepWordBug.
    ///
    /// ```rhai
    /// attack(base, a, films.sample(4)).n    // 4
    /// ```
    #[rhai_fn(name = "attack", return_raw)]
    pub fn attack_plain(
        context: NativeCallContext,
        model: Model,
        adapter: Adapter,
        data: Dataset,
    ) -> Fallible<Later<Attacked>> {
        later(attacked(&context, &model, &adapter, &data, &Map::new()))
    }

    /// The same with options.
    ///
    /// ```rhai
    /// attack(base, a, films, #{ recipe: "deepwordbug", n: 4 }).recipe    // deepwordbug
    /// ```
    #[rhai_fn(name = "attack", return_raw)]
    pub fn attack_with(
        context: NativeCallContext,
        model: Model,
        adapter: Adapter,
        data: Dataset,
        options: Map,
    ) -> Fallible<Later<Attacked>> {
        later(attacked(&context, &model, &adapter, &data, &options))
    }

    /// The share of texts that are right under attack: attacks that failed, of all texts.
    #[rhai_fn(get = "accuracy_under_attack", pure)]
    pub fn accuracy_under_attack(attacked: &mut Attacked) -> f64 {
        attacked.attack.accuracy_under_attack()
    }

    /// The share of texts that were right before.
    #[rhai_fn(get = "original_accuracy", pure)]
    pub fn original_accuracy(attacked: &mut Attacked) -> f64 {
        attacked.attack.original_accuracy()
    }

    /// The share of attacks that succeeded, of those on texts that were right.
    #[rhai_fn(get = "success_rate", pure)]
    pub fn success_rate(attacked: &mut Attacked) -> f64 {
        attacked.attack.success_rate()
    }

    /// The mean number of texts that the model was asked for, of the texts that were right; each
    /// counts as often as it was asked for, as in TextAttack. Nothing where no text was right.
    #[rhai_fn(get = "queries", pure)]
    pub fn queries(attacked: &mut Attacked) -> Dynamic {
        number(attacked.attack.queries())
    }

    /// The mean share of words that attacks changed which succeeded. Nothing where none did.
    #[rhai_fn(get = "perturbed", pure)]
    pub fn perturbed(attacked: &mut Attacked) -> Dynamic {
        number(attacked.attack.perturbed())
    }

    /// Number of texts.
    #[rhai_fn(get = "n", pure)]
    pub fn n(attacked: &mut Attacked) -> i64 {
        attacked.attack.n() as i64
    }

    /// How many attacks succeeded, failed and were skipped: a map.
    #[rhai_fn(get = "outcomes", pure)]
    pub fn outcomes(attacked: &mut Attacked) -> Map {
        [Outcome::Successful, Outcome::Failed, Outcome::Skipped]
            .into_iter()
            .map(|outcome| {
                let count = attacked.attack.count(outcome) as i64;
                (outcome.name().into(), count.into())
            })
            .collect()
    }

    /// The recipe's name.
    #[rhai_fn(get = "recipe", pure)]
    pub fn recipe_name(attacked: &mut Attacked) -> String {
        attacked.attack.recipe.clone()
    }

    /// The dataset's name.
    #[rhai_fn(get = "dataset", pure)]
    pub fn dataset(attacked: &mut Attacked) -> String {
        attacked.attack.dataset.clone()
    }

    /// The split that was attacked.
    #[rhai_fn(get = "split", pure)]
    pub fn split(attacked: &mut Attacked) -> String {
        attacked.attack.split.clone()
    }

    /// Every constraint of the recipe as a Table: constraint, asks, on, and why not where it is
    /// left out.
    #[rhai_fn(get = "constraints", pure, return_raw)]
    pub fn constraints(attacked: &mut Attacked) -> Fallible<Table> {
        Ok(constraints_of(&attacked.attack)?)
    }

    /// Where words that took others' places came from, in words; nothing where the recipe changes
    /// letters alone.
    #[rhai_fn(get = "neighbors", pure)]
    pub fn neighbors(attacked: &mut Attacked) -> Dynamic {
        text(attacked.attack.neighbors.as_deref())
    }

    /// The model that told how like texts are; nothing where the recipe does not ask.
    #[rhai_fn(get = "encoder", pure)]
    pub fn encoder(attacked: &mut Attacked) -> Dynamic {
        text(attacked.attack.encoder.as_deref())
    }

    /// One row a text: i (the row of the split), text, perturbed_text (as the attack left it), gold,
    /// predicted, perturbed_predicted, p and perturbed_p (the probability of the gold label before
    /// and after), outcome, queries, words, perturbed (the share of words that differ), similarity,
    /// order (the numbers of the words by importance) and swaps (word number, word, what took its
    /// place). Pairs also have text_b and perturbed_text_b.
    #[rhai_fn(get = "examples", pure, return_raw)]
    pub fn examples(attacked: &mut Attacked) -> Fallible<Table> {
        Ok(examples_of(attacked)?)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn card(attacked: &mut Attacked) -> String {
        attacked.attack.to_string()
    }
}

fn attacked(
    context: &NativeCallContext,
    model: &Model,
    adapter: &Adapter,
    data: &Dataset,
    options: &Map,
) -> Result<Attacked> {
    let session = Session::of(context)?;
    let options = Options::read(&ATTACK, options)?;
    let neighbors = match options.maybe_text("neighbors")? {
        None => Source::Carried,
        Some(path) => Source::at(session.input("file", &path)?),
    };
    let wordnet = options.maybe_text("wordnet")?;
    let wordnet = wordnet
        .map(|path| session.input("file", &path))
        .transpose()?;
    let recipe = recipe(&options.text("recipe")?)?;
    if options.given("pairs") && !data.is_paired() {
        return Err(options.error("pairs", format!("{} has no pairs of texts", data.name())));
    }
    let encoder = match (recipe.similarity, options.value::<Model>("encoder")?) {
        (Some(_), None) => Some(mini(&session)?),
        (_, given) => given,
    };
    let settings = AttackOptions {
        recipe,
        n: options.maybe_int("n")?.map(|n| n as usize),
        split: options
            .maybe_text("split")?
            .map(|s| s.parse())
            .transpose()?,
        max_length: options.maybe_int("max_length")?.map(|n| n as usize),
        seed: match options.maybe_int("seed")? {
            Some(seed) => seed as u64,
            None => session.seed(),
        },
        neighbors,
        wordnet,
        encoder,
        keeps_first: options.maybe_text("pairs")?.map(|which| which == "second"),
    };
    Ok(Attacked {
        attack: run(model, adapter, data, &settings, session.context())?,
        data: data.clone(),
    })
}

fn number(value: Option<f64>) -> Dynamic {
    value.map_or(Dynamic::UNIT, Dynamic::from)
}

fn text(value: Option<&str>) -> Dynamic {
    value.map_or(Dynamic::UNIT, |text| text.to_string().into())
}

fn constraints_of(attack: &Attack) -> Result<Table> {
    let all = &attack.constraints;
    Table::from_columns([
        (
            "constraint",
            all.iter().map(|c| Value::text(&c.name)).collect(),
        ),
        ("asks", all.iter().map(|c| Value::text(&c.asks)).collect()),
        (
            "on",
            all.iter()
                .map(|c| Value::Bool(c.left_out.is_none()))
                .collect(),
        ),
        (
            "left_out",
            all.iter()
                .map(|c| c.left_out.as_ref().map_or(Value::Null, Value::text))
                .collect::<Vec<_>>(),
        ),
    ])
}

fn examples_of(attacked: &Attacked) -> Result<Table> {
    let Attacked { attack, data } = attacked;
    let rows = data.split(attack.split.parse()?);
    let all = &attack.attempts;
    let label = |class: usize| attack.labels.get(class).map_or(Value::Null, Value::text);
    let maybe = |text: &Option<std::sync::Arc<str>>| text.as_ref().map_or(Value::Null, Value::text);
    let changed = |outcome, value: Value| match outcome {
        Outcome::Skipped => Value::Null,
        _ => value,
    };
    let mut columns: Vec<(&str, Vec<Value>)> = vec![
        ("i", all.iter().map(|a| Value::Int(a.row as i64)).collect()),
        (
            "text",
            all.iter().map(|a| Value::text(&rows[a.row].text)).collect(),
        ),
    ];
    if data.is_paired() {
        columns.push((
            "text_b",
            all.iter().map(|a| maybe(&rows[a.row].text_b)).collect(),
        ));
    }
    columns.push((
        "perturbed_text",
        all.iter()
            .map(|a| changed(a.outcome, Value::text(&a.perturbed.0)))
            .collect(),
    ));
    if data.is_paired() {
        let second = |text: &Option<String>| text.as_ref().map_or(Value::Null, Value::text);
        columns.push((
            "perturbed_text_b",
            all.iter()
                .map(|a| changed(a.outcome, second(&a.perturbed.1)))
                .collect(),
        ));
    }
    let swap = |step: &crate::attack::Step| {
        Value::text(format!("{} {} -> {}", step.word, step.from, step.to))
    };
    columns.extend([
        (
            "gold",
            all.iter().map(|a| label(a.gold)).collect::<Vec<_>>(),
        ),
        (
            "predicted",
            all.iter().map(|a| label(a.predicted)).collect(),
        ),
        (
            "perturbed_predicted",
            all.iter()
                .map(|a| changed(a.outcome, label(a.perturbed_predicted)))
                .collect(),
        ),
        (
            "p",
            all.iter().map(|a| Value::Float(f64::from(a.p))).collect(),
        ),
        (
            "perturbed_p",
            all.iter()
                .map(|a| changed(a.outcome, Value::Float(f64::from(a.perturbed_p))))
                .collect(),
        ),
        (
            "outcome",
            all.iter().map(|a| Value::text(a.outcome.name())).collect(),
        ),
        (
            "queries",
            all.iter().map(|a| Value::Int(a.queries as i64)).collect(),
        ),
        (
            "words",
            all.iter().map(|a| Value::Int(a.words as i64)).collect(),
        ),
        (
            "perturbed",
            all.iter()
                .map(|a| Value::Float(a.changed as f64 / a.words.max(1) as f64))
                .collect(),
        ),
        (
            "similarity",
            all.iter()
                .map(|a| a.similarity.map_or(Value::Null, Value::Float))
                .collect(),
        ),
        (
            "order",
            all.iter()
                .map(|a| Value::list(a.order.iter().map(|&i| Value::Int(i as i64))))
                .collect(),
        ),
        (
            "swaps",
            all.iter()
                .map(|a| Value::list(a.steps.iter().map(swap)))
                .collect(),
        ),
    ]);
    Table::from_columns(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::RECIPES;
    use crate::script::Acts;

    #[test]
    fn options_act_with_the_recipes_that_need_them() {
        let listed = |option: &str, recipe: &str| {
            let conditions = ATTACK.find(option).map_or(&[][..], |option| option.acts);
            let mut words = conditions.iter().flat_map(|condition| match condition {
                Acts::Any([Acts::With(_, words, _), ..]) | Acts::With(_, words, _) => *words,
                _ => &[][..],
            });
            words.any(|word| *word == recipe)
        };
        for recipe in RECIPES {
            let name = recipe.name;
            assert_eq!(
                listed("neighbors", name),
                recipe.needs_neighbors(),
                "{name}"
            );
            assert_eq!(
                listed("wordnet", name),
                recipe.same_part_of_speech,
                "{name}"
            );
            assert_eq!(
                listed("encoder", name),
                recipe.similarity.is_some(),
                "{name}"
            );
            assert_eq!(listed("seed", name), recipe.is_random(), "{name}");
        }
    }
}
