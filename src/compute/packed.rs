//! A frozen matrix laid out once for many products.

use super::matrix::{Mat, MatMut, Threads, multiply, multiply_add};
use super::real::Real;
use std::ops::Range;

/// Bytes of the matrix that are multiplied with all rows before the next: they stay in a core's
/// own cache.
const GROUP: usize = 512 * 1024;

/// The right operand of products, `[inner, columns]`, in panels of columns one after the other,
/// each row by row.
#[derive(Debug)]
pub struct Packed<T> {
    inner: usize,
    columns: usize,
    /// Columns of a panel.
    panel: usize,
    data: Vec<T>,
    /// Where in `data` the first panel begins, so that it lies on a cache line.
    start: usize,
}

impl<T: Real> Packed<T> {
    /// Lays out `matrix`.
    pub fn new(matrix: Mat<'_, T>) -> Self {
        let (inner, columns) = (matrix.rows(), matrix.width());
        let panel = T::PANEL.filter(|_| T::tiled()).unwrap_or(columns).max(1);
        let panels = columns.div_ceil(panel);
        let line = 64 / size_of::<T>();
        let mut data = vec![T::zero(); panels * inner * panel + line];
        let start = data.as_ptr().align_offset(64).min(line);
        for p in 0..panels {
            let left = p * panel;
            let width = panel.min(columns - left);
            let rows = data[start + p * inner * panel..].chunks_exact_mut(panel);
            for (i, row) in rows.take(inner).enumerate() {
                for (j, x) in row[..width].iter_mut().enumerate() {
                    *x = matrix.at(i, left + j);
                }
            }
        }
        Self {
            inner,
            columns,
            panel,
            data,
            start,
        }
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Whether a product can stop and start at this column.
    pub fn splits_at(&self, column: usize) -> bool {
        column.is_multiple_of(self.panel)
    }

    /// `out = a b`, or `out += a b`, on this thread, with b the rows `inner` and the columns
    /// `columns` of this matrix. `after` is handed each row of the result in parts, with the
    /// numbers of the row and of the part's first column in `out`, while it is in cache. The
    /// shapes must fit, and `columns` begin where the matrix splits.
    pub fn multiply(
        &self,
        a: Mat<'_, T>,
        inner: Range<usize>,
        columns: Range<usize>,
        accumulate: bool,
        out: &mut MatMut<'_, T>,
        mut after: impl FnMut(usize, usize, &mut [T]),
    ) {
        debug_assert!(inner.end <= self.inner && columns.end <= self.columns);
        debug_assert!(self.splits_at(columns.start) && a.width() == inner.len());
        let rows = a.rows().min(out.rows());
        let height = if T::tiled() { T::TILE_ROWS } else { rows };
        let panels = columns.start / self.panel..columns.end.div_ceil(self.panel);
        let group = (GROUP / (inner.len() * self.panel * size_of::<T>()).max(1)).max(1);
        for first in panels.clone().step_by(group) {
            let group = first..(first + group).min(panels.end);
            for top in (0..rows).step_by(height.max(1)) {
                let rows = top..(top + height).min(rows);
                let a = a.narrow(rows.start, rows.len());
                for p in group.clone() {
                    let left = p * self.panel;
                    let right = (left + self.panel).min(columns.end);
                    let columns = left - columns.start..right - columns.start;
                    let mut out = out.part(rows.clone(), columns);
                    let b = self.panel(p, inner.clone()).columns(0, right - left);
                    let multiply = if accumulate { multiply_add } else { multiply };
                    multiply(a, b, T::one(), &mut out, Threads::One);
                }
                let left = group.start * self.panel - columns.start;
                let right = (group.end * self.panel).min(columns.end) - columns.start;
                let mut part = out.part(rows.clone(), left..right);
                for (i, row) in rows.enumerate() {
                    after(row, left, part.row(i));
                }
            }
        }
    }

    /// Rows `inner` of a panel.
    fn panel(&self, p: usize, inner: Range<usize>) -> Mat<'_, T> {
        let start = self.start + (p * self.inner + inner.start) * self.panel;
        let end = start + inner.len() * self.panel;
        Mat::new(&self.data[start..end], self.panel)
    }
}

#[cfg(test)]
mod tests {
    use super::super::matrix::product;
    use super::*;

    fn numbers<T: Real>(n: usize, modulus: usize) -> Vec<T> {
        // Small integers: every sum is exact, so that results can be compared to the bit.
        (0..n).map(|i| T::of((i % modulus) as f64 - 3.0)).collect()
    }

    fn agrees<T: Real>() {
        for (m, n, k) in [(1, 1, 1), (15, 70, 9), (30, 96, 40), (5, 33, 600)] {
            let (a, b) = (numbers::<T>(m * k, 7), numbers::<T>(k * n, 11));
            let (a, b) = (Mat::new(&a, k), Mat::new(&b, n));
            let packed = Packed::new(b);
            let mut out = vec![T::one(); m * n];
            let mut seen = 0;
            for accumulate in [false, true] {
                let mut view = MatMut::new(&mut out, n);
                packed.multiply(a, 0..k, 0..n, accumulate, &mut view, |_, _, part| {
                    seen += part.len();
                });
            }
            let twice: Vec<T> = product(a, b).into_iter().map(|x| x + x).collect();
            assert!(out == twice, "{m} {n} {k}");
            assert_eq!(seen, 2 * m * n);
        }
    }

    #[test]
    fn products_agree_with_those_of_plain_matrices() {
        agrees::<f32>();
        agrees::<f64>();
    }

    #[test]
    fn parts_of_the_matrix_multiply_alone() {
        let (a, b) = (numbers::<f32>(6 * 10, 7), numbers::<f32>(20 * 64, 11));
        let (a, b) = (Mat::new(&a, 10), Mat::new(&b, 64));
        let packed = Packed::new(b);
        if !packed.splits_at(32) {
            return;
        }
        let mut out = vec![0.0; 6 * 20];
        let mut view = MatMut::new(&mut out, 20);
        packed.multiply(a, 5..15, 32..52, false, &mut view, |row, left, part| {
            assert!(left == 0 && part.len() == 20);
            part[0] += row as f32;
        });
        let mut expected = product(a, b.narrow(5, 10).columns(32, 20));
        for (row, x) in expected.iter_mut().step_by(20).enumerate() {
            *x += row as f32;
        }
        assert_eq!(out, expected);
    }
}
