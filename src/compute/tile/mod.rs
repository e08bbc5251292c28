//! Matrix products on one thread with AVX-512 or AVX2: the inner kernels.
//!
//! Why not `gemm` here: it packs both operands on every call, which costs a seventh of the time
//! at the sizes of a few short texts; its blocking follows the caches it finds, so its bits may
//! differ between machines of one kind; and nothing can be done to a result while it is in cache.
//! Each element is one chain of fused multiply-adds along the inner dimension, so its bits depend
//! neither on where in the result it stands nor on the sizes of the operands, nor on which of the
//! kernels it comes from.

use super::class::Level;

mod avx2;
mod avx512;
#[cfg(test)]
mod tests;

/// One family of instructions that there are tiles of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Tiles of 14 by 32.
    Avx512,
    /// Tiles of 6 by 16.
    Avx2,
}

impl Kernel {
    /// The best one that this processor has and the environment allows.
    pub fn best() -> Option<Self> {
        match Level::used() {
            Level::Amx | Level::Avx512 => Some(Self::Avx512),
            Level::Avx2 => Some(Self::Avx2),
            Level::None => None,
        }
    }

    /// Whether this processor has it.
    #[cfg(test)]
    pub fn available(self) -> bool {
        match self {
            Self::Avx512 => avx512::available(),
            Self::Avx2 => avx2::available(),
        }
    }

    /// Most rows of a tile.
    pub fn rows(self) -> usize {
        match self {
            Self::Avx512 => avx512::ROWS,
            Self::Avx2 => avx2::ROWS,
        }
    }

    /// Most columns of a tile.
    pub fn columns(self) -> usize {
        match self {
            Self::Avx512 => avx512::COLUMNS,
            Self::Avx2 => avx2::COLUMNS,
        }
    }

    /// Whether the right operand's rows are read to a tile's full width where the result has
    /// fewer columns.
    pub fn reads_whole_rows(self) -> bool {
        self == Self::Avx2
    }

    /// Whether this processor multiplies pairs of bf16 with it.
    pub fn multiplies_pairs(self) -> bool {
        self == Self::Avx512 && avx512::multiplies_pairs()
    }
}

/// One product of a tile of the result.
#[derive(Clone, Copy)]
pub struct Tile {
    /// Length of the inner dimension.
    pub inner: usize,
    /// First element of the left operand, its step along a column and along a row.
    pub left: (*const f32, usize, usize),
    /// First element of the right operand, whose rows are contiguous, and the step between them.
    pub right: (*const f32, usize),
    /// First element of the result, whose rows are contiguous, and the step between them.
    pub out: (*mut f32, usize),
    /// Columns of the result, at least 1 and at most [`Kernel::columns`].
    pub columns: usize,
    /// Factor on the product.
    pub scale: f32,
    /// Whether the product is added to what the result holds.
    pub accumulate: bool,
    /// Whether an element of either operand stands for two of bf16, the first in its lower bits,
    /// whose products are summed in f32.
    pub pairs: bool,
}

impl Tile {
    /// Computes `rows` rows, at most [`Kernel::rows`].
    ///
    /// # Safety
    ///
    /// The kernel must be available, for pairs [`Kernel::multiplies_pairs`] have said yes. All
    /// elements that the sizes name must lie inside their allocations, where the kernel
    /// [reads whole rows](Kernel::reads_whole_rows) also those of the right operand's rows up to
    /// its width; those of the result without another reader or writer.
    pub unsafe fn run(self, kernel: Kernel, rows: usize) {
        // SAFETY: passed on.
        unsafe {
            match kernel {
                Kernel::Avx512 => self.run_avx512(rows),
                Kernel::Avx2 => self.run_avx2(rows),
            }
        }
    }
}
