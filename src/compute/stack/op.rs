//! One pass of a batch through a stack, as a node of candle's graph.

use super::super::kernel::{self, slice, values};
use super::super::real::Real;
use super::super::{memory, threads};
use super::block::{Noise, Pass};
use super::chunk::Chunk;
use super::parts::Parts;
use super::rows;
use super::tape::{Tape, sized};
use super::{Keeping, Layers, Texts, Tokens, lock};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use rayon::prelude::*;
use std::mem::swap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// One pass of a batch, with what its backward pass needs.
pub(super) struct Op<T: Real> {
    pub layers: Arc<Layers<T>>,
    pub texts: Texts,
    pub chunks: Vec<Chunk>,
    pub parts: Parts,
    pub tokens: Tokens,
    pub record: bool,
    /// A tape a chunk, where recorded.
    pub tapes: Mutex<Vec<Tape<T>>>,
}

impl<T: Real> Op<T> {
    pub fn width(&self) -> usize {
        self.layers.embeddings.out_width()
    }

    pub fn shape(&self) -> Shape {
        let (batch, seq) = self.texts.mask.dims();
        let seq = if self.tokens == Tokens::Summary {
            seq.min(1)
        } else {
            seq
        };
        (batch, seq, self.width()).into()
    }

    /// Block `layer` over a chunk.
    pub fn pass<'a>(&'a self, layer: usize, chunk: &'a Chunk, values: &'a [T]) -> Pass<'a, T> {
        let last = layer + 1 == self.layers.blocks.len();
        Pass {
            layer,
            block: &self.layers.blocks[layer],
            heads: self.layers.heads,
            bias: &self.layers.bias,
            chunk,
            mask: &self.texts.mask,
            noise: Noise {
                hidden: self.texts.hidden.as_ref(),
                attention: self.texts.attention.as_ref(),
            },
            parts: &self.parts,
            values,
            // After the last attention no token needs another.
            first: last && self.tokens == Tokens::Summary,
            record: self.record,
        }
    }

    /// Where the rows of a chunk's states lie in the result, in rows.
    pub fn places<'a>(&'a self, chunk: &'a Chunk) -> impl Iterator<Item = Range<usize>> + 'a {
        let (_, seq) = self.texts.mask.dims();
        let start = chunk.rows.start;
        chunk.spans().map(move |(row, span)| match self.tokens {
            Tokens::Summary => row - start..row - start + 1,
            _ => (row - start) * seq..(row - start) * seq + span.len(),
        })
    }

    /// The result of each chunk is a part of the whole.
    pub fn split<'a>(&self, mut out: &'a mut [T]) -> Vec<&'a mut [T]> {
        let row = self.shape().elem_count() / self.texts.mask.dims().0.max(1);
        let mut parts = Vec::with_capacity(self.chunks.len());
        for chunk in &self.chunks {
            let (part, rest) = out.split_at_mut(chunk.texts() * row);
            parts.push(part);
            out = rest;
        }
        parts
    }

    pub fn run(&self, values: &[T]) -> candle_core::Result<Vec<T>> {
        let mut out = vec![T::zero(); self.shape().elem_count()];
        if out.is_empty() {
            return Ok(out);
        }
        let work: Vec<_> = self.chunks.iter().zip(self.split(&mut out)).collect();
        let one = |(chunk, out)| self.run_chunk(chunk, values, out);
        // A pass that is recorded holds all of its chunks in the end.
        let at_once = match self.record {
            true => usize::MAX,
            false => self.at_once(),
        };
        let tapes = threads::in_turns(work, at_once, one)?;
        *lock(&self.tapes) = tapes.into_iter().flatten().collect();
        Ok(out)
    }

    /// How many chunks of a pass without a record may be under way at once.
    pub fn at_once(&self) -> usize {
        memory::at_once(|| {
            let demand = |chunk: &Chunk| {
                let lengths: Vec<usize> = chunk.spans().map(|(_, span)| span.len()).collect();
                self.layers.demand(&lengths, &self.parts, None)
            };
            self.chunks.iter().map(demand).max().unwrap_or(0)
        })
    }

    /// A chunk's last states; its tape where recorded.
    pub fn run_chunk(
        &self,
        chunk: &Chunk,
        values: &[T],
        out: &mut [T],
    ) -> candle_core::Result<Option<Tape<T>>> {
        let mut tape = self.layers.tape();
        let mut states = std::mem::take(&mut tape.states);
        self.embed(chunk, &mut states, &mut tape)?;
        let from = self.parts.first().map_or(usize::MAX, |(layer, _)| layer);
        let inputs = self.record && self.texts.keeping == Keeping::Inputs;
        for layer in 0..self.layers.blocks.len() {
            // What no gradient passes is not kept.
            let kept = match self.record {
                true => layer.saturating_sub(from),
                false => 0,
            };
            let at = if inputs { 0 } else { kept };
            if tape.blocks.len() <= at {
                tape.blocks.resize_with(at + 1, Default::default);
            }
            let (block, scratch) = (&mut tape.blocks[at], &mut tape.scratch);
            states = self
                .pass(layer, chunk, values)
                .forward(states, block, scratch)?;
            if inputs && layer >= from {
                if tape.entered.len() <= kept {
                    tape.entered.resize_with(kept + 1, Default::default);
                }
                swap(&mut tape.entered[kept], &mut block.input);
            }
        }
        tape.filled = inputs.then_some(self.layers.blocks.len() - 1);
        self.place(chunk, &states, out);
        tape.states = states;
        if self.record {
            return Ok(Some(tape));
        }
        self.layers.give_back(tape);
        Ok(None)
    }

    /// Copies a chunk's last states to their places in its part of the result.
    pub fn place(&self, chunk: &Chunk, states: &[T], out: &mut [T]) {
        let width = self.width();
        let mut rows = states.chunks_exact(width);
        for place in self.places(chunk) {
            let out = out[place.start * width..place.end * width].chunks_exact_mut(width);
            for (out, row) in out.zip(&mut rows) {
                out.copy_from_slice(row);
            }
        }
    }

    /// The gradients of the adapter's values from that of the result.
    pub fn run_backward(&self, values: &[T], grad: &[T]) -> candle_core::Result<Vec<T>> {
        if self.shape().elem_count() == 0 {
            return Ok(vec![T::zero(); self.parts.len()]);
        }
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

    pub fn run_chunk_backward(
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
            let block = match self.texts.keeping {
                Keeping::Everything => &tape.blocks[layer - from],
                Keeping::Inputs => {
                    let block = &mut tape.blocks[0];
                    swap(&mut tape.entered[layer - from], &mut block.input);
                    if tape.filled.replace(layer) != Some(layer) {
                        pass.again(block, &mut tape.scratch)?;
                    }
                    &*block
                }
            };
            let next = pass.backward(states, block, &mut sums, &mut tape.scratch)?;
            if self.texts.keeping == Keeping::Inputs {
                swap(&mut tape.entered[layer - from], &mut tape.blocks[0].input);
            }
            match next {
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
