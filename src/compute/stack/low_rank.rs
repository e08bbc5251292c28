//! Low-rank changes of linear maps.

use super::super::matrix::{Mat, MatMut, Threads, multiply, multiply_add};
use super::super::real::Real;
use super::parts::LowRank;
use super::tape::{Buffer, sized};

/// `y += scale * (x A^T) B^T`.
pub fn forward<T: Real>(
    part: &LowRank,
    values: &[T],
    x: Mat<'_, T>,
    y: &mut MatMut<'_, T>,
    inner: &mut Buffer<T>,
) {
    let (a, b) = (part.a.of(values), part.b.of(values));
    let inner = sized(inner, x.rows() * part.a.rows);
    let mut down = MatMut::new(inner, part.a.rows);
    multiply(x, a.t(), T::one(), &mut down, Threads::One);
    let down = Mat::new(inner, part.a.rows);
    multiply_add(down, b.t(), T::of(part.scale), y, Threads::One);
}

/// Adds the gradients of A and B to those of all tensors, and that of `x` to `dx`.
pub fn backward<T: Real>(
    part: &LowRank,
    values: &[T],
    x: Mat<'_, T>,
    grad: Mat<'_, T>,
    grads: &mut [T],
    dx: Option<&mut MatMut<'_, T>>,
    inner: &mut Buffer<T>,
) {
    let (a, b) = (part.a.of(values), part.b.of(values));
    let (rank, scale) = (part.a.rows, T::of(part.scale));
    let inner = sized(inner, x.rows() * rank);
    multiply(
        x,
        a.t(),
        T::one(),
        &mut MatMut::new(inner, rank),
        Threads::One,
    );
    let down = Mat::new(inner, rank);
    multiply_add(
        grad.t(),
        down,
        scale,
        &mut part.b.of_mut(grads),
        Threads::One,
    );
    multiply(grad, b, scale, &mut MatMut::new(inner, rank), Threads::One);
    let d_down = Mat::new(inner, rank);
    multiply_add(
        d_down.t(),
        x,
        T::one(),
        &mut part.a.of_mut(grads),
        Threads::One,
    );
    if let Some(dx) = dx {
        multiply_add(d_down, a, T::one(), dx, Threads::One);
    }
}
