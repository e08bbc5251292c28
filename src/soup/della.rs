//! DELLA: drop entries of the members' changes at random, small ones more often, rescale, elect a
//! sign for each entry; `della_linear` adds up without an election.
//!
//! An entry stays with probability density - epsilon + 2 epsilon rank, its rank by magnitude
//! running from 0 to 1 over its row. Source: Deep et al. 2024 (`rescale: "probability"`);
//! mergekit 0.1.5 (`rescale: "l1"`, its and our default).

use std::sync::Arc;

use crate::{Result, bail};

use super::consensus::{Rule, consensus};
use super::dare::stream;
use super::method::{Choice, Entrywise, Group, Number, On, PLAIN, Spec, Work};
use super::sparsify::{Rescale, keep_by_rank};
use super::task_arithmetic::LAMBDA;
use super::ties::DENSITY;

/// With an election.
pub const DELLA: Spec = Spec {
    name: "della",
    doc: "changes with small entries dropped more often; per entry the mean of those with the elected sign",
    on: On::Changes,
    numbers: &[
        DENSITY,
        Number {
            name: "epsilon",
            default: Some(0.15),
            least: 0.0,
            most: 0.5,
        },
        LAMBDA,
    ],
    choices: &[Choice {
        name: "rescale",
        words: &["l1", "probability", "none"],
    }],
    flags: &[("normalize", true)],
    random: true,
    share: false,
    advice: "the paper chooses it by validation (Deep et al. 2024); density plus and minus epsilon lie between 0 and 1; density: 1 drops nothing",
    make: |s| {
        Ok(Work::Entrywise(Arc::new(Della(
            Rule::Mergekit,
            Rescale::of(s.word("rescale")),
        ))))
    },
    ..PLAIN
};

/// Added up.
pub const DELLA_LINEAR: Spec = Spec {
    name: "della_linear",
    doc: "the weighted sum of the members' changes, small entries dropped more often",
    flags: &[("normalize", false)],
    share: true,
    make: |s| {
        Ok(Work::Entrywise(Arc::new(Della(
            Rule::Sum,
            Rescale::of(s.word("rescale")),
        ))))
    },
    ..DELLA
};

#[derive(Debug)]
struct Della(Rule, Rescale);

impl Entrywise for Della {
    fn mix(&self, mut group: Group<'_>) -> Result<Vec<f32>> {
        let at = group.at;
        // A vector is one row.
        let width = match group.shape {
            [_, rest @ ..] if !rest.is_empty() => rest.iter().product(),
            _ => group.shape.iter().product(),
        };
        for (i, (change, key)) in group.members.iter_mut().zip(group.keys).enumerate() {
            let density = at.number_of("density", i)?;
            if density >= 1.0 {
                continue;
            }
            let epsilon = at.number_of("epsilon", i)?;
            if density > 0.0 && (density + epsilon > 1.0 || density - epsilon < 0.0) {
                bail!(
                    "density {density} plus or minus epsilon {epsilon} leaves 0 to 1: no probability";
                    hint: "give an epsilon of at most {}", density.min(1.0 - density)
                );
            }
            if density == 0.0 {
                change.fill(0.0);
                continue;
            }
            let mut stream = stream("della", &at, key);
            keep_by_rank(change, width, (density, epsilon), self.1, &mut stream);
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
