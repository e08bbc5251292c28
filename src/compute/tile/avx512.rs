//! The kernel of AVX-512, and of its products of pairs of bf16.

use super::Tile;
use std::arch::asm;
use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_mul_ps,
    _mm512_set1_ps, _mm512_setzero_ps,
};

/// Rows of the right operand that are fetched ahead.
const AHEAD: usize = 24;

/// Most rows of a tile: with two registers each, 28 of the 32 registers accumulate.
pub const ROWS: usize = 14;

/// Columns of a tile: two registers.
pub const COLUMNS: usize = 32;

/// Whether this processor has the instructions.
pub fn available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// Whether this processor multiplies pairs of bf16.
pub fn multiplies_pairs() -> bool {
    available() && is_x86_feature_detected!("avx512bf16")
}

impl Tile {
    /// Computes `rows` rows, at most [`ROWS`].
    ///
    /// # Safety
    ///
    /// [`available`] must have said yes, for pairs [`multiplies_pairs`], and all elements that
    /// the sizes name must lie inside their allocations, those of the result without another
    /// reader or writer.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn run_avx512(self, rows: usize) {
        macro_rules! by_rows {
            ($($n:literal)*) => {
                match rows {
                    // SAFETY: passed on.
                    $($n => unsafe { self.rows_avx512::<$n>() },)*
                    _ => debug_assert!(rows == 0, "a tile of {rows} rows"),
                }
            };
        }
        by_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }

    /// Multiplies and stores `R` rows.
    ///
    /// # Safety
    ///
    /// As [`Self::run_avx512`].
    #[target_feature(enable = "avx512f")]
    unsafe fn rows_avx512<const R: usize>(self) {
        let full = u32::MAX >> (COLUMNS - self.columns.clamp(1, COLUMNS));
        let masks = [full as u16, (full >> 16) as u16];
        let sums = if self.inner == 0 {
            [[_mm512_setzero_ps(); 2]; ROWS]
        } else {
            // SAFETY: passed on.
            unsafe { self.sums_avx512::<R>(masks) }
        };
        let scale = _mm512_set1_ps(self.scale);
        for (r, sum) in sums.iter().enumerate().take(R) {
            for (half, (&sum, mask)) in sum.iter().zip(masks).enumerate() {
                // SAFETY: the caller vouches for the result; masked lanes are not touched.
                unsafe {
                    let out = self.out.0.add(r * self.out.1).wrapping_add(16 * half);
                    let mut value = _mm512_mul_ps(sum, scale);
                    if self.accumulate {
                        value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), value);
                    }
                    _mm512_mask_storeu_ps(out, mask, value);
                }
            }
        }
    }

    /// The sums of `R` rows over the inner dimension, which is not empty. In assembly: from the
    /// same loop over intrinsics the compiler makes one chain of additions of all the rows'
    /// addresses, or sums in memory, as it pleases from one version to the next.
    ///
    /// # Safety
    ///
    /// As [`Self::run_avx512`].
    #[target_feature(enable = "avx512f")]
    unsafe fn sums_avx512<const R: usize>(self, masks: [u16; 2]) -> [[__m512; 2]; ROWS] {
        let mut s = [[_mm512_setzero_ps(); 2]; ROWS];
        let size = size_of::<f32>();
        let (left, row, step) = self.left;
        // One register points at three rows.
        let at = |i: usize| left.wrapping_add(3 * i * row);
        macro_rules! sum {
            ($($row:expr),*) => {
                asm!(
                    "2:",
                    "vmovups zmm30{{{low}}}{{z}}, [{right}]",
                    "vmovups zmm31{{{high}}}{{z}}, [{right} + 64]",
                    "prefetcht0 [{right} + {ahead}]",
                    "prefetcht0 [{right} + {ahead} + 64]",
                    $($row,)*
                    "add {a}, {step}",
                    "add {b}, {step}",
                    "add {c}, {step}",
                    "add {d}, {step}",
                    "add {e}, {step}",
                    "add {right}, {next}",
                    "dec {inner}",
                    "jnz 2b",
                    "/* {row} */",
                    a = inout(reg) at(0) => _,
                    b = inout(reg) at(1) => _,
                    c = inout(reg) at(2) => _,
                    d = inout(reg) at(3) => _,
                    e = inout(reg) at(4) => _,
                    right = inout(reg) self.right.0 => _,
                    inner = inout(reg) self.inner => _,
                    row = in(reg) row * size,
                    step = in(reg) step * size,
                    next = in(reg) self.right.1 * size,
                    ahead = in(reg) AHEAD * self.right.1 * size,
                    low = in(kreg) masks[0],
                    high = in(kreg) masks[1],
                    inout("zmm0") s[0][0], inout("zmm1") s[0][1],
                    inout("zmm2") s[1][0], inout("zmm3") s[1][1],
                    inout("zmm4") s[2][0], inout("zmm5") s[2][1],
                    inout("zmm6") s[3][0], inout("zmm7") s[3][1],
                    inout("zmm8") s[4][0], inout("zmm9") s[4][1],
                    inout("zmm10") s[5][0], inout("zmm11") s[5][1],
                    inout("zmm12") s[6][0], inout("zmm13") s[6][1],
                    inout("zmm14") s[7][0], inout("zmm15") s[7][1],
                    inout("zmm16") s[8][0], inout("zmm17") s[8][1],
                    inout("zmm18") s[9][0], inout("zmm19") s[9][1],
                    inout("zmm20") s[10][0], inout("zmm21") s[10][1],
                    inout("zmm22") s[11][0], inout("zmm23") s[11][1],
                    inout("zmm24") s[12][0], inout("zmm25") s[12][1],
                    inout("zmm26") s[13][0], inout("zmm27") s[13][1],
                    out("zmm28") _, out("zmm30") _, out("zmm31") _,
                    options(nostack, readonly),
                )
            };
        }
        // Adds up from two rows of the right operand, in zmm30 and zmm31.
        macro_rules! row {
            ($multiply:literal, $left:literal, $low:literal, $high:literal) => {
                concat!(
                    "vbroadcastss zmm28, dword ptr [",
                    $left,
                    "]\n",
                    $multiply,
                    " zmm",
                    $low,
                    ", zmm28, zmm30\n",
                    $multiply,
                    " zmm",
                    $high,
                    ", zmm28, zmm31"
                )
            };
        }
        macro_rules! by_rows {
            ($([$($left:literal $low:literal $high:literal),*] $n:literal)*) => {
                match R {
                    // SAFETY: the loads are those of the operands' elements, for all of which
                    // the caller vouches; masked lanes are not read, and a prefetch reads none.
                    $($n if self.pairs => unsafe {
                        sum!($(row!("vdpbf16ps", $left, $low, $high)),*)
                    },
                    $n => unsafe { sum!($(row!("vfmadd231ps", $left, $low, $high)),*) },)*
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
            ["{a}" 0 1,
             "{a} + {row}" 2 3,
             "{a} + {row}*2" 4 5,
             "{b}" 6 7,
             "{b} + {row}" 8 9,
             "{b} + {row}*2" 10 11,
             "{c}" 12 13] 7
            ["{a}" 0 1,
             "{a} + {row}" 2 3,
             "{a} + {row}*2" 4 5,
             "{b}" 6 7,
             "{b} + {row}" 8 9,
             "{b} + {row}*2" 10 11,
             "{c}" 12 13,
             "{c} + {row}" 14 15] 8
            ["{a}" 0 1,
             "{a} + {row}" 2 3,
             "{a} + {row}*2" 4 5,
             "{b}" 6 7,
             "{b} + {row}" 8 9,
             "{b} + {row}*2" 10 11,
             "{c}" 12 13,
             "{c} + {row}" 14 15,
             "{c} + {row}*2" 16 17] 9
            ["{a}" 0 1,
             "{a} + {row}" 2 3,
             "{a} + {row}*2" 4 5,
             "{b}" 6 7,
             "{b} + {row}" 8 9,
             "{b} + {row}*2" 10 11,
             "{c}" 12 13,
             "{c} + {row}" 14 15,
             "{c} + {row}*2" 16 17,
             "{d}" 18 19] 10
            ["{a}" 0 1,
             "{a} + {row}" 2 3,
             "{a} + {row}*2" 4 5,
             "{b}" 6 7,
             "{b} + {row}" 8 9,
             "{b} + {row}*2" 10 11,
             "{c}" 12 13,
             "{c} + {row}" 14 15,
             "{c} + {row}*2" 16 17,
             "{d}" 18 19,
             "{d} + {row}" 20 21] 11
            ["{a}" 0 1,
             "{a} + {row}" 2 3,
             "{a} + {row}*2" 4 5,
             "{b}" 6 7,
             "{b} + {row}" 8 9,
             "{b} + {row}*2" 10 11,
             "{c}" 12 13,
             "{c} + {row}" 14 15,
             "{c} + {row}*2" 16 17,
             "{d}" 18 19,
             "{d} + {row}" 20 21,
             "{d} + {row}*2" 22 23] 12
            ["{a}" 0 1,
             "{a} + {row}" 2 3,
             "{a} + {row}*2" 4 5,
             "{b}" 6 7,
             "{b} + {row}" 8 9,
             "{b} + {row}*2" 10 11,
             "{c}" 12 13,
             "{c} + {row}" 14 15,
             "{c} + {row}*2" 16 17,
             "{d}" 18 19,
             "{d} + {row}" 20 21,
             "{d} + {row}*2" 22 23,
             "{e}" 24 25] 13
            ["{a}" 0 1,
             "{a} + {row}" 2 3,
             "{a} + {row}*2" 4 5,
             "{b}" 6 7,
             "{b} + {row}" 8 9,
             "{b} + {row}*2" 10 11,
             "{c}" 12 13,
             "{c} + {row}" 14 15,
             "{c} + {row}*2" 16 17,
             "{d}" 18 19,
             "{d} + {row}" 20 21,
             "{d} + {row}*2" 22 23,
             "{e}" 24 25,
             "{e} + {row}" 26 27] 14
        );
        s
    }
}
