//! TIES: trim the members' changes to the largest, elect a sign for each entry, average the
//! agreeing.
//!
//! Source: Yadav et al. 2023, whose recipe for unseen data keeps the largest 20 % (our default
//! density) with lambda 1. `rule` says whose: `paper` trims over the whole adapter, PEFT 0.21
//! and mergekit 0.1.5 tensor by tensor, to the whole number below density times entries.

use std::sync::Arc;

use crate::Result;

use super::consensus::{Rule, consensus};
use super::method::{Choice, Entrywise, Group, Number, On, PLAIN, Spec, Work};
use super::sparsify::{keep_above, keep_largest};
use super::task_arithmetic::LAMBDA;

/// The method.
pub const SPEC: Spec = Spec {
    name: "ties",
    doc: "the largest changes of each member; per entry the mean of those with the elected sign",
    on: On::Changes,
    numbers: &[
        Number {
            default: Some(0.2),
            ..DENSITY
        },
        LAMBDA,
    ],
    choices: &[Choice {
        name: "rule",
        words: &["paper", "peft", "peft_frequency", "mergekit"],
    }],
    flags: &[("normalize", true)],
    share: false,
    make: |settings| {
        let rule = match settings.word("rule") {
            "peft" => Rule::Total,
            "peft_frequency" => Rule::Frequency,
            "mergekit" => Rule::Mergekit,
            _ => Rule::Paper,
        };
        Ok(Work::Entrywise(Arc::new(Ties(rule))))
    },
    ..PLAIN
};

/// The share of each member's entries that stays. Without one nothing would be trimmed, and most
/// methods would be a plain sum.
pub const DENSITY: Number = Number {
    name: "density",
    default: None,
    least: 0.0,
    most: 1.0,
};

#[derive(Debug)]
struct Ties(Rule);

impl Entrywise for Ties {
    fn trims_whole(&self) -> bool {
        self.0 == Rule::Paper
    }

    fn mix(&self, mut group: Group<'_>) -> Result<Vec<f32>> {
        for (i, change) in group.members.iter_mut().enumerate() {
            match self.0 {
                Rule::Paper => keep_above(change, group.cuts[i]),
                rule => {
                    let density = group.at.number_of("density", i)?;
                    let kept = (density * change.len() as f64) as usize;
                    let kept = match rule {
                        // mergekit keeps one entry at least.
                        Rule::Mergekit if density > 0.0 => kept.max(1),
                        _ => kept,
                    };
                    keep_largest(change, kept);
                }
            }
        }
        let normalize = group.at.settings.flag("normalize");
        let lambda = group.at.number("lambda")?;
        consensus(&group.members, group.at.weights, self.0, normalize, lambda)
    }
}
