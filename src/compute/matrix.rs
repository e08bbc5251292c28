//! Strided views of matrices, and their products by the `gemm` crate.

use super::real::Real;
#[cfg(target_arch = "x86_64")]
use super::tile::{Kernel, Tile};
use gemm::Parallelism;
use std::marker::PhantomData;
use std::ops::Range;

/// A read-only matrix inside a slice: element (i, j) lies at `i * row + j * column`.
#[derive(Clone, Copy)]
pub struct Mat<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row: usize,
    column: usize,
}

impl<'a, T> Mat<'a, T> {
    /// The whole of a row-major slice with `columns` columns.
    pub fn new(data: &'a [T], columns: usize) -> Self {
        let rows = data.len().checked_div(columns).unwrap_or(0);
        Self {
            data,
            rows,
            columns,
            row: columns,
            column: 1,
        }
    }

    /// The number of rows.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn width(self) -> usize {
        self.columns
    }

    /// The element in row `i` and column `j`, which must be inside.
    pub fn at(self, i: usize, j: usize) -> T
    where
        T: Copy,
    {
        self.data[i * self.row + j * self.column]
    }

    /// Part of a row, where the elements of rows are neighbours.
    pub fn slice_of_row(self, i: usize, start: usize, count: usize) -> Option<&'a [T]> {
        let at = i * self.row + start;
        (self.column == 1)
            .then(|| self.data.get(at..at + count))
            .flatten()
    }

    /// Its rows `start..start + count`; fewer where there are not as many.
    pub fn narrow(self, start: usize, count: usize) -> Self {
        let start = start.min(self.rows);
        Self {
            data: self.data.get(start * self.row..).unwrap_or_default(),
            rows: count.min(self.rows - start),
            ..self
        }
    }

    /// Its columns `start..start + width`; fewer where there are not as many.
    pub fn columns(self, start: usize, width: usize) -> Self {
        let start = start.min(self.columns);
        Self {
            data: self.data.get(start * self.column..).unwrap_or_default(),
            columns: width.min(self.columns - start),
            ..self
        }
    }

    /// Its transpose, without a copy.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row: self.column,
            column: self.row,
            ..self
        }
    }
}

/// A matrix to write, row-major, inside a slice; several may share the rows of one slice, each
/// with columns of its own.
pub struct MatMut<'a, T> {
    data: *mut T,
    rows: usize,
    columns: usize,
    row: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: a `MatMut` stands for the `&mut T` of its own elements, which no other view shares.
unsafe impl<T: Send> Send for MatMut<'_, T> {}

impl<'a, T> MatMut<'a, T> {
    /// The whole of a row-major slice with `columns` columns.
    pub fn new(data: &'a mut [T], columns: usize) -> Self {
        Self {
            rows: data.len().checked_div(columns).unwrap_or(0),
            data: data.as_mut_ptr(),
            columns,
            row: columns,
            slice: PhantomData,
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.columns
    }

    /// The first element.
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.data
    }

    /// How far apart rows lie.
    pub fn stride(&self) -> usize {
        self.row
    }

    /// Row `i`, which must be inside.
    pub fn row(&mut self, i: usize) -> &mut [T] {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        // SAFETY: the row lies inside the slice the matrix was made of, and `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(i * self.row), self.columns) }
    }

    /// Rows `rows` and columns `columns` of it, cut to those there are.
    pub fn part(&mut self, rows: Range<usize>, columns: Range<usize>) -> MatMut<'_, T> {
        let (bottom, right) = (rows.end.min(self.rows), columns.end.min(self.columns));
        let (top, left) = (rows.start.min(bottom), columns.start.min(right));
        MatMut {
            data: if top == bottom || left == right {
                self.data
            } else {
                // SAFETY: row `top` and column `left` are inside.
                unsafe { self.data.add(top * self.row + left) }
            },
            rows: bottom - top,
            columns: right - left,
            row: self.row,
            slice: PhantomData,
        }
    }

    /// The matrix as blocks of `width` columns, left to right; columns left over are dropped.
    pub fn split_columns(self, width: usize) -> impl Iterator<Item = MatMut<'a, T>> {
        let blocks = self.columns.checked_div(width).unwrap_or(0);
        (0..blocks).map(move |i| MatMut {
            // SAFETY: the offset is below `columns`, so inside the first row where there is one;
            // without rows nothing is ever read or written through the pointer.
            data: if self.rows == 0 {
                self.data
            } else {
                unsafe { self.data.add(i * width) }
            },
            rows: self.rows,
            columns: width,
            row: self.row,
            slice: PhantomData,
        })
    }
}

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

impl<T: Real> Mat<'_, T> {
    /// Its elements, row by row.
    pub fn copied(self) -> Vec<T> {
        let mut out = vec![T::zero(); self.rows * self.columns];
        self.copy_to(&mut out);
        out
    }

    /// Its elements, row by row, each row filled up with zeros to `width`.
    #[cfg(target_arch = "x86_64")]
    fn padded(self, width: usize) -> Vec<T> {
        let mut out = vec![T::zero(); self.rows * width];
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            self.narrow(i, 1)
                .copy_to(&mut out[..self.columns.min(width)]);
        }
        out
    }

    /// Writes its elements, row by row, to `out`, which has as many.
    pub fn copy_to(self, out: &mut [T]) {
        /// Rows whose elements of one column are read together, as they lie when transposed.
        const ROWS: usize = 16;
        if self.columns == 0 || self.rows == 0 {
            return;
        }
        for (block, out) in out.chunks_mut(ROWS * self.columns).enumerate() {
            let rows = out.len() / self.columns;
            let start = block * ROWS * self.row;
            for j in 0..self.columns {
                let column = &self.data[start + j * self.column..];
                let column = column.iter().step_by(self.row.max(1)).take(rows);
                let out = out[j..].iter_mut().step_by(self.columns);
                for (o, &x) in out.zip(column) {
                    *o = x;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_multiply_without_copies() {
        let a: Vec<f64> = (0..6).map(f64::from).collect();
        // [[0, 1, 2], [3, 4, 5]] times its own transpose, and of its last two columns.
        let whole = Mat::new(&a, 3);
        assert_eq!(product(whole, whole.t()), [5.0, 14.0, 14.0, 50.0]);
        let last = whole.columns(1, 2);
        assert_eq!(
            product_scaled(last.t(), last, 2.0),
            [34.0, 44.0, 44.0, 58.0]
        );
    }

    #[test]
    fn blocks_of_columns_are_written_apart() {
        let mut out = vec![1.0f64; 8];
        let a = Mat::new(&[1.0, 2.0], 1);
        let b = Mat::new(&[10.0, 20.0], 2);
        let mut blocks: Vec<_> = MatMut::new(&mut out, 4).split_columns(2).collect();
        multiply(a, b, 1.0, &mut blocks[1], Threads::One);
        multiply_add(a, b, 1.0, &mut blocks[0], Threads::All);
        assert_eq!(out, [11.0, 21.0, 10.0, 20.0, 21.0, 41.0, 20.0, 40.0]);
    }

    #[test]
    fn empty_products_are_zero() {
        let none: &[f64] = &[];
        assert!(product(Mat::new(none, 3), Mat::new(&[1.0; 6], 2)).is_empty());
        assert_eq!(product(Mat::new(none, 2).t(), Mat::new(none, 2)), [0.0; 4]);
        assert_eq!(MatMut::new(&mut [0.0f64; 0], 4).split_columns(2).count(), 2);
    }
}
