//! Where an adapter can act in a frozen block.
//!
//! Blocks know sites, never kinds of adapters: a new kind needs no change in a model, and a new
//! model none in the kinds.

use candle_core::Tensor;

use crate::Result;

use super::norm::Norm;

/// A linear map of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinearSite {
    /// Query projection of self-attention.
    Query,
    /// Key projection of self-attention.
    Key,
    /// Value projection of self-attention.
    Value,
    /// Output projection of self-attention.
    AttentionOutput,
    /// First map of the feed-forward block.
    Intermediate,
    /// Second map of the feed-forward block.
    Output,
}

/// A sublayer's output, before it joins the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SublayerSite {
    /// After self-attention.
    Attention,
    /// After the feed-forward block.
    FeedForward,
}

impl LinearSite {
    /// All sites, in the order a block computes them.
    pub const ALL: [Self; 6] = [
        Self::Query,
        Self::Key,
        Self::Value,
        Self::AttentionOutput,
        Self::Intermediate,
        Self::Output,
    ];

    /// The canonical path within a layer.
    pub fn path(self) -> &'static str {
        match self {
            Self::Query => "attention.self.query",
            Self::Key => "attention.self.key",
            Self::Value => "attention.self.value",
            Self::AttentionOutput => "attention.output.dense",
            Self::Intermediate => "intermediate.dense",
            Self::Output => "output.dense",
        }
    }

    /// Input and output width in a model of this hidden and intermediate size.
    pub fn widths(self, hidden: usize, intermediate: usize) -> (usize, usize) {
        match self {
            Self::Intermediate => (hidden, intermediate),
            Self::Output => (intermediate, hidden),
            _ => (hidden, hidden),
        }
    }
}

impl SublayerSite {
    /// Both sites, in order.
    pub const ALL: [Self; 2] = [Self::Attention, Self::FeedForward];

    /// The canonical path within a layer.
    pub fn path(self) -> &'static str {
        match self {
            Self::Attention => "attention.output",
            Self::FeedForward => "output",
        }
    }
}

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
}

/// No adapter: the frozen model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Frozen;

impl Sites for Frozen {}
