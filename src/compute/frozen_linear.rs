//! A linear layer whose weights are not trained.

use super::kernel::{self, by_dtype, slice, values};
use super::matrix::{Mat, MatMut, Threads, multiply_add, product};
use super::real::Real;
use super::weight::Weight;
use crate::{Error, Result, bail};
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// `y = x W^T + b` with frozen weights.
///
/// Its backward pass gives only the gradient of `x` and keeps no activations. Where `x` needs
/// no gradient nothing is recorded. Clones share the weights.
#[derive(Clone, Debug)]
pub struct FrozenLinear(Arc<Weights>);

#[derive(Debug)]
struct Weights {
    weight: Weight,
    bias: Option<Tensor>,
}

impl FrozenLinear {
    /// A layer of `weight` `[out, in]` and `bias` `[out]`, both detached from any graph.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        Self::of(Weight::new(&weight)?, bias)
    }

    /// The same of a weight that may be in a file.
    pub fn of(weight: Weight, bias: Option<Tensor>) -> Result<Self> {
        let (out, _) = weight.dims();
        if let Some(bias) = &bias
            && bias.dims() != [out]
        {
            bail!(
                "linear layer: bias of shape {:?} for a weight of shape {:?}",
                bias.dims(),
                weight.dims()
            );
        }
        let bias = match bias {
            Some(bias) => Some(bias.to_dtype(weight.dtype())?.contiguous()?.detach()),
            None => None,
        };
        Ok(Self(Arc::new(Weights { weight, bias })))
    }

    /// One layer computing several on the same input, their outputs side by side. Where only
    /// some have a bias, the others' is zero.
    pub fn concat(layers: &[&Self]) -> Result<Self> {
        let weights: Vec<&Weight> = layers.iter().map(|l| l.weight()).collect();
        let weight = Weight::concat(&weights)?;
        if layers.iter().all(|l| l.bias().is_none()) {
            return Self::of(weight, None);
        }
        let biases = layers
            .iter()
            .map(|l| match l.bias() {
                Some(bias) => Ok(bias.clone()),
                None => Tensor::zeros(l.out_width(), l.weight().dtype(), l.weight().device()),
            })
            .collect::<candle_core::Result<Vec<_>>>()?;
        Self::of(weight, Some(Tensor::cat(&biases, 0)?))
    }

    /// The same layer, of this type.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        Self::of(self.weight().to_dtype(dtype)?, self.bias().cloned())
    }

    /// The weight, `[out, in]`.
    pub fn weight(&self) -> &Weight {
        &self.0.weight
    }

    /// The layer that computes these outputs alone.
    pub fn part(&self, outputs: Range<usize>) -> Result<Self> {
        let bias = self.bias();
        let bias = bias.map(|b| b.narrow(0, outputs.start, outputs.len()));
        Self::of(self.weight().rows(outputs)?, bias.transpose()?)
    }

    /// The bias, `[out]`.
    pub fn bias(&self) -> Option<&Tensor> {
        self.0.bias.as_ref()
    }

    /// The width of the input.
    pub fn in_width(&self) -> usize {
        self.weight().dims().1
    }

    /// The width of the output.
    pub fn out_width(&self) -> usize {
        self.weight().dims().0
    }

    /// `[.., in]` to `[.., out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if kernel::takes(x) {
            output_shape(x, self.weight().dims())?;
            return Ok(x.contiguous()?.apply_op1(self.clone())?);
        }
        composite(x, self.weight().kept()?, self.bias())
    }

    fn run<T: Real>(&self, x: &[T]) -> candle_core::Result<Vec<T>> {
        let weight = self.weight().open()?;
        let bias = self.bias().map(values);
        let bias = bias.as_ref().map(|b| b.slice()).transpose()?;
        Ok(affine(x, weight.slice()?, bias, self.in_width()))
    }

    fn run_backward<T: Real>(&self, x: &Tensor, grad: &Tensor) -> candle_core::Result<Tensor> {
        let weight = self.weight().open()?;
        let grad = values(grad);
        let dx = product(
            Mat::<T>::new(grad.slice()?, self.out_width()),
            Mat::new(weight.slice()?, self.in_width()),
        );
        kernel::tensor(dx, x.shape())
    }
}

impl CustomOp1 for FrozenLinear {
    fn name(&self) -> &'static str {
        "frozen-linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(self.weight().dtype(), T => {
            let y = self.run::<T>(slice(x, layout)?)?;
            let shape = with_width(layout.shape(), self.out_width());
            Ok((<T as candle_core::WithDType>::to_cpu_storage_owned(y), shape))
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        by_dtype!(grad.dtype(), T => self.run_backward::<T>(x, &grad).map(Some))
    }
}

/// `x w^T + b` over rows of `width` values.
pub(super) fn affine<T: Real>(x: &[T], weight: &[T], bias: Option<&[T]>, width: usize) -> Vec<T> {
    let x = Mat::new(x, width);
    let weight = Mat::new(weight, width).t();
    let Some(bias) = bias else {
        return product(x, weight);
    };
    let chunk = kernel::rows_per_chunk(bias.len()) * bias.len();
    let rows = x.rows();
    let mut y = kernel::build(rows * bias.len(), chunk, |_, part| {
        for row in part.chunks_exact_mut(bias.len()) {
            row.copy_from_slice(bias);
        }
    });
    let mut out = MatMut::new(&mut y, bias.len());
    multiply_add(x, weight, T::one(), &mut out, Threads::All);
    y
}

/// `x w^T + b` by candle's operations, with gradients to all three.
pub(super) fn composite(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let shape = output_shape(x, weight.dims2()?)?;
    let rows = x.contiguous()?.reshape(((), weight.dim(1)?))?;
    let y = rows.matmul(&weight.t()?)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    Ok(y.reshape(shape)?)
}

/// The shape of `x w^T` for a w of these dimensions, or an error where the widths differ.
pub(super) fn output_shape(x: &Tensor, (out, width): (usize, usize)) -> Result<Shape> {
    if x.rank() == 0 || x.dims().last() != Some(&width) || width == 0 {
        return Err(Error::new(format!(
            "linear layer: expected an input of width {width}, found shape {:?}",
            x.dims()
        )));
    }
    Ok(with_width(x.shape(), out))
}

/// `shape` with its last dimension replaced.
pub(super) fn with_width(shape: &Shape, width: usize) -> Shape {
    let mut dims = shape.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = width;
    }
    dims.into()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use candle_core::{DType, Var};

    fn layer(out: usize, width: usize, dtype: DType) -> Result<FrozenLinear> {
        let weight = check::random(&[out, width], "weight", dtype);
        FrozenLinear::new(weight, Some(check::random(&[out], "bias", dtype)))
    }

    #[test]
    fn gradients_match_differences() -> Result<()> {
        for (rows, width, out) in [(1, 1, 1), (3, 5, 7), (4, 16, 3)] {
            let layer = layer(out, width, DType::F64)?;
            let x = check::random(&[2, rows, width], "x", DType::F64);
            check::gradients(&[x], |x| layer.forward(&x[0]));
        }
        Ok(())
    }

    #[test]
    fn forward_matches_the_composite() -> Result<()> {
        let layer = layer(33, 65, DType::F32)?;
        for x in check::layouts(&[2, 5, 65], DType::F32) {
            let expected = composite(&x, &layer.weight().read()?, layer.bias())?;
            check::close(&layer.forward(&x)?, &expected, 1e-5);
        }
        Ok(())
    }

    #[test]
    fn threads_do_not_change_bits() -> Result<()> {
        let layer = layer(1536, 384, DType::F32)?;
        let x = check::random(&[1100, 384], "x", DType::F32);
        check::threads(&[x], |x| layer.forward(&x[0]));
        Ok(())
    }

    #[test]
    fn weights_are_frozen_even_when_made_of_variables() -> Result<()> {
        let weight = Var::from_tensor(&check::random(&[3, 4], "w", DType::F32))?;
        let x = Var::from_tensor(&check::random(&[2, 4], "x", DType::F32))?;
        let y = FrozenLinear::new(weight.as_tensor().clone(), None)?.forward(&x)?;
        let grads = y.sum_all()?.backward()?;
        assert!(grads.get(&weight).is_none());
        assert!(grads.get(&x).is_some());
        let constant = FrozenLinear::new(weight.as_tensor().clone(), None)?.forward(&x.detach())?;
        assert!(!constant.track_op());
        Ok(())
    }

    #[test]
    fn concat_computes_all_layers() -> Result<()> {
        let a = layer(3, 4, DType::F32)?;
        let b = FrozenLinear::new(check::random(&[2, 4], "b", DType::F32), None)?;
        let x = check::random(&[5, 4], "x", DType::F32);
        let expected = Tensor::cat(&[a.forward(&x)?, b.forward(&x)?], 1)?;
        check::close(
            &FrozenLinear::concat(&[&a, &b])?.forward(&x)?,
            &expected,
            1e-6,
        );
        Ok(())
    }

    #[test]
    fn an_empty_batch_gives_an_empty_result() -> Result<()> {
        let x = Tensor::zeros((0, 4), DType::F32, &candle_core::Device::Cpu)?;
        assert_eq!(layer(3, 4, DType::F32)?.forward(&x)?.dims(), [0, 3]);
        Ok(())
    }

    #[test]
    fn a_wrong_width_is_an_error() -> Result<()> {
        let x = check::random(&[2, 5], "x", DType::F32);
        let error = layer(3, 4, DType::F32)?.forward(&x).unwrap_err();
        assert!(error.to_string().contains("width 4"), "{error}");
        Ok(())
    }
}
