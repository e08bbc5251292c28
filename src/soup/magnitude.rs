//! Magnitude pruning: the weighted sum of the members' largest changes.
//!
//! Each tensor is trimmed to the whole number of entries below density times its number. Source:
//! PEFT 0.21's `magnitude_prune`.

use std::sync::Arc;

use crate::Result;

use super::consensus::{Rule, consensus};
use super::method::{Entrywise, Group, On, PLAIN, Spec, Work};
use super::sparsify::keep_largest;
use super::task_arithmetic::LAMBDA;
use super::ties::DENSITY;

/// The method.
pub const SPEC: Spec = Spec {
    name: "magnitude",
    doc: "the weighted sum of each member's largest changes",
    on: On::Changes,
    numbers: &[DENSITY, LAMBDA],
    flags: &[("normalize", false)],
    advice: "density: 0.2 keeps the largest 20 %, as TIES trims; density: 1 trims nothing",
    make: |_| Ok(Work::Entrywise(Arc::new(Magnitude))),
    ..PLAIN
};

#[derive(Debug)]
struct Magnitude;

impl Entrywise for Magnitude {
    fn mix(&self, mut group: Group<'_>) -> Result<Vec<f32>> {
        let at = group.at;
        for (i, change) in group.members.iter_mut().enumerate() {
            let density = at.number_of("density", i)?;
            let kept = (density * change.len() as f64) as usize;
            keep_largest(change, kept);
        }
        let normalize = at.settings.flag("normalize");
        consensus(
            &group.members,
            at.weights,
            Rule::Sum,
            normalize,
            at.number("lambda")?,
        )
    }
}
