//! DeBERTa's disentangled self-attention of all heads as one operation.

use super::super::dropout::Dropout;
use super::super::kernel::{self, by_dtype, slice, values};
use super::super::mask::Mask;
use super::super::matrix::{Mat, MatMut, Threads, multiply, multiply_add};
use super::super::real::Real;
use super::super::softmax::{Sight, scale_by, softmax, softmax_gradient};
use super::{Sizes, dropping};
use crate::{Result, bail};
use candle_core::{CpuStorage, CustomOp2, D, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;
use std::sync::Arc;

/// Attention whose scores are the sum of content to content, content to position and position to
/// content, over the root of three head widths (He et al. 2021, "DeBERTa"): of query i and key j
/// `q_i k_j + q_i pk_d + k_j pq_d`, with `pq` and `pk` the queries and keys of the place of j as
/// seen from i, d.
///
/// A query that may attend to no key gets zeros. The backward pass recomputes the scores, so
/// nothing but the inputs is kept.
#[derive(Clone)]
pub struct Disentangled {
    /// The number of heads the width is cut into.
    pub heads: usize,
    /// Which keys may be attended to.
    pub mask: Mask,
    /// Dropout of the attention weights, and its site.
    pub dropout: Option<(Dropout, u64)>,
    /// By the distance from query to key, from -(seq - 1) to seq - 1: the row of `positions`.
    pub places: Arc<[u32]>,
}

impl Disentangled {
    /// `qkv` `[batch, seq, 3 width]`, the queries, keys and values side by side and each cut into
    /// heads, and `positions` `[rows, 3 width]`, made by the same maps of the embeddings of
    /// relative positions, to `[batch, seq, width]`. Values of positions are not used.
    pub fn apply(&self, qkv: &Tensor, positions: &Tensor) -> Result<Tensor> {
        let (batch, seq, triple) = qkv.dims3()?;
        let (rows, width) = positions.dims2()?;
        if self.heads == 0 || triple == 0 || triple % (3 * self.heads) != 0 || width != triple {
            bail!(
                "attention: expected widths divisible by 3 x {} heads, found {triple} and {width}",
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
        let beyond = self.places.iter().any(|&place| place as usize >= rows);
        if self.places.len() + 1 != 2 * seq.max(1) || beyond {
            bail!(
                "attention: {} distances among {rows} positions for texts of {seq}",
                self.places.len()
            );
        }
        if let Some((dropout, site)) = &self.dropout {
            dropout.check(batch, *site, self.heads)?;
        }
        if !kernel::takes(qkv) {
            return self.composite(qkv, positions);
        }
        Ok(qkv
            .contiguous()?
            .apply_op2(&positions.contiguous()?, self.clone())?)
    }

    fn sizes(&self, triple: usize) -> Sizes {
        Sizes::of(self.mask.dims(), triple, self.heads)
    }

    fn dropout(&self) -> Option<(&Dropout, u64)> {
        dropping(&self.dropout)
    }

    /// The rows of positions of all keys, in order, as query `q` sees them.
    fn seen(&self, q: usize) -> &[u32] {
        let (_, seq) = self.mask.dims();
        &self.places[seq - 1 - q..2 * seq - 1 - q]
    }

    fn forward<T: Real>(&self, qkv: &[T], positions: &[T], sizes: Sizes) -> Vec<T> {
        let mut out = kernel::zeros(sizes.tokens() * sizes.width);
        let mut tasks = Vec::with_capacity(sizes.batch * self.heads);
        for (row, out) in out.chunks_mut(sizes.seq.max(1) * sizes.width).enumerate() {
            let blocks = MatMut::new(out, sizes.width).split_columns(sizes.head);
            tasks.extend(blocks.enumerate().map(|(head, out)| (row, head, out)));
        }
        let rows = positions.len() / (3 * sizes.width);
        tasks.into_par_iter().for_each_init(
            || Scratch::new(sizes.seq, rows),
            |scratch, (row, head, mut out)| {
                let own = sizes.head_of(qkv, row, head);
                let places = sizes.split(positions, head);
                self.weigh(own, places, (row, head), scratch);
                if self.dropout().is_some() {
                    scale_by(&mut scratch.weights, &scratch.factors);
                }
                let weights = Mat::new(&scratch.weights, sizes.seq);
                multiply(weights, own[2], T::one(), &mut out, Threads::One);
            },
        );
        out
    }

    /// Computes the weights of one head before dropout, and the factors of dropout.
    fn weigh<T: Real>(
        &self,
        [q, k, _]: [Mat<'_, T>; 3],
        [pq, pk, _]: [Mat<'_, T>; 3],
        (row, head): (usize, usize),
        scratch: &mut Scratch<T>,
    ) {
        let (seq, rows) = (q.rows(), pq.rows());
        let scale = scale(q.width());
        let Scratch {
            weights,
            by_query,
            by_key,
            ..
        } = scratch;
        multiply(
            q,
            k.t(),
            scale,
            &mut MatMut::new(weights, seq),
            Threads::One,
        );
        multiply(
            q,
            pk.t(),
            scale,
            &mut MatMut::new(by_query, rows),
            Threads::One,
        );
        multiply(
            k,
            pq.t(),
            scale,
            &mut MatMut::new(by_key, rows),
            Threads::One,
        );
        for (i, weights) in weights.chunks_exact_mut(seq).enumerate() {
            let own = &by_query[i * rows..(i + 1) * rows];
            let theirs = by_key.chunks_exact(rows);
            for ((score, &place), theirs) in weights.iter_mut().zip(self.seen(i)).zip(theirs) {
                *score += own[place as usize] + theirs[place as usize];
            }
        }
        softmax(weights, self.mask.row(row), Sight::All);
        if let Some((dropout, site)) = self.dropout() {
            let len = self.mask.length(row);
            scratch.factors.resize(seq * seq, T::zero());
            dropout.weights(row, site, head, len, &mut scratch.factors);
        }
    }

    /// Gradients of `qkv` and of `positions`. A head goes through the batch by itself, row after
    /// row, so that what all rows add to positions is summed in one order.
    fn backward<T: Real>(
        &self,
        qkv: &[T],
        positions: &[T],
        grad: &[T],
        sizes: Sizes,
    ) -> (Vec<T>, Vec<T>) {
        let (mut d_qkv, mut d_positions) =
            (kernel::zeros(qkv.len()), kernel::zeros(positions.len()));
        let triples = |out| {
            let blocks = MatMut::new(out, 3 * sizes.width).split_columns(sizes.head);
            let mut q: Vec<MatMut<'_, T>> = blocks.collect();
            let v = q.split_off(2 * self.heads);
            let k = q.split_off(self.heads);
            q.into_iter().zip(k).zip(v)
        };
        let mut tasks: Vec<Vec<_>> = (0..self.heads).map(|_| Vec::new()).collect();
        for out in d_qkv.chunks_mut(sizes.seq.max(1) * 3 * sizes.width) {
            for (task, triple) in tasks.iter_mut().zip(triples(out)) {
                task.push(triple);
            }
        }
        let rows = positions.len() / (3 * sizes.width);
        let places: Vec<_> = triples(&mut d_positions).collect();
        let tasks: Vec<_> = tasks.into_iter().zip(places).enumerate().collect();
        tasks
            .into_par_iter()
            .for_each(|(head, (own, ((mut d_pq, mut d_pk), _)))| {
                let mut scratch = Scratch::new(sizes.seq, rows);
                let [pq, pk, pv] = sizes.split(positions, head);
                for (row, ((mut dq, mut dk), mut dv)) in own.into_iter().enumerate() {
                    let [q, k, v] = sizes.head_of(qkv, row, head);
                    let span = sizes.seq * sizes.width;
                    let g = Mat::new(&grad[row * span..(row + 1) * span], sizes.width);
                    let g = g.columns(head * sizes.head, sizes.head);
                    self.weigh([q, k, v], [pq, pk, pv], (row, head), &mut scratch);
                    self.scores_gradient(g, v, &mut dv, self.mask.length(row), &mut scratch);
                    self.gather(&mut scratch, rows);

                    let (one, scale) = (Threads::One, scale(sizes.head));
                    let scores = Mat::new(&scratch.grads, sizes.seq);
                    let by_query = Mat::new(&scratch.by_query, rows);
                    let by_key = Mat::new(&scratch.by_key, rows);
                    multiply(scores, k, scale, &mut dq, one);
                    multiply_add(by_query, pk, scale, &mut dq, one);
                    multiply(scores.t(), q, scale, &mut dk, one);
                    multiply_add(by_key, pq, scale, &mut dk, one);
                    multiply_add(by_query.t(), q, scale, &mut d_pk, one);
                    multiply_add(by_key.t(), k, scale, &mut d_pq, one);
                }
            });
        (d_qkv, d_positions)
    }

    /// The gradient of the values to `dv`, that of the scores to the scratch.
    fn scores_gradient<T: Real>(
        &self,
        g: Mat<'_, T>,
        v: Mat<'_, T>,
        dv: &mut MatMut<'_, T>,
        length: usize,
        scratch: &mut Scratch<T>,
    ) {
        let seq = v.rows();
        let mut d_weights = MatMut::new(&mut scratch.grads, seq);
        multiply(g, v.t(), T::one(), &mut d_weights, Threads::One);
        let used = match self.dropout() {
            Some(_) => {
                // The factors become the weights after dropout.
                scale_by(&mut scratch.grads, &scratch.factors);
                scale_by(&mut scratch.factors, &scratch.weights);
                Mat::new(&scratch.factors, seq)
            }
            None => Mat::new(&scratch.weights, seq),
        };
        multiply(used.t(), g, T::one(), dv, Threads::One);
        softmax_gradient(&scratch.weights, &mut scratch.grads, seq, length);
    }

    /// Adds up the gradients of scores by query and position, and by key and position.
    fn gather<T: Real>(&self, scratch: &mut Scratch<T>, rows: usize) {
        let (_, seq) = self.mask.dims();
        scratch.by_query.fill(T::zero());
        scratch.by_key.fill(T::zero());
        for (i, grads) in scratch.grads.chunks_exact(seq).enumerate() {
            let own = &mut scratch.by_query[i * rows..(i + 1) * rows];
            let theirs = scratch.by_key.chunks_exact_mut(rows);
            for ((&g, &place), theirs) in grads.iter().zip(self.seen(i)).zip(theirs) {
                own[place as usize] += g;
                theirs[place as usize] += g;
            }
        }
    }

    pub(super) fn composite(&self, qkv: &Tensor, positions: &Tensor) -> Result<Tensor> {
        let (batch, seq, triple) = qkv.dims3()?;
        let sizes = self.sizes(triple);
        let (dtype, device, heads) = (qkv.dtype(), qkv.device(), self.heads);
        let part = |x: &Tensor, rows: usize, i: usize| {
            x.narrow(2, i * sizes.width, sizes.width)?
                .reshape((x.dim(0)?, rows, heads, sizes.head))?
                .transpose(1, 2)?
                .contiguous()
        };
        let rows = positions.dim(0)?;
        let places = positions.unsqueeze(0)?;
        let (q, k) = (part(qkv, seq, 0)?, part(qkv, seq, 1)?);
        let (pq, pk) = (part(&places, rows, 0)?, part(&places, rows, 1)?);
        let seen: Vec<u32> = (0..seq).flat_map(|i| self.seen(i)).copied().collect();
        let seen = Tensor::from_vec(seen, (1, 1, seq, seq), device)?;
        let pick = |all: Tensor, seen: &Tensor| -> candle_core::Result<Tensor> {
            all.contiguous()?.gather(
                &seen.broadcast_as((batch, heads, seq, seq))?.contiguous()?,
                3,
            )
        };
        let by_query = pick(q.broadcast_matmul(&pk.t()?)?, &seen)?;
        let by_key = pick(k.broadcast_matmul(&pq.t()?)?, &seen.t()?)?.t()?;
        let scores = ((q.matmul(&k.t()?)? + by_query)? + by_key)?;
        let scores = (scores * scale::<f64>(sizes.head))?;
        let keep = self.mask.to_tensor(dtype, device)?;
        let keep = keep.reshape((batch, 1, 1, seq))?;
        let dropout = self.dropout();
        let factors = dropout.map(|(d, site)| d.all_weights(site, heads, &self.mask));
        let weights = super::weights(&scores, &keep, factors)?;
        let out = weights.matmul(&part(qkv, seq, 2)?)?.transpose(1, 2)?;
        Ok(out.reshape((batch, seq, sizes.width))?)
    }
}

/// The factor on scores.
fn scale<T: Real>(head: usize) -> T {
    T::of(1.0 / (3.0 * head as f64).sqrt())
}

/// Matrices reused from row to row: `[seq, seq]`, and `[seq, positions]` by query and by key.
struct Scratch<T> {
    weights: Vec<T>,
    grads: Vec<T>,
    by_query: Vec<T>,
    by_key: Vec<T>,
    /// The factors of dropout; empty without.
    factors: Vec<T>,
}

impl<T: Real> Scratch<T> {
    fn new(seq: usize, rows: usize) -> Self {
        let matrix = |width| vec![T::zero(); seq * width];
        Self {
            weights: matrix(seq),
            grads: matrix(seq),
            by_query: matrix(rows),
            by_key: matrix(rows),
            factors: Vec::new(),
        }
    }
}

impl CustomOp2 for Disentangled {
    fn name(&self) -> &'static str {
        "disentangled attention"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        layout: &Layout,
        positions: &CpuStorage,
        places: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, seq, triple) = layout.shape().dims3()?;
        let sizes = self.sizes(triple);
        by_dtype!(kernel::dtype(qkv), T => {
            let out = self.forward::<T>(slice(qkv, layout)?, slice(positions, places)?, sizes);
            Ok((T::to_cpu_storage_owned(out), (batch, seq, sizes.width).into()))
        })
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        positions: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let sizes = self.sizes(qkv.dim(D::Minus1)?);
        let grad = grad.contiguous()?;
        let (x, p, g) = (values(qkv), values(positions), values(&grad));
        by_dtype!(grad.dtype(), T => {
            let (x, p, g) = (x.slice::<T>()?, p.slice::<T>()?, g.slice::<T>()?);
            let (dx, dp) = self.backward(x, p, g, sizes);
            let dx = kernel::tensor(dx, qkv.shape())?;
            Ok((Some(dx), Some(kernel::tensor(dp, positions.shape())?)))
        })
    }
}
