//! Conflict: within a set of adapters, what points in opposite directions goes first.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::{Criterion, Need, Target};
use crate::Result;
use crate::adapter::{Selection, Tensors};
use crate::sign::SignPlanes;

/// Prunes the entries at which a set of adapters is in sign conflict, the smallest first, then the
/// others by magnitude.
///
/// A conflict is an entry that some adapter of the set has above and another below zero. An entry
/// that is zero goes before all: nothing is lost by it. A whole unit's score is the sum of |w| over
/// its entries without conflict, less that over those in conflict.
#[derive(Debug, Clone, Copy)]
pub struct Conflict;

impl Criterion for Conflict {
    fn name(&self) -> &'static str {
        "conflict"
    }

    fn needs(&self) -> Need {
        Need::Conflict
    }

    fn scores(&self, target: &Target<'_>) -> Vec<f32> {
        let entries = target.weights.iter().zip(target.evidence);
        entries
            .map(|(w, conflict)| score(w.abs(), *conflict != 0.0))
            .collect()
    }

    /// |w| where there is no conflict, -|w| where there is: a unit goes that is most in conflict.
    fn share(&self, score: f32) -> f32 {
        match score.is_sign_negative() {
            true => -f32::from_bits(f32::MAX.to_bits().saturating_sub((-score).to_bits())),
            false => score,
        }
    }
}

/// |w| where there is no conflict; where there is one, a number below zero of the same order.
fn score(magnitude: f32, conflict: bool) -> f32 {
    if magnitude != 0.0 && !conflict {
        return magnitude;
    }
    // Numbers of one sign are ordered as their bits are, so nothing is rounded away.
    -f32::from_bits(f32::MAX.to_bits().saturating_sub(magnitude.to_bits()))
}

/// 1 where some of these have an entry above and others below zero, else 0, in the selected
/// tensors of the first. All must have those tensors, in the same shapes; a NaN is an error.
pub fn conflicts(set: &[(&str, Arc<Tensors>)], include: &Selection) -> Result<Tensors> {
    let planes = set
        .iter()
        .map(|(name, tensors)| SignPlanes::new(tensors, include).map_err(|e| e.within(name)))
        .collect::<Result<Vec<_>>>()?;
    let Some((first, others)) = planes.split_first() else {
        return Ok(Tensors::new());
    };
    for (own, (name, _)) in others.iter().zip(&set[1..]) {
        crate::adapter::check_aligned(
            (set[0].0, first.tensors()),
            (*name, own.tensors()),
            |planes| planes.dims(),
        )?;
    }
    let mut found = Tensors::new();
    for (name, own) in first.tensors() {
        let (mut above, mut below) = (own.positive().to_vec(), own.negative().to_vec());
        for other in others.iter().filter_map(|o| o.tensors().get(name)) {
            let both = [
                (&mut above, other.positive()),
                (&mut below, other.negative()),
            ];
            for (all, more) in both {
                all.iter_mut().zip(more).for_each(|(a, b)| *a |= b);
            }
        }
        let entries = own.entries() as usize;
        let values: Vec<f32> = (0..entries)
            .map(|i| ((above[i / 64] & below[i / 64]) >> (i % 64) & 1) as f32)
            .collect();
        found.insert(
            name.clone(),
            Tensor::from_vec(values, own.dims(), &Device::Cpu)?,
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_magnitudes() {
        for w in [0.0, 1e-45, 0.5, 3.0, f32::MAX] {
            assert_eq!(Conflict.share(score(w, false)), w);
            assert_eq!(Conflict.share(score(w, true)), -w);
        }
    }
}
