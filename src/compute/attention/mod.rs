//! Scaled dot-product self-attention of all heads as one operation.

mod disentangled;
mod distance;
#[cfg(test)]
mod tests;

use super::dropout::Dropout;
use super::kernel::{self, by_dtype, slice, values};
use super::mask::Mask;
use super::matrix::{Mat, MatMut, Threads, multiply};
use super::real::Real;
use super::softmax::{Sight, scale_by, softmax, softmax_gradient};
use crate::{Result, bail};
use candle_core::{CpuStorage, CustomOp1, D, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

pub use disentangled::Disentangled;
pub use distance::add_distances;

/// `softmax(q k^T / sqrt(head width), masked) v` for each head (Vaswani et al. 2017).
///
/// A query that may attend to no key gets zeros. The backward pass recomputes the softmax, so
/// nothing but the input is kept.
#[derive(Clone)]
pub struct Attention {
    /// The number of heads the width is cut into.
    pub heads: usize,
    /// Which keys may be attended to.
    pub mask: Mask,
    /// Which keys a query sees by where they stand.
    pub sight: Sight,
    /// What is added to the scores of each head by the key's distance from the query, `[heads,
    /// 2 far + 1]`, from `-far` to `far`; beyond, the last values count. Frozen.
    pub bias: Option<Tensor>,
    /// Dropout of the attention weights, and its site.
    pub dropout: Option<(Dropout, u64)>,
}

impl Attention {
    /// `qkv` `[batch, seq, 3 width]`, the queries, keys and values side by side and each cut
    /// into heads, to `[batch, seq, width]`.
    pub fn apply(&self, qkv: &Tensor) -> Result<Tensor> {
        let (batch, seq, triple) = qkv.dims3()?;
        if self.heads == 0 || triple == 0 || triple % (3 * self.heads) != 0 {
            bail!(
                "attention: expected a width divisible by 3 x {} heads, found {triple}",
                self.heads
            );
        }
        if self.mask.dims() != (batch, seq) {
            bail!(
                "attention: mask of {:?} for a batch of {:?}",
                self.mask.dims(),
                (batch, seq)
            );
        }
        if let Some(bias) = &self.bias
            && (bias.dims2()?.0 != self.heads || bias.dim(1)? % 2 == 0)
        {
            bail!(
                "attention: bias of shape {:?}, expected [{} heads, an odd number]",
                bias.dims(),
                self.heads
            );
        }
        if let Some((dropout, site)) = &self.dropout {
            dropout.check(batch, *site, self.heads)?;
        }
        if !kernel::takes(qkv) {
            return self.composite(qkv);
        }
        let bias = self.bias.as_ref().map(|b| b.detach().to_dtype(qkv.dtype()));
        let bias = bias.transpose()?.map(|b| b.contiguous()).transpose()?;
        let op = Self {
            bias,
            ..self.clone()
        };
        Ok(qkv.contiguous()?.apply_op1(op)?)
    }

    /// The sizes of a `qkv` that [`Self::apply`] has accepted.
    fn sizes(&self, triple: usize) -> Sizes {
        Sizes::of(self.mask.dims(), triple, self.heads)
    }

    fn dropout(&self) -> Option<(&Dropout, u64)> {
        dropping(&self.dropout)
    }

    fn forward<T: Real>(&self, qkv: &[T], bias: &[T], sizes: Sizes) -> Vec<T> {
        let mut out = kernel::zeros(sizes.tokens() * sizes.width);
        let mut tasks = Vec::with_capacity(sizes.batch * self.heads);
        for (row, out) in out.chunks_mut(sizes.seq.max(1) * sizes.width).enumerate() {
            let blocks = MatMut::new(out, sizes.width).split_columns(sizes.head);
            tasks.extend(blocks.enumerate().map(|(head, out)| (row, head, out)));
        }
        tasks.into_par_iter().for_each_init(
            || Scratch::new(sizes.seq, self.dropout().is_some()),
            |scratch, (row, head, mut out)| {
                let [q, k, v] = sizes.head_of(qkv, row, head);
                self.weigh(q, k, (row, head), bias, sizes, scratch);
                if self.dropout().is_some() {
                    scale_by(&mut scratch.weights, &scratch.factors);
                }
                let weights = Mat::new(&scratch.weights, sizes.seq);
                multiply(weights, v, T::one(), &mut out, Threads::One);
            },
        );
        out
    }

    /// Computes the weights of one head before dropout, and the factors of dropout.
    fn weigh<T: Real>(
        &self,
        q: Mat<'_, T>,
        k: Mat<'_, T>,
        (row, head): (usize, usize),
        bias: &[T],
        sizes: Sizes,
        scratch: &mut Scratch<T>,
    ) {
        let mut scores = MatMut::new(&mut scratch.weights, sizes.seq);
        multiply(q, k.t(), sizes.scale(), &mut scores, Threads::One);
        let table = bias.len() / self.heads;
        if let Some(table) = bias.get(head * table..(head + 1) * table)
            && !table.is_empty()
        {
            add_distances(&mut scratch.weights, sizes.seq, table);
        }
        softmax(&mut scratch.weights, self.mask.row(row), self.sight);
        if let Some((dropout, site)) = self.dropout() {
            let len = self.mask.length(row);
            dropout.weights(row, site, head, len, &mut scratch.factors);
        }
    }

    fn backward<T: Real>(&self, qkv: &[T], bias: &[T], grad: &[T], sizes: Sizes) -> Vec<T> {
        let mut out = kernel::zeros(qkv.len());
        let mut tasks = Vec::with_capacity(sizes.batch * self.heads);
        let rows = out.chunks_mut(sizes.seq.max(1) * 3 * sizes.width);
        for (row, out) in rows.enumerate() {
            let blocks = MatMut::new(out, 3 * sizes.width).split_columns(sizes.head);
            let mut blocks: Vec<_> = blocks.collect();
            let dv = blocks.split_off(2 * self.heads);
            let dk = blocks.split_off(self.heads);
            let triples = blocks.into_iter().zip(dk).zip(dv);
            tasks.extend(triples.enumerate().map(|(head, out)| (row, head, out)));
        }
        tasks.into_par_iter().for_each_init(
            || Scratch::new(sizes.seq, self.dropout().is_some()),
            |scratch, (row, head, ((mut dq, mut dk), mut dv))| {
                let [q, k, v] = sizes.head_of(qkv, row, head);
                let span = sizes.seq * sizes.width;
                let g = Mat::new(&grad[row * span..(row + 1) * span], sizes.width);
                let g = g.columns(head * sizes.head, sizes.head);
                self.weigh(q, k, (row, head), bias, sizes, scratch);

                let mut d_weights = MatMut::new(&mut scratch.grads, sizes.seq);
                multiply(g, v.t(), T::one(), &mut d_weights, Threads::One);
                if self.dropout().is_some() {
                    // The factors become the weights after dropout, which dv needs.
                    scale_by(&mut scratch.grads, &scratch.factors);
                    scale_by(&mut scratch.factors, &scratch.weights);
                    let dropped = Mat::new(&scratch.factors, sizes.seq);
                    multiply(dropped.t(), g, T::one(), &mut dv, Threads::One);
                } else {
                    let weights = Mat::new(&scratch.weights, sizes.seq);
                    multiply(weights.t(), g, T::one(), &mut dv, Threads::One);
                }
                let length = self.mask.length(row);
                softmax_gradient(&scratch.weights, &mut scratch.grads, sizes.seq, length);
                let d_scores = Mat::new(&scratch.grads, sizes.seq);
                multiply(d_scores, k, sizes.scale(), &mut dq, Threads::One);
                multiply(d_scores.t(), q, sizes.scale(), &mut dk, Threads::One);
            },
        );
        out
    }

    fn composite(&self, qkv: &Tensor) -> Result<Tensor> {
        let (batch, seq, triple) = qkv.dims3()?;
        let sizes = self.sizes(triple);
        let (dtype, device) = (qkv.dtype(), qkv.device());
        let part = |i: usize| {
            qkv.narrow(2, i * sizes.width, sizes.width)?
                .reshape((batch, seq, self.heads, sizes.head))?
                .transpose(1, 2)?
                .contiguous()
        };
        let scale = 1.0 / (sizes.head as f64).sqrt();
        let keep = self.mask.to_tensor(dtype, device)?;
        let mut keep = keep.reshape((batch, 1, 1, seq))?;
        if self.sight != Sight::All {
            let seen = self.sight.to_tensor(seq, device)?.to_dtype(dtype)?;
            keep = keep.broadcast_mul(&seen.reshape((1, 1, seq, seq))?)?;
        }
        let mut scores = (part(0)?.matmul(&part(1)?.t()?)? * scale)?;
        if let Some(bias) = &self.bias {
            let spread = distance::spread(&bias.to_dtype(dtype)?, seq)?;
            scores = scores.broadcast_add(&spread.unsqueeze(0)?)?;
        }
        let dropout = self.dropout();
        let factors = dropout.map(|(d, site)| d.all_weights(site, self.heads, &self.mask));
        let weights = weights(&scores, &keep, factors)?;
        let out = weights.matmul(&part(2)?)?.transpose(1, 2)?;
        Ok(out.reshape((batch, seq, sizes.width))?)
    }
}

/// The softmax of scores over the keys that `keep` says are seen (1; 0 where not), times the factors
/// of dropout, by candle's operations: exponentials and sums in f32 at least.
fn weights(scores: &Tensor, keep: &Tensor, factors: Option<Vec<f32>>) -> Result<Tensor> {
    let (own, scores) = (scores.dtype(), kernel::widened(scores)?);
    let keep = keep.to_dtype(scores.dtype())?;
    // e^-10000 is 0 in every type.
    let scores = scores.broadcast_add(&keep.affine(1e4, -1e4)?)?;
    let exp = scores
        .broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?
        .exp()?;
    let weights = exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?;
    let mut weights = weights.broadcast_mul(&keep)?;
    if let Some(factors) = factors {
        let factors = Tensor::from_vec(factors, weights.shape(), weights.device())?;
        weights = (weights * factors.to_dtype(scores.dtype())?)?;
    }
    Ok(weights.to_dtype(own)?)
}

/// The dropout that changes anything, and its site.
fn dropping(dropout: &Option<(Dropout, u64)>) -> Option<(&Dropout, u64)> {
    let (dropout, site) = dropout.as_ref()?;
    (!dropout.is_identity()).then_some((dropout, *site))
}

#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    seq: usize,
    /// Of all heads.
    width: usize,
    /// Of one head.
    head: usize,
}

impl Sizes {
    /// Of a batch of `dims` whose queries, keys and values are `triple` wide together.
    fn of((batch, seq): (usize, usize), triple: usize, heads: usize) -> Self {
        let width = triple / 3;
        Self {
            batch,
            seq,
            width,
            head: width / heads,
        }
    }

    fn tokens(self) -> usize {
        self.batch * self.seq
    }

    fn scale<T: Real>(self) -> T {
        T::of(1.0 / (self.head as f64).sqrt())
    }

    /// The queries, keys and values of one batch row and head, each `[seq, head width]`.
    fn head_of<T: Copy>(self, qkv: &[T], row: usize, head: usize) -> [Mat<'_, T>; 3] {
        let span = self.seq * 3 * self.width;
        self.split(&qkv[row * span..(row + 1) * span], head)
    }

    /// The same of rows that queries, keys and values were made of.
    fn split<T: Copy>(self, rows: &[T], head: usize) -> [Mat<'_, T>; 3] {
        let all = Mat::new(rows, 3 * self.width);
        [0, 1, 2].map(|i| all.columns(i * self.width + head * self.head, self.head))
    }
}

/// Matrices `[seq, seq]` reused from head to head.
struct Scratch<T> {
    weights: Vec<T>,
    grads: Vec<T>,
    /// The factors of dropout; empty without.
    factors: Vec<T>,
}

impl<T: Real> Scratch<T> {
    fn new(seq: usize, dropout: bool) -> Self {
        let square = || vec![T::zero(); seq * seq];
        Self {
            weights: square(),
            grads: square(),
            factors: if dropout { square() } else { Vec::new() },
        }
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, seq, triple) = layout.shape().dims3()?;
        let sizes = self.sizes(triple);
        let bias = self.bias.as_ref().map(values);
        by_dtype!(kernel::dtype(qkv), T => {
            let bias = bias.as_ref().map(|b| b.slice::<T>()).transpose()?;
            let out = self.forward::<T>(slice(qkv, layout)?, bias.unwrap_or_default(), sizes);
            Ok((T::to_cpu_storage_owned(out), (batch, seq, sizes.width).into()))
        })
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let sizes = self.sizes(qkv.dim(D::Minus1)?);
        let grad = grad.contiguous()?;
        let (x, g) = (values(qkv), values(&grad));
        let bias = self.bias.as_ref().map(values);
        by_dtype!(grad.dtype(), T => {
            let bias = bias.as_ref().map(|b| b.slice::<T>()).transpose()?;
            let dx = self.backward::<T>(x.slice()?, bias.unwrap_or_default(), g.slice()?, sizes);
            kernel::tensor(dx, qkv.shape()).map(Some)
        })
    }
}
