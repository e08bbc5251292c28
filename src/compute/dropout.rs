//! Dropout whose masks depend on the row and the place, never on the batch.

use super::kernel::{self, by_dtype, slice, values};
use super::mask::Mask;
use super::random::Stream;
use super::real::Real;
use crate::{Result, bail};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};
use multiversion::multiversion;
use rayon::prelude::*;
use std::sync::Arc;

/// The dropout of one batch: zeroes each value with probability `p` and scales the others so
/// that the expectation stays (Srivastava et al. 2014).
///
/// Each batch row, site (a place in the network) and head draws from a lane of its own, so a
/// row's masks depend neither on the other rows of the batch, nor on its padding, nor on
/// threads. Each value takes 16 random bits: `p` is rounded to a multiple of 1/65536, and the
/// scale is that of the rounded value.
#[derive(Clone)]
pub struct Dropout {
    stream: Stream,
    /// Values whose 16 bits are below this are kept.
    keep: u32,
    rows: Arc<[u64]>,
    /// The row that draws for what all rows share.
    shared: u64,
}

/// Values drawn at a time.
const DRAW: usize = 4096;

const ROW_BITS: u32 = 44;
const SITE_BITS: u32 = 12;
const HEAD_BITS: u32 = 8;

impl Dropout {
    /// Dropout with probability `p` in [0, 1) for a batch whose rows have these numbers (below
    /// 2^44), unique among all that draw from `stream`: for example the row's number in the
    /// data set plus the epoch times the size of the set.
    pub fn new(stream: Stream, p: f64, rows: impl Into<Arc<[u64]>>) -> Result<Self> {
        if !(0.0..1.0).contains(&p) {
            bail!("dropout: expected a probability in [0, 1), found {p}");
        }
        let rows = rows.into();
        if let Some(row) = rows.iter().find(|&&row| row >> ROW_BITS != 0) {
            bail!("dropout: expected row numbers below 2^{ROW_BITS}, found {row}");
        }
        let keep = ((1.0 - p) * 65_536.0).round().max(1.0) as u32;
        let shared = rows.first().copied().unwrap_or_default();
        Ok(Self {
            stream,
            keep,
            rows,
            shared,
        })
    }

    /// The same for a part of a batch that begins with this row, which draws for what all rows
    /// share.
    pub fn of_batch(mut self, first: u64) -> Self {
        self.shared = first;
        self
    }

    /// The dropout of what all rows share: a batch of one row, the batch's first.
    pub fn shared(&self) -> Self {
        Self {
            rows: [self.shared].into(),
            ..self.clone()
        }
    }

    /// The number of rows of the batch.
    pub fn batch(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is ever dropped.
    pub fn is_identity(&self) -> bool {
        self.keep == 65_536
    }

    /// What a kept value is multiplied by.
    fn scale<T: Real>(&self) -> T {
        T::of(65_536.0 / f64::from(self.keep))
    }

    fn lane(&self, row: usize, site: u64, head: usize) -> Stream {
        let row = self.rows.get(row).copied().unwrap_or_default();
        let lane = (row << SITE_BITS | site) << HEAD_BITS | head as u64;
        self.stream.lane(lane)
    }

    /// Refuses a batch, site or number of heads that the lanes cannot tell apart.
    pub(super) fn check(&self, batch: usize, site: u64, heads: usize) -> Result<()> {
        if batch != self.batch() {
            bail!(
                "dropout: made for a batch of {}, applied to one of {batch}",
                self.batch()
            );
        }
        if site >> SITE_BITS != 0 || heads > 1 << HEAD_BITS {
            bail!(
                "dropout: expected a site below {} and at most {} heads, found {site} and {heads}",
                1 << SITE_BITS,
                1 << HEAD_BITS
            );
        }
        Ok(())
    }

    /// Which of a batch row's values (or, of a head, attention weights) are kept: 1 or 0.
    pub(super) fn kept(&self, row: usize, site: u64, head: usize, out: &mut [u8]) {
        let mut lane = self.lane(row, site, head);
        let mut bits = [0; 2 * DRAW];
        for out in out.chunks_mut(DRAW) {
            let bits = &mut bits[..2 * out.len()];
            lane.fill(bits);
            flags(bits, self.keep, out);
        }
    }

    /// Scales the values that are kept and zeroes the others.
    pub(super) fn thin<T: Real>(&self, kept: &[u8], x: &mut [T]) {
        thin_by(kept, self.scale(), x);
    }

    /// One batch row times its mask: value i takes number i of the row's lane.
    fn row<T: Real>(&self, row: usize, site: u64, x: &[T], out: &mut [T]) {
        let mut lane = self.lane(row, site, 0);
        let mut bits = [0; 2 * DRAW];
        for (x, out) in x.chunks(DRAW).zip(out.chunks_mut(DRAW)) {
            let bits = &mut bits[..2 * x.len()];
            lane.fill(bits);
            thin(bits, self.keep, self.scale(), x, out);
        }
    }

    fn batch_rows<T: Real>(&self, site: u64, x: &[T]) -> Vec<T> {
        let width = x.len().checked_div(self.batch()).unwrap_or(0);
        kernel::build(x.len(), width, |start, out| {
            self.row(start / width, site, &x[start..start + out.len()], out);
        })
    }

    /// The factors of the attention weights of one batch row and head, `[seq, seq]`: 0 or the
    /// scale. The weight of query q and key k takes number `q * len + k` of its lane, with `len`
    /// the row's length without padding; factors of padding are 1.
    pub(super) fn weights<T: Real>(
        &self,
        row: usize,
        site: u64,
        head: usize,
        len: usize,
        out: &mut [T],
    ) {
        let seq = out.len().isqrt();
        let mut kept = vec![0; len * len];
        self.kept(row, site, head, &mut kept);
        out.fill(T::one());
        let scale = self.scale();
        if len == 0 {
            return;
        }
        for (out, kept) in out.chunks_exact_mut(seq).zip(kept.chunks_exact(len)) {
            for (out, &kept) in out.iter_mut().zip(kept) {
                *out = if kept == 0 { T::zero() } else { scale };
            }
        }
    }

    /// [`Self::weights`] of the whole batch, `[batch, heads, seq, seq]`.
    pub(super) fn all_weights(&self, site: u64, heads: usize, mask: &Mask) -> Vec<f32> {
        let (_, seq) = mask.dims();
        let mut out = vec![0.0; self.batch() * heads * seq * seq];
        out.par_chunks_mut((seq * seq).max(1))
            .enumerate()
            .for_each(|(i, out)| {
                let len = mask.length(i / heads);
                self.weights(i / heads, site, i % heads, len, out);
            });
        out
    }
}

/// Drops values of `x` `[batch, ..]` at `site` (below 4096), a number unique to the place in
/// the network. Value i of a row, counted over all its dimensions, takes number i of the row's
/// lane, so padding at the end of the second dimension changes nothing. The gradient passes
/// where the value did; the mask is drawn again for it rather than kept.
pub fn dropout(x: &Tensor, dropout: &Dropout, site: u64) -> Result<Tensor> {
    let batch = x.dims().first().copied().unwrap_or(0);
    dropout.check(batch, site, 1)?;
    if dropout.is_identity() || x.elem_count() == 0 {
        return Ok(x.clone());
    }
    let op = Site {
        dropout: dropout.clone(),
        site,
    };
    if kernel::takes(x) {
        return Ok(x.contiguous()?.apply_op1(op)?);
    }
    let factors = dropout.batch_rows(site, &vec![1.0f32; x.elem_count()]);
    let factors = Tensor::from_vec(factors, x.shape(), x.device())?;
    Ok((x * factors.to_dtype(x.dtype())?)?)
}

/// Whether the value with these two random bytes is kept.
#[inline(always)]
fn kept(bits: &[u8], keep: u32) -> bool {
    u32::from(u16::from_le_bytes([bits[0], bits[1]])) < keep
}

/// Scales the values of `x` that are kept and zeroes the others.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn thin<T: Real>(bits: &[u8], keep: u32, scale: T, x: &[T], out: &mut [T]) {
    for ((o, &x), bits) in out.iter_mut().zip(x).zip(bits.chunks_exact(2)) {
        *o = if kept(bits, keep) {
            x * scale
        } else {
            T::zero()
        };
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn flags(bits: &[u8], keep: u32, out: &mut [u8]) {
    for (o, bits) in out.iter_mut().zip(bits.chunks_exact(2)) {
        *o = u8::from(kept(bits, keep));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn thin_by<T: Real>(kept: &[u8], scale: T, x: &mut [T]) {
    for (x, &kept) in x.iter_mut().zip(kept) {
        *x = if kept == 0 { T::zero() } else { *x * scale };
    }
}

struct Site {
    dropout: Dropout,
    site: u64,
}

impl CustomOp1 for Site {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(kernel::dtype(x), T => {
            let y = self.dropout.batch_rows::<T>(self.site, slice(x, layout)?);
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let g = values(&grad);
        by_dtype!(grad.dtype(), T => {
            let dx = self.dropout.batch_rows::<T>(self.site, g.slice()?);
            kernel::tensor(dx, x.shape()).map(Some)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use candle_core::{DType, Device};

    fn of_rows(p: f64, rows: &[u64]) -> Dropout {
        Dropout::new(Stream::new(3, "dropout", "test"), p, rows).unwrap()
    }

    fn ones(shape: &[usize]) -> Tensor {
        Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap()
    }

    #[test]
    fn gradients_match_differences() {
        let rows = of_rows(0.3, &[5, 9]);
        let x = check::random(&[2, 3, 5], "x", DType::F64);
        check::gradients(&[x], |p| dropout(&p[0], &rows, 1));
    }

    #[test]
    fn the_share_dropped_is_p_and_the_mean_is_kept() -> Result<()> {
        let y = dropout(&ones(&[4, 100, 100]), &of_rows(0.1, &[0, 1, 2, 3]), 0)?;
        let y = check::numbers(&y);
        let dropped = y.iter().filter(|&&y| y == 0.0).count() as f64 / 40_000.0;
        assert!((dropped - 0.1).abs() < 0.006, "{dropped}");
        let mean = y.iter().sum::<f64>() / 40_000.0;
        assert!((mean - 1.0).abs() < 0.006, "{mean}");
        Ok(())
    }

    #[test]
    fn a_row_keeps_its_mask_in_any_batch() -> Result<()> {
        let padded = dropout(&ones(&[3, 900, 10]), &of_rows(0.5, &[7, 8, 9]), 4)?;
        let alone = dropout(&ones(&[1, 600, 10]), &of_rows(0.5, &[8]), 4)?;
        let cut = padded.narrow(0, 1, 1)?.narrow(1, 0, 600)?;
        assert_eq!(check::numbers(&cut), check::numbers(&alone));
        let elsewhere = dropout(&ones(&[1, 600, 10]), &of_rows(0.5, &[8]), 5)?;
        assert_ne!(check::numbers(&elsewhere), check::numbers(&alone));
        Ok(())
    }

    #[test]
    fn attention_factors_do_not_depend_on_padding() {
        let rows = of_rows(0.5, &[8]);
        let (mut long, mut short) = ([0f32; 49], [0f32; 25]);
        rows.weights(0, 2, 3, 5, &mut long);
        rows.weights(0, 2, 3, 5, &mut short);
        for q in 0..5 {
            assert_eq!(long[q * 7..q * 7 + 5], short[q * 5..(q + 1) * 5]);
            assert_eq!(long[q * 7 + 5..(q + 1) * 7], [1.0; 2]);
        }
        let mut other = [0f32; 25];
        rows.weights(0, 2, 4, 5, &mut other);
        assert_ne!(short, other);
    }

    #[test]
    fn attention_factors_drop_a_share_of_p() {
        let mut factors = vec![0f32; 200 * 200];
        of_rows(0.1, &[1]).weights(0, 0, 0, 200, &mut factors);
        let dropped = factors.iter().filter(|&&f| f == 0.0).count() as f64 / 40_000.0;
        assert!((dropped - 0.1).abs() < 0.006, "{dropped}");
    }

    #[test]
    fn other_types_drop_the_same_values() -> Result<()> {
        let rows = of_rows(0.5, &[1, 2]);
        let half = dropout(&ones(&[2, 30]).to_dtype(DType::F16)?, &rows, 1)?;
        check::close(&half, &dropout(&ones(&[2, 30]), &rows, 1)?, 1e-3);
        Ok(())
    }

    #[test]
    fn threads_do_not_change_bits() {
        let rows = of_rows(0.2, &[1, 2, 3, 4, 5]);
        let x = check::random(&[5, 70, 100], "x", DType::F32);
        check::threads(&[x], |p| dropout(&p[0], &rows, 1));
    }

    #[test]
    fn strided_inputs_and_empty_batches_work() -> Result<()> {
        let rows = of_rows(0.2, &[1, 2, 3]);
        for x in check::layouts(&[3, 4, 5], DType::F32) {
            let expected = dropout(&x.force_contiguous()?, &rows, 1)?;
            check::close(&dropout(&x, &rows, 1)?, &expected, 0.0);
        }
        assert_eq!(
            dropout(&ones(&[0, 4]), &of_rows(0.2, &[]), 1)?.dims(),
            [0, 4]
        );
        Ok(())
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        let stream = Stream::new(3, "dropout", "test");
        assert!(Dropout::new(stream.clone(), 1.0, [1]).is_err());
        assert!(Dropout::new(stream.clone(), f64::NAN, [1]).is_err());
        assert!(Dropout::new(stream, 0.5, [1 << 44]).is_err());
        let x = ones(&[1, 3]);
        assert!(dropout(&x, &of_rows(0.5, &[1, 2]), 0).is_err());
        assert!(dropout(&x, &of_rows(0.5, &[1]), 4096).is_err());
    }
}
