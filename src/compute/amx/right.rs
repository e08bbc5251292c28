//! The operands' layouts, and the order in which they are multiplied.

use super::super::bf16::{SPLIT, split};
use super::super::matrix::{Mat, MatMut};
use super::block::{self, Operands};
use super::{BLOCK, TILE, VALUES, available};
use std::cell::RefCell;
use std::ops::Range;

/// Rows and inner length of the left operand that are laid out at a time: it stays in a core's
/// own cache, beside as much of the right one and of the result.
const ROWS: usize = 256;
const INNER: usize = 12 * SPLIT;

/// Bytes of the right operand that are multiplied with these rows before the next.
const GROUP: usize = 256 * 1024;

/// Memory on cache lines.
#[derive(Debug, Default)]
struct Lines {
    data: Vec<u16>,
    start: usize,
}

impl Lines {
    fn resize(&mut self, len: usize) -> &mut [u16] {
        if self.data.len() < len + SPLIT {
            self.data = vec![0; len + SPLIT];
            self.start = self.data.as_ptr().align_offset(64).min(SPLIT);
        }
        &mut self.data[self.start..self.start + len]
    }

    fn get(&self) -> &[u16] {
        &self.data[self.start..]
    }
}
/// The right operand of products, `[inner, columns]`, laid out for the registers.
///
/// Blocks of 32 columns one after the other; in each, for every 32 rows, each part's two
/// registers, 16 columns each, pairs of rows side by side. What is missing at the edges is zero.
#[derive(Debug)]
pub struct Right {
    inner: usize,
    parts: usize,
    lines: Lines,
}

impl Right {
    /// Lays out `matrix` in `parts` parts, 1 or 3; none where there are no such registers.
    pub fn new(matrix: Mat<'_, f32>, parts: usize) -> Option<Self> {
        if !available() {
            return None;
        }
        let (inner, columns) = (matrix.rows(), matrix.width());
        let steps = inner.div_ceil(SPLIT);
        let mut lines = Lines::default();
        let registers = columns.div_ceil(BLOCK) * steps * parts * 2;
        let data = lines.resize(registers * VALUES);
        for (i, data) in data.chunks_exact_mut(parts * 2 * VALUES).enumerate() {
            let (left, top) = (i / steps * BLOCK, i % steps * SPLIT);
            for column in 0..BLOCK.min(columns - left) {
                let x = std::array::from_fn(|row| match top + row < inner {
                    true => matrix.at(top + row, left + column),
                    false => 0.0,
                });
                let mut split_up = [[0; SPLIT]; 3];
                split(&x, &mut split_up[..parts]);
                for (part, values) in split_up[..parts].iter().enumerate() {
                    let register = part * 2 + column / TILE;
                    for (row, &value) in values.iter().enumerate() {
                        let at = row / 2 * SPLIT + column % TILE * 2 + row % 2;
                        data[register * VALUES + at] = value;
                    }
                }
            }
        }
        Some(Self {
            inner,
            parts,
            lines,
        })
    }

    /// Whether a product can start at this row.
    pub fn splits_at(&self, row: usize) -> bool {
        row.is_multiple_of(SPLIT)
    }

    /// `out = a b`, or `out += a b`, on this thread, with b the rows `inner` and the columns
    /// `columns` of this operand, each beginning at a multiple of 32 and, but for the last,
    /// ending at one. `after` is handed each row of the result in parts, with the numbers of the
    /// row and of the part's first column in `out`.
    pub fn multiply(
        &self,
        a: Mat<'_, f32>,
        inner: Range<usize>,
        columns: Range<usize>,
        accumulate: bool,
        out: &mut MatMut<'_, f32>,
        mut after: impl FnMut(usize, usize, &mut [f32]),
    ) {
        thread_local! {
            static LEFT: RefCell<Lines> = RefCell::default();
        }
        let rows = a.rows().min(out.rows());
        let blocks = columns.start / BLOCK..columns.end.div_ceil(BLOCK);
        // Registers of a step, and of all steps of a block of columns.
        let step = self.parts * 2 * VALUES;
        let size = self.inner.div_ceil(SPLIT) * step;
        LEFT.with_borrow_mut(|lines| {
            // SAFETY: there are the registers, as this operand was made.
            unsafe { block::configure() };
            for top in (0..rows).step_by(ROWS) {
                let rows = top..(top + ROWS).min(rows);
                let a_blocks = rows.len().div_ceil(BLOCK);
                for from in inner.clone().step_by(INNER) {
                    let part = from..(from + INNER).min(inner.end);
                    let steps = part.len().div_ceil(SPLIT);
                    let a = a
                        .narrow(top, rows.len())
                        .columns(from - inner.start, part.len());
                    let left = lines.resize(a_blocks * steps * step);
                    pack_left(a, rows.len(), steps, self.parts, left);
                    let (left, height) = (lines.get(), steps * step);
                    let group = (GROUP / (height * size_of::<u16>()).max(1)).max(1);
                    for first in blocks.clone().step_by(group) {
                        let group = first..(first + group).min(blocks.end);
                        for i in 0..a_blocks {
                            let top = rows.start + i * BLOCK;
                            let rows = top..(top + BLOCK).min(rows.end);
                            for p in group.clone() {
                                let start = p * size + from / SPLIT * step;
                                // What follows, of which each block of rows fetches its share.
                                let next = match p + group.len() < blocks.end {
                                    true => start + group.len() * size,
                                    false => blocks.start * size + from / SPLIT * step + height,
                                };
                                let share =
                                    (height * size_of::<u16>() / 64).div_ceil(a_blocks * steps);
                                let ahead = self.lines.get().as_ptr().wrapping_add(next);
                                let ahead = ahead.wrapping_byte_add(i * steps * share * 64);
                                let operands = Operands {
                                    left: &left[i * height..(i + 1) * height],
                                    right: &self.lines.get()[start..start + height],
                                    steps,
                                    parts: self.parts,
                                    ahead: (ahead, share),
                                };
                                let end = ((p + 1) * BLOCK).min(columns.end) - columns.start;
                                let columns = p * BLOCK - columns.start..end;
                                let mut out = out.part(rows.clone(), columns);
                                // SAFETY: they are configured.
                                unsafe {
                                    operands.block(accumulate || from > inner.start, &mut out);
                                }
                            }
                            if part.end < inner.end {
                                continue;
                            }
                            let end = (group.end * BLOCK).min(columns.end) - columns.start;
                            let start = group.start * BLOCK - columns.start;
                            let mut part = out.part(rows.clone(), start..end);
                            for (i, row) in rows.enumerate() {
                                after(row, start, part.row(i));
                            }
                        }
                    }
                }
            }
            // SAFETY: the registers are not used from here on.
            unsafe { block::release() };
        });
    }
}
/// Lays out the left operand: blocks of 32 rows one after the other; in each, for every 32
/// columns, each part's two registers, 16 rows each. What is missing at the edges is zero.
fn pack_left(a: Mat<'_, f32>, rows: usize, steps: usize, parts: usize, out: &mut [u16]) {
    let width = a.width();
    let mut x = [0.0; SPLIT];
    let mut split_up = [[0; SPLIT]; 3];
    for row in 0..rows.next_multiple_of(BLOCK) {
        for step in 0..steps {
            let left = step * SPLIT;
            let columns = SPLIT.min(width - left);
            if row >= rows {
                x.fill(0.0);
            } else if let Some(values) = a.slice_of_row(row, left, columns) {
                x[..columns].copy_from_slice(values);
                x[columns..].fill(0.0);
            } else {
                x = std::array::from_fn(|j| {
                    if j < columns {
                        a.at(row, left + j)
                    } else {
                        0.0
                    }
                });
            }
            split(&x, &mut split_up[..parts]);
            let block = (row / BLOCK * steps + step) * parts * 2;
            for (part, values) in split_up[..parts].iter().enumerate() {
                let register = block + part * 2 + row % BLOCK / TILE;
                let start = register * VALUES + row % TILE * SPLIT;
                out[start..start + SPLIT].copy_from_slice(values);
            }
        }
    }
}
