//! Layer normalisation with frozen weights, alone or of a sum.

use super::kernel::{self, by_dtype, slice, sum, values};
use super::real::Real;
use crate::{Result, bail};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, Layout, Shape, Tensor, WithDType};
use multiversion::multiversion;

/// `weight * (x - mean) / sqrt(variance + eps) + bias` over the last dimension of `x`
/// `[.., width]`, the variance biased as in torch; `weight` and `bias` `[width]`.
///
/// A frozen weight and bias get no gradient; where one of them is trained, the slower form by
/// candle's operations is used, and they do.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    check(x, weight, bias)?;
    if !kernel::takes(x) || weight.track_op() || bias.track_op() {
        return composite(x, weight, bias, eps);
    }
    Ok(x.contiguous()?.apply_op1(Norm::new(weight, bias, eps)?)?)
}

/// [`layer_norm`] of `x + residual`, without keeping the sum.
pub fn add_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    check(x, weight, bias)?;
    if x.dims() != residual.dims() {
        bail!(
            "layer norm: the shapes to add differ: {:?} and {:?}",
            x.dims(),
            residual.dims()
        );
    }
    if !kernel::takes(x) || weight.track_op() || bias.track_op() {
        return composite(&(x + residual)?, weight, bias, eps);
    }
    let op = Norm::new(weight, bias, eps)?;
    Ok(x.contiguous()?.apply_op2(&residual.contiguous()?, op)?)
}

fn check(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<()> {
    let width = x.dims().last().copied().unwrap_or(0);
    if width == 0 || weight.dims() != [width] || bias.dims() != [width] {
        bail!(
            "layer norm: shapes do not fit: input {:?}, weight {:?}, bias {:?}",
            x.dims(),
            weight.dims(),
            bias.dims()
        );
    }
    Ok(())
}

/// The statistics of a row are recomputed in the backward pass: it reads the row anyway.
struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Norm {
    fn new(weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Self> {
        Ok(Self {
            weight: weight.contiguous()?,
            bias: bias.contiguous()?,
            eps,
        })
    }

    fn forward<T: Real>(&self, x: &[T], residual: Option<&[T]>) -> candle_core::Result<Vec<T>> {
        let (weight, bias) = (values(&self.weight), values(&self.bias));
        let (weight, bias) = (weight.slice()?, bias.slice()?);
        let eps = T::of(self.eps);
        let chunk = kernel::rows_per_chunk(weight.len()) * weight.len();
        Ok(kernel::build(x.len(), chunk, |start, out| {
            let part = start..start + out.len();
            let residual = residual.map(|r| &r[part.clone()]);
            normalise(&x[part], residual, weight, bias, eps, out);
        }))
    }

    fn backward<T: Real>(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        grad: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let grad = grad.contiguous()?;
        let (weight, x_values, g_values) = (values(&self.weight), values(x), values(&grad));
        let residual = residual.map(values);
        let residual = residual.as_ref().map(|r| r.slice::<T>()).transpose()?;
        let (weight, x_all, g) = (weight.slice()?, x_values.slice()?, g_values.slice()?);
        let eps = T::of(self.eps);
        let chunk = kernel::rows_per_chunk(weight.len()) * weight.len();
        let dx = kernel::build(g.len(), chunk, |start, out| {
            let part = start..start + out.len();
            let residual = residual.map(|r| &r[part.clone()]);
            gradient(&x_all[part.clone()], residual, weight, &g[part], eps, out);
        });
        kernel::tensor(dx, x.shape())
    }
}

/// Writes a row's deviations from its mean to `out` and returns the inverse of the row's
/// standard deviation.
#[inline(always)]
fn centre<T: Real>(x: &[T], residual: Option<&[T]>, eps: T, out: &mut [T]) -> T {
    match residual {
        Some(residual) => {
            for ((o, &x), &r) in out.iter_mut().zip(x).zip(residual) {
                *o = x + r;
            }
        }
        None => out.copy_from_slice(x),
    }
    let width = T::of(out.len() as f64);
    let mean = sum([out], |[x]| x) / width;
    for o in out.iter_mut() {
        *o -= mean;
    }
    let variance = sum([out], |[x]| x * x) / width;
    T::one() / (variance + eps).root()
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub(super) fn normalise<T: Real>(
    x: &[T],
    residual: Option<&[T]>,
    weight: &[T],
    bias: &[T],
    eps: T,
    out: &mut [T],
) {
    let width = weight.len();
    for (i, out) in out.chunks_exact_mut(width).enumerate() {
        let row = i * width..(i + 1) * width;
        let residual = residual.map(|r| &r[row.clone()]);
        let scale = centre(&x[row], residual, eps, out);
        for ((o, &w), &b) in out.iter_mut().zip(weight).zip(bias) {
            *o = *o * scale * w + b;
        }
    }
}

// With n the normalised row and h = g w: dx = (h - mean(h) - n mean(h n)) / std.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub(super) fn gradient<T: Real>(
    x: &[T],
    residual: Option<&[T]>,
    weight: &[T],
    grad: &[T],
    eps: T,
    out: &mut [T],
) {
    let width = weight.len();
    let inverse = T::one() / T::of(width as f64);
    for (i, out) in out.chunks_exact_mut(width).enumerate() {
        let row = i * width..(i + 1) * width;
        let residual = residual.map(|r| &r[row.clone()]);
        let scale = centre(&x[row.clone()], residual, eps, out);
        let g = &grad[row];
        let mean = sum([g, weight], |[g, w]| g * w) * inverse;
        let along = sum([g, weight, out], |[g, w, x]| g * w * x) * inverse * scale * scale;
        for ((o, &w), &g) in out.iter_mut().zip(weight).zip(g) {
            *o = (g * w - mean - *o * along) * scale;
        }
    }
}

impl CustomOp1 for Norm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(kernel::dtype(x), T => {
            let y = self.forward(slice::<T>(x, layout)?, None)?;
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        by_dtype!(grad.dtype(), T => self.backward::<T>(x, None, grad).map(Some))
    }
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "add-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(kernel::dtype(x), T => {
            let residual = slice(residual, residual_layout)?;
            let y = self.forward(slice::<T>(x, x_layout)?, Some(residual))?;
            Ok((T::to_cpu_storage_owned(y), x_layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        residual: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = by_dtype!(grad.dtype(), T => self.backward::<T>(x, Some(residual), grad)?);
        let to = |x: &Tensor| x.track_op().then(|| dx.clone());
        Ok((to(x), to(residual)))
    }
}

fn composite(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let (own, x) = (x.dtype(), kernel::widened(x)?);
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normalised = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    let scaled = normalised.broadcast_mul(&kernel::widened(weight)?)?;
    let shifted = scaled.broadcast_add(&kernel::widened(bias)?)?;
    Ok(shifted.to_dtype(own)?)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use candle_core::{DType, Device, Var};

    const EPS: f64 = 1e-5;

    fn weights(width: usize, dtype: DType) -> [Tensor; 2] {
        [
            check::random(&[width], "weight", dtype),
            check::random(&[width], "bias", dtype),
        ]
    }

    #[test]
    fn gradients_match_differences() {
        for (rows, width) in [(1, 2), (3, 19), (2, 35)] {
            let [w, b] = weights(width, DType::F64);
            let x = check::random(&[rows, width], "x", DType::F64);
            let r = check::random(&[rows, width], "r", DType::F64);
            check::gradients(std::slice::from_ref(&x), |p| layer_norm(&p[0], &w, &b, EPS));
            check::gradients(&[x, r], |p| add_layer_norm(&p[0], &p[1], &w, &b, EPS));
        }
    }

    #[test]
    fn trained_weights_get_gradients_too() -> Result<()> {
        let [w, b] = weights(5, DType::F64);
        let x = check::random(&[3, 5], "x", DType::F64);
        check::gradients(&[x, w, b], |p| layer_norm(&p[0], &p[1], &p[2], EPS));
        Ok(())
    }

    #[test]
    fn forward_matches_the_composite() -> Result<()> {
        let [w, b] = weights(37, DType::F32);
        let r = check::random(&[3, 4, 37], "r", DType::F32);
        for x in check::layouts(&[3, 4, 37], DType::F32) {
            check::close(
                &layer_norm(&x, &w, &b, EPS)?,
                &composite(&x, &w, &b, EPS)?,
                1e-5,
            );
            let expected = composite(&(&x + &r)?, &w, &b, EPS)?;
            check::close(&add_layer_norm(&r, &x, &w, &b, EPS)?, &expected, 1e-5);
        }
        Ok(())
    }

    #[test]
    fn threads_do_not_change_bits() {
        let [w, b] = weights(100, DType::F32);
        let x = check::random(&[500, 100], "x", DType::F32);
        let r = check::random(&[500, 100], "r", DType::F32);
        check::threads(&[x, r], |p| add_layer_norm(&p[0], &p[1], &w, &b, EPS));
    }

    #[test]
    fn only_tracked_inputs_get_gradients() -> Result<()> {
        let [w, b] = weights(4, DType::F32);
        let x = Var::from_tensor(&check::random(&[2, 4], "x", DType::F32))?;
        let r = check::random(&[2, 4], "r", DType::F32);
        let y = add_layer_norm(&x, &r, &w, &b, EPS)?;
        let weighting = check::random(&[2, 4], "weighting", DType::F32);
        let grads = (y * weighting)?.sum_all()?.backward()?;
        assert!(grads.get(&x).is_some());
        assert!([&r, &w, &b].iter().all(|t| grads.get(t).is_none()));
        Ok(())
    }

    #[test]
    fn an_empty_batch_gives_an_empty_result() -> Result<()> {
        let [w, b] = weights(4, DType::F32);
        let x = Tensor::zeros((0, 4), DType::F32, &Device::Cpu)?;
        assert_eq!(add_layer_norm(&x, &x, &w, &b, EPS)?.dims(), [0, 4]);
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_an_error() {
        let [w, b] = weights(4, DType::F32);
        let x = check::random(&[2, 5], "x", DType::F32);
        assert!(layer_norm(&x, &w, &b, EPS).is_err());
    }
}
