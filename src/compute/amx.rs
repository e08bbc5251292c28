//! Matrix products by Intel's AMX: sixteen by sixteen results at a time, from parts of operands in
//! bf16.
//!
//! With operands in three parts the products are as exact as those of f32 and twice as fast as
//! with AVX-512; with one part they are those of bf16, several times as fast again. Sums run along
//! the inner dimension, so an element's bits depend neither on where it stands nor on the sizes
//! of the operands.

use super::bf16::{SPLIT, split};
use super::matrix::{Mat, MatMut};
use std::arch::asm;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::OnceLock;

/// Rows and columns of a register's results.
const TILE: usize = 16;

/// Rows and columns of results computed at a time: two registers by two.
const BLOCK: usize = 2 * TILE;

/// bf16 values in a register.
const VALUES: usize = TILE * SPLIT;

/// Rows and inner length of the left operand that are laid out at a time: it stays in a core's
/// own cache, beside as much of the right one and of the result.
const ROWS: usize = 256;
const INNER: usize = 12 * SPLIT;

/// Bytes of the right operand that are multiplied with these rows before the next.
const GROUP: usize = 256 * 1024;

/// Whether this processor and system have the instructions; asks the system for their use.
pub fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_instructions() && may_use())
}

fn has_instructions() -> bool {
    if !is_x86_feature_detected!("avx512f") {
        return false;
    }
    // Leaf 7: bit 22 says AMX-BF16, bit 24 the tiles themselves.
    let leaf = std::arch::x86_64::__cpuid_count(7, 0);
    leaf.edx >> 22 & 1 == 1 && leaf.edx >> 24 & 1 == 1
}

/// Linux gives a process the tiles' registers only when asked (`Documentation/arch/x86/xstate`).
#[cfg(target_os = "linux")]
fn may_use() -> bool {
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    const ARCH_PRCTL: usize = 158;
    let result: isize;
    // SAFETY: the call changes nothing but the permission.
    unsafe {
        asm!(
            "syscall",
            inout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn may_use() -> bool {
    false
}

/// The shape of all eight registers: 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Shapes([u8; 64]);

impl Shapes {
    const ALL: Self = {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let mut i = 0;
        while i < 8 {
            bytes[16 + 2 * i] = 64;
            bytes[48 + i] = TILE as u8;
            i += 1;
        }
        Self(bytes)
    };
}

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
    /// Lays out `matrix` in `parts` parts, 1 or 3.
    pub fn new(matrix: Mat<'_, f32>, parts: usize) -> Self {
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
        Self {
            inner,
            parts,
            lines,
        }
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
            // SAFETY: there are the registers, as whoever made this operand has asked.
            unsafe { asm!("ldtilecfg [{0}]", in(reg) &Shapes::ALL, options(nostack, readonly)) };
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
                                operands.block(accumulate || from > inner.start, &mut out);
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
            unsafe { asm!("tilerelease", options(nomem, nostack)) };
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

/// The operands of one block of the result: `steps * parts * 2` registers each.
struct Operands<'a> {
    left: &'a [u16],
    right: &'a [u16],
    steps: usize,
    /// 1 or 3.
    parts: usize,
    /// What will be needed next, and how many lines of it to fetch in each step. The processor
    /// does not see far enough ahead by itself.
    ahead: (*const u16, usize),
}

impl Operands<'_> {
    fn block(&self, accumulate: bool, out: &mut MatMut<'_, f32>) {
        if (out.rows(), out.width()) == (BLOCK, BLOCK) {
            // SAFETY: the result is 32 by 32.
            unsafe { self.run(accumulate, out.as_mut_ptr(), out.stride()) };
            return;
        }
        let mut whole = [0f32; BLOCK * BLOCK];
        // SAFETY: as above.
        unsafe { self.run(false, whole.as_mut_ptr(), BLOCK) };
        for (i, whole) in whole.chunks_exact(BLOCK).take(out.rows()).enumerate() {
            for (o, &x) in out.row(i).iter_mut().zip(whole) {
                *o = if accumulate { *o + x } else { x };
            }
        }
    }

    /// Multiplies the registers of all steps and stores the 32 by 32 results.
    ///
    /// # Safety
    ///
    /// The registers must be configured and `out` be 32 rows of 32 values that lie `stride` apart,
    /// without another reader or writer.
    unsafe fn run(&self, accumulate: bool, out: *mut f32, stride: usize) {
        debug_assert!(self.left.len() == self.steps * self.parts * 2 * VALUES);
        debug_assert!(self.right.len() == self.left.len());
        let stride = stride * size_of::<f32>();
        let below = out.wrapping_byte_add(TILE * stride);
        // SAFETY: as the caller vouches; tmm0 to tmm3 hold the results, no code of the compiler's
        // uses these registers.
        unsafe {
            if accumulate {
                asm!(
                    "tileloadd tmm0, [{out} + {stride}*1]",
                    "tileloadd tmm1, [{out} + {stride}*1 + 64]",
                    "tileloadd tmm2, [{below} + {stride}*1]",
                    "tileloadd tmm3, [{below} + {stride}*1 + 64]",
                    out = in(reg) out, below = in(reg) below, stride = in(reg) stride,
                    options(nostack, readonly),
                );
            } else {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    options(nomem, nostack),
                );
            }
            // Adds the products of two registers of each operand.
            macro_rules! products {
                () => {
                    "tdpbf16ps tmm0, tmm4, tmm6\n\
                     tdpbf16ps tmm1, tmm4, tmm7\n\
                     tdpbf16ps tmm2, tmm5, tmm6\n\
                     tdpbf16ps tmm3, tmm5, tmm7"
                };
            }
            if self.steps == 0 {
            } else if self.parts == 1 {
                asm!(
                    "2:",
                    "tileloadd tmm4, [{a} + {line}*1]",
                    "tileloadd tmm5, [{a} + {line}*1 + 1024]",
                    "tileloadd tmm6, [{b} + {line}*1]",
                    "tileloadd tmm7, [{b} + {line}*1 + 1024]",
                    products!(),
                    "test {count}, {count}",
                    "jz 4f",
                    "mov {lines}, {count}",
                    "3:",
                    "prefetcht1 [{ahead}]",
                    "add {ahead}, 64",
                    "dec {lines}",
                    "jnz 3b",
                    "4:",
                    "add {a}, 2048",
                    "add {b}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    a = inout(reg) self.left.as_ptr() => _,
                    b = inout(reg) self.right.as_ptr() => _,
                    steps = inout(reg) self.steps => _,
                    line = in(reg) 64usize,
                    ahead = inout(reg) self.ahead.0 => _,
                    count = in(reg) self.ahead.1,
                    lines = out(reg) _,
                    options(nostack, readonly),
                );
            } else {
                // Parts 1 1, 1 2, 2 2, 2 1, 3 1 and 1 3: the others are below the last bit of f32.
                asm!(
                    "2:",
                    "tileloadd tmm4, [{a} + {line}*1]",
                    "tileloadd tmm5, [{a} + {line}*1 + 1024]",
                    "tileloadd tmm6, [{b} + {line}*1]",
                    "tileloadd tmm7, [{b} + {line}*1 + 1024]",
                    products!(),
                    "tileloadd tmm6, [{b} + {line}*1 + 2048]",
                    "tileloadd tmm7, [{b} + {line}*1 + 3072]",
                    products!(),
                    "tileloadd tmm4, [{a} + {line}*1 + 2048]",
                    "tileloadd tmm5, [{a} + {line}*1 + 3072]",
                    products!(),
                    "tileloadd tmm6, [{b} + {line}*1]",
                    "tileloadd tmm7, [{b} + {line}*1 + 1024]",
                    products!(),
                    "tileloadd tmm4, [{a} + {line}*1 + 4096]",
                    "tileloadd tmm5, [{a} + {line}*1 + 5120]",
                    products!(),
                    "tileloadd tmm4, [{a} + {line}*1]",
                    "tileloadd tmm5, [{a} + {line}*1 + 1024]",
                    "tileloadd tmm6, [{b} + {line}*1 + 4096]",
                    "tileloadd tmm7, [{b} + {line}*1 + 5120]",
                    products!(),
                    "test {count}, {count}",
                    "jz 4f",
                    "mov {lines}, {count}",
                    "3:",
                    "prefetcht1 [{ahead}]",
                    "add {ahead}, 64",
                    "dec {lines}",
                    "jnz 3b",
                    "4:",
                    "add {a}, 6144",
                    "add {b}, 6144",
                    "dec {steps}",
                    "jnz 2b",
                    a = inout(reg) self.left.as_ptr() => _,
                    b = inout(reg) self.right.as_ptr() => _,
                    steps = inout(reg) self.steps => _,
                    line = in(reg) 64usize,
                    ahead = inout(reg) self.ahead.0 => _,
                    count = in(reg) self.ahead.1,
                    lines = out(reg) _,
                    options(nostack, readonly),
                );
            }
            asm!(
                "tilestored [{out} + {stride}*1], tmm0",
                "tilestored [{out} + {stride}*1 + 64], tmm1",
                "tilestored [{below} + {stride}*1], tmm2",
                "tilestored [{below} + {stride}*1 + 64], tmm3",
                out = in(reg) out, below = in(reg) below, stride = in(reg) stride,
                options(nostack),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::matrix::product;
    use super::super::random::Stream;
    use super::*;

    fn normal(item: &str, n: usize) -> Vec<f32> {
        let mut stream = Stream::new(1, "test", item);
        (0..n).map(|_| stream.normal() as f32).collect()
    }

    /// The largest error against f64, over the size of the operands' rows and columns.
    fn error(found: &[f32], a: &[f32], b: &[f32], (k, n): (usize, usize)) -> f64 {
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (a, b) = (wide(a), wide(b));
        let expected = product(Mat::new(&a, k), Mat::new(&b, n));
        let errors = found
            .iter()
            .zip(expected)
            .map(|(f, e)| (f64::from(*f) - e).abs());
        errors.fold(0.0, f64::max) / (k as f64).sqrt()
    }

    #[test]
    fn three_parts_are_as_exact_as_f32() {
        if !available() {
            return;
        }
        for (m, n, k) in [(1, 1, 1), (33, 70, 45), (64, 96, 384), (50, 32, 1000)] {
            let (a, b) = (normal("a", m * k), normal("b", k * n));
            let right = Right::new(Mat::new(&b, n), 3);
            let mut out = vec![0.0; m * n];
            let mut view = MatMut::new(&mut out, n);
            right.multiply(Mat::new(&a, k), 0..k, 0..n, false, &mut view, |_, _, _| {});
            let plain = product(Mat::new(&a, k), Mat::new(&b, n));
            let (found, f32s) = (error(&out, &a, &b, (k, n)), error(&plain, &a, &b, (k, n)));
            assert!(
                found < 2.0 * f32s.max(1e-7),
                "{m} {n} {k}: {found}, f32 {f32s}"
            );

            let mut view = MatMut::new(&mut out, n);
            right.multiply(
                Mat::new(&a, k),
                0..k,
                0..n,
                true,
                &mut view,
                |_, _, part| {
                    for x in part {
                        *x *= 0.5;
                    }
                },
            );
            assert!(error(&out, &a, &b, (k, n)) < 2.0 * f32s.max(1e-7));
        }
    }

    #[test]
    fn one_part_is_the_product_of_rounded_operands() {
        if !available() {
            return;
        }
        let (m, n, k) = (40, 64, 96);
        let (a, b) = (normal("a", m * k), normal("b", k * n));
        let mut out = vec![0.0; m * n];
        let mut view = MatMut::new(&mut out, n);
        let right = Right::new(Mat::new(&b, n), 1);
        right.multiply(Mat::new(&a, k), 0..k, 0..n, false, &mut view, |_, _, _| {});
        let round = |x: &[f32]| {
            let mut out = vec![0.0; x.len()];
            super::super::bf16::rounded(x, &mut out);
            out
        };
        assert!(error(&out, &round(&a), &round(&b), (k, n)) < 1e-6);
    }

    #[test]
    fn parts_of_the_operand_multiply_alone() {
        if !available() {
            return;
        }
        let (m, n, k) = (20, 96, 128);
        let (a, b) = (normal("a", m * 64), normal("b", k * n));
        let right = Right::new(Mat::new(&b, n), 3);
        let mut out = vec![0.0; m * 50];
        let mut view = MatMut::new(&mut out, 50);
        right.multiply(
            Mat::new(&a, 64),
            32..96,
            32..82,
            false,
            &mut view,
            |_, _, _| {},
        );
        let cut = Mat::new(&b, n).narrow(32, 64).columns(32, 50).copied();
        assert!(error(&out, &a, &cut, (64, 50)) < 1e-6);
    }
}
