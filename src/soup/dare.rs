//! DARE: drop entries of the members' changes at random, rescale what stays, add up; `dare_ties`
//! elects a sign for each entry before.
//!
//! Source: Yu et al. 2024; PEFT 0.21 (`dare_linear`, `dare_ties`), mergekit 0.1.5 (`rescale:
//! "l1"`). The random numbers are our own: no library's come out the same.

use std::sync::Arc;

use crate::Result;
use crate::compute::random::Stream;

use super::consensus::{Rule, consensus};
use super::method::{Choice, Entrywise, Group, On, PLAIN, Spec, Work};
use super::sparsify::{Rescale, keep_random};
use super::task_arithmetic::LAMBDA;
use super::ties::DENSITY;

/// Added up.
pub const DARE: Spec = Spec {
    name: "dare",
    doc: "the weighted sum of the members' changes, entries dropped at random and the rest rescaled",
    on: On::Changes,
    numbers: &[DENSITY, LAMBDA],
    choices: &[RESCALE],
    flags: &[("normalize", false)],
    random: true,
    advice: "the paper drops up to 90 % of most changes (Yu et al. 2024), density: 0.1; density: 1 drops nothing",
    make: |s| {
        Ok(Work::Entrywise(Arc::new(Dare(
            Rule::Sum,
            Rescale::of(s.word("rescale")),
        ))))
    },
    ..PLAIN
};

/// With an election.
pub const DARE_TIES: Spec = Spec {
    name: "dare_ties",
    doc: "changes with entries dropped at random; per entry the mean of those with the elected sign",
    choices: &[RESCALE, RULE],
    share: false,
    make: |s| {
        let rule = match s.word("rule") {
            "peft" => Rule::Total,
            "peft_frequency" => Rule::Frequency,
            "mergekit" => Rule::Mergekit,
            _ => Rule::Paper,
        };
        Ok(Work::Entrywise(Arc::new(Dare(
            rule,
            Rescale::of(s.word("rescale")),
        ))))
    },
    ..DARE
};

/// What becomes of entries that stay.
const RESCALE: Choice = Choice {
    name: "rescale",
    words: &["probability", "l1", "none"],
};

/// Whose election.
const RULE: Choice = Choice {
    name: "rule",
    words: &["paper", "peft", "peft_frequency", "mergekit"],
};

#[derive(Debug)]
struct Dare(Rule, Rescale);

impl Entrywise for Dare {
    fn mix(&self, mut group: Group<'_>) -> Result<Vec<f32>> {
        let at = group.at;
        for (i, (change, key)) in group.members.iter_mut().zip(group.keys).enumerate() {
            let density = at.number_of("density", i)?;
            if density < 1.0 {
                let mut stream = stream("dare", &at, key);
                keep_random(change, density, self.1, &mut stream);
            }
        }
        let normalize = at.settings.flag("normalize");
        consensus(
            &group.members,
            at.weights,
            self.0,
            normalize,
            at.number("lambda")?,
        )
    }
}

/// The random numbers for one member's tensor.
pub(super) fn stream(purpose: &str, at: &super::method::At<'_>, key: &str) -> Stream {
    let seed = at.settings.seed.unwrap_or(0);
    Stream::new(seed, purpose, &format!("{key} {}", at.place.name))
}
