//! Self-attention over texts of a chunk, each with its own length.

use super::super::attention::add_distances;
use super::super::dropout::Dropout;
use super::super::mask::Mask;
use super::super::matrix::{Mat, MatMut, Threads, multiply};
use super::super::real::Real;
use super::super::softmax::{Sight, softmax, softmax_gradient};
use super::chunk::Chunk;
use super::tape::{Scratch, sized};
use std::ops::Range;

/// Attention of one block over one chunk.
pub struct Attention<'a, T> {
    pub heads: usize,
    /// Width of all heads together.
    pub width: usize,
    pub chunk: &'a Chunk,
    pub mask: &'a Mask,
    /// What is added to scores by distance, head after head; empty where nothing is.
    pub bias: &'a [T],
    /// Only the first token of a text asks.
    pub first: bool,
    pub dropout: Option<(&'a Dropout, u64)>,
}

/// One text and head.
struct Head<'a, T> {
    q: Mat<'a, T>,
    k: Mat<'a, T>,
    v: Mat<'a, T>,
    row: usize,
    head: usize,
    /// The head's columns.
    columns: Range<usize>,
    /// The text's rows among those that ask, and among all.
    asking: Range<usize>,
    tokens: Range<usize>,
    /// Its values among those dropout kept.
    kept: Range<usize>,
}

impl<T: Real> Attention<'_, T> {
    /// The number of attention weights.
    pub fn weights(&self) -> usize {
        let texts = self.chunk.spans().map(|(_, span)| match self.first {
            true => span.len().min(1) * span.len(),
            false => span.len() * span.len(),
        });
        texts.sum::<usize>() * self.heads
    }

    fn heads<'b>(
        &self,
        qkv: &'b [T],
        queries: Option<&'b [T]>,
    ) -> impl Iterator<Item = Head<'b, T>> {
        let (width, count) = (self.width, self.heads);
        let head_width = width / count;
        let all = Mat::new(qkv, 3 * width);
        let q = queries.map_or(all.columns(0, width), |q| Mat::new(q, width));
        let (mut at, mut asked) = (0, 0);
        self.chunk.spans().flat_map(move |(row, tokens)| {
            let asks = match queries {
                Some(_) => tokens.len().min(1),
                None => tokens.len(),
            };
            let asking = asked..asked + asks;
            asked += asks;
            let start = at;
            at += count * asks * tokens.len();
            (0..count).map(move |head| {
                let text = all.narrow(tokens.start, tokens.len());
                let kept = start + head * asks * tokens.len();
                let left = head * head_width;
                Head {
                    q: q.narrow(asking.start, asks).columns(left, head_width),
                    k: text.columns(width + left, head_width),
                    v: text.columns(2 * width + left, head_width),
                    row,
                    head,
                    columns: left..left + head_width,
                    asking: asking.clone(),
                    tokens: tokens.clone(),
                    kept: kept..kept + asks * tokens.len(),
                }
            })
        })
    }

    /// The factor on scores.
    fn scale(&self) -> T {
        T::of(1.0 / ((self.width / self.heads) as f64).sqrt())
    }

    /// Writes a head's weights before dropout to `scratch.weights`.
    fn weigh(&self, head: &Head<'_, T>, scratch: &mut Scratch<T>) {
        let seq = head.tokens.len();
        let keys = sized(&mut scratch.keys, seq * head.columns.len());
        head.k.t().copy_to(keys);
        let weights = sized(&mut scratch.weights, head.kept.len());
        let keys = Mat::new(&scratch.keys, seq);
        let mut scores = MatMut::new(weights, seq);
        multiply(head.q, keys, self.scale(), &mut scores, Threads::One);
        let table = self.bias.len() / self.heads;
        let table = &self.bias[head.head * table..(head.head + 1) * table];
        if !table.is_empty() {
            add_distances(weights, seq, table);
        }
        softmax(weights, &self.mask.row(head.row)[..seq], Sight::All);
    }

    /// Writes what each asking token gathers to `out`, `[asking, width]`, and which weights
    /// dropout keeps to `kept`.
    pub fn forward(
        &self,
        qkv: &[T],
        queries: Option<&[T]>,
        kept: &mut [u8],
        out: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let mut out = MatMut::new(out, self.width);
        for head in self.heads(qkv, queries) {
            if head.tokens.is_empty() {
                continue;
            }
            self.weigh(&head, scratch);
            if let Some((dropout, site)) = self.dropout {
                let kept = &mut kept[head.kept.clone()];
                dropout.kept(head.row, site, head.head, kept);
                dropout.thin(kept, &mut scratch.weights);
            }
            let weights = Mat::new(&scratch.weights, head.tokens.len());
            let mut part = out.part(head.asking.clone(), head.columns.clone());
            multiply(weights, head.v, T::one(), &mut part, Threads::One);
        }
    }

    /// Writes the gradients of queries, keys and values to `out`, `[tokens, 3 width]`, those of
    /// `queries`, where these are apart, to `d_queries`. `grad` is that of the result.
    pub fn backward(
        &self,
        (qkv, queries): (&[T], Option<&[T]>),
        kept: &[u8],
        grad: &[T],
        (out, d_queries): (&mut [T], &mut [T]),
        scratch: &mut Scratch<T>,
    ) {
        let mut out = MatMut::new(out, 3 * self.width);
        let mut d_queries = MatMut::new(d_queries, self.width);
        let grad = Mat::new(grad, self.width);
        for head in self.heads(qkv, queries) {
            let (seq, width) = (head.tokens.len(), self.width);
            if seq == 0 {
                continue;
            }
            let columns = head.columns.clone();
            let at = |part: usize| part * width + columns.start..part * width + columns.end;
            let g = grad.narrow(head.asking.start, head.asking.len());
            let g = g.columns(columns.start, columns.len());
            self.weigh(&head, scratch);

            let values = sized(&mut scratch.keys, seq * columns.len());
            head.v.t().copy_to(values);
            let grads = sized(&mut scratch.grads, head.kept.len());
            let values = Mat::new(&scratch.keys, seq);
            multiply(
                g,
                values,
                T::one(),
                &mut MatMut::new(grads, seq),
                Threads::One,
            );
            let mut dv = out.part(head.tokens.clone(), at(2));
            let used = match self.dropout {
                Some((dropout, _)) => {
                    let kept = &kept[head.kept.clone()];
                    dropout.thin(kept, grads);
                    let dropped = sized(&mut scratch.dropped, head.kept.len());
                    dropped.copy_from_slice(&scratch.weights);
                    dropout.thin(kept, dropped);
                    Mat::new(dropped, seq)
                }
                None => Mat::new(&scratch.weights, seq),
            };
            multiply(used.t(), g, T::one(), &mut dv, Threads::One);
            softmax_gradient(&scratch.weights, &mut scratch.grads, seq, seq);
            let d_scores = Mat::new(&scratch.grads, seq);
            let mut dk = out.part(head.tokens.clone(), at(1));
            multiply(d_scores.t(), head.q, self.scale(), &mut dk, Threads::One);
            let mut dq = match queries {
                Some(_) => d_queries.part(head.asking.clone(), columns.clone()),
                None => out.part(head.tokens.clone(), at(0)),
            };
            multiply(d_scores, head.k, self.scale(), &mut dq, Threads::One);
        }
    }
}
