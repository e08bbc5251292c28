//! One block over one chunk, forward and backward.

use super::super::dropout::Dropout;
use super::super::mask::Mask;
use super::super::matrix::{Mat, MatMut};
use super::super::packed::Packed;
use super::super::real::Real;
use super::attention::Attention;
use super::chunk::Chunk;
use super::end::End;
use super::low_rank;
use super::parts::{Parts, Stage};
use super::rows::{add, scale};
use super::site::{LinearSite, SublayerSite};
use super::tape::{BlockTape, Buffer, EndTape, Scratch, sized, zeroed};
use super::weights::Block;
use std::mem::{swap, take};

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

    fn attention(&self) -> Attention<'_> {
        let dropout = self.noise.attention.filter(|d| !d.is_identity());
        Attention {
            heads: self.heads,
            width: self.width(),
            chunk: self.chunk,
            mask: self.mask,
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

    /// The block's output for `states`, which the tape takes; its buffers are the tape's.
    pub fn forward(
        &self,
        states: Buffer<T>,
        tape: &mut BlockTape<T>,
        scratch: &mut Scratch<T>,
    ) -> candle_core::Result<Buffer<T>> {
        let mut out = take(&mut tape.input);
        tape.input = states;
        self.enter(tape, scratch)?;
        self.finish(tape, &mut out)?;
        Ok(out)
    }

    /// Everything before the end of the feed-forward layer.
    pub fn enter(
        &self,
        tape: &mut BlockTape<T>,
        scratch: &mut Scratch<T>,
    ) -> candle_core::Result<()> {
        // What only the gradient of a low-rank change reads is kept where there is one.
        let needs = |site| self.parts.linears.contains_key(&(self.layer, site));
        let keeps = [
            needs(LinearSite::AttentionOutput),
            needs(LinearSite::Output),
        ];
        if !keeps[0] {
            swap(&mut tape.context, &mut scratch.passing.0);
        }
        if !keeps[1] {
            swap(&mut tape.inner, &mut scratch.passing.1);
        }
        self.attend(tape, scratch);
        let len = self.rows() * self.width();
        self.map(
            &self.block.attention_output,
            LinearSite::AttentionOutput,
            &tape.context,
            &mut tape.attention,
            scratch,
        );
        self.drop(SublayerSite::Attention, &mut tape.attention);
        let x = if self.first { &tape.first } else { &tape.input };
        let hidden = sized(&mut tape.hidden, len);
        self.end(SublayerSite::Attention)
            .forward(x, &mut tape.attention, hidden)?;
        self.widen(tape, scratch)?;
        self.map(
            &self.block.output,
            LinearSite::Output,
            &tape.inner,
            &mut tape.output,
            scratch,
        );
        self.drop(SublayerSite::FeedForward, &mut tape.output);
        if !keeps[0] {
            swap(&mut tape.context, &mut scratch.passing.0);
        }
        if !keeps[1] {
            swap(&mut tape.inner, &mut scratch.passing.1);
        }
        Ok(())
    }

    /// The end of the feed-forward layer: the block's output.
    pub fn finish(&self, tape: &mut BlockTape<T>, out: &mut Buffer<T>) -> candle_core::Result<()> {
        let out = sized(out, self.rows() * self.width());
        self.end(SublayerSite::FeedForward)
            .forward(&tape.hidden, &mut tape.output, out)
    }

    /// `tape.context` from `tape.input`.
    fn attend(&self, tape: &mut BlockTape<T>, scratch: &mut Scratch<T>) {
        let (d, n) = (self.width(), self.chunk.tokens());
        let map = &self.block.qkv;
        let forward = map.forward();
        let x = Mat::new(&tape.input, d);
        let qkv = sized(&mut tape.qkv, n * 3 * d);
        let mut out = MatMut::new(qkv, 3 * d);
        if self.first {
            gather(&tape.input, self.chunk, d, &mut tape.first);
            let queries = sized(&mut tape.queries, self.rows() * d);
            let mut queries = MatMut::new(queries, d);
            let first = Mat::new(&tape.first, d);
            // Only keys and values of all tokens, where the layout allows.
            let split = if forward.splits_at(d) { d } else { 0 };
            let bias = |_: usize, at: usize, y: &mut [T]| add(y, &map.bias[at..]);
            forward.multiply(first, 0..d, 0..d, false, &mut queries, bias);
            let mut others = out.part(0..n, split..3 * d);
            forward.multiply(x, 0..d, split..3 * d, false, &mut others, |_, at, y| {
                add(y, &map.bias[split + at..]);
            });
            self.change(LinearSite::Query, first, &mut queries, &mut scratch.inner);
        } else {
            forward.multiply(x, 0..d, 0..3 * d, false, &mut out, |_, at, y| {
                add(y, &map.bias[at..]);
            });
            let mut queries = out.part(0..n, 0..d);
            self.change(LinearSite::Query, x, &mut queries, &mut scratch.inner);
        }
        for (i, site) in [LinearSite::Key, LinearSite::Value].into_iter().enumerate() {
            let mut y = out.part(0..n, (i + 1) * d..(i + 2) * d);
            self.change(site, x, &mut y, &mut scratch.inner);
        }
        let attention = self.attention();
        let dropped = attention.dropout.map_or(0, |_| attention.weights());
        attention.forward(
            &tape.qkv,
            self.first.then_some(&tape.queries[..]),
            sized(&mut tape.kept, dropped),
            sized(&mut tape.context, self.rows() * d),
            scratch,
        );
    }

    /// Adds what the adapter does at a linear map.
    fn change(
        &self,
        site: LinearSite,
        x: Mat<'_, T>,
        y: &mut MatMut<'_, T>,
        inner: &mut Buffer<T>,
    ) {
        if let Some(part) = self.parts.linears.get(&(self.layer, site)) {
            low_rank::forward(part, self.values, x, y, inner);
        }
    }

    /// A linear map from `x` to a sublayer's output.
    fn map(
        &self,
        map: &super::weights::Linear<T>,
        site: LinearSite,
        x: &[T],
        tape: &mut EndTape<T>,
        scratch: &mut Scratch<T>,
    ) {
        let (k, d) = (map.in_width(), map.out_width());
        let out = sized(&mut tape.out, self.rows() * d);
        let mut out = MatMut::new(out, d);
        let x = Mat::new(x, k);
        map.forward()
            .multiply(x, 0..k, 0..d, false, &mut out, |_, at, y| {
                add(y, &map.bias[at..]);
            });
        self.change(site, x, &mut out, &mut scratch.inner);
    }

    /// The feed-forward layer inside: `tape.inner` from `tape.hidden`.
    fn widen(&self, tape: &mut BlockTape<T>, scratch: &mut Scratch<T>) -> candle_core::Result<()> {
        let (map, activation) = (&self.block.intermediate, self.block.activation);
        let (k, n) = (map.in_width(), map.out_width());
        let x = Mat::new(&tape.hidden, k);
        let len = self.rows() * n;
        let changed = self
            .parts
            .linears
            .get(&(self.layer, LinearSite::Intermediate));
        let mut error = Ok(());
        // Recorded, the values before become slopes, and those after have a place of their own.
        let (before, after) = match self.record {
            true => (sized(&mut tape.slope, len), sized(&mut tape.inner, len)),
            false => (sized(&mut tape.inner, len), &mut [][..]),
        };
        let (mut out, mut after) = (MatMut::new(before, n), MatMut::new(after, n));
        let mut activate = |row: usize, at: usize, y: &mut [T]| {
            let done = match self.record {
                true => activation.both(y, &mut after.row(row)[at..at + y.len()]),
                false => activation.in_place(y),
            };
            if let Err(e) = done {
                error = Err(e);
            }
        };
        map.forward()
            .multiply(x, 0..k, 0..n, false, &mut out, |row, at, y| {
                add(y, &map.bias[at..]);
                if changed.is_none() {
                    activate(row, at, y);
                }
            });
        if let Some(part) = changed {
            low_rank::forward(part, self.values, x, &mut out, &mut scratch.inner);
            for row in 0..out.rows() {
                activate(row, 0, out.row(row));
            }
        }
        error
    }

    /// Dropout of a sublayer's output.
    fn drop(&self, site: SublayerSite, tape: &mut EndTape<T>) {
        let Some(dropout) = self.noise.hidden.filter(|d| !d.is_identity()) else {
            sized(&mut tape.kept, 0);
            return;
        };
        let place = 4 * self.layer as u64
            + if site == SublayerSite::Attention {
                2
            } else {
                3
            };
        let (d, len) = (self.width(), tape.out.len());
        let kept = sized(&mut tape.kept, len);
        let mut start = 0;
        for (row, span) in self.chunk.spans() {
            let rows = if self.first { 1 } else { span.len() };
            let end = start + rows * d;
            dropout.kept(row, place, 0, &mut kept[start..end]);
            start = end;
        }
        dropout.thin(kept, &mut tape.out);
    }

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

/// The first token's row of each text.
fn gather<T: Real>(rows: &[T], chunk: &Chunk, width: usize, out: &mut Buffer<T>) {
    let out = sized(out, chunk.texts() * width);
    for ((_, span), out) in chunk.spans().zip(out.chunks_exact_mut(width)) {
        out.copy_from_slice(&rows[span.start * width..(span.start + 1) * width]);
    }
}

/// Adds a row a text to the first token's rows.
fn scatter<T: Real>(rows: &[T], chunk: &Chunk, width: usize, out: &mut [T]) {
    for ((_, span), row) in chunk.spans().zip(rows.chunks_exact(width)) {
        let out = &mut out[span.start * width..(span.start + 1) * width];
        add(out, row);
    }
}
