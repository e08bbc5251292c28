//! Rotary position embeddings.

use super::kernel::{self, by_dtype, slice, values};
use super::real::Real;
use crate::{Result, bail};
use candle_core::{CpuStorage, CustomOp1, D, Layout, Shape, Tensor, WithDType};

/// Turns the queries and keys of `qkv` `[batch, seq, 3 width]` by their tokens' positions; values
/// stay (Su et al. 2021, "RoFormer"). Of each head, number i and number i + half of its width turn
/// together, by position x theta^(-2 i / width). Angles are computed in f32, as transformers does.
pub fn rotate(qkv: &Tensor, heads: usize, theta: f64) -> Result<Tensor> {
    let (_, _, triple) = qkv.dims3()?;
    if heads == 0 || triple == 0 || triple % (6 * heads) != 0 {
        bail!("rotary positions: expected {heads} heads of an even width, found {triple} / 3");
    }
    let op = Rotary {
        heads,
        theta,
        back: false,
    };
    if !kernel::takes(qkv) {
        return op.composite(qkv);
    }
    Ok(qkv.contiguous()?.apply_op1(op)?)
}

#[derive(Clone, Copy)]
struct Rotary {
    heads: usize,
    theta: f64,
    /// Whether it turns the other way.
    back: bool,
}

impl Rotary {
    /// Cosines and sines, `[seq, half a head's width]`.
    fn angles<T: Real>(self, seq: usize, triple: usize) -> (Vec<T>, Vec<T>) {
        let half = triple / (6 * self.heads);
        let speed = |i: usize| {
            let power = (2 * i) as f32 / (2 * half) as f32;
            1.0 / libm::pow(self.theta, f64::from(power)) as f32
        };
        let speeds: Vec<f32> = (0..half).map(speed).collect();
        let turn = if self.back { -1.0 } else { 1.0 };
        let angles = (0..seq).flat_map(|at| speeds.iter().map(move |s| f64::from(at as f32 * s)));
        angles
            .map(|angle| (T::of(libm::cos(angle)), T::of(turn * libm::sin(angle))))
            .unzip()
    }

    fn run<T: Real>(self, qkv: &[T], seq: usize, triple: usize) -> Vec<T> {
        let (cos, sin) = self.angles::<T>(seq, triple);
        let half = triple / (6 * self.heads);
        let chunk = kernel::rows_per_chunk(triple) * triple;
        kernel::build(qkv.len(), chunk, |start, out| {
            out.copy_from_slice(&qkv[start..start + out.len()]);
            for (row, out) in out.chunks_exact_mut(triple).enumerate() {
                let at = (start / triple + row) % seq * half;
                let (cos, sin) = (&cos[at..at + half], &sin[at..at + half]);
                // Queries and keys, head after head.
                for head in out[..triple / 3 * 2].chunks_exact_mut(2 * half) {
                    let (x, y) = head.split_at_mut(half);
                    for (((x, y), &c), &s) in x.iter_mut().zip(y).zip(cos).zip(sin) {
                        (*x, *y) = (*x * c - *y * s, *y * c + *x * s);
                    }
                }
            }
        })
    }

    fn composite(self, qkv: &Tensor) -> Result<Tensor> {
        let (batch, seq, triple) = qkv.dims3()?;
        let half = triple / (6 * self.heads);
        let (cos, sin) = self.angles::<f32>(seq, triple);
        let table = |values: Vec<f32>| -> Result<Tensor> {
            let table = Tensor::from_vec(values, (1, seq, 1, half), qkv.device())?;
            Ok(table.to_dtype(qkv.dtype())?)
        };
        let (cos, sin) = (table(cos)?, table(sin)?);
        let turned = qkv.narrow(2, 0, triple / 3 * 2)?;
        let turned = turned.reshape((batch, seq, 2 * self.heads, 2 * half))?;
        let (x, y) = (turned.narrow(3, 0, half)?, turned.narrow(3, half, half)?);
        let first = (x.broadcast_mul(&cos)? - y.broadcast_mul(&sin)?)?;
        let second = (y.broadcast_mul(&cos)? + x.broadcast_mul(&sin)?)?;
        let turned = Tensor::cat(&[first, second], 3)?.reshape((batch, seq, ()))?;
        let values = qkv.narrow(2, triple / 3 * 2, triple / 3)?;
        Ok(Tensor::cat(&[turned, values], 2)?)
    }
}

impl CustomOp1 for Rotary {
    fn name(&self) -> &'static str {
        "rotary positions"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, seq, triple) = layout.shape().dims3()?;
        by_dtype!(kernel::dtype(qkv), T => {
            let out = self.run::<T>(slice(qkv, layout)?, seq, triple);
            Ok((T::to_cpu_storage_owned(out), layout.shape().clone()))
        })
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let back = Self {
            back: !self.back,
            ..*self
        };
        let (seq, triple) = (qkv.dim(1)?, qkv.dim(D::Minus1)?);
        let grad = grad.contiguous()?;
        let g = values(&grad);
        by_dtype!(grad.dtype(), T => {
            let dx = back.run::<T>(g.slice()?, seq, triple);
            kernel::tensor(dx, qkv.shape()).map(Some)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use candle_core::DType;

    #[test]
    fn gradients_match_differences() {
        let qkv = check::random(&[2, 5, 24], "qkv", DType::F64);
        check::gradients(std::slice::from_ref(&qkv), |p| rotate(&p[0], 2, 100.0));
    }

    #[test]
    fn forward_matches_the_composite() -> Result<()> {
        for qkv in check::layouts(&[2, 40, 36], DType::F32) {
            let op = Rotary {
                heads: 3,
                theta: 1e4,
                back: false,
            };
            check::close(&rotate(&qkv, 3, 1e4)?, &op.composite(&qkv)?, 1e-6);
        }
        Ok(())
    }

    /// Scores depend on distances alone, lengths on nothing, and values stay.
    #[test]
    fn only_distances_count() -> Result<()> {
        let one = check::random(&[1, 1, 12], "one", DType::F64);
        let all = rotate(&one.repeat((1, 9, 1))?, 1, 50.0)?.squeeze(0)?;
        let (q, k) = (all.narrow(1, 0, 4)?, all.narrow(1, 4, 4)?);
        let scores = q.matmul(&k.t()?)?;
        let later = scores.narrow(0, 3, 6)?.narrow(1, 3, 6)?;
        let first = scores.narrow(0, 0, 6)?.narrow(1, 0, 6)?;
        check::close(&later, &first, 1e-5);
        let apart = (scores.get(0)?.get(5)? - scores.get(0)?.get(0)?)?.abs()?;
        assert!(apart.to_scalar::<f64>()? > 1e-3);
        let values = all.narrow(1, 8, 4)?;
        check::close(
            &values,
            &one.squeeze(0)?.narrow(1, 8, 4)?.repeat((9, 1))?,
            0.0,
        );
        Ok(())
    }

    #[test]
    fn threads_do_not_change_bits() {
        let qkv = check::random(&[5, 100, 96], "qkv", DType::F32);
        check::threads(std::slice::from_ref(&qkv), |p| rotate(&p[0], 4, 1e4));
    }

    #[test]
    fn odd_heads_are_refused() {
        let qkv = check::random(&[1, 2, 18], "qkv", DType::F32);
        assert!(rotate(&qkv, 2, 1e4).is_err());
        assert!(rotate(&qkv, 0, 1e4).is_err());
    }
}
