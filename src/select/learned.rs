//! Weights of a soup, learned from a few rows without gradients.
//!
//! Source: LoraHub (Huang et al. 2024), which searches the weights of published LoRAs on a few
//! examples without gradients, with a penalty on their size; AdaMerging (Yang et al. 2024) for
//! entropy on unlabelled text.

use cmaes::{CMAESOptions, DVector};
use serde_json::json;

use crate::adapter::Adapter;
use crate::data::{Dataset, Split};
use crate::model::Model;
use crate::soup::Setting;
use crate::{Context, Result, bail, soup};

use super::metric::Metric;

/// How the weights are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// CMA-ES, by the crate `cmaes`.
    Cmaes,
    /// One weight after the other, with steps that halve when none helps.
    Coordinate,
}

/// How to learn weights.
#[derive(Debug, Clone)]
pub struct LearnOptions {
    /// What is made better.
    pub by: Metric,
    /// On which split.
    pub split: Split,
    /// The search.
    pub search: Search,
    /// The most soups that are evaluated.
    pub evaluations: usize,
    /// The weights lie between plus and minus this.
    pub bound: f64,
    /// What the mean magnitude of the weights costs.
    pub penalty: f64,
    /// Moves CMA-ES.
    pub seed: u64,
    /// How each soup is mixed, weights left out.
    pub soup: soup::Options,
}

/// The soup with the best weights found, which start as equal shares (or at the bound, where that is
/// less). What is compared is the mean over the datasets, with the penalty; of equals the first
/// found stays, so that the result never costs more there than the uniform soup.
pub fn learned(
    model: &Model,
    adapters: &[Adapter],
    data: &[Dataset],
    options: &LearnOptions,
    context: &Context,
) -> Result<Adapter> {
    let n = adapters.len();
    if n == 0 {
        bail!("there are no adapters to mix");
    }
    let mixed = |weights: &[f64], chosen| {
        let own = soup::Options {
            weights: Some(weights.iter().copied().map(Setting::Number).collect()),
            chosen,
            ..options.soup.clone()
        };
        soup::soup(adapters, &own, context)
    };
    // Hundreds of soups are tried that nobody asks for again: they are not kept.
    let fleeting = context.clone().without_store();
    let by = options.by;
    let start = vec![(1.0 / n as f64).min(options.bound); n];
    let total = options.evaluations as u64;
    context.progress().start("weights", total, "soups");
    let mut trials = Trials {
        best: (f64::INFINITY, start.clone()),
        done: 0,
        failed: None,
        value: |weights: &[f64]| -> Result<f64> {
            let bounded = weights.iter().all(|w| w.abs() <= options.bound);
            if !bounded || weights.iter().all(|w| *w == 0.0) {
                return Ok(f64::INFINITY);
            }
            let value = by.mean(
                model,
                &mixed(weights, None)?,
                data,
                options.split,
                &fleeting,
            )?;
            let size = weights.iter().map(|w| w.abs()).sum::<f64>() / n as f64;
            Ok(-by.gain(value) + options.penalty * size)
        },
        most: options.evaluations,
        context,
    };
    let uniform = trials.cost(&start);
    match options.search {
        Search::Coordinate => coordinate(&mut trials, start),
        Search::Cmaes => evolve(&mut trials, &start, options),
    }
    context.progress().finish();
    if let Some(error) = trials.failed {
        return Err(error);
    }
    let (cost, weights) = trials.best;
    let record = json!({
        "by": by.name(),
        "split": options.split.name(),
        "data": data.iter().map(Dataset::id).collect::<Vec<_>>(),
        "search": match options.search { Search::Cmaes => "cma_es", Search::Coordinate => "coordinate" },
        "evaluations": trials.done,
        "bound": options.bound,
        "penalty": options.penalty,
        "seed": options.seed,
        "cost_uniform": uniform,
        "cost": cost,
    });
    mixed(&weights, Some(record))
}

/// Soups tried so far.
struct Trials<'a, F> {
    best: (f64, Vec<f64>),
    done: usize,
    most: usize,
    failed: Option<crate::Error>,
    value: F,
    context: &'a Context,
}

impl<F: Fn(&[f64]) -> Result<f64>> Trials<'_, F> {
    /// What these weights cost; infinite once something has failed or the trials are used up.
    fn cost(&mut self, weights: &[f64]) -> f64 {
        if self.failed.is_some() || self.done >= self.most {
            return f64::INFINITY;
        }
        match (self.value)(weights) {
            Ok(cost) => {
                self.done += 1;
                if cost < self.best.0 {
                    self.best = (cost, weights.to_vec());
                }
                let note = format!("{:.4}", self.best.0);
                self.context.progress().update(self.done as u64, &note);
                cost
            }
            Err(error) => {
                self.failed = Some(error);
                f64::INFINITY
            }
        }
    }

    fn over(&self) -> bool {
        self.failed.is_some() || self.done >= self.most
    }
}

/// The least step of the coordinate search.
const LEAST: f64 = 1.0 / 64.0;

fn coordinate<F: Fn(&[f64]) -> Result<f64>>(trials: &mut Trials<'_, F>, mut at: Vec<f64>) {
    let mut step = 0.25;
    while step >= LEAST && !trials.over() {
        let before = trials.best.0;
        for i in 0..at.len() {
            for direction in [1.0, -1.0] {
                let mut next = at.clone();
                next[i] += direction * step;
                let least = trials.best.0;
                if trials.cost(&next) < least {
                    at = next;
                    break;
                }
            }
        }
        if trials.best.0 >= before {
            step /= 2.0;
        }
    }
}

fn evolve<F: Fn(&[f64]) -> Result<f64>>(
    trials: &mut Trials<'_, F>,
    start: &[f64],
    options: &LearnOptions,
) {
    let most = options.evaluations.saturating_sub(1);
    let cost = |x: &DVector<f64>| {
        let found = trials.cost(x.as_slice());
        // The library asks for finite numbers.
        if found.is_finite() { found } else { 1e30 }
    };
    let search = CMAESOptions::new(start.to_vec(), 0.3)
        .seed(options.seed)
        .max_function_evals(most.max(1))
        .build(cost);
    if let Ok(mut search) = search {
        let _ = search.run();
    }
}
