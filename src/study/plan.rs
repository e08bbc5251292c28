//! How much of what a study asks for a run computes: all, a share of it, or nothing.
//!
//! What is kept in the store is taken in any case. What a run leaves is noted with what it would
//! cost, each result once however often it is asked for.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::id::Id;
use crate::{Error, Result, bail};

/// What a run computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// All that is asked for.
    #[default]
    All,
    /// Trainings, and a share of the evaluations; other runs on the same store have the rest.
    Shard(Shard),
    /// Nothing: what it would take is told.
    Nothing,
}

/// One of several runs that share the evaluations of a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    index: u64,
    /// Of how many.
    of: u64,
}

impl Shard {
    /// Whether this run has the result of that id. Each id falls to exactly one run.
    fn has(self, id: &Id) -> bool {
        let head = u64::from_str_radix(&id.as_str()[..15], 16).unwrap_or(0);
        head % self.of == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = Error;

    /// Reads `2/4`.
    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('/');
        let numbers = parts.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Self { index, of }),
            _ => bail!("expected a shard such as 2/4, the second of four; got {text}"),
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// What a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A trained adapter.
    Training,
    /// A score.
    Evaluation,
    /// An attack on the rows of a dataset.
    Attack,
}

/// What a result takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// What it is.
    pub work: Work,
    /// Tokens that are read, over all epochs.
    pub tokens: u64,
    /// About how long it takes, in seconds, as far as that is known.
    pub seconds: f64,
    /// About how many bytes it takes in the store.
    pub bytes: u64,
}

/// What is left, in all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Left {
    /// Adapters to be trained.
    pub trainings: usize,
    /// Evaluations.
    pub evaluations: usize,
    /// Attacks to be made.
    pub attacks: usize,
    /// Tokens of all.
    pub tokens: u64,
    /// Seconds of all, as far as known.
    pub seconds: f64,
    /// Bytes of all.
    pub bytes: u64,
}

/// What a run computes, and what it has left.
#[derive(Debug, Default)]
pub struct Plan {
    extent: Extent,
    left: Mutex<BTreeMap<Id, Cost>>,
    /// Seconds a token takes, by model.
    rates: Mutex<BTreeMap<String, f64>>,
}

impl Plan {
    /// Nothing left yet.
    pub fn new(extent: Extent) -> Self {
        Self {
            extent,
            ..Self::default()
        }
    }

    /// What is computed.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Whether a result of that id, which is not kept, is computed now.
    pub fn computes(&self, work: Work, id: &Id) -> bool {
        match (self.extent, work) {
            (Extent::All, _) | (Extent::Shard(_), Work::Training) => true,
            (Extent::Shard(shard), Work::Evaluation | Work::Attack) => shard.has(id),
            (Extent::Nothing, _) => false,
        }
    }

    /// Notes what is left.
    pub fn leave(&self, id: Id, cost: Cost) {
        locked(&self.left).insert(id, cost);
    }

    /// What is left so far.
    pub fn left(&self) -> Left {
        let mut all = Left::default();
        for cost in locked(&self.left).values() {
            match cost.work {
                Work::Training => all.trainings += 1,
                Work::Evaluation => all.evaluations += 1,
                Work::Attack => all.attacks += 1,
            }
            all.tokens += cost.tokens;
            all.seconds += cost.seconds;
            all.bytes += cost.bytes;
        }
        all
    }

    /// How long a token of a model takes, in seconds: measured when first asked for, and only
    /// where nothing else is computed.
    pub fn rate(&self, model: &str, measure: impl FnOnce() -> Result<f64>) -> Result<f64> {
        if self.extent != Extent::Nothing {
            return Ok(0.0);
        }
        let known = locked(&self.rates).get(model).copied();
        if let Some(rate) = known {
            return Ok(rate);
        }
        let rate = measure()?;
        locked(&self.rates).insert(model.to_string(), rate);
        Ok(rate)
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_result_falls_to_one_shard() {
        let ids: Vec<Id> = (0..300).map(|i| Id::of_recipe("t/1", &json!(i))).collect();
        let plans: Vec<Plan> = (1..=3)
            .map(|i| Plan::new(Extent::Shard(format!("{i}/3").parse().unwrap())))
            .collect();
        let mut sizes = [0; 3];
        for id in &ids {
            let of: Vec<usize> = (0..3)
                .filter(|i| plans[*i].computes(Work::Evaluation, id))
                .collect();
            assert_eq!(of.len(), 1);
            sizes[of[0]] += 1;
            assert!(plans.iter().all(|p| p.computes(Work::Training, id)));
        }
        assert!(sizes.iter().all(|s| (70..130).contains(s)), "{sizes:?}");
    }

    #[test]
    fn a_shard_is_one_of_several() {
        for bad in ["", "2", "0/4", "5/4", "a/b", "1/0"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
        assert_eq!("2/4".parse::<Shard>().unwrap().to_string(), "2/4");
    }

    #[test]
    fn what_is_left_counts_once() {
        let plan = Plan::new(Extent::Nothing);
        let cost = Cost {
            work: Work::Evaluation,
            tokens: 10,
            seconds: 0.5,
            bytes: 7,
        };
        let id = |i: i32| Id::of_recipe("t/1", &json!(i));
        plan.leave(id(1), cost);
        plan.leave(id(1), cost);
        plan.leave(id(2), cost);
        let left = plan.left();
        assert_eq!((left.trainings, left.evaluations), (0, 2));
        assert_eq!((left.tokens, left.seconds, left.bytes), (20, 1.0, 14));
        assert!(!plan.computes(Work::Training, &id(3)));
        assert_eq!(plan.rate("m", || Ok(2.0)).unwrap(), 2.0);
        assert_eq!(plan.rate("m", || Ok(3.0)).unwrap(), 2.0);
    }
}
