//! The grid engine: many soups on the datasets of their members.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::adapter::{Adapter, Head, check_base, on_model};
use crate::compute::threads;
use crate::data::{Dataset, Split};
use crate::model::Model;
use crate::sign::{Denominator, MixtureIndex, SignPlanes, Space, View, planes_of};
use crate::study::{Id, Work};
use crate::{Context, Error, Result, bail};

use super::companions::{Companions, Pairs};
use super::encoded::Encoded;
use super::journal::tell;
use super::matching::head_of;
use super::run::{choose_split, evaluate_each, kept, max_length, score_id};
use super::score::Score;

/// What to evaluate soups on.
#[derive(Debug, Clone, Default)]
pub struct GridOptions {
    /// Datasets of adapters that do not know theirs (loaded ones), by adapter name, and those that
    /// soups were chosen on.
    pub domains: BTreeMap<String, Dataset>,
    /// Evaluate every soup on these instead of its members' own datasets.
    pub on: Option<Vec<Dataset>>,
    /// The split; by default test.
    pub split: Option<Split>,
    /// The longest text in tokens; by default as the adapters were trained.
    pub max_length: Option<usize>,
    /// For LoRA: compare the signs of the changes B A instead of those of the factors.
    pub delta_signs: bool,
    /// Tell cosine, distance and mass in conflict beside the signs.
    pub companions: bool,
}

/// The sign difference of a mixture in two numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignRates {
    /// Share of all entries at which the members are not unanimous.
    pub all: f64,
    /// Share of the entries at which at least two members are not zero; none where there are none.
    pub both_nonzero: Option<f64>,
}

impl SignRates {
    /// Of all members together; their tensors must have the same names and shapes.
    pub fn of(members: &[(&str, &SignPlanes)]) -> Result<Self> {
        let all: Vec<usize> = (0..members.len()).collect();
        let counts = MixtureIndex::new(members)?.counts(&all)?;
        let both = counts.rate(Denominator::BothNonzero);
        Ok(Self {
            all: counts.rate(Denominator::All),
            both_nonzero: both.is_finite().then_some(both),
        })
    }
}

/// One row of a grid: one soup on one dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The soup's id, in short.
    pub soup: String,
    /// Its members' names.
    pub members: Vec<String>,
    /// The dataset's name.
    pub dataset: String,
    /// The soup's accuracy there.
    pub accuracy: f64,
    /// The accuracy of the member that was trained there.
    pub alone: Option<f64>,
    /// The mixture's sign difference over all entries, and over those that count; none where the
    /// members' tensors have different shapes.
    pub signs: Option<SignRates>,
    /// What the signs are held against, where that was asked for and can be compared.
    pub companions: Option<Companions>,
    /// Rows.
    pub n: usize,
}

/// Evaluates every soup on the datasets that its members were trained on. A cell equals a
/// separate evaluation to the bit, and is kept in the store like one.
pub fn evaluate_all(
    model: &Model,
    soups: &[Adapter],
    options: &GridOptions,
    context: &Context,
) -> Result<Vec<Cell>> {
    threads::in_pool(|| evaluate_cells(model, soups, options, context))
}

fn evaluate_cells(
    model: &Model,
    soups: &[Adapter],
    options: &GridOptions,
    context: &Context,
) -> Result<Vec<Cell>> {
    let mut grid = Grid {
        model,
        options,
        context,
        splits: HashMap::new(),
        scores: HashMap::new(),
        planes: HashMap::new(),
        pairs: Pairs::default(),
        found: HashSet::new(),
    };
    let plan = soups
        .iter()
        .map(|s| grid.datasets(s))
        .collect::<Result<Vec<_>>>()?;
    let total: usize = plan.iter().map(Vec::len).sum();
    for (data, _) in plan.iter().flatten() {
        if !grid.splits.contains_key(data.id()) {
            let split = choose_split(data, options.split, context);
            grid.splits.insert(data.id().to_string(), split);
        }
    }
    grid.evaluate(soups, &plan)?;
    grid.tell(soups, &plan)?;
    let mut cells = Vec::with_capacity(total);
    for (soup, datasets) in soups.iter().zip(&plan) {
        let signs = grid.signs(soup)?;
        let companions = grid.companions(soup)?;
        for (dataset, owner) in datasets {
            let score = grid.score(soup, dataset)?;
            let alone = match owner {
                Some(member) => Some(grid.score(member, dataset)?.accuracy()?),
                None => None,
            };
            cells.push(Cell {
                soup: soup.id().short().to_string(),
                members: soup
                    .members()
                    .iter()
                    .map(|m| m.name().to_string())
                    .collect(),
                dataset: dataset.name().to_string(),
                accuracy: score.accuracy()?,
                alone,
                signs,
                companions,
                n: score.n(),
            });
        }
    }
    context.progress().finish();
    Ok(cells)
}

/// Whether a search chose a soup on this dataset.
pub fn chosen_on(soup: &Adapter, data: &Dataset) -> bool {
    let recipe = soup.recipe().map(|recipe| recipe.describe());
    let looked_at = recipe.as_ref().and_then(|r| r["chosen"]["data"].as_array());
    looked_at.is_some_and(|ids| ids.iter().any(|id| id == data.id()))
}

/// Adapters evaluated together: enough to share the work, few enough to be held at once.
const TOGETHER: usize = 16;

/// One evaluation.
struct Job {
    id: Id,
    adapter: Adapter,
    data: Dataset,
    split: Split,
    length: usize,
}

impl Job {
    fn head(&self) -> Result<&Head> {
        self.adapter.head_for(&self.data)
    }

    /// Equal for evaluations that read the same rows in the same way.
    fn rows_key(&self) -> Result<String> {
        let (data, split, labels) = (self.data.id(), self.split.name(), &self.head()?.labels);
        Ok(format!("{data} {split} {} {labels:?}", self.length))
    }
}

struct Grid<'a> {
    model: &'a Model,
    options: &'a GridOptions,
    context: &'a Context,
    /// The split that is read of each dataset, by its id.
    splits: HashMap<String, Split>,
    /// Scores by id.
    scores: HashMap<Id, Score>,
    /// Sign planes by adapter id, packed once.
    planes: HashMap<String, SignPlanes>,
    pairs: Pairs,
    /// The scores that the store had.
    found: HashSet<Id>,
}

impl Grid<'_> {
    /// The datasets of a soup, each with the member that was trained on it.
    fn datasets(&self, soup: &Adapter) -> Result<Vec<(Dataset, Option<Adapter>)>> {
        let domain = |m: &Adapter| {
            let given = &self.options.domains;
            // A saved adapter knows which dataset it was trained on, not the dataset itself.
            let trained_on = |data: &&Dataset| {
                let training = m.training();
                training.is_some_and(|t| t.dataset_id == data.id() || t.dataset == data.name())
            };
            m.domain()
                .or_else(|| given.get(m.name()))
                .or_else(|| given.values().find(trained_on))
                .cloned()
        };
        if let Some(on) = &self.options.on {
            return Ok(on
                .iter()
                .map(|dataset| {
                    let owner = soup
                        .members()
                        .iter()
                        .find(|m| domain(m).is_some_and(|d| d.id() == dataset.id()));
                    (dataset.clone(), owner.cloned())
                })
                .collect());
        }
        let own = self.own_domains(soup);
        let mut datasets: Vec<(Dataset, Option<Adapter>)> = Vec::new();
        for member in soup.members() {
            let Some(dataset) = domain(member) else {
                // Loaded members of a soup that was chosen on a dataset are asked about that alone.
                if !own.is_empty() {
                    continue;
                }
                return Err(Error::new(format!(
                    "the dataset that {} was trained on is not known",
                    member.name()
                ))
                .hint(format!(
                    "give it: #{{ domains: #{{ \"{}\": dataset(...) }} }}",
                    member.name()
                )));
            };
            if !datasets.iter().any(|(d, _)| d.id() == dataset.id()) {
                datasets.push((dataset, Some(member.clone())));
            }
        }
        for dataset in own {
            if !datasets.iter().any(|(d, _)| d.id() == dataset.id()) {
                datasets.push((dataset.clone(), None));
            }
        }
        Ok(datasets)
    }

    /// The given datasets that belong to a soup itself and not to its members: under its name, or
    /// one that a search chose it on.
    fn own_domains(&self, soup: &Adapter) -> Vec<&Dataset> {
        if soup.recipe().is_none() {
            return Vec::new();
        }
        let given = self.options.domains.iter();
        let own = given.filter(|(name, data)| *name == soup.name() || chosen_on(soup, data));
        own.map(|(_, data)| data).collect()
    }

    /// Finds all scores of a plan: those not kept by evaluating, on each dataset, several
    /// adapters together.
    fn evaluate(
        &mut self,
        soups: &[Adapter],
        plan: &[Vec<(Dataset, Option<Adapter>)>],
    ) -> Result<()> {
        let mut jobs: BTreeMap<String, Vec<Job>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for (soup, datasets) in soups.iter().zip(plan) {
            for (data, owner) in datasets {
                for adapter in [Some(soup), owner.as_ref()].into_iter().flatten() {
                    check_base(adapter, self.model, self.context)?;
                    let job = self.job(adapter, data)?;
                    if !seen.insert(job.id.clone()) {
                        continue;
                    }
                    if let Some(score) = kept(&job.id, job.head()?, data, self.context) {
                        self.scores.insert(job.id.clone(), score);
                        self.found.insert(job.id);
                    } else {
                        adapter.fits(self.model)?;
                        jobs.entry(job.rows_key()?).or_default().push(job);
                    }
                }
            }
        }
        let left = self.compute(jobs)?;
        if left > 0 {
            let all = seen.len();
            return Err(Error::pending(format!(
                "{left} of {all} evaluations are not made yet"
            )));
        }
        Ok(())
    }

    /// Computes what falls to this run, and notes what the rest would cost; how many are left.
    fn compute(&mut self, jobs: BTreeMap<String, Vec<Job>>) -> Result<usize> {
        let (plan, progress) = (self.context.plan(), self.context.progress());
        let computes = |job: &Job| plan.computes(Work::Evaluation, &job.id);
        let own = jobs.values().flatten().filter(|job| computes(job)).count();
        let (mut done, mut left) = (self.found.len() as u64, 0);
        progress.start("evaluate soups", done + own as u64, "evaluations");
        progress.update(done, "");
        for jobs in jobs.into_values() {
            let Some(first) = jobs.first() else { continue };
            let labels = &first.head()?.labels;
            let rows = Encoded::of(self.model, &first.data, first.split, labels, first.length)?;
            let (jobs, rest): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(computes);
            if !rest.is_empty() {
                let cost = rows.cost(self.model, self.context)?;
                left += rest.len();
                rest.into_iter().for_each(|job| plan.leave(job.id, cost));
            }
            for jobs in jobs.chunks(TOGETHER) {
                let sites = jobs
                    .iter()
                    .map(|job| {
                        let tensors = on_model(&*job.adapter.tensors()?, self.model)?;
                        job.adapter.kind().sites(&tensors, self.model.config())
                    })
                    .collect::<Result<Vec<_>>>()?;
                let members = jobs
                    .iter()
                    .zip(&sites)
                    .map(|(job, sites)| Ok((sites.as_ref(), job.head()?)))
                    .collect::<Result<Vec<_>>>()?;
                let scores = evaluate_each(self.model, &members, &rows, self.context, false)?;
                for (job, score) in jobs.iter().zip(scores) {
                    self.context.keep_json(&job.id, &score)?;
                    self.scores.insert(job.id.clone(), score);
                }
                done += jobs.len() as u64;
                progress.update(done, "");
            }
        }
        Ok(left)
    }

    /// Writes down all evaluations of a plan in its order.
    fn tell(&self, soups: &[Adapter], plan: &[Vec<(Dataset, Option<Adapter>)>]) -> Result<()> {
        if self.context.journal().is_none() {
            return Ok(());
        }
        for (soup, datasets) in soups.iter().zip(plan) {
            for (data, owner) in datasets {
                for adapter in [Some(soup), owner.as_ref()].into_iter().flatten() {
                    let job = self.job(adapter, data)?;
                    if let Some(score) = self.scores.get(&job.id) {
                        let parts = (self.model, adapter, job.head()?, data);
                        let found = self.found.contains(&job.id);
                        tell(self.context, &job.id, parts, job.length, score, found);
                    }
                }
            }
        }
        Ok(())
    }

    fn job(&self, adapter: &Adapter, data: &Dataset) -> Result<Job> {
        let (head, _) = head_of(adapter, data, self.context)?;
        let Some(&split) = self.splits.get(data.id()) else {
            bail!("{} is not in the plan", data.name());
        };
        let length = max_length(self.model, adapter, head, self.options.max_length);
        Ok(Job {
            id: score_id(self.model, adapter, head, data, split, length),
            adapter: adapter.clone(),
            data: data.clone(),
            split,
            length,
        })
    }

    fn score(&self, adapter: &Adapter, data: &Dataset) -> Result<&Score> {
        let job = self.job(adapter, data)?;
        match self.scores.get(&job.id) {
            Some(score) => Ok(score),
            None => bail!("{} on {} was not evaluated", adapter.name(), data.name()),
        }
    }

    /// The numbers that members are compared by.
    fn view(&self) -> View {
        View {
            space: match self.options.delta_signs {
                true => Space::Delta,
                false => Space::Factors,
            },
            ..View::default()
        }
    }

    /// What the sign difference among a soup's members is held against, where asked for.
    fn companions(&mut self, soup: &Adapter) -> Result<Option<Companions>> {
        match self.options.companions {
            true => {
                let view = self.view();
                self.pairs.of(soup.members(), &view, self.context)
            }
            false => Ok(None),
        }
    }

    /// The sign difference among a soup's members; none for one member or for members whose
    /// tensors cannot be compared entry by entry.
    fn signs(&mut self, soup: &Adapter) -> Result<Option<SignRates>> {
        let members = soup.members();
        if members.len() < 2 {
            return Ok(None);
        }
        for member in members {
            if !self.planes.contains_key(member.id().as_str()) {
                let planes = planes_of(member, &self.view())?;
                self.planes.insert(member.id().as_str().to_string(), planes);
            }
        }
        let planes: Vec<(&str, &SignPlanes)> = members
            .iter()
            .map(|m| (m.name(), &self.planes[m.id().as_str()]))
            .collect();
        // Factors of different ranks cannot be compared entry by entry.
        Ok(SignRates::of(&planes).ok())
    }
}
