//! Strided views of matrices.

use super::super::real::Real;
use std::marker::PhantomData;
use std::ops::Range;

/// A read-only matrix inside a slice: element (i, j) lies at `i * row + j * column`.
#[derive(Clone, Copy)]
pub struct Mat<'a, T> {
    pub(super) data: &'a [T],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row: usize,
    pub(super) column: usize,
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
    pub(super) data: *mut T,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row: usize,
    pub(super) slice: PhantomData<&'a mut [T]>,
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

    /// The matrix as blocks of at most `height` rows and `width` columns, each with its first row
    /// and column.
    pub fn blocks(
        self,
        height: usize,
        width: usize,
    ) -> impl Iterator<Item = (usize, usize, MatMut<'a, T>)> {
        let (height, width) = (height.max(1), width.max(1));
        let lefts = move |top| {
            (0..self.columns)
                .step_by(width)
                .map(move |left| (top, left))
        };
        let corners = (0..self.rows).step_by(height).flat_map(lefts);
        corners.map(move |(top, left)| {
            let block = MatMut {
                // SAFETY: row `top` and column `left` are inside, and no two blocks overlap.
                data: unsafe { self.data.add(top * self.row + left) },
                rows: height.min(self.rows - top),
                columns: width.min(self.columns - left),
                row: self.row,
                slice: PhantomData,
            };
            (top, left, block)
        })
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

impl<T: Real> Mat<'_, T> {
    /// Its elements, row by row.
    pub fn copied(self) -> Vec<T> {
        let mut out = vec![T::zero(); self.rows * self.columns];
        self.copy_to(&mut out);
        out
    }

    /// Its elements, row by row, each row filled up with zeros to `width`.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn padded(self, width: usize) -> Vec<T> {
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
