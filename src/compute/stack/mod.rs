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
mod each;
mod end;
mod low_rank;
mod parts;
mod rows;
mod site;
mod tape;
#[cfg(test)]
mod tests;
mod weights;

pub use parts::{Join, Parts};
pub use site::{LinearSite, SublayerSite};
pub use weights::{BlockWeights, EmbeddingWeights};

use super::bf16::Precision;
use super::dropout::Dropout;
use super::kernel::{self, slice, values};
use super::layer_norm::normalise;
use super::mask::Mask;
use super::real::Real;
use crate::{Result, bail};
use block::{Noise, Pass};
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};
use chunk::Chunk;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tape::{Buffer, Tape, sized};
use weights::{Block, Embeddings};

/// Which tokens' last states are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// Every position's, padding included.
    All,
    /// Those up to a row's last unmasked token; what stands at the others is not defined.
    Kept,
    /// The first token's, which is all that a classification head reads.
    First,
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
    /// Buffers of passes that are over.
    spare: Mutex<Vec<Tape<T>>>,
}

impl Stack {
    /// Lays out the weights; none where they are not on the CPU, not of f32 or f64, or a block's
    /// activation has no kernel.
    pub fn new(
        embeddings: &EmbeddingWeights<'_>,
        blocks: &[BlockWeights<'_>],
        heads: usize,
        precision: Precision,
    ) -> Result<Option<Self>> {
        let known = blocks.iter().all(|b| b.activation.has_kernel());
        if !kernel::takes(embeddings.words) || blocks.is_empty() || !known {
            return Ok(None);
        }
        Ok(match embeddings.words.dtype() {
            DType::F64 => Some(Self::F64(Layers::new(
                embeddings, blocks, heads, precision,
            )?)),
            _ => Some(Self::F32(Layers::new(
                embeddings, blocks, heads, precision,
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

    /// The runs of texts of these lengths that a pass takes as one piece of work each.
    pub fn cut(lengths: &[usize]) -> Vec<Range<usize>> {
        Chunk::cut(lengths).into_iter().map(|c| c.rows).collect()
    }
}

impl<T: Real> Layers<T> {
    fn new(
        embeddings: &EmbeddingWeights<'_>,
        blocks: &[BlockWeights<'_>],
        heads: usize,
        precision: Precision,
    ) -> Result<Arc<Self>> {
        let embeddings = Embeddings::new(embeddings)?;
        let blocks: Vec<Block<T>> = blocks
            .par_iter()
            .map(|block| Block::new(block, precision))
            .collect::<Result<_>>()?;
        let width = embeddings.norm.weight.len();
        if heads == 0 || width == 0 || width % heads != 0 {
            bail!("attention: expected a width divisible by {heads} heads, found {width}");
        }
        Ok(Arc::new(Self {
            embeddings,
            blocks,
            heads,
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
        let found: Vec<Vec<Vec<T>>> = any
            .chunks
            .par_iter()
            .map(run)
            .collect::<candle_core::Result<_>>()?;
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
        let widths = |site: LinearSite| site.widths(self.embeddings.norm.weight.len(), wide);
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

    fn tape(&self) -> Tape<T> {
        lock(&self.spare).pop().unwrap_or_default()
    }

    /// Keeps the buffers of a pass for another; as many as can be in use at a time.
    fn give_back(&self, tape: Tape<T>) {
        let mut spare = lock(&self.spare);
        if spare.len() <= rayon::current_num_threads() {
            spare.push(tape);
        }
    }
}

/// One pass of a batch, with what its backward pass needs.
struct Op<T: Real> {
    layers: Arc<Layers<T>>,
    texts: Texts,
    chunks: Vec<Chunk>,
    parts: Parts,
    tokens: Tokens,
    record: bool,
    /// A tape a chunk, where recorded.
    tapes: Mutex<Vec<Tape<T>>>,
}

impl<T: Real> Op<T> {
    fn width(&self) -> usize {
        self.layers.embeddings.norm.weight.len()
    }

    fn shape(&self) -> Shape {
        let (batch, seq) = self.texts.mask.dims();
        let seq = if self.tokens == Tokens::First {
            seq.min(1)
        } else {
            seq
        };
        (batch, seq, self.width()).into()
    }

    /// Block `layer` over a chunk.
    fn pass<'a>(&'a self, layer: usize, chunk: &'a Chunk, values: &'a [T]) -> Pass<'a, T> {
        let last = layer + 1 == self.layers.blocks.len();
        Pass {
            layer,
            block: &self.layers.blocks[layer],
            heads: self.layers.heads,
            chunk,
            mask: &self.texts.mask,
            noise: Noise {
                hidden: self.texts.hidden.as_ref(),
                attention: self.texts.attention.as_ref(),
            },
            parts: &self.parts,
            values,
            // After the last attention no token needs another.
            first: last && self.tokens == Tokens::First,
            record: self.record,
        }
    }

    /// Where the rows of a chunk's states lie in the result, in rows.
    fn places<'a>(&'a self, chunk: &'a Chunk) -> impl Iterator<Item = Range<usize>> + 'a {
        let (_, seq) = self.texts.mask.dims();
        let start = chunk.rows.start;
        chunk.spans().map(move |(row, span)| match self.tokens {
            Tokens::First => row - start..row - start + 1,
            _ => (row - start) * seq..(row - start) * seq + span.len(),
        })
    }

    /// The result of each chunk is a part of the whole.
    fn split<'a>(&self, mut out: &'a mut [T]) -> Vec<&'a mut [T]> {
        let row = self.shape().elem_count() / self.texts.mask.dims().0.max(1);
        let mut parts = Vec::with_capacity(self.chunks.len());
        for chunk in &self.chunks {
            let (part, rest) = out.split_at_mut(chunk.texts() * row);
            parts.push(part);
            out = rest;
        }
        parts
    }

    fn run(&self, values: &[T]) -> candle_core::Result<Vec<T>> {
        let mut out = vec![T::zero(); self.shape().elem_count()];
        if out.is_empty() {
            return Ok(out);
        }
        let work: Vec<_> = self.chunks.iter().zip(self.split(&mut out)).collect();
        let one = |(chunk, out)| self.run_chunk(chunk, values, out);
        let tapes = match work.len() {
            1 => work
                .into_iter()
                .map(one)
                .collect::<candle_core::Result<Vec<_>>>()?,
            _ => work
                .into_par_iter()
                .map(one)
                .collect::<candle_core::Result<Vec<_>>>()?,
        };
        *lock(&self.tapes) = tapes.into_iter().flatten().collect();
        Ok(out)
    }

    /// A chunk's last states; its tape where recorded.
    fn run_chunk(
        &self,
        chunk: &Chunk,
        values: &[T],
        out: &mut [T],
    ) -> candle_core::Result<Option<Tape<T>>> {
        let mut tape = self.layers.tape();
        let mut states = std::mem::take(&mut tape.states);
        self.embed(chunk, &mut states, &mut tape)?;
        let from = self.parts.first().map_or(usize::MAX, |(layer, _)| layer);
        for layer in 0..self.layers.blocks.len() {
            // What no gradient passes is not kept.
            let at = if self.record && layer > from {
                layer - from
            } else {
                0
            };
            if tape.blocks.len() <= at {
                tape.blocks.resize_with(at + 1, Default::default);
            }
            let (block, scratch) = (&mut tape.blocks[at], &mut tape.scratch);
            states = self
                .pass(layer, chunk, values)
                .forward(states, block, scratch)?;
        }
        self.place(chunk, &states, out);
        tape.states = states;
        if self.record {
            return Ok(Some(tape));
        }
        self.layers.give_back(tape);
        Ok(None)
    }

    /// Copies a chunk's last states to their places in its part of the result.
    fn place(&self, chunk: &Chunk, states: &[T], out: &mut [T]) {
        let width = self.width();
        let mut rows = states.chunks_exact(width);
        for place in self.places(chunk) {
            let out = out[place.start * width..place.end * width].chunks_exact_mut(width);
            for (out, row) in out.zip(&mut rows) {
                out.copy_from_slice(row);
            }
        }
    }

    /// The states that enter the first block.
    fn embed(
        &self,
        chunk: &Chunk,
        out: &mut Buffer<T>,
        tape: &mut Tape<T>,
    ) -> candle_core::Result<()> {
        let (_, seq) = self.texts.mask.dims();
        let width = self.width();
        let sums = sized(&mut tape.scratch.narrow, chunk.tokens() * width);
        for (row, span) in chunk.spans() {
            let tokens = row * seq..row * seq + span.len();
            let (ids, types) = (&self.texts.ids[tokens.clone()], &self.texts.types[tokens]);
            let sums = &mut sums[span.start * width..span.end * width];
            self.layers.embeddings.sum(ids, types, sums)?;
        }
        let norm = &self.layers.embeddings.norm;
        let out = sized(out, sums.len());
        normalise(sums, None, &norm.weight, &norm.bias, norm.eps, out);
        if let Some(dropout) = self.texts.hidden.as_ref().filter(|d| !d.is_identity()) {
            let mut kept = Buffer::default();
            for (row, span) in chunk.spans() {
                let out = &mut out[span.start * width..span.end * width];
                dropout.kept(row, 0, 0, sized(&mut kept, out.len()));
                dropout.thin(&kept, out);
            }
        }
        Ok(())
    }

    /// The gradients of the adapter's values from that of the result.
    fn run_backward(&self, values: &[T], grad: &[T]) -> candle_core::Result<Vec<T>> {
        let mut tapes = lock(&self.tapes);
        if tapes.len() != self.chunks.len() {
            candle_core::bail!("an encoder's pass was not recorded");
        }
        let row = self.shape().elem_count() / self.texts.mask.dims().0.max(1);
        let one = |(chunk, tape): (&Chunk, &mut Tape<T>)| {
            let grad = &grad[chunk.rows.start * row..chunk.rows.end * row];
            self.run_chunk_backward(chunk, values, grad, tape)
        };
        let sums: Vec<Vec<T>> = match tapes.len() {
            1 => self
                .chunks
                .iter()
                .zip(tapes.iter_mut())
                .map(one)
                .collect::<candle_core::Result<_>>(),
            _ => {
                let work = self.chunks.par_iter().zip(tapes.par_iter_mut());
                work.map(one).collect()
            }
        }?;
        // In the order of the chunks, whichever thread was first.
        let mut sums = sums.into_iter();
        let mut total = sums.next().unwrap_or_default();
        for sum in sums {
            rows::add(&mut total, &sum);
        }
        Ok(total)
    }

    fn run_chunk_backward(
        &self,
        chunk: &Chunk,
        values: &[T],
        grad: &[T],
        tape: &mut Tape<T>,
    ) -> candle_core::Result<Vec<T>> {
        let width = self.width();
        let mut sums = vec![T::zero(); self.parts.len()];
        let mut states = std::mem::take(&mut tape.states);
        let tokens: usize = self.places(chunk).map(|place| place.len()).sum();
        let mut rows = sized(&mut states, tokens * width).chunks_exact_mut(width);
        for place in self.places(chunk) {
            let grad = grad[place.start * width..place.end * width].chunks_exact(width);
            for (grad, row) in grad.zip(&mut rows) {
                row.copy_from_slice(grad);
            }
        }
        let Some((from, _)) = self.parts.first() else {
            return Ok(sums);
        };
        for layer in (from..self.layers.blocks.len()).rev() {
            let pass = self.pass(layer, chunk, values);
            let (block, scratch) = (&tape.blocks[layer - from], &mut tape.scratch);
            match pass.backward(states, block, &mut sums, scratch)? {
                Some(next) => states = next,
                None => return Ok(sums),
            }
        }
        tape.states = states;
        Ok(sums)
    }
}

impl<T: Real> Drop for Op<T> {
    fn drop(&mut self) {
        for tape in lock(&self.tapes).drain(..) {
            self.layers.give_back(tape);
        }
    }
}

impl<T: Real> CustomOp1 for Op<T> {
    fn name(&self) -> &'static str {
        "encoder"
    }

    fn cpu_fwd(
        &self,
        flat: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = self.run(slice(flat, layout)?)?;
        Ok((T::to_cpu_storage_owned(out), self.shape()))
    }

    fn bwd(&self, flat: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (flat_values, grad) = (values(flat), values(&grad));
        let sums = self.run_backward(flat_values.slice()?, grad.slice()?)?;
        kernel::tensor(sums, flat.shape()).map(Some)
    }
}

/// A lock's contents: a panic elsewhere leaves buffers, which are always whole.
fn lock<X>(mutex: &Mutex<X>) -> MutexGuard<'_, X> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
