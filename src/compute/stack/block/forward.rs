//! A block's output.

use super::super::super::matrix::{Mat, MatMut};
use super::super::super::real::Real;
use super::super::chunk::Chunk;
use super::super::low_rank;
use super::super::rows::add;
use super::super::site::{LinearSite, SublayerSite};
use super::super::tape::{BlockTape, Buffer, EndTape, Scratch, sized};
use super::super::weights::Linear;
use super::Pass;
use std::mem::{swap, take};

impl<T: Real> Pass<'_, T> {
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

    /// Fills a tape from the input that it has.
    pub fn again(
        &self,
        tape: &mut BlockTape<T>,
        scratch: &mut Scratch<T>,
    ) -> candle_core::Result<()> {
        self.enter(tape, scratch)?;
        let mut out = take(&mut scratch.again);
        self.finish(tape, &mut out)?;
        scratch.again = out;
        Ok(())
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
        map: &Linear<T>,
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
}

/// The first token's row of each text.
fn gather<T: Real>(rows: &[T], chunk: &Chunk, width: usize, out: &mut Buffer<T>) {
    let out = sized(out, chunk.texts() * width);
    for ((_, span), out) in chunk.spans().zip(out.chunks_exact_mut(width)) {
        out.copy_from_slice(&rows[span.start * width..(span.start + 1) * width]);
    }
}
