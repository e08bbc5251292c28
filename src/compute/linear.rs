//! A linear layer whose weights are trained.

use super::frozen_linear::{affine, composite, output_shape, with_width};
use super::kernel::{self, by_dtype, column_sums, slice, values};
use super::matrix::{Mat, product};
use super::real::Real;
use crate::{Result, bail};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};

/// `y = x W^T + b`, with gradients to all three: `x` `[.., in]`, `weight` `[out, in]`, `bias`
/// `[out]`. The gradient of an `x` below which nothing is trained is not computed.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    output_shape(x, weight.dims2()?)?;
    if let Some(bias) = bias
        && bias.dims() != [weight.dims()[0]]
    {
        bail!(
            "linear layer: bias of shape {:?} for a weight of shape {:?}",
            bias.dims(),
            weight.dims()
        );
    }
    if !kernel::takes(x) {
        return composite(x, weight, bias);
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    Ok(match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Linear)?,
        None => x.apply_op2(&weight, Linear)?,
    })
}

struct Linear;

fn forward<T: Real>(
    (x, x_layout): (&CpuStorage, &Layout),
    (weight, weight_layout): (&CpuStorage, &Layout),
    bias: Option<(&CpuStorage, &Layout)>,
) -> candle_core::Result<(CpuStorage, Shape)> {
    let (out, width) = weight_layout.shape().dims2()?;
    let bias = bias.map(|(b, layout)| slice(b, layout)).transpose()?;
    let (x, weight) = (slice::<T>(x, x_layout)?, slice(weight, weight_layout)?);
    let y = affine(x, weight, bias, width);
    let shape = with_width(x_layout.shape(), out);
    Ok((T::to_cpu_storage_owned(y), shape))
}

/// The gradients of `x` (where it is part of a graph), weight and bias.
fn backward<T: Real>(
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
) -> candle_core::Result<(Option<Tensor>, Tensor, Tensor)> {
    let grad = grad.contiguous()?;
    let (out, width) = weight.dims2()?;
    let (x_values, w_values, g_values) = (values(x), values(weight), values(&grad));
    let g = Mat::<T>::new(g_values.slice()?, out);
    let dx = if x.track_op() {
        let dx = product(g, Mat::new(w_values.slice()?, width));
        Some(kernel::tensor(dx, x.shape())?)
    } else {
        None
    };
    let dw = product(g.t(), Mat::new(x_values.slice()?, width));
    let db = column_sums(g_values.slice::<T>()?, out);
    let dw = kernel::tensor(dw, weight.shape())?;
    Ok((dx, dw, kernel::tensor(db, &out.into())?))
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(kernel::dtype(x), T => forward::<T>(
            (x, x_layout),
            (weight, weight_layout),
            Some((bias, bias_layout)),
        ))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, db) = by_dtype!(grad.dtype(), T => backward::<T>(x, weight, grad)?);
        Ok((dx, Some(dw), Some(db)))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(kernel::dtype(x), T => forward::<T>((x, x_layout), (weight, weight_layout), None))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = by_dtype!(grad.dtype(), T => backward::<T>(x, weight, grad)?);
        Ok((dx, Some(dw)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use candle_core::{DType, Device, Var};

    fn parts(rows: usize, width: usize, out: usize, dtype: DType) -> [Tensor; 3] {
        [
            check::random(&[rows, width], "x", dtype),
            check::random(&[out, width], "weight", dtype),
            check::random(&[out], "bias", dtype),
        ]
    }

    #[test]
    fn gradients_match_differences() {
        for (rows, width, out) in [(1, 1, 1), (5, 3, 17), (9, 20, 2)] {
            let parts = parts(rows, width, out, DType::F64);
            check::gradients(&parts, |p| linear(&p[0], &p[1], Some(&p[2])));
            check::gradients(&parts[..2], |p| linear(&p[0], &p[1], None));
        }
    }

    #[test]
    fn forward_matches_the_composite() -> Result<()> {
        let [_, weight, bias] = parts(1, 31, 18, DType::F32);
        for x in check::layouts(&[6, 31], DType::F32) {
            let expected = composite(&x, &weight, Some(&bias))?;
            check::close(&linear(&x, &weight, Some(&bias))?, &expected, 1e-5);
        }
        let transposed = check::random(&[31, 18], "weight", DType::F32).t()?;
        let x = check::random(&[6, 31], "x", DType::F32);
        let expected = composite(&x, &transposed, None)?;
        check::close(&linear(&x, &transposed, None)?, &expected, 1e-5);
        Ok(())
    }

    #[test]
    fn threads_do_not_change_bits() {
        let parts = parts(1000, 200, 48, DType::F32);
        check::threads(&parts, |p| linear(&p[0], &p[1], Some(&p[2])));
    }

    #[test]
    fn an_input_outside_the_graph_gets_no_gradient() -> Result<()> {
        let [x, weight, _] = parts(4, 3, 2, DType::F32);
        let weight = Var::from_tensor(&weight)?;
        let grads = linear(&x, &weight, None)?.sum_all()?.backward()?;
        assert!(grads.get(&x).is_none());
        assert!(grads.get(&weight).is_some());
        Ok(())
    }

    #[test]
    fn an_empty_batch_has_zero_weight_gradients() -> Result<()> {
        let [_, weight, bias] = parts(1, 3, 2, DType::F32);
        let weight = Var::from_tensor(&weight)?;
        let x = Tensor::zeros((0, 3), DType::F32, &Device::Cpu)?;
        let y = linear(&x, &weight, Some(&bias))?;
        assert_eq!(y.dims(), [0, 2]);
        let grads = y.sum_all()?.backward()?;
        let dw = grads.get(&weight).unwrap().to_vec2::<f32>()?;
        assert_eq!(dw, [[0.0; 3]; 2]);
        Ok(())
    }

    #[test]
    fn a_wrong_bias_is_an_error() {
        let [x, weight, _] = parts(1, 3, 2, DType::F32);
        let bias = check::random(&[3], "bias", DType::F32);
        assert!(linear(&x, &weight, Some(&bias)).is_err());
    }
}
