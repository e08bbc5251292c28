//! One block over one chunk, forward and backward.

mod backward;
mod forward;

use super::super::dropout::Dropout;
use super::super::mask::Mask;
use super::super::real::Real;
use super::attention::Attention;
use super::chunk::Chunk;
use super::end::End;
use super::parts::Parts;
use super::site::SublayerSite;
use super::weights::Block;

/// Dropout of one pass.
#[derive(Clone, Copy, Default)]
pub struct Noise<'a> {
    /// Of embeddings and sublayers' outputs.
    pub hidden: Option<&'a Dropout>,
    /// Of attention weights.
    pub attention: Option<&'a Dropout>,
}

/// One block over one chunk.
#[derive(Clone, Copy)]
pub struct Pass<'a, T> {
    /// The number of the block.
    pub layer: usize,
    pub block: &'a Block<T>,
    pub heads: usize,
    /// What is added to scores by distance.
    pub bias: &'a [T],
    pub chunk: &'a Chunk,
    pub mask: &'a Mask,
    pub noise: Noise<'a>,
    pub parts: &'a Parts,
    /// The values of the adapter's tensors.
    pub values: &'a [T],
    /// Only the first token's states of each text are asked for.
    pub first: bool,
    /// Whether slopes are kept for a backward pass.
    pub record: bool,
}

impl<T: Real> Pass<'_, T> {
    fn width(&self) -> usize {
        self.block.output_norm.weight.len()
    }

    /// The rows that go on after attention.
    fn rows(&self) -> usize {
        match self.first {
            true => self.chunk.texts(),
            false => self.chunk.tokens(),
        }
    }

    fn attention(&self) -> Attention<'_, T> {
        let dropout = self.noise.attention.filter(|d| !d.is_identity());
        Attention {
            heads: self.heads,
            width: self.width(),
            chunk: self.chunk,
            mask: self.mask,
            bias: self.bias,
            first: self.first,
            dropout: dropout.map(|d| (d, 4 * self.layer as u64 + 1)),
        }
    }

    fn end(&self, site: SublayerSite) -> End<'_, T> {
        End {
            norm: match site {
                SublayerSite::Attention => &self.block.attention_norm,
                SublayerSite::FeedForward => &self.block.output_norm,
            },
            part: self.parts.sublayers.get(&(self.layer, site)),
            values: self.values,
        }
    }
}
