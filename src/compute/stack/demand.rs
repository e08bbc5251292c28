//! The memory that a pass takes.

use super::super::real::Real;
use super::chunk::Chunk;
use super::parts::Parts;
use super::site::LinearSite;
use super::{Keeping, Layers};

impl<T: Real> Layers<T> {
    /// The bytes that a pass over a piece of texts of these lengths takes at most beside the
    /// weights: a count of the buffers of [`Tape`](super::tape::Tape), each as large as it can be.
    pub(super) fn demand(&self, lengths: &[usize], parts: &Parts, keeping: Option<Keeping>) -> u64 {
        let tokens: usize = lengths.iter().sum();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let squares: usize = lengths.iter().map(|n| n * n).sum();
        let d = self.embeddings.out_width();
        let wide = self
            .blocks
            .first()
            .map_or(0, |b| b.intermediate.out_width());
        let bottleneck = |b: &super::parts::Bottleneck| b.down.rows;
        let inside = parts.sublayers.values().map(bottleneck).max().unwrap_or(0);
        let low = parts.linears.values().map(|l| l.a.rows).max().unwrap_or(0);
        let has = |site| parts.linears.keys().any(|(_, own)| *own == site);
        let (context, inner) = (
            usize::from(has(LinearSite::AttentionOutput)),
            usize::from(has(LinearSite::Output)),
        );
        // Two ends of sublayers with an output, a norm and a sum each; which values dropout kept
        // are bytes.
        let block =
            size_of::<T>() * tokens * ((11 + context) * d + (1 + inner) * wide + 4 * inside)
                + 2 * tokens * d
                + squares * self.heads;
        // A piece may be cut further, each chunk with matrices and gradients of its own.
        let chunks = Chunk::cut(lengths).len();
        let matrices = chunks * (4 * longest * longest + 2 * longest * d + parts.len());
        let scratch = size_of::<T>() * (tokens * (12 * d + 2 * wide + inside + low) + matrices);
        let states = size_of::<T>() * tokens * d;
        let first = parts.first().map_or(usize::MAX, |(layer, _)| layer);
        let above = self.blocks.len().saturating_sub(first);
        let kept = match keeping {
            // Several adapters on the same texts share one block's.
            None => 2 * block,
            Some(Keeping::Everything) => above.max(1) * block,
            Some(Keeping::Inputs) => block + above * states,
        };
        (kept + scratch + 2 * states) as u64
    }
}
