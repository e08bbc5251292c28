//! A frozen matrix laid out once for many products.

#[cfg(target_arch = "x86_64")]
pub use super::amx::Right as Tiles;
use super::bf16::Precision;
use super::matrix::{Mat, MatMut, Threads, multiply, multiply_add};
use super::real::Real;
use std::ops::Range;

/// There are no such registers.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Debug)]
pub enum Tiles {}

/// Bytes of the matrix that are multiplied with all rows before the next: they stay in a core's
/// own cache.
const GROUP: usize = 512 * 1024;

/// The right operand of products, `[inner, columns]`.
#[derive(Debug)]
pub struct Packed<T> {
    inner: usize,
    columns: usize,
    layout: Layout<T>,
}

#[derive(Debug)]
enum Layout<T> {
    /// For products of vectors.
    Panels(Panels<T>),
    /// For products of matrix registers.
    Tiles(Tiles),
}

/// Panels of columns one after the other, each row by row.
#[derive(Debug)]
struct Panels<T> {
    inner: usize,
    /// Columns of a panel.
    width: usize,
    data: Vec<T>,
    /// Where in `data` the first panel begins, so that it lies on a cache line.
    start: usize,
    /// What an element is.
    element: Element,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    /// A value.
    Value,
    /// A value rounded to bf16.
    Rounded,
    /// Two values of one column, one below the other, rounded to bf16.
    Pair,
}

impl Element {
    fn of<T: Real>(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::Value,
            Precision::Bf16 if T::has_pairs() => Self::Pair,
            Precision::Bf16 => Self::Rounded,
        }
    }

    /// Values in an element.
    fn size(self) -> usize {
        if self == Self::Pair { 2 } else { 1 }
    }
}

impl<T: Real> Packed<T> {
    /// Lays out `matrix` for products of this precision.
    pub fn new(matrix: Mat<'_, T>, precision: Precision) -> Self {
        Self {
            inner: matrix.rows(),
            columns: matrix.width(),
            layout: match T::tiles(matrix, precision) {
                Some(tiles) => Layout::Tiles(tiles),
                None => Layout::Panels(Panels::new(matrix, precision)),
            },
        }
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Whether a product can stop and start at this row and column.
    pub fn splits_at(&self, at: usize) -> bool {
        match &self.layout {
            Layout::Panels(panels) => at.is_multiple_of(panels.width) && at.is_multiple_of(2),
            Layout::Tiles(tiles) => T::tiles_split_at(tiles, at),
        }
    }

    /// `out = a b`, or `out += a b`, on this thread, with b the rows `inner` and the columns
    /// `columns` of this matrix. `after` is handed each row of the result in parts, with the
    /// numbers of the row and of the part's first column in `out`, while it is in cache. The
    /// shapes must fit, and parts of the matrix begin and end where it splits.
    pub fn multiply(
        &self,
        a: Mat<'_, T>,
        inner: Range<usize>,
        columns: Range<usize>,
        accumulate: bool,
        out: &mut MatMut<'_, T>,
        after: impl FnMut(usize, usize, &mut [T]),
    ) {
        debug_assert!(inner.end <= self.inner && columns.end <= self.columns);
        debug_assert!(self.splits_at(columns.start) && a.width() == inner.len());
        match &self.layout {
            Layout::Panels(panels) => panels.multiply(a, inner, columns, accumulate, out, after),
            Layout::Tiles(tiles) => {
                T::multiply_tiles(tiles, a, (inner, columns), accumulate, out, after);
            }
        }
    }
}

impl<T: Real> Panels<T> {
    fn new(matrix: Mat<'_, T>, precision: Precision) -> Self {
        let element = Element::of::<T>(precision);
        let values = match element {
            Element::Value => matrix.copied(),
            Element::Rounded => rounded(matrix),
            // Pairs lie along the columns here and along the rows of the transpose.
            Element::Pair => {
                let pairs = T::pairs(matrix.t());
                let columns = matrix.rows().div_ceil(2);
                Mat::new(&pairs, columns).t().copied()
            }
        };
        let columns = matrix.width();
        let matrix = Mat::new(&values, columns);
        let inner = matrix.rows();
        let width = T::tile().map_or(columns, |(_, width)| width).max(1);
        let panels = columns.div_ceil(width);
        let line = 64 / size_of::<T>();
        let mut data = vec![T::zero(); panels * inner * width + line];
        let start = data.as_ptr().align_offset(64).min(line);
        for p in 0..panels {
            let left = p * width;
            let used = width.min(columns - left);
            let rows = data[start + p * inner * width..].chunks_exact_mut(width);
            for (i, row) in rows.take(inner).enumerate() {
                for (j, x) in row[..used].iter_mut().enumerate() {
                    *x = matrix.at(i, left + j);
                }
            }
        }
        Self {
            inner,
            width,
            data,
            start,
            element,
        }
    }

    fn multiply(
        &self,
        a: Mat<'_, T>,
        inner: Range<usize>,
        columns: Range<usize>,
        accumulate: bool,
        out: &mut MatMut<'_, T>,
        mut after: impl FnMut(usize, usize, &mut [T]),
    ) {
        let values = match self.element {
            Element::Value => Vec::new(),
            Element::Rounded => rounded(a),
            Element::Pair => T::pairs(a),
        };
        let size = self.element.size();
        let inner = inner.start / size..inner.end.div_ceil(size);
        let a = match self.element {
            Element::Value => a,
            _ => Mat::new(&values, inner.len()),
        };
        let rows = a.rows().min(out.rows());
        let height = T::tile().map_or(rows, |(height, _)| height);
        let panels = columns.start / self.width..columns.end.div_ceil(self.width);
        let group = (GROUP / (inner.len() * self.width * size_of::<T>()).max(1)).max(1);
        for first in panels.clone().step_by(group) {
            let group = first..(first + group).min(panels.end);
            for top in (0..rows).step_by(height.max(1)) {
                let rows = top..(top + height).min(rows);
                let a = a.narrow(rows.start, rows.len());
                for p in group.clone() {
                    let left = p * self.width;
                    let right = (left + self.width).min(columns.end);
                    let columns = left - columns.start..right - columns.start;
                    let mut out = out.part(rows.clone(), columns);
                    let b = self.panel(p, inner.clone()).columns(0, right - left);
                    match (self.element, accumulate) {
                        (Element::Pair, _) => T::multiply_pairs(a, b, &mut out, accumulate),
                        (_, true) => multiply_add(a, b, T::one(), &mut out, Threads::One),
                        (_, false) => multiply(a, b, T::one(), &mut out, Threads::One),
                    }
                }
                let left = group.start * self.width - columns.start;
                let right = (group.end * self.width).min(columns.end) - columns.start;
                let mut part = out.part(rows.clone(), left..right);
                for (i, row) in rows.enumerate() {
                    after(row, left, part.row(i));
                }
            }
        }
    }

    /// Rows `inner` of a panel.
    fn panel(&self, p: usize, inner: Range<usize>) -> Mat<'_, T> {
        let start = self.start + (p * self.inner + inner.start) * self.width;
        let end = start + inner.len() * self.width;
        Mat::new(&self.data[start..end], self.width)
    }
}

/// The elements rounded to bf16, row by row.
fn rounded<T: Real>(x: Mat<'_, T>) -> Vec<T> {
    let exact = x.copied();
    let mut out = vec![T::zero(); exact.len()];
    T::round_to_bf16(&exact, &mut out);
    out
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
            let packed = Packed::new(b, Precision::F32);
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
        let packed = Packed::new(b, Precision::F32);
        if !packed.splits_at(32) {
            return;
        }
        let mut out = vec![0.0; 6 * 20];
        let mut view = MatMut::new(&mut out, 20);
        packed.multiply(a, 0..10, 32..52, false, &mut view, |row, left, part| {
            assert!(left == 0 && part.len() == 20);
            part[0] += row as f32;
        });
        let mut expected = product(a, b.narrow(0, 10).columns(32, 20));
        for (row, x) in expected.iter_mut().step_by(20).enumerate() {
            *x += row as f32;
        }
        assert_eq!(out, expected);
    }

    #[test]
    fn bf16_rounds_both_operands() {
        let (a, b) = ([1.0f32 + 1e-4, 3.0], [1.0f32, 2.0 + 1e-4]);
        let packed = Packed::new(Mat::new(&b, 1), Precision::Bf16);
        let mut out = [0.0];
        let mut view = MatMut::new(&mut out, 1);
        packed.multiply(Mat::new(&a, 2), 0..2, 0..1, false, &mut view, |_, _, _| {});
        assert_eq!(out, [7.0]);
    }
}
