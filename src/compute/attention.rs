//! Scaled dot-product self-attention of all heads as one operation.

use super::dropout::Dropout;
use super::kernel::{self, by_dtype, slice, values};
use super::mask::Mask;
use super::matrix::{Mat, MatMut, Threads, multiply};
use super::real::Real;
use super::softmax::{scale_by, softmax, softmax_gradient};
use crate::{Result, bail};
use candle_core::{CpuStorage, CustomOp1, D, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

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
    /// Whether a query sees only the keys up to its own position.
    pub causal: bool,
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
        if let Some((dropout, site)) = &self.dropout {
            dropout.check(batch, *site, self.heads)?;
        }
        if !kernel::takes(qkv) {
            return self.composite(qkv);
        }
        Ok(qkv.contiguous()?.apply_op1(self.clone())?)
    }

    /// The sizes of a `qkv` that [`Self::apply`] has accepted.
    fn sizes(&self, triple: usize) -> Sizes {
        let (batch, seq) = self.mask.dims();
        let width = triple / 3;
        Sizes {
            batch,
            seq,
            width,
            head: width / self.heads,
        }
    }

    fn dropout(&self) -> Option<(&Dropout, u64)> {
        let (dropout, site) = self.dropout.as_ref()?;
        (!dropout.is_identity()).then_some((dropout, *site))
    }

    fn forward<T: Real>(&self, qkv: &[T], sizes: Sizes) -> Vec<T> {
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
                self.weigh(q, k, row, head, sizes, scratch);
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
        row: usize,
        head: usize,
        sizes: Sizes,
        scratch: &mut Scratch<T>,
    ) {
        let mut scores = MatMut::new(&mut scratch.weights, sizes.seq);
        multiply(q, k.t(), sizes.scale(), &mut scores, Threads::One);
        softmax(&mut scratch.weights, self.mask.row(row), self.causal);
        if let Some((dropout, site)) = self.dropout() {
            let len = self.mask.length(row);
            dropout.weights(row, site, head, len, &mut scratch.factors);
        }
    }

    fn backward<T: Real>(&self, qkv: &[T], grad: &[T], sizes: Sizes) -> Vec<T> {
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
                self.weigh(q, k, row, head, sizes, scratch);

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
                softmax_gradient(&scratch.weights, &mut scratch.grads, sizes.seq);
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
        if self.causal {
            let before = Tensor::tril2(seq, dtype, device)?.reshape((1, 1, seq, seq))?;
            keep = keep.broadcast_mul(&before)?;
        }
        let scores = (part(0)?.matmul(&part(1)?.t()?)? * scale)?;
        // e^-10000 is 0 in every type, and 10000 is finite in f16.
        let scores = scores.broadcast_add(&keep.affine(1e4, -1e4)?)?;
        let exp = scores
            .broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?
            .exp()?;
        let weights = exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?;
        let mut weights = weights.broadcast_mul(&keep)?;
        if let Some((dropout, site)) = self.dropout() {
            let factors = dropout.all_weights(site, self.heads, &self.mask);
            let factors = Tensor::from_vec(factors, weights.shape(), device)?;
            weights = (weights * factors.to_dtype(dtype)?)?;
        }
        let out = weights.matmul(&part(2)?)?.transpose(1, 2)?;
        Ok(out.reshape((batch, seq, sizes.width))?)
    }
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
    fn tokens(self) -> usize {
        self.batch * self.seq
    }

    fn scale<T: Real>(self) -> T {
        T::of(1.0 / (self.head as f64).sqrt())
    }

    /// The queries, keys and values of one batch row and head, each `[seq, head width]`.
    fn head_of<T: Copy>(self, qkv: &[T], row: usize, head: usize) -> [Mat<'_, T>; 3] {
        let span = self.seq * 3 * self.width;
        let all = Mat::new(&qkv[row * span..(row + 1) * span], 3 * self.width);
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
        by_dtype!(kernel::dtype(qkv), T => {
            let out = self.forward::<T>(slice(qkv, layout)?, sizes);
            Ok((T::to_cpu_storage_owned(out), (batch, seq, sizes.width).into()))
        })
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let sizes = self.sizes(qkv.dim(D::Minus1)?);
        let grad = grad.contiguous()?;
        let (x, g) = (values(qkv), values(&grad));
        by_dtype!(grad.dtype(), T => {
            let dx = self.backward::<T>(x.slice()?, g.slice()?, sizes);
            kernel::tensor(dx, qkv.shape()).map(Some)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::random::Stream;
    use super::*;
    use candle_core::{DType, Device};

    /// Keeps all but some middle keys, and no key at all of the last row.
    fn holes(batch: usize, seq: usize) -> Mask {
        let keep: Vec<bool> = (0..batch * seq)
            .map(|i| i % seq != 1 && (batch == 1 || i / seq + 1 < batch))
            .collect();
        Mask::new(keep, batch, seq).unwrap()
    }

    fn dropout(batch: u64) -> Option<(Dropout, u64)> {
        let rows: Vec<u64> = (10..10 + batch).collect();
        let stream = Stream::new(1, "dropout", "attention");
        Some((Dropout::new(stream, 0.3, rows).unwrap(), 6))
    }

    fn every(heads: usize, batch: usize, seq: usize) -> Vec<Attention> {
        let plain = Attention {
            heads,
            mask: Mask::all(batch, seq),
            causal: false,
            dropout: None,
        };
        let masked = Attention {
            mask: holes(batch, seq),
            ..plain.clone()
        };
        let causal = Attention {
            causal: true,
            ..masked.clone()
        };
        let dropped = Attention {
            dropout: dropout(batch as u64),
            ..masked.clone()
        };
        vec![plain, masked, causal, dropped]
    }

    #[test]
    fn gradients_match_differences() {
        for (batch, seq, heads, head) in [(1, 1, 1, 1), (3, 4, 2, 3), (1, 17, 1, 2)] {
            let qkv = check::random(&[batch, seq, 3 * heads * head], "qkv", DType::F64);
            for attention in every(heads, batch, seq) {
                check::gradients(std::slice::from_ref(&qkv), |p| attention.apply(&p[0]));
            }
        }
    }

    #[test]
    fn forward_matches_the_composite() -> Result<()> {
        for (batch, seq, heads, head) in [(2, 1, 3, 5), (3, 19, 2, 8)] {
            for qkv in check::layouts(&[batch, seq, 3 * heads * head], DType::F32) {
                for attention in every(heads, batch, seq) {
                    let expected = attention.composite(&qkv)?;
                    check::close(&attention.apply(&qkv)?, &expected, 1e-5);
                }
            }
        }
        Ok(())
    }

    #[test]
    fn the_composite_has_gradients_and_takes_half_precision() -> Result<()> {
        let qkv = check::random(&[2, 3, 6], "qkv", DType::F64);
        for attention in every(2, 2, 3) {
            check::gradients(std::slice::from_ref(&qkv), |p| attention.composite(&p[0]));
            let half = attention.apply(&qkv.to_dtype(DType::F16)?)?;
            check::close(&half, &attention.apply(&qkv)?, 1e-2);
        }
        Ok(())
    }

    #[test]
    fn threads_do_not_change_bits() {
        let qkv = check::random(&[5, 33, 3 * 24], "qkv", DType::F32);
        for attention in every(3, 5, 33) {
            check::threads(std::slice::from_ref(&qkv), |p| attention.apply(&p[0]));
        }
    }

    #[test]
    fn padding_does_not_change_a_row() -> Result<()> {
        let long = check::random(&[1, 9, 3 * 8], "qkv", DType::F32);
        let with = |seq: usize| Attention {
            heads: 2,
            mask: Mask::from_lengths(&[6], seq),
            causal: false,
            dropout: dropout(1),
        };
        let short = with(6).apply(&long.narrow(1, 0, 6)?)?;
        check::close(&with(9).apply(&long)?.narrow(1, 0, 6)?, &short, 1e-6);
        Ok(())
    }

    #[test]
    fn an_empty_batch_gives_an_empty_result() -> Result<()> {
        for (batch, seq) in [(0, 4), (2, 0)] {
            let qkv = Tensor::zeros((batch, seq, 6), DType::F32, &Device::Cpu)?;
            let attention = &every(1, batch, seq.max(1))[0];
            let attention = Attention {
                mask: Mask::all(batch, seq),
                ..attention.clone()
            };
            assert_eq!(attention.apply(&qkv)?.dims(), [batch, seq, 2]);
        }
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let qkv = check::random(&[2, 3, 12], "qkv", DType::F32);
        let [attention, ..] = &every(3, 2, 3)[..] else {
            panic!("there are several");
        };
        assert!(attention.apply(&qkv).is_err());
        let mask = Mask::all(2, 4);
        let other = Attention {
            heads: 2,
            mask,
            ..attention.clone()
        };
        assert!(other.apply(&qkv).is_err());
    }
}
