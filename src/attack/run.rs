//! Attacking the rows of a dataset, many at a time.

use std::collections::VecDeque;
use std::path::PathBuf;

use candle_core::DType;
use serde_json::{Value, json};

use super::constraints::{self, Known};
use super::journal::{VERSION, tell};
use super::neighbors::{Found, Source};
use super::outcome::{Attack, Attempt};
use super::recipe::Recipe;
use super::search::{Need, Search};
use super::similarity::embed;
use super::sources::Sources;
use super::text::Attacked;
use super::victim::Victim;
use super::wordnet::WordNet;
use crate::adapter::{Adapter, Head, check_base, head_id};
use crate::compute::threads;
use crate::data::{Dataset, Label, Split, Task};
use crate::evaluate::{Encoded, choose_split, head_of, labels_of, max_length};
use crate::model::Model;
use crate::study::{Cost, Id, Work};
use crate::{Context, Error, Result, bail};

/// How many texts are under attack at once. A search does not depend on the others: this only
/// fills the batches.
const AT_ONCE: usize = 32;

/// Bytes that a row's attack takes in the store, about.
const ROW_BYTES: u64 = 1000;

/// What to attack, and how.
#[derive(Debug, Clone)]
pub struct AttackOptions {
    /// The recipe.
    pub recipe: &'static Recipe,
    /// How many rows are attacked, as [`Dataset::sample`] draws them; all by default.
    pub n: Option<usize>,
    /// The split; by default `test`, or `validation` where the test labels are hidden.
    pub split: Option<Split>,
    /// The longest text in tokens; by default the adapter's own, else the model's.
    pub max_length: Option<usize>,
    /// The seed of the sample and of random letters.
    pub seed: u64,
    /// Where words that take others' places come from.
    pub neighbors: Source,
    /// WordNet's dict folder, as a source of parts of speech; none by default, and neighbours from
    /// WordNet are one themselves.
    pub wordnet: Option<PathBuf>,
    /// What embeds sentences; the model of the binary by default.
    pub encoder: Option<Model>,
    /// Whether the first text of a pair stays; by default as the recipe has it.
    pub keeps_first: Option<bool>,
}

/// Attacks an adapter with its head for `data`. Kept in the context's store.
///
/// Errors: labels that are numbers or hidden, labels that the head does not have, files of neighbours
/// that cannot be read.
pub fn attack(
    model: &Model,
    adapter: &Adapter,
    data: &Dataset,
    options: &AttackOptions,
    context: &Context,
) -> Result<Attack> {
    if !matches!(data.task(), Task::Classification { .. }) {
        bail!(
            "attack: {} has numbers as labels, and an attack changes classes",
            data.name()
        );
    }
    let recipe = options.recipe;
    adapter.fits(model)?;
    check_base(adapter, model, context)?;
    let (head, matched) = head_of(adapter, data, context)?;
    let split = choose_split(data, options.split, context);
    let mut rows = rows(data, split, options)?;
    let keeps_first = data.is_paired() && options.keeps_first.unwrap_or(recipe.keeps_first);
    let longest = max_length(model, adapter, head, options.max_length);
    let found = match recipe.needs_neighbors() {
        true => Some(options.neighbors.read()?),
        false => None,
    };
    let wordnet = match &options.wordnet {
        Some(folder) if recipe.same_part_of_speech => Some(WordNet::read(folder)?),
        _ => None,
    };
    let encoder = match (recipe.similarity, &options.encoder) {
        (None, _) => None,
        (Some(_), Some(encoder)) => Some(encoder.clone()),
        (Some(_), None) => Some(Model::mini(DType::F32, model.device())?),
    };
    let recipe_of = RecipeOf {
        head,
        split,
        rows: rows.len(),
        keeps_first,
        longest,
        found: found.as_ref(),
        wordnet: wordnet.as_ref(),
        encoder: encoder.as_ref(),
    };
    let settings = recipe_of.settings(model, data, options);
    let id = recipe_of.id(&settings, model, adapter, data);
    if let Some(mut attack) = context.kept_json::<Attack>(&id) {
        // What datasets, files and models are called is not part of the id.
        attack.dataset = data.name().into();
        attack.neighbors = found.as_ref().map(|_| options.neighbors.describe());
        attack.encoder = encoder.map(|encoder| encoder.name().to_string());
        tell(
            context,
            &id,
            (model, adapter, data),
            settings,
            (&attack, true),
        );
        return Ok(attack);
    }
    if !context.plan().computes(Work::Attack, &id) {
        let read = Encoded::of(model, data, split, &head.labels, longest)?;
        let rate = threads::in_pool(|| read.rate(model, context))?;
        let tokens = rows.iter().map(Target::tokens).sum();
        context.plan().leave(
            id,
            Cost {
                work: Work::Attack,
                tokens,
                seconds: rate * tokens as f64,
                bytes: ROW_BYTES * rows.len() as u64,
            },
        );
        return Err(Error::pending(format!(
            "{} on {} is not attacked yet",
            adapter.name(),
            data.name()
        )));
    }
    let sources = Sources {
        recipe,
        neighbors: found.map(Found::parse).transpose()?,
        wordnet,
        keeps_first,
        seed: options.seed,
    };
    let known = Known {
        keeps_first,
        cosines: options.neighbors.has_cosines(),
        parts_of_speech: sources.parts_of_speech().is_some(),
    };
    let answers = matched.answers(labels_of(data), &head.labels);
    for target in &mut rows {
        target.gold = answers.places[target.gold];
    }
    let victim = Victim::new(model, adapter, head, answers.outputs, longest)?;
    let searches = Searches {
        sources: &sources,
        victim: &victim,
        encoder: encoder.as_ref(),
        context,
    };
    context.progress().start(
        &format!("attack {} with {}", data.name(), recipe.name),
        rows.len() as u64,
        "texts",
    );
    let attempts = threads::in_pool(|| searches.run(&rows))?;
    context.progress().finish();
    let attack = Attack {
        recipe: recipe.name.into(),
        dataset: data.name().into(),
        split: split.name().into(),
        labels: answers.labels.names(),
        constraints: constraints::of(recipe, &known),
        neighbors: sources
            .neighbors
            .as_ref()
            .map(|_| options.neighbors.describe()),
        encoder: encoder.map(|encoder| encoder.name().to_string()),
        attempts,
    };
    context.keep_json(&id, &attack)?;
    tell(
        context,
        &id,
        (model, adapter, data),
        settings,
        (&attack, false),
    );
    Ok(attack)
}

/// A text to attack: its row in the split, what it says and its label.
struct Target {
    row: usize,
    text: Attacked,
    gold: usize,
}

impl Target {
    /// About how many tokens the model is asked for: as many texts as twice its words.
    fn tokens(&self) -> u64 {
        let words = self.text.len() as u64;
        2 * words * words
    }
}

fn rows(data: &Dataset, split: Split, options: &AttackOptions) -> Result<Vec<Target>> {
    let all = data.split(split);
    if all.is_empty() {
        bail!("{}: the {} split has no rows", data.name(), split.name());
    }
    let chosen = match options.n {
        Some(n) => data.drawn(split, n, options.seed),
        None => (0..all.len()).collect(),
    };
    let target = |row: usize| match all[row].label {
        Label::Class(gold) => Ok(Target {
            row,
            text: Attacked::of(&all[row]),
            gold,
        }),
        _ => Err(Error::new(format!(
            "{}: row {} of {split} has a hidden label",
            data.name(),
            row + 1
        ))
        .hint("attack another split: #{ split: \"validation\" }")),
    };
    chosen.into_iter().map(target).collect()
}

/// What an attack's id is made of beside the model, the adapter, the dataset and the options.
struct RecipeOf<'a> {
    head: &'a Head,
    split: Split,
    rows: usize,
    keeps_first: bool,
    longest: usize,
    found: Option<&'a Found>,
    wordnet: Option<&'a WordNet>,
    encoder: Option<&'a Model>,
}

impl RecipeOf<'_> {
    /// What beside the model, the adapter and the data decides the result.
    fn settings(&self, model: &Model, data: &Dataset, options: &AttackOptions) -> Value {
        let is_drawn = self.rows < data.split(self.split).len();
        let seed = (is_drawn || options.recipe.is_random()).then_some(options.seed);
        json!({
            "recipe": options.recipe.name,
            "head": head_id(self.head),
            "split": self.split.name(),
            "rows": self.rows,
            "max_length": self.longest,
            "precision": model.precision(),
            "class": model.class(),
            "seed": seed,
            "keeps_first": self.keeps_first,
            "neighbors": self.found.map(|found| found.id.as_str()),
            "wordnet": self.wordnet.map(|wordnet| wordnet.id.as_str()),
            "encoder": self.encoder.map(|e| [e.key(), e.precision(), e.class()]),
        })
    }

    fn id(&self, settings: &Value, model: &Model, adapter: &Adapter, data: &Dataset) -> Id {
        let parts = json!({
            "base": model.key(),
            "adapter": adapter.id(),
            "data": data.id(),
            "settings": settings,
        });
        Id::of_recipe(VERSION, &parts)
    }
}

/// What searches share.
struct Searches<'a> {
    sources: &'a Sources<'a>,
    victim: &'a Victim<'a>,
    encoder: Option<&'a Model>,
    context: &'a Context,
}

impl Searches<'_> {
    /// Attacks the targets, [`AT_ONCE`] at a time: what all of them ask next is answered at once.
    fn run(&self, targets: &[Target]) -> Result<Vec<Attempt>> {
        let mut waiting: VecDeque<(usize, &Target)> = targets.iter().enumerate().collect();
        let mut running: Vec<(usize, Search<'_>)> = Vec::new();
        let mut attempts: Vec<Option<Attempt>> = targets.iter().map(|_| None).collect();
        let mut done = 0;
        loop {
            while running.len() < AT_ONCE
                && let Some((at, target)) = waiting.pop_front()
            {
                let text = target.text.clone();
                running.push((at, Search::new(self.sources, target.row, text, target.gold)));
            }
            if running.is_empty() {
                break;
            }
            self.answer(&mut running)?;
            let mut still = Vec::new();
            for (at, mut search) in running {
                search.go_on();
                match search.need() {
                    Need::Nothing => {
                        attempts[at] = Some(search.attempt());
                        done += 1;
                        self.context.progress().update(done, "");
                    }
                    _ => still.push((at, search)),
                }
            }
            running = still;
        }
        Ok(attempts.into_iter().flatten().collect())
    }

    /// Tells every search what it needs to know.
    fn answer(&self, running: &mut [(usize, Search<'_>)]) -> Result<()> {
        let (mut asked, mut windows) = (Vec::new(), Vec::new());
        for (i, (_, search)) in running.iter().enumerate() {
            match search.need() {
                Need::Answers(texts) => asked.extend(texts.into_iter().map(|text| (i, text))),
                Need::Embeddings(texts) => windows.extend(texts.into_iter().map(|text| (i, text))),
                Need::Nothing => {}
            }
        }
        let texts: Vec<&Attacked> = asked.iter().map(|(_, text)| *text).collect();
        let answers = self.victim.ask(&texts, self.context)?;
        let answers = asked
            .iter()
            .zip(answers)
            .map(|((i, text), answer)| (*i, text.whole().to_string(), answer));
        let answers: Vec<(usize, String, Vec<f32>)> = answers.collect();
        let texts: Vec<&str> = windows.iter().map(|(_, text)| *text).collect();
        let embeddings = match self.encoder {
            Some(encoder) => embed(encoder, &texts, self.context)?,
            None => Vec::new(),
        };
        let embeddings = windows
            .iter()
            .zip(embeddings)
            .map(|((i, text), embedding)| (*i, (*text).to_string(), embedding));
        let embeddings: Vec<(usize, String, Vec<f32>)> = embeddings.collect();
        for (i, text, answer) in answers {
            running[i].1.learn_answer(text, answer);
        }
        for (i, text, embedding) in embeddings {
            running[i].1.learn_embedding(text, embedding);
        }
        Ok(())
    }
}
