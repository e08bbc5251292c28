//! Where an adapter can act in a frozen block.
//!
//! Blocks know sites, never kinds of adapters: a new kind needs no change in a model, and a new
//! model none in the kinds.

use candle_core::Tensor;

use crate::Result;
use crate::compute::Parts;
pub use crate::compute::{LinearSite, SublayerSite};

use super::norm::Norm;

/// What an adapter does at a model's sites during a forward pass. Every default leaves the frozen
/// model as it is.
pub trait Sites: Send + Sync {
    /// `y` is the output of the joined linear maps `sites` on `x` (their outputs side by side in
    /// the last dimension, as q, k and v come from one product); returns it changed.
    fn linear(
        &self,
        _layer: usize,
        _sites: &[LinearSite],
        _x: &Tensor,
        y: Tensor,
    ) -> Result<Tensor> {
        Ok(y)
    }

    /// The end of a sublayer: `f` is its output (after dropout), `x` the residual, `norm` the
    /// block's own layer norm. The frozen model gives LN(x + f).
    fn sublayer(
        &self,
        _layer: usize,
        _site: SublayerSite,
        f: &Tensor,
        x: &Tensor,
        norm: &Norm,
    ) -> Result<Tensor> {
        norm.add(f, x)
    }

    /// The same in the terms of a [`Stack`](crate::compute::Stack), which computes a whole
    /// encoder as one operation; none where it has no terms for it.
    fn parts(&self) -> Option<Parts> {
        None
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
