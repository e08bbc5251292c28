//! Where an adapter can act in a frozen block.
//!
//! Blocks know sites, never kinds of adapters: a new kind needs no change in a model, and a new
//! model none in the kinds.

use candle_core::Tensor;

use crate::Result;
use crate::compute::{FrozenLinear, Parts};
pub use crate::compute::{LinearSite, SublayerSite};

use super::norm::Norm;

/// What an adapter does at a model's sites during a forward pass. Every default leaves the frozen
/// model as it is.
pub trait Sites: Send + Sync {
    /// The output of the linear maps `sites`, which `map` computes side by side (as q, k and v
    /// come from one product), on `x`.
    fn linear(
        &self,
        _layer: usize,
        _sites: &[LinearSite],
        map: &FrozenLinear,
        x: &Tensor,
    ) -> Result<Tensor> {
        map.forward(x)
    }

    /// The end of a sublayer: `f` is its output (after dropout), `x` the residual, `norm` the
    /// block's own layer norm, which pre-norm blocks do not have here. The frozen model gives
    /// LN(x + f), or x + f.
    fn sublayer(
        &self,
        _layer: usize,
        _site: SublayerSite,
        f: &Tensor,
        x: &Tensor,
        norm: Option<&Norm>,
    ) -> Result<Tensor> {
        join(norm, f, x)
    }

    /// The same in the terms of a [`Stack`](crate::compute::Stack), which computes a whole
    /// encoder as one operation; none where it has no terms for it.
    fn parts(&self) -> Option<Parts> {
        None
    }
}

/// LN(x + f), or x + f where there is no norm.
pub fn join(norm: Option<&Norm>, f: &Tensor, x: &Tensor) -> Result<Tensor> {
    match norm {
        Some(norm) => norm.add(f, x),
        None => Ok((f + x)?),
    }
}

/// No adapter: the frozen model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Frozen;

impl Sites for Frozen {
    fn parts(&self) -> Option<Parts> {
        Some(Parts::default())
    }
}
