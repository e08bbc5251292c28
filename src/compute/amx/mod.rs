//! Matrix products by Intel's AMX: sixteen by sixteen results at a time, from parts of operands in
//! bf16.
//!
//! With operands in three parts the products are as exact as those of f32 and twice as fast as
//! with AVX-512; with one part they are those of bf16, several times as fast again. Sums run along
//! the inner dimension, so an element's bits depend neither on where it stands nor on the sizes
//! of the operands.

mod block;
mod right;
#[cfg(test)]
mod tests;

pub use right::Right;

use super::bf16::SPLIT;
use std::arch::asm;
use std::sync::OnceLock;

/// Rows and columns of a register's results.
const TILE: usize = 16;

/// Rows and columns of results computed at a time: two registers by two.
const BLOCK: usize = 2 * TILE;

/// bf16 values in a register.
const VALUES: usize = TILE * SPLIT;

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
