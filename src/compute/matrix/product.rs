//! Products of views: in tiles of this crate where there are any, else by plain loops.
//!
//! Each element is one chain of fused multiply-adds along the inner dimension, times the scale. Its
//! bits depend neither on the number of rows or columns, nor on its place among them, nor on
//! threads: the states of a text are the same whatever other texts are computed with it. (The
//! `gemm` crate picks its kernel and its blocks by the number of rows.)

use super::super::real::Real;
#[cfg(target_arch = "x86_64")]
use super::super::tile::{Kernel, Tile};
use super::{Mat, MatMut};
use multiversion::multiversion;
use rayon::prelude::*;
use std::marker::PhantomData;

/// Who computes a product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread: for products inside a parallel loop.
    One,
    /// The current rayon pool.
    All,
}

/// `out = scale * a b`. The shapes must fit.
pub fn multiply<T: Real>(
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    scale: T,
    out: &mut MatMut<'_, T>,
    threads: Threads,
) {
    run(a, b, scale, out, false, threads);
}

/// `out += scale * a b`. The shapes must fit.
pub fn multiply_add<T: Real>(
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    scale: T,
    out: &mut MatMut<'_, T>,
    threads: Threads,
) {
    run(a, b, scale, out, true, threads);
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

/// Columns of a part of a wide product, and rows beside them: enough that laying out these columns
/// of the right operand is a small share of the work.
const WIDE: (usize, usize) = (1008, 64);

/// From so many columns on a product counts as wide; below, parts are of whole rows.
const FEW_COLUMNS: usize = 4 * WIDE.1;

/// Rows of a part of a narrow product.
const NARROW: usize = 84;

fn run<T: Real>(
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    scale: T,
    out: &mut MatMut<'_, T>,
    accumulate: bool,
    threads: Threads,
) {
    let m = a.rows.min(out.rows);
    let n = b.columns.min(out.columns);
    debug_assert!((m, n, a.columns) == (a.rows, b.columns, b.rows));
    if m == 0 || n == 0 {
        return;
    }
    if threads == Threads::One {
        return on_this_thread(a, b, scale, out, accumulate);
    }
    // Each element is one chain of sums along the inner dimension, wherever it is cut here.
    let transposed;
    let (b, (rows, columns)) = if n >= FEW_COLUMNS {
        (b, WIDE)
    } else if b.column == 1 {
        (b, (NARROW, n))
    } else {
        transposed = b.copied();
        (Mat::new(&transposed, b.columns), (NARROW, n))
    };
    let parts: Vec<_> = out.part(0..m, 0..n).blocks(rows, columns).collect();
    parts.into_par_iter().for_each(|(top, left, mut out)| {
        let (a, b) = (a.narrow(top, out.rows), b.columns(left, out.columns));
        on_this_thread(a, b, scale, &mut out, accumulate);
    });
}

fn on_this_thread<T: Real>(
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    scale: T,
    out: &mut MatMut<'_, T>,
    accumulate: bool,
) {
    if !T::multiply_tiled(a, b, scale, out, accumulate) {
        chains(a, b, scale, out, accumulate);
    }
}

/// The product where there are no tiles: for `f64`, and for processors without AVX2. Each element
/// is the chain that the tiles compute.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn chains<T: Real>(
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    scale: T,
    out: &mut MatMut<'_, T>,
    accumulate: bool,
) {
    /// Columns whose sums stay in registers.
    const COLUMNS: usize = 32;
    let (m, inner, n) = (a.rows, a.columns, b.columns);
    let transposed;
    let b = if b.column == 1 {
        b
    } else {
        transposed = b.copied();
        Mat::new(&transposed, n)
    };
    for start in (0..n).step_by(COLUMNS) {
        let columns = start..(start + COLUMNS).min(n);
        for i in 0..m {
            let mut sums = [T::zero(); COLUMNS];
            for l in 0..inner {
                let x = a.at(i, l);
                let row = &b.data[l * b.row + start..][..columns.len()];
                for (sum, &y) in sums.iter_mut().zip(row) {
                    *sum = x.times_plus(y, *sum);
                }
            }
            for (out, sum) in out.row(i)[columns.clone()].iter_mut().zip(sums) {
                let value = sum * scale;
                *out = if accumulate { *out + value } else { value };
            }
        }
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
