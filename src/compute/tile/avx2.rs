//! The kernel of AVX2 with FMA.

use super::Tile;
use std::arch::asm;
use std::arch::x86_64::{
    __m256, __m256i, _mm256_add_ps, _mm256_cmpgt_epi32, _mm256_maskload_ps, _mm256_maskstore_ps,
    _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32, _mm256_setzero_ps,
};

/// Rows of the right operand that are fetched ahead.
const AHEAD: usize = 16;

/// Most rows of a tile: with two registers each, 12 of the 16 registers accumulate.
pub const ROWS: usize = 6;

/// Columns of a tile: two registers.
pub const COLUMNS: usize = 16;

/// Values in a register.
const LANES: usize = 8;

/// Whether this processor has the instructions.
#[cfg(test)]
pub fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

impl Tile {
    /// Computes `rows` rows, at most [`ROWS`].
    ///
    /// # Safety
    ///
    /// [`available`] must have said yes, and all elements that the sizes name must lie inside
    /// their allocations, those of the result without another reader or writer, those of the right
    /// operand with the rest of [`COLUMNS`] in each row.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn run_avx2(self, rows: usize) {
        macro_rules! by_rows {
            ($($n:literal)*) => {
                match rows {
                    // SAFETY: passed on.
                    $($n => unsafe { self.rows_avx2::<$n>() },)*
                    _ => debug_assert!(rows == 0, "a tile of {rows} rows"),
                }
            };
        }
        debug_assert!(!self.pairs, "products of pairs need AVX-512");
        by_rows!(1 2 3 4 5 6);
    }

    /// Multiplies and stores `R` rows.
    ///
    /// # Safety
    ///
    /// As [`Self::run_avx2`].
    #[target_feature(enable = "avx2,fma")]
    unsafe fn rows_avx2<const R: usize>(self) {
        let sums = if self.inner == 0 {
            [[_mm256_setzero_ps(); 2]; ROWS]
        } else {
            // SAFETY: passed on.
            unsafe { self.sums_avx2::<R>() }
        };
        let scale = _mm256_set1_ps(self.scale);
        let masks = [mask(self.columns), mask(self.columns.saturating_sub(LANES))];
        for (r, sum) in sums.iter().enumerate().take(R) {
            for (half, (&sum, mask)) in sum.iter().zip(masks).enumerate() {
                // SAFETY: the caller vouches for the result; masked lanes are not touched.
                unsafe {
                    let out = self.out.0.add(r * self.out.1).wrapping_add(LANES * half);
                    let mut value = _mm256_mul_ps(sum, scale);
                    if self.accumulate {
                        value = _mm256_add_ps(_mm256_maskload_ps(out, mask), value);
                    }
                    _mm256_maskstore_ps(out, mask, value);
                }
            }
        }
    }

    /// The sums of `R` rows over the inner dimension, which is not empty. In assembly, as those of
    /// AVX-512 and for the same reason.
    ///
    /// # Safety
    ///
    /// As [`Self::run_avx2`].
    #[target_feature(enable = "avx2,fma")]
    unsafe fn sums_avx2<const R: usize>(self) -> [[__m256; 2]; ROWS] {
        let mut s = [[_mm256_setzero_ps(); 2]; ROWS];
        let size = size_of::<f32>();
        let (left, row, step) = self.left;
        macro_rules! sum {
            ($($row:expr),*) => {
                asm!(
                    "2:",
                    "vmovups ymm12, [{right}]",
                    "vmovups ymm13, [{right} + 32]",
                    "prefetcht0 [{right} + {ahead}]",
                    $($row,)*
                    "add {a}, {step}",
                    "add {b}, {step}",
                    "add {right}, {next}",
                    "dec {inner}",
                    "jnz 2b",
                    "/* {row} */",
                    // One register points at three rows.
                    a = inout(reg) left => _,
                    b = inout(reg) left.wrapping_add(3 * row) => _,
                    right = inout(reg) self.right.0 => _,
                    inner = inout(reg) self.inner => _,
                    row = in(reg) row * size,
                    step = in(reg) step * size,
                    next = in(reg) self.right.1 * size,
                    ahead = in(reg) AHEAD * self.right.1 * size,
                    inout("ymm0") s[0][0], inout("ymm1") s[0][1],
                    inout("ymm2") s[1][0], inout("ymm3") s[1][1],
                    inout("ymm4") s[2][0], inout("ymm5") s[2][1],
                    inout("ymm6") s[3][0], inout("ymm7") s[3][1],
                    inout("ymm8") s[4][0], inout("ymm9") s[4][1],
                    inout("ymm10") s[5][0], inout("ymm11") s[5][1],
                    out("ymm12") _, out("ymm13") _, out("ymm14") _,
                    options(nostack, readonly),
                )
            };
        }
        // Adds up from two registers of the right operand's row, in ymm12 and ymm13.
        macro_rules! row {
            ($left:literal, $low:literal, $high:literal) => {
                concat!(
                    "vbroadcastss ymm14, dword ptr [",
                    $left,
                    "]\n",
                    "vfmadd231ps ymm",
                    $low,
                    ", ymm14, ymm12\n",
                    "vfmadd231ps ymm",
                    $high,
                    ", ymm14, ymm13"
                )
            };
        }
        macro_rules! by_rows {
            ($([$($left:literal $low:literal $high:literal),*] $n:literal)*) => {
                match R {
                    // SAFETY: the loads are those of the operands' elements, for all of which
                    // the caller vouches; a prefetch reads none.
                    $($n => unsafe { sum!($(row!($left, $low, $high)),*) },)*
                    _ => debug_assert!(R == 0, "a tile of {R} rows"),
                }
            };
        }
        by_rows!(
            ["{a}" 0 1] 1
            ["{a}" 0 1,
             "{a} + {row}" 2 3] 2
            ["{a}" 0 1,
             "{a} + {row}" 2 3,
             "{a} + {row}*2" 4 5] 3
            ["{a}" 0 1,
             "{a} + {row}" 2 3,
             "{a} + {row}*2" 4 5,
             "{b}" 6 7] 4
            ["{a}" 0 1,
             "{a} + {row}" 2 3,
             "{a} + {row}*2" 4 5,
             "{b}" 6 7,
             "{b} + {row}" 8 9] 5
            ["{a}" 0 1,
             "{a} + {row}" 2 3,
             "{a} + {row}*2" 4 5,
             "{b}" 6 7,
             "{b} + {row}" 8 9,
             "{b} + {row}*2" 10 11] 6
        );
        s
    }
}

/// The first `count` lanes; all where there are more.
#[target_feature(enable = "avx2")]
fn mask(count: usize) -> __m256i {
    let count = _mm256_set1_epi32(count.min(LANES) as i32);
    _mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}
