//! Which family of kernels makes the numbers.

use super::bf16::Precision;
use super::real::Real;

/// The class of processors with AVX-512 and AMX.
pub const AMX: &str = "x86-64-amx";

/// The variable that keeps this process from using AMX when it is 0.
#[cfg(target_arch = "x86_64")]
const WITHOUT_AMX: &str = "TUREEN_AMX";

/// The variable that names the best instructions that this process may use: `amx`, `avx512`,
/// `avx2` or `none`.
const KERNELS: &str = "TUREEN_KERNELS";

/// Instructions that there are kernels for, each level with those below it.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every processor has.
    None,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// AVX-512.
    Avx512,
    /// AVX-512 and the matrix registers of AMX.
    Amx,
}

#[cfg(target_arch = "x86_64")]
impl Level {
    /// The best level that the processor has and the environment allows.
    pub fn used() -> Self {
        static USED: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
        *USED.get_or_init(|| {
            let value = |name| std::env::var(name).unwrap_or_default();
            let mut most = match value(KERNELS).as_str() {
                "none" => Self::None,
                "avx2" => Self::Avx2,
                "avx512" => Self::Avx512,
                _ => Self::Amx,
            };
            if value(WITHOUT_AMX) == "0" {
                most = most.min(Self::Avx512);
            }
            if most == Self::Amx && super::amx::available() {
                Self::Amx
            } else if most >= Self::Avx512 && is_x86_feature_detected!("avx512f") {
                Self::Avx512
            } else if most >= Self::Avx2
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
            {
                Self::Avx2
            } else {
                Self::None
            }
        })
    }
}

/// An error where `TUREEN_KERNELS` is set to another word than those of [`class`].
pub fn check_kernels() -> crate::Result<()> {
    let known = ["", "amx", "avx512", "avx2", "none"];
    match std::env::var(KERNELS) {
        Ok(word) if !known.contains(&word.as_str()) => {
            crate::bail!("{KERNELS} is {word:?}, expected amx, avx512, avx2 or none")
        }
        _ => Ok(()),
    }
}

/// The instruction-set class whose kernels run on this machine. Results are equal to the bit
/// within a class and close across classes, so ids of computed values name it. Where `TUREEN_AMX`
/// is 0, AMX is not used: the results are then those of machines without it. `TUREEN_KERNELS`
/// (`amx`, `avx512`, `avx2`, `none`) names the best instructions to use.
pub fn class() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        match Level::used() {
            Level::Amx => AMX,
            Level::Avx512 => "x86-64-v4",
            Level::Avx2 => "x86-64-v3",
            Level::None => "x86-64",
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH
}

/// The class of results of products in this precision: [`class`], but that processors with
/// AVX512-BF16 multiply in bf16 by instructions of their own, whose bits differ from those of
/// operands rounded to bf16 and multiplied as f32.
pub fn class_in(precision: Precision) -> &'static str {
    name(class(), precision, f32::has_pairs())
}

fn name(class: &'static str, precision: Precision, pairs: bool) -> &'static str {
    if class != AMX && precision == Precision::Bf16 && pairs {
        "x86-64-v4-bf16"
    } else {
        class
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_instructions_for_bf16_are_a_class_of_their_own() {
        let (f32, bf16) = (Precision::F32, Precision::Bf16);
        assert_eq!(name("x86-64-v4", bf16, true), "x86-64-v4-bf16");
        assert_eq!(name("x86-64-v4", bf16, false), "x86-64-v4");
        assert_eq!(name("x86-64-v4", f32, true), "x86-64-v4");
        // Matrix registers take the products before these instructions do.
        assert_eq!(name(AMX, bf16, true), AMX);
        assert_eq!(class_in(f32), class());
    }
}
