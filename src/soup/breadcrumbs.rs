//! Breadcrumbs: of each member's change both the smallest entries and the very largest fall.
//!
//! The share gamma of the largest falls, then the smallest until the share density is left: the
//! middle stays, tensor by tensor. Source: Davari and Belilovsky 2023; mergekit 0.1.5. Where
//! gamma's share of a tensor is less than one entry, no large entry falls.

use std::sync::Arc;

use crate::Result;

use super::consensus::{Rule, consensus};
use super::method::{Entrywise, Group, Number, On, PLAIN, Spec, Work};
use super::sparsify::keep_ranks;
use super::task_arithmetic::LAMBDA;
use super::ties::DENSITY;

/// Added up.
pub const BREADCRUMBS: Spec = Spec {
    name: "breadcrumbs",
    doc: "the weighted sum of the members' changes without their smallest and their very largest entries",
    on: On::Changes,
    numbers: &[
        DENSITY,
        Number {
            name: "gamma",
            default: Some(0.01),
            least: 0.0,
            most: 1.0,
        },
        LAMBDA,
    ],
    flags: &[("normalize", false)],
    advice: "the paper chooses it by validation (Davari and Belilovsky 2023); density: 1 masks nothing",
    make: |_| Ok(Work::Entrywise(Arc::new(Breadcrumbs(Rule::Sum)))),
    ..PLAIN
};

/// With an election.
pub const BREADCRUMBS_TIES: Spec = Spec {
    name: "breadcrumbs_ties",
    doc: "the same changes; per entry the sum of those with the elected sign",
    share: false,
    make: |_| Ok(Work::Entrywise(Arc::new(Breadcrumbs(Rule::Mergekit)))),
    ..BREADCRUMBS
};

#[derive(Debug)]
struct Breadcrumbs(Rule);

impl Entrywise for Breadcrumbs {
    fn mix(&self, mut group: Group<'_>) -> Result<Vec<f32>> {
        let at = group.at;
        for (i, change) in group.members.iter_mut().enumerate() {
            let density = at.number_of("density", i)?;
            if density >= 1.0 {
                continue;
            }
            let n = change.len();
            let stay = (density * n as f64) as usize;
            let largest = (at.number_of("gamma", i)? * n as f64) as usize;
            // Fewer large entries fall where the density would not be reached otherwise.
            let first = n.saturating_sub(stay + largest);
            keep_ranks(change, first..first + stay);
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
