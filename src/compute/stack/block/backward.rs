//! A block's gradients.

use super::super::super::matrix::{Mat, MatMut};
use super::super::super::packed::Packed;
use super::super::super::real::Real;
use super::super::chunk::Chunk;
use super::super::low_rank;
use super::super::parts::Stage;
use super::super::rows::{add, scale};
use super::super::site::{LinearSite, SublayerSite};
use super::super::tape::{BlockTape, Buffer, EndTape, Scratch, sized, zeroed};
use super::Pass;
use std::mem::take;

impl<T: Real> Pass<'_, T> {
    /// The gradient of the block's input from that of its output, whose buffer it takes; none
    /// where the adapter's first part is in this block. Those of the adapter's tensors are added
    /// to `grads`.
    pub fn backward(
        &self,
        grad: Buffer<T>,
        tape: &BlockTape<T>,
        grads: &mut [T],
        scratch: &mut Scratch<T>,
    ) -> candle_core::Result<Option<Buffer<T>>> {
        let (d, rows) = (self.width(), self.rows());
        let until = self.parts.first();
        let done = |stage: Stage| until == Some((self.layer, stage));
        let (mut df, mut dh) = (take(&mut scratch.narrow), take(&mut scratch.middle));
        let mut dx = take(&mut scratch.states);
        let found = (|| {
            // The feed-forward layer.
            self.end(SublayerSite::FeedForward).backward(
                &tape.hidden,
                &tape.output,
                &grad,
                grads,
                (&mut df, &mut dh),
                (&mut scratch.inner, &mut scratch.source),
                done(Stage::End),
            );
            if done(Stage::End) {
                return Ok(false);
            }
            self.thin(&tape.output, &mut df);
            let wide = self.block.intermediate.out_width();
            let mut inner = take(&mut scratch.wide);
            let mut d_inner = MatMut::new(sized(&mut inner, rows * wide), wide);
            let g = Mat::new(&df, d);
            let lora = self.parts.linears.get(&(self.layer, LinearSite::Output));
            let slope = |row: usize, at: usize, y: &mut [T]| {
                scale(y, &tape.slope[row * wide + at..]);
            };
            let weight = self.block.output.backward()?;
            weight.multiply(g, 0..d, 0..wide, false, &mut d_inner, |row, at, y| {
                if lora.is_none() {
                    slope(row, at, y);
                }
            });
            if let Some(part) = lora {
                let x = Mat::new(&tape.inner, wide);
                let to = Some(&mut d_inner);
                low_rank::backward(part, self.values, x, g, grads, to, &mut scratch.inner);
                for row in 0..rows {
                    slope(row, 0, d_inner.row(row));
                }
            }
            if done(Stage::Output) {
                scratch.wide = inner;
                return Ok(false);
            }
            let g = Mat::new(&inner, wide);
            let mut to = MatMut::new(&mut dh, d);
            let weight = self.block.intermediate.backward()?;
            let part = LinearSite::Intermediate;
            self.pull(weight, part, &tape.hidden, g, grads, &mut to, true, scratch);
            scratch.wide = inner;
            if done(Stage::Intermediate) {
                return Ok(false);
            }

            // Attention.
            let x = if self.first { &tape.first } else { &tape.input };
            let mut d_first = take(&mut scratch.first);
            let residual = if self.first { &mut d_first } else { &mut dx };
            self.end(SublayerSite::Attention).backward(
                x,
                &tape.attention,
                &dh,
                grads,
                (&mut df, residual),
                (&mut scratch.inner, &mut scratch.source),
                done(Stage::AttentionEnd),
            );
            if done(Stage::AttentionEnd) {
                return Ok(false);
            }
            self.thin(&tape.attention, &mut df);
            let mut context = take(&mut scratch.context);
            let mut to = MatMut::new(sized(&mut context, rows * d), d);
            let weight = self.block.attention_output.backward()?;
            let (part, g) = (LinearSite::AttentionOutput, Mat::new(&df, d));
            self.pull(
                weight,
                part,
                &tape.context,
                g,
                grads,
                &mut to,
                false,
                scratch,
            );
            if done(Stage::AttentionOutput) {
                return Ok(false);
            }
            let alive =
                self.gather_backward(tape, &context, grads, (&mut dx, &mut d_first), scratch)?;
            (scratch.context, scratch.first) = (context, d_first);
            Ok::<bool, candle_core::Error>(alive)
        })();
        (scratch.narrow, scratch.middle) = (df, dh);
        match found? {
            true => {
                scratch.states = grad;
                Ok(Some(dx))
            }
            false => {
                scratch.states = dx;
                Ok(None)
            }
        }
    }

    /// From the gradient of what attention gathered to that of the block's input; whether anyone
    /// needs that.
    fn gather_backward(
        &self,
        tape: &BlockTape<T>,
        context: &[T],
        grads: &mut [T],
        (dx, d_first): (&mut Buffer<T>, &mut Buffer<T>),
        scratch: &mut Scratch<T>,
    ) -> candle_core::Result<bool> {
        let (d, n) = (self.width(), self.chunk.tokens());
        let (mut all, mut asked) = (take(&mut scratch.qkv), take(&mut scratch.queries));
        let queries = self.first.then_some(&tape.queries[..]);
        let apart = if self.first { self.rows() * d } else { 0 };
        self.attention().backward(
            (&tape.qkv, queries),
            &tape.kept,
            context,
            (sized(&mut all, n * 3 * d), sized(&mut asked, apart)),
            scratch,
        );
        let alive = self.parts.first() != Some((self.layer, Stage::Attend));
        let weight = self.block.qkv.backward()?;
        // Where the layout cannot be cut, the other tokens' queries get gradients of zero.
        let cut = self.first && weight.splits_at(d);
        if self.first && !cut {
            let mut rows = MatMut::new(&mut all, 3 * d);
            let mut queries = rows.part(0..n, 0..d);
            for row in 0..n {
                queries.row(row).fill(T::zero());
            }
            for ((_, span), asked) in self.chunk.spans().zip(asked.chunks_exact(d)) {
                queries.row(span.start).copy_from_slice(asked);
            }
        }
        let qkv = Mat::new(&all, 3 * d);
        if self.first {
            let mut sum = MatMut::new(zeroed(dx, n * d), d);
            let (x, g) = (Mat::new(&tape.first, d), Mat::new(&asked, d));
            let mut first = MatMut::new(d_first, d);
            if cut && alive {
                let others = qkv.columns(d, 2 * d);
                weight.multiply(others, d..3 * d, 0..d, false, &mut sum, |_, _, _| {});
                weight.multiply(g, 0..d, 0..d, true, &mut first, |_, _, _| {});
            } else if alive {
                weight.multiply(qkv, 0..3 * d, 0..d, false, &mut sum, |_, _, _| {});
            }
            if let Some(part) = self.parts.linears.get(&(self.layer, LinearSite::Query)) {
                let to = alive.then_some(&mut first);
                low_rank::backward(part, self.values, x, g, grads, to, &mut scratch.inner);
            }
        } else if alive {
            let mut sum = MatMut::new(dx, d);
            weight.multiply(qkv, 0..3 * d, 0..d, true, &mut sum, |_, _, _| {});
        }
        let mut sum = MatMut::new(dx, d);
        for (i, site) in LinearSite::ALL.into_iter().take(3).enumerate() {
            if self.first && site == LinearSite::Query {
                continue;
            }
            if let Some(part) = self.parts.linears.get(&(self.layer, site)) {
                let (x, g) = (Mat::new(&tape.input, d), qkv.columns(i * d, d));
                let to = alive.then_some(&mut sum);
                low_rank::backward(part, self.values, x, g, grads, to, &mut scratch.inner);
            }
        }
        if self.first && alive {
            scatter(d_first, self.chunk, d, dx);
        }
        (scratch.qkv, scratch.queries) = (all, asked);
        Ok(alive)
    }

    /// The gradient of a linear map's input, with what the adapter does there.
    #[allow(clippy::too_many_arguments)] // a map, its adapter, three gradients and an input
    fn pull(
        &self,
        weight: &Packed<T>,
        site: LinearSite,
        x: &[T],
        grad: Mat<'_, T>,
        grads: &mut [T],
        dx: &mut MatMut<'_, T>,
        accumulate: bool,
        scratch: &mut Scratch<T>,
    ) {
        let (k, n) = (grad.width(), weight.columns());
        weight.multiply(grad, 0..k, 0..n, accumulate, dx, |_, _, _| {});
        if let Some(part) = self.parts.linears.get(&(self.layer, site)) {
            let x = Mat::new(x, n);
            let inner = &mut scratch.inner;
            low_rank::backward(part, self.values, x, grad, grads, Some(dx), inner);
        }
    }

    /// Dropout's gradient.
    fn thin(&self, tape: &EndTape<T>, grad: &mut [T]) {
        if let Some(dropout) = self.noise.hidden.filter(|d| !d.is_identity()) {
            dropout.thin(&tape.kept, grad);
        }
    }
}

/// Adds a row a text to the first token's rows.
fn scatter<T: Real>(rows: &[T], chunk: &Chunk, width: usize, out: &mut [T]) {
    for ((_, span), row) in chunk.spans().zip(rows.chunks_exact(width)) {
        let out = &mut out[span.start * width..(span.start + 1) * width];
        add(out, row);
    }
}
