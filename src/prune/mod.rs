//! Pruning: which of an adapter's weights are set to zero, and the masks that say so.
//!
//! A criterion is one file here and one line in [`CRITERIA`].

mod criterion;
mod cut;
mod file;
mod fisher;
mod magnitude;
mod mask;
mod random;
mod snip;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::adapter::{Name, Selection, Tensors, with_values};
use crate::{Error, Result, bail};

pub use criterion::{CRITERIA, Criterion, Target, criterion};
pub use fisher::Fisher;
pub use magnitude::Magnitude;
pub use mask::{Mask, MaskRow};
pub use random::Random;
pub use snip::Snip;

use cut::{Cut, ranks};
use mask::Bits;

/// What is ranked together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// Each tensor by itself: all come to the same sparsity.
    #[default]
    Layerwise,
    /// All tensors together: each comes to a sparsity of its own.
    Global,
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "layerwise" => Ok(Self::Layerwise),
            "global" => Ok(Self::Global),
            _ => bail!("unknown scope `{text}`: expected `layerwise` or `global`"),
        }
    }
}

/// What scoring may need beside the weights.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// The loss's gradients by tensor name, in the weights' shapes; criteria such as SNIP need them.
    pub gradients: Option<&'a Tensors>,
    /// The seed of random criteria; 0 by default.
    pub seed: u64,
}

/// The mask that prunes the share `sparsity` (0 to 1) of the lowest scored entries.
///
/// The number pruned is `sparsity` times the number of entries (of each tensor, or of all in
/// [`Scope::Global`]), rounded half to even as torch.nn.utils.prune does. Among equal scores the
/// lowest index goes first; across tensors, the first in name order. Only tensors in `include`
/// are under the mask.
pub fn prune(
    tensors: &Tensors,
    criterion: &dyn Criterion,
    inputs: &Inputs<'_>,
    sparsity: f64,
    scope: Scope,
    include: &Selection,
) -> Result<Mask> {
    check_sparsity(sparsity)?;
    prune_by_scores(
        &scores(tensors, criterion, inputs, include)?,
        sparsity,
        scope,
    )
}

/// [`prune`] by scores made elsewhere: all their tensors are under the mask, in their shapes.
pub fn prune_by_scores(scores: &Tensors, sparsity: f64, scope: Scope) -> Result<Mask> {
    check_sparsity(sparsity)?;
    let ranked: Vec<(&Name, &Tensor, Vec<u32>)> =
        in_parallel(scores.iter().collect(), |(name, scores)| {
            Ok((
                name,
                scores,
                with_values(scores, |scores| ranks(name, scores))??,
            ))
        })?;
    let count = |entries: usize| (sparsity * entries as f64).round_ties_even() as usize;
    let bits = |tensor: &Tensor, ranks: &[u32], cut: &mut Cut| {
        Bits::new(tensor.dims(), ranks, |rank| cut.keeps(rank))
    };
    Ok(match scope {
        Scope::Layerwise => Mask::from_bits(in_parallel(ranked, |(name, tensor, ranks)| {
            let mut cut = Cut::new(&mut ranks.clone(), count(ranks.len()));
            Ok((name.clone(), bits(tensor, &ranks, &mut cut)))
        })?),
        Scope::Global => {
            let mut all: Vec<u32> = ranked
                .iter()
                .flat_map(|(_, _, ranks)| ranks)
                .copied()
                .collect();
            let entries = all.len();
            let mut cut = Cut::new(&mut all, count(entries));
            Mask::from_bits(
                ranked
                    .iter()
                    .map(|(name, tensor, ranks)| ((*name).clone(), bits(tensor, ranks, &mut cut))),
            )
        }
    })
}

/// The criterion's score of every entry of the tensors in `include`, in the tensors' shapes.
///
/// Matrices that start at zero (LoRA's B, a bottleneck's up-projection) and are all zero still are
/// an error where the criterion could not tell their entries apart.
pub fn scores(
    tensors: &Tensors,
    criterion: &dyn Criterion,
    inputs: &Inputs<'_>,
    include: &Selection,
) -> Result<Tensors> {
    let targets = include.pick(tensors)?;
    if criterion.vanishes_with_weight() {
        check_trained(criterion, &targets)?;
    }
    let score = |(name, weights): (&Name, &Tensor)| -> Result<(Name, Tensor)> {
        let values = |gradients: &[f32]| {
            with_values(weights, |weights| {
                criterion.scores(&Target {
                    name,
                    weights,
                    gradients,
                    seed: inputs.seed,
                })
            })
        };
        let values = if criterion.needs_gradients() {
            with_values(gradient(criterion, inputs, name, weights)?, values)??
        } else {
            values(&[])?
        };
        Ok((
            name.clone(),
            Tensor::from_vec(values, weights.dims(), &Device::Cpu)?,
        ))
    };
    Ok(in_parallel(targets, score)?.into_iter().collect())
}

/// An error unless `sparsity` is a share, from 0 to 1.
pub fn check_sparsity(sparsity: f64) -> Result<()> {
    if (0.0..=1.0).contains(&sparsity) {
        return Ok(());
    }
    bail!("sparsity is the share of weights set to zero, from 0 to 1, got {sparsity}"; hint: "0.9 means 90 %")
}

fn gradient<'a>(
    criterion: &dyn Criterion,
    inputs: &Inputs<'a>,
    name: &Name,
    weights: &Tensor,
) -> Result<&'a Tensor> {
    let by = criterion.name();
    let Some(gradients) = inputs.gradients else {
        bail!("pruning by {by} needs gradients"; hint: "give the model and the data to take them on");
    };
    let Some(gradient) = gradients.get(name) else {
        bail!("pruning by {by} needs the gradient of `{name}`, and there is none");
    };
    if gradient.dims() != weights.dims() {
        bail!(
            "the gradient of `{name}` is {:?}, the tensor {:?}",
            gradient.dims(),
            weights.dims()
        );
    }
    Ok(gradient)
}

/// An error if the second matrices of an adapter are all zero, as they are before training.
fn check_trained(criterion: &dyn Criterion, targets: &[(&Name, &Tensor)]) -> Result<()> {
    let second: Vec<_> = targets
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            name.ends_with("lora_B") || name.ends_with("adapter_up.weight")
        })
        .collect();
    let Some((first, _)) = second.first() else {
        return Ok(());
    };
    for (_, tensor) in &second {
        if with_values(tensor, |values| values.iter().any(|value| *value != 0.0))? {
            return Ok(());
        }
    }
    bail!(
        "`{first}` and all like it are zero, as before training: {} cannot rank their entries", criterion.name();
        hint: "train a few steps first, or prune by random or fisher"
    )
}

/// `f` of each item, in their order; of several errors the first.
fn in_parallel<T: Send, R: Send>(
    items: Vec<T>,
    f: impl Fn(T) -> Result<R> + Sync + Send,
) -> Result<Vec<R>> {
    let results: Vec<Result<R>> = items.into_par_iter().map(f).collect();
    results.into_iter().collect()
}
