//! A low-rank update of a linear layer's output.

use super::kernel::{self, by_dtype, slice, values};
use super::matrix::{Mat, MatMut, Threads, multiply_add, product, product_scaled};
use super::real::Real;
use crate::{Result, bail};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor, WithDType};

/// `y + scale * (x A^T) B^T`, with gradients to all four tensors: `x` `[.., in]`, `y`
/// `[.., out]`, `a` `[rank, in]`, `b` `[out, rank]` (Hu et al. 2021, "LoRA"; `scale` is its
/// alpha / r). One node of the graph; the `[.., rank]` activations are recomputed.
pub fn lora(x: &Tensor, y: &Tensor, a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    let ((rank, width), (out, b_rank)) = (a.dims2()?, b.dims2()?);
    let fits = x.rank() == y.rank()
        && x.rank() > 0
        && x.dims()[..x.rank() - 1] == y.dims()[..y.rank() - 1]
        && x.dims().last() == Some(&width)
        && y.dims().last() == Some(&out);
    if !fits || rank != b_rank || rank * width * out == 0 {
        bail!(
            "LoRA: shapes do not fit: x {:?}, y {:?}, A {:?} (expected [rank, in]), B {:?} (expected [out, rank])",
            x.dims(),
            y.dims(),
            a.dims(),
            b.dims()
        );
    }
    if !kernel::takes(x) {
        return composite(x, y, a, b, scale);
    }
    let flat = Tensor::cat(&[a.flatten_all()?, b.flatten_all()?], 0)?;
    let op = Lora { rank, scale };
    Ok(x.contiguous()?.apply_op3(&y.contiguous()?, &flat, op)?)
}

/// A and B travel as one flat tensor, A first: an operation takes three arguments at most.
struct Lora {
    rank: usize,
    scale: f64,
}

impl Lora {
    fn split<'a, T>(&self, flat: &'a [T], width: usize) -> (Mat<'a, T>, Mat<'a, T>) {
        let (a, b) = flat.split_at(self.rank * width);
        (Mat::new(a, width), Mat::new(b, self.rank))
    }

    fn forward<T: Real>(&self, x: &[T], y: &[T], flat: &[T], width: usize, out: usize) -> Vec<T> {
        let (a, b) = self.split(flat, width);
        let down = product(Mat::new(x, width), a.t());
        let mut sum = kernel::build(y.len(), kernel::CHUNK, |start, part| {
            part.copy_from_slice(&y[start..start + part.len()]);
        });
        let down = Mat::new(&down, self.rank);
        let mut view = MatMut::new(&mut sum, out);
        multiply_add(down, b.t(), T::of(self.scale), &mut view, Threads::All);
        sum
    }

    fn backward<T: Real>(
        &self,
        x: &Tensor,
        flat: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Tensor)> {
        let width = x.dim(candle_core::D::Minus1)?;
        let out = grad.dim(candle_core::D::Minus1)?;
        let (x_values, flat_values, g_values) = (values(x), values(flat), values(grad));
        let (a, b) = self.split(flat_values.slice::<T>()?, width);
        let x_rows = Mat::new(x_values.slice()?, width);
        let g = Mat::new(g_values.slice()?, out);
        let scale = T::of(self.scale);

        let down = product(x_rows, a.t());
        let down = Mat::new(&down, self.rank);
        let d_down = product(g, b);
        let d_down = Mat::new(&d_down, self.rank);

        let mut d_flat = vec![T::zero(); flat.elem_count()];
        let (da, db) = d_flat.split_at_mut(self.rank * width);
        let mut da = MatMut::new(da, width);
        multiply_add(d_down.t(), x_rows, scale, &mut da, Threads::All);
        let mut db = MatMut::new(db, self.rank);
        multiply_add(g.t(), down, scale, &mut db, Threads::All);

        let dx = if x.track_op() {
            let dx = product_scaled(d_down, a, scale);
            Some(kernel::tensor(dx, x.shape())?)
        } else {
            None
        };
        Ok((dx, kernel::tensor(d_flat, flat.shape())?))
    }
}

impl CustomOp3 for Lora {
    fn name(&self) -> &'static str {
        "lora"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
        flat: &CpuStorage,
        flat_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = x_layout.dim(candle_core::D::Minus1)?;
        let out = y_layout.dim(candle_core::D::Minus1)?;
        by_dtype!(kernel::dtype(x), T => {
            let (x, y) = (slice::<T>(x, x_layout)?, slice(y, y_layout)?);
            let sum = self.forward(x, y, slice(flat, flat_layout)?, width, out);
            Ok((T::to_cpu_storage_owned(sum), y_layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        flat: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (dx, d_flat) = by_dtype!(grad.dtype(), T => self.backward::<T>(x, flat, &grad)?);
        Ok((dx, y.track_op().then_some(grad), Some(d_flat)))
    }
}

fn composite(x: &Tensor, y: &Tensor, a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    let rows = x.contiguous()?.reshape(((), a.dim(1)?))?;
    let delta = rows.matmul(&a.t()?)?.matmul(&b.t()?)?;
    Ok((y + (delta * scale)?.reshape(y.shape())?)?)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use candle_core::{DType, Device, Var};

    fn parts(rows: usize, (width, rank, out): (usize, usize, usize), dtype: DType) -> [Tensor; 4] {
        [
            check::random(&[rows, width], "x", dtype),
            check::random(&[rows, out], "y", dtype),
            check::random(&[rank, width], "a", dtype),
            check::random(&[out, rank], "b", dtype),
        ]
    }

    #[test]
    fn gradients_match_differences() {
        for (rows, sizes) in [(1, (1, 1, 1)), (5, (7, 2, 9)), (3, (17, 4, 5))] {
            let parts = parts(rows, sizes, DType::F64);
            check::gradients(&parts, |p| lora(&p[0], &p[1], &p[2], &p[3], 0.5));
        }
    }

    #[test]
    fn forward_matches_the_composite() -> Result<()> {
        let [_, y, a, b] = parts(6, (31, 8, 18), DType::F32);
        for x in check::layouts(&[6, 31], DType::F32) {
            let expected = composite(&x, &y, &a, &b, 2.0)?;
            check::close(&lora(&x, &y, &a, &b, 2.0)?, &expected, 1e-5);
        }
        Ok(())
    }

    #[test]
    fn the_composite_has_gradients() {
        let parts = parts(2, (3, 2, 4), DType::F64);
        check::gradients(&parts, |p| composite(&p[0], &p[1], &p[2], &p[3], 0.5));
    }

    #[test]
    fn threads_do_not_change_bits() {
        let parts = parts(1500, (300, 8, 70), DType::F32);
        check::threads(&parts, |p| lora(&p[0], &p[1], &p[2], &p[3], 1.0));
    }

    #[test]
    fn inputs_outside_the_graph_get_no_gradient() -> Result<()> {
        let [x, y, a, b] = parts(4, (3, 2, 5), DType::F32);
        let (a, b) = (Var::from_tensor(&a)?, Var::from_tensor(&b)?);
        let grads = lora(&x, &y, &a, &b, 1.0)?.sum_all()?.backward()?;
        assert!(grads.get(&x).is_none() && grads.get(&y).is_none());
        assert!(grads.get(&a).is_some() && grads.get(&b).is_some());
        Ok(())
    }

    #[test]
    fn an_empty_batch_gives_an_empty_result() -> Result<()> {
        let [_, _, a, b] = parts(1, (3, 2, 5), DType::F32);
        let x = Tensor::zeros((0, 3), DType::F32, &Device::Cpu)?;
        let y = Tensor::zeros((0, 5), DType::F32, &Device::Cpu)?;
        assert_eq!(lora(&x, &y, &a, &b, 1.0)?.dims(), [0, 5]);
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_an_error() {
        let [x, y, a, b] = parts(4, (3, 2, 5), DType::F32);
        assert!(lora(&y, &x, &a, &b, 1.0).is_err());
        assert!(lora(&x, &y, &b, &a, 1.0).is_err());
    }
}
