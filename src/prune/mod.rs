//! Pruning criteria and masks.
//!
//! Sparsity is the share of entries set to zero. As in torch.nn.utils.prune, round(s n) entries
//! go, half to even; among equal scores the lowest index goes first.

mod criteria;
mod mask;

use std::collections::BTreeMap;
use std::str::FromStr;

pub use criteria::{CRITERIA, Criterion, criterion};
pub use mask::{LayerDensity, Mask};

use crate::adapter::{Selection, Tensors};
use crate::{Error, Result, bail};

/// Over what a threshold is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Every tensor has its own.
    #[default]
    Layerwise,
    /// One for all tensors together.
    Global,
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "layerwise" => Ok(Self::Layerwise),
            "global" => Ok(Self::Global),
            other => bail!("scope {other:?}: expected layerwise or global"),
        }
    }
}

/// How to prune.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// Over what the threshold is taken.
    pub scope: Scope,
    /// Which tensors are pruned; by default the weight matrices.
    pub tensors: Selection,
    /// Moves random scores.
    pub seed: u64,
}

/// The mask that keeps the highest scores of `tensors` at this sparsity.
pub fn prune(
    tensors: &Tensors,
    criterion: &Criterion,
    sparsity: f64,
    options: &PruneOptions,
) -> Result<Mask> {
    check_sparsity(sparsity)?;
    let scores = criterion.scores(&options.tensors.of(tensors)?, options.seed)?;
    let entries: Vec<(usize, usize, f64)> = scores
        .iter()
        .enumerate()
        .flat_map(|(t, (.., scores))| scores.iter().enumerate().map(move |(i, s)| (t, i, *s)))
        .collect();
    let mut kept: Vec<Vec<bool>> = scores.iter().map(|(.., s)| vec![true; s.len()]).collect();
    match options.scope {
        Scope::Global => drop_lowest(entries, sparsity, &mut kept),
        Scope::Layerwise => {
            for (t, (.., scores)) in scores.iter().enumerate() {
                let own = scores.iter().enumerate().map(|(i, s)| (t, i, *s)).collect();
                drop_lowest(own, sparsity, &mut kept);
            }
        }
    }
    let masks: BTreeMap<_, _> = scores
        .into_iter()
        .zip(kept)
        .map(|((name, shape, _), kept)| (name, (shape, kept)))
        .collect();
    Ok(Mask::new(masks))
}

/// An error unless the sparsity is a share.
pub fn check_sparsity(sparsity: f64) -> Result<()> {
    if (0.0..=1.0).contains(&sparsity) {
        return Ok(());
    }
    let error = Error::new(format!("sparsity {sparsity}: expected a share from 0 to 1"));
    Err(if (1.0..=100.0).contains(&sparsity) {
        error.hint(format!("{} means {sparsity} %", sparsity / 100.0))
    } else {
        error
    })
}

/// Marks round(s n) of the entries (tensor, index, score) as dropped: the lowest scores, of
/// equals those of the first tensor and lowest index.
fn drop_lowest(mut entries: Vec<(usize, usize, f64)>, sparsity: f64, kept: &mut [Vec<bool>]) {
    let count = ((sparsity * entries.len() as f64).round_ties_even() as usize).min(entries.len());
    if count == 0 {
        return;
    }
    let order = |a: &(usize, usize, f64), b: &(usize, usize, f64)| {
        a.2.total_cmp(&b.2).then((a.0, a.1).cmp(&(b.0, b.1)))
    };
    entries.select_nth_unstable_by(count - 1, order);
    for (t, i, _) in &entries[..count] {
        kept[*t][*i] = false;
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;

    use super::*;
    use crate::adapter::Name;

    fn one(values: &[f32]) -> Tensors {
        let tensor = Tensor::from_slice(values, values.len(), &Device::Cpu).unwrap();
        [(Name::new("layer.0.down.weight"), tensor)].into()
    }

    fn magnitude(tensors: &Tensors, sparsity: f64) -> Mask {
        let by = criterion("magnitude").unwrap();
        prune(tensors, by, sparsity, &PruneOptions::default()).unwrap()
    }

    #[test]
    fn counts_are_rounded_half_to_even_and_ties_go_by_index() {
        let five = one(&[1.0; 5]);
        for (sparsity, dropped) in [(0.1, 0), (0.3, 2), (0.5, 2), (0.7, 4), (1.0, 5)] {
            let mask = magnitude(&five, sparsity);
            assert_eq!(mask.entries() - mask.kept(), dropped, "{sparsity}");
            let kept = mask.tensors().unwrap();
            let values = kept.values().next().unwrap().to_vec1::<f32>().unwrap();
            let expected: Vec<f32> = (0..5)
                .map(|i| if i < dropped { 0.0 } else { 1.0 })
                .collect();
            assert_eq!(values, expected);
        }
    }

    #[test]
    fn a_percentage_is_refused_with_its_meaning() {
        for (sparsity, hint) in [(90.0, "0.9 means 90 %"), (1.5, "0.015 means 1.5 %")] {
            let error = check_sparsity(sparsity).unwrap_err().to_string();
            assert!(error.ends_with(hint), "{error}");
        }
        assert!(check_sparsity(-0.1).is_err() && check_sparsity(f64::NAN).is_err());
    }

    proptest! {
        #[test]
        fn masks_obey_the_laws_of_sets(
            values in prop::collection::vec(-2.0f32..2.0, 1..80),
            other in prop::collection::vec(-2.0f32..2.0, 80),
            s in 0.0f64..=1.0, t in 0.0f64..=1.0,
        ) {
            let a = magnitude(&one(&values), s);
            let b = magnitude(&one(&other[..values.len()]), t);
            let not = |m: &Mask| m.not();
            prop_assert_eq!(not(&a.and(&b).unwrap()), not(&a).or(&not(&b)).unwrap());
            prop_assert_eq!(a.xor(&a).unwrap().kept(), 0);
            prop_assert_eq!(not(&not(&a)), a.clone());
            prop_assert_eq!(a.overlap(&a).unwrap(), 1.0);
            prop_assert_eq!(
                a.or(&b).unwrap().kept() + a.and(&b).unwrap().kept(),
                a.kept() + b.kept()
            );
            // Applied, the mask is what is left, and applying it again changes nothing.
            let pruned = a.apply(&one(&values)).unwrap();
            let again = a.apply(&pruned).unwrap();
            for (x, y) in pruned.values().zip(again.values()) {
                prop_assert_eq!(x.to_vec1::<f32>().unwrap(), y.to_vec1::<f32>().unwrap());
            }
        }
    }
}
