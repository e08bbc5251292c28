//! A whole encoder with an adapter as one operation.
//!
//! The graph of a frozen transformer with an adapter is fixed and small, so its backward pass is
//! written out here instead of recorded node by node. Texts are laid one after the other without
//! padding and cut into chunks; a thread takes a chunk through all blocks and back, its buffers
//! staying in the caches nearby. Nothing in a chunk depends on the other chunks, so results
//! depend neither on the number of threads nor on what else is in the batch.

mod attention;
mod block;
mod chunk;
mod demand;
mod each;
mod embed;
mod end;
mod grouped;
mod low_rank;
mod op;
mod parts;
mod rows;
mod site;
mod tape;
#[cfg(test)]
mod tests;
mod weights;

pub use grouped::Grouped;
pub use parts::{Join, Parts};
pub use site::{LinearSite, SublayerSite};
pub use weights::{BlockWeights, EmbeddingWeights, Order};

use super::bf16::Precision;
use super::dropout::Dropout;
use super::kernel::{self, values};
use super::mask::Mask;
use super::memory;
use super::real::Real;
use super::threads;
use crate::{Result, bail};
use candle_core::{DType, Tensor};
use chunk::Chunk;
use op::Op;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tape::Tape;
use weights::{Block, Embeddings};

/// Which tokens' last states are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// Every position's, padding included.
    All,
    /// Those up to a row's last unmasked token; what stands at the others is not defined.
    Kept,
    /// The one that stands for its text, which is all that a classifier reads: the first token's,
    /// in a causal model that of the last unmasked one, or the mean where the model says so.
    Summary,
}

/// What a pass keeps of each block for its gradients, which are the same to the bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keeping {
    /// All that they read.
    #[default]
    Everything,
    /// What enters the block; the rest is computed again (Chen et al. 2016, "Training Deep Nets
    /// with Sublinear Memory Cost").
    Inputs,
}

/// A batch of texts, padded to one length.
#[derive(Clone)]
pub struct Texts {
    /// Token ids, row by row.
    pub ids: Vec<u32>,
    /// Token types.
    pub types: Vec<u32>,
    /// Which positions are text.
    pub mask: Mask,
    /// Dropout of embeddings and sublayers' outputs.
    pub hidden: Option<Dropout>,
    /// Dropout of attention weights.
    pub attention: Option<Dropout>,
    /// What is kept where there are gradients.
    pub keeping: Keeping,
}

/// A frozen encoder of post-norm blocks on the CPU, in f32 or f64. Clones share the weights.
#[derive(Clone)]
pub enum Stack {
    /// Of the type the program computes in.
    F32(Arc<Layers<f32>>),
    /// Of the type its gradients are tested in.
    F64(Arc<Layers<f64>>),
}

/// The weights of a [`Stack`].
pub struct Layers<T> {
    embeddings: Embeddings<T>,
    blocks: Vec<Block<T>>,
    heads: usize,
    /// Of all blocks, head after head, by the distance from query to key; empty where there is none.
    bias: Vec<T>,
    /// Buffers of passes that are over.
    spare: Mutex<Vec<Tape<T>>>,
}

impl Stack {
    /// Lays out the weights; none where they are not on the CPU, not of f32 or f64, or a block's
    /// activation has no kernel. With `bias`, [`Attention::bias`](super::Attention) of every block.
    pub fn new(
        embeddings: &EmbeddingWeights<'_>,
        blocks: &[BlockWeights<'_>],
        (heads, bias): (usize, Option<&Tensor>),
        precision: Precision,
    ) -> Result<Option<Self>> {
        let known = blocks.iter().all(|b| b.activation.has_kernel());
        if !kernel::takes(embeddings.types) || blocks.is_empty() || !known {
            return Ok(None);
        }
        let attention = (heads, bias);
        Ok(match embeddings.words.dtype() {
            DType::F64 => Some(Self::F64(Layers::new(
                embeddings, blocks, attention, precision,
            )?)),
            _ => Some(Self::F32(Layers::new(
                embeddings, blocks, attention, precision,
            )?)),
        })
    }

    /// The last states `[batch, seq, hidden]`, seq 1 where only the first token's are asked for,
    /// with gradients to the tensors of the adapter's parts.
    pub fn forward(&self, texts: Texts, parts: Parts, tokens: Tokens) -> Result<Tensor> {
        match self {
            Self::F32(layers) => layers.forward(texts, parts, tokens),
            Self::F64(layers) => layers.forward(texts, parts, tokens),
        }
    }

    /// [`Self::forward`] for several adapters on the same texts, without gradients: everything
    /// below the first place where any of them acts is computed once.
    pub fn forward_each(
        &self,
        texts: &Texts,
        parts: Vec<Parts>,
        tokens: Tokens,
    ) -> Result<Vec<Tensor>> {
        match self {
            Self::F32(layers) => layers.forward_each(texts, parts, tokens),
            Self::F64(layers) => layers.forward_each(texts, parts, tokens),
        }
    }

    /// The bytes that a pass over any of these pieces, each the lengths of its texts, takes at most
    /// beside the weights, with its gradients or, where nothing is kept, without.
    pub fn demand(&self, pieces: &[Vec<usize>], parts: &Parts, keeping: Option<Keeping>) -> u64 {
        let demand = |lengths: &Vec<usize>| match self {
            Self::F32(layers) => layers.demand(lengths, parts, keeping),
            Self::F64(layers) => layers.demand(lengths, parts, keeping),
        };
        pieces.iter().map(demand).max().unwrap_or(0)
    }

    /// Lays out all weights that passes with gradients of these parts read, so that what is taken
    /// from now on is what [`Self::demand`] tells.
    pub fn settle(&self, parts: &Parts) -> Result<()> {
        match self {
            Self::F32(layers) => layers.settle(parts),
            Self::F64(layers) => layers.settle(parts),
        }
    }

    /// The runs of texts of these lengths that a pass takes as one piece of work each.
    pub fn cut(lengths: &[usize]) -> Vec<Range<usize>> {
        Chunk::cut(lengths).into_iter().map(|c| c.rows).collect()
    }
}

impl<T: Real> Layers<T> {
    fn new(
        embeddings: &EmbeddingWeights<'_>,
        blocks: &[BlockWeights<'_>],
        (heads, bias): (usize, Option<&Tensor>),
        precision: Precision,
    ) -> Result<Arc<Self>> {
        let embeddings = Embeddings::new(embeddings)?;
        let blocks: Vec<Block<T>> = blocks
            .par_iter()
            .map(|block| Block::new(block, precision))
            .collect::<Result<_>>()?;
        let width = embeddings.out_width();
        if heads == 0 || width == 0 || width % heads != 0 {
            bail!("attention: expected a width divisible by {heads} heads, found {width}");
        }
        let bias = match bias.map(|bias| (bias.dims(), bias)) {
            None => Vec::new(),
            Some(([count, distances], bias)) if *count == heads && distances % 2 == 1 => {
                bias.flatten_all()?.to_vec1()?
            }
            Some((shape, _)) => {
                bail!("attention: bias of shape {shape:?}, expected [{heads} heads, an odd number]")
            }
        };
        Ok(Arc::new(Self {
            embeddings,
            blocks,
            heads,
            bias,
            spare: Mutex::new(Vec::new()),
        }))
    }

    fn forward(self: &Arc<Self>, texts: Texts, parts: Parts, tokens: Tokens) -> Result<Tensor> {
        let flat = parts.values()?;
        let mut op = self.op(texts, parts, tokens)?;
        op.record = flat.as_ref().is_some_and(Tensor::track_op);
        match flat {
            Some(flat) if op.record => Ok(flat.apply_op1(op)?),
            Some(flat) => {
                let values = values(&flat);
                let out = op.run(values.slice()?)?;
                Ok(kernel::tensor(out, &op.shape())?)
            }
            None => Ok(kernel::tensor(op.run(&[])?, &op.shape())?),
        }
    }

    fn forward_each(
        self: &Arc<Self>,
        texts: &Texts,
        parts: Vec<Parts>,
        tokens: Tokens,
    ) -> Result<Vec<Tensor>> {
        let flat: Vec<Vec<T>> = parts
            .iter()
            .map(|parts| match parts.values()? {
                Some(flat) => Ok(flat.to_vec1()?),
                None => Ok(Vec::new()),
            })
            .collect::<Result<_>>()?;
        let ops = parts
            .into_iter()
            .map(|parts| self.op(texts.clone(), parts, tokens));
        let ops: Vec<Op<T>> = ops.collect::<Result<_>>()?;
        let Some(any) = ops.first() else {
            return Ok(Vec::new());
        };
        let run = |chunk: &Chunk| each::run_chunk(self, &ops, &flat, chunk);
        let chunks: Vec<&Chunk> = any.chunks.iter().collect();
        let at_once = ops.iter().map(Op::at_once).min().unwrap_or(1);
        let found = threads::in_turns(chunks, at_once, run)?;
        (0..ops.len())
            .map(|i| {
                let out: Vec<T> = found.iter().flat_map(|chunk| &chunk[i]).copied().collect();
                Ok(kernel::tensor(out, &any.shape())?)
            })
            .collect()
    }

    /// A pass without a record.
    fn op(self: &Arc<Self>, texts: Texts, parts: Parts, tokens: Tokens) -> Result<Op<T>> {
        let (batch, seq) = texts.mask.dims();
        if texts.ids.len() != batch * seq || texts.types.len() != batch * seq {
            bail!("{} token ids for {batch} texts of {seq}", texts.ids.len());
        }
        for dropout in [&texts.hidden, &texts.attention].into_iter().flatten() {
            dropout.check(batch, 4 * self.blocks.len() as u64 + 1, self.heads)?;
        }
        let wide = self
            .blocks
            .first()
            .map_or(0, |b| b.intermediate.out_width());
        let widths = |site: LinearSite| site.widths(self.embeddings.out_width(), wide);
        parts.check(self.blocks.len(), widths)?;
        let lengths: Vec<usize> = match tokens {
            Tokens::All => vec![seq; batch],
            _ => (0..batch).map(|row| texts.mask.length(row)).collect(),
        };
        Ok(Op {
            layers: self.clone(),
            chunks: Chunk::cut(&lengths),
            texts,
            parts,
            tokens,
            record: false,
            tapes: Mutex::new(Vec::new()),
        })
    }

    /// The backward layouts of the maps from the first that a gradient passes.
    fn settle(&self, parts: &Parts) -> Result<()> {
        let first = parts.first().map_or(self.blocks.len(), |(layer, _)| layer);
        self.blocks[first.min(self.blocks.len())..]
            .par_iter()
            .try_for_each(|b| {
                for map in [&b.qkv, &b.attention_output, &b.intermediate, &b.output] {
                    map.backward()?;
                }
                Ok::<_, candle_core::Error>(())
            })?;
        Ok(())
    }

    fn tape(&self) -> Tape<T> {
        lock(&self.spare).pop().unwrap_or_default()
    }

    /// Keeps the buffers of a pass for another; as many as can be in use at a time, and none where
    /// there is a budget: each grows to the largest chunk that it has seen.
    fn give_back(&self, tape: Tape<T>) {
        if memory::budget().is_some() {
            return;
        }
        let mut spare = lock(&self.spare);
        if spare.len() <= rayon::current_num_threads() {
            spare.push(tape);
        }
    }
}

/// A lock's contents: a panic elsewhere leaves buffers, which are always whole.
fn lock<X>(mutex: &Mutex<X>) -> MutexGuard<'_, X> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
