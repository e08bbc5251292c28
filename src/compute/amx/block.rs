//! The registers: 32 by 32 results from operands laid out for them.

use super::super::matrix::MatMut;
use super::{BLOCK, TILE, VALUES};
use std::arch::asm;

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
/// Sets up this thread's registers.
///
/// # Safety
///
/// There must be the registers, and the system have permitted their use.
pub unsafe fn configure() {
    // SAFETY: as the caller vouches.
    unsafe { asm!("ldtilecfg [{0}]", in(reg) &Shapes::ALL, options(nostack, readonly)) };
}

/// Gives up what the registers hold.
///
/// # Safety
///
/// As [`configure`].
pub unsafe fn release() {
    // SAFETY: as the caller vouches.
    unsafe { asm!("tilerelease", options(nomem, nostack)) };
}

/// The operands of one block of the result: `steps * parts * 2` registers each.
pub struct Operands<'a> {
    pub left: &'a [u16],
    pub right: &'a [u16],
    pub steps: usize,
    /// 1 or 3.
    pub parts: usize,
    /// What will be needed next, and how many lines of it to fetch in each step. The processor
    /// does not see far enough ahead by itself.
    pub ahead: (*const u16, usize),
}

impl Operands<'_> {
    /// Writes the results, of which there may be fewer than 32 by 32, to `out`, or adds them.
    ///
    /// # Safety
    ///
    /// The registers must be [configured](configure).
    pub unsafe fn block(&self, accumulate: bool, out: &mut MatMut<'_, f32>) {
        if (out.rows(), out.width()) == (BLOCK, BLOCK) {
            // SAFETY: the result is 32 by 32; the rest is passed on.
            unsafe { self.run(accumulate, out.as_mut_ptr(), out.stride()) };
            return;
        }
        // The sum goes on from what the result holds, as in a whole block: an element's bits must not
        // depend on how many rows stand beside it.
        let (mut whole, columns) = ([0f32; BLOCK * BLOCK], out.width());
        if accumulate {
            for (i, whole) in whole.chunks_exact_mut(BLOCK).take(out.rows()).enumerate() {
                whole[..columns].copy_from_slice(out.row(i));
            }
        }
        // SAFETY: as above.
        unsafe { self.run(accumulate, whole.as_mut_ptr(), BLOCK) };
        for (i, whole) in whole.chunks_exact(BLOCK).take(out.rows()).enumerate() {
            out.row(i).copy_from_slice(&whole[..columns]);
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
