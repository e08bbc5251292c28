//! Products of views: in tiles of this crate where there are any, else by the `gemm` crate.

use super::super::real::Real;
#[cfg(target_arch = "x86_64")]
use super::super::tile::{Kernel, Tile};
use super::{Mat, MatMut};
use gemm::Parallelism;
use std::marker::PhantomData;

/// Who computes a product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread: for products inside a parallel loop.
    One,
    /// The current rayon pool.
    All,
}

impl From<Threads> for Parallelism {
    fn from(threads: Threads) -> Self {
        match threads {
            Threads::One => Parallelism::None,
            Threads::All => Parallelism::Rayon(0),
        }
    }
}

/// `out = scale * a b`. The shapes must fit.
pub fn multiply<T: Real>(
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    scale: T,
    out: &mut MatMut<'_, T>,
    threads: Threads,
) {
    gemm(a, b, scale, out, false, threads);
}

/// `out += scale * a b`. The shapes must fit.
pub fn multiply_add<T: Real>(
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    scale: T,
    out: &mut MatMut<'_, T>,
    threads: Threads,
) {
    gemm(a, b, scale, out, true, threads);
}

/// `a b` as a row-major vector, by the current rayon pool.
pub fn product<T: Real>(a: Mat<'_, T>, b: Mat<'_, T>) -> Vec<T> {
    product_scaled(a, b, T::one())
}

/// `scale * a b` as a row-major vector, by the current rayon pool.
pub fn product_scaled<T: Real>(a: Mat<'_, T>, b: Mat<'_, T>, scale: T) -> Vec<T> {
    let (rows, columns) = (a.rows, b.columns);
    let inner = a.columns.min(b.rows);
    if inner == 0 {
        return vec![T::zero(); rows * columns];
    }
    let mut out = Vec::with_capacity(rows * columns);
    let mut view = MatMut {
        data: out.as_mut_ptr(),
        rows,
        columns,
        row: columns,
        slice: PhantomData,
    };
    multiply(a, b, scale, &mut view, Threads::All);
    // SAFETY: the view covers all rows and columns, and a product that does not accumulate
    // writes each of its elements without reading it.
    unsafe { out.set_len(rows * columns) };
    out
}

fn gemm<T: Real>(
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    scale: T,
    out: &mut MatMut<'_, T>,
    accumulate: bool,
    threads: Threads,
) {
    let m = a.rows.min(out.rows);
    let n = b.columns.min(out.columns);
    let k = a.columns.min(b.rows);
    debug_assert!((m, n, k) == (a.rows, b.columns, a.columns) && k == b.rows);
    if m == 0 || n == 0 {
        return;
    }
    if threads == Threads::One && T::multiply_tiled(a, b, scale, out, accumulate) {
        return;
    }
    // SAFETY: views are made only by the constructors above, which keep their elements inside
    // the slice, and the sizes are no larger than any view's own. `T` is f32 or f64.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.data,
            1,
            out.row as isize,
            accumulate,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            T::one(),
            scale,
            false,
            false,
            false,
            threads.into(),
        );
    }
}

/// The product in tiles, where the processor has the instructions; whether it has. With `pairs`,
/// elements stand for two of bf16 each.
#[cfg(target_arch = "x86_64")]
pub fn multiply_tiled(
    a: Mat<'_, f32>,
    b: Mat<'_, f32>,
    scale: f32,
    out: &mut MatMut<'_, f32>,
    accumulate: bool,
    pairs: bool,
) -> bool {
    let Some(kernel) = Kernel::best() else {
        return false;
    };
    if pairs && !kernel.multiplies_pairs() {
        return false;
    }
    let transposed;
    let b = if b.column == 1 {
        b
    } else {
        // The kernel reads rows of the right operand.
        transposed = b.copied();
        Mat::new(&transposed, b.columns)
    };
    let m = a.rows.min(out.rows);
    let n = b.columns.min(out.columns);
    let inner = a.columns.min(b.rows);
    if inner == 0 {
        return false;
    }
    for start in (0..n).step_by(kernel.columns()) {
        let columns = (n - start).min(kernel.columns());
        let padded;
        let right = if !kernel.reads_whole_rows()
            || (inner - 1) * b.row + start + kernel.columns() <= b.data.len()
        {
            (b.data[start..].as_ptr(), b.row)
        } else {
            padded = b.columns(start, columns).padded(kernel.columns());
            (padded.as_ptr(), kernel.columns())
        };
        for top in (0..m).step_by(kernel.rows()) {
            let bottom = (top + kernel.rows()).min(m);
            let tile = Tile {
                inner,
                left: (a.data[top * a.row..].as_ptr(), a.row, a.column),
                right,
                // SAFETY: `top` and `start` are inside the result.
                out: (unsafe { out.data.add(top * out.row + start) }, out.row),
                columns,
                scale,
                accumulate,
                pairs,
            };
            // SAFETY: the instructions are there, and the sizes are no larger than any view's
            // own, whose elements are inside their slices; so is what whole rows have beside them.
            unsafe { tile.run(kernel, bottom - top) };
        }
    }
    true
}
