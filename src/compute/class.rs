//! Which family of kernels makes the numbers.

/// The class of processors with AVX-512 and AMX.
pub const AMX: &str = "x86-64-amx";

/// The variable that keeps this process from using AMX when it is 0.
#[cfg(target_arch = "x86_64")]
const WITHOUT_AMX: &str = "TUREEN_AMX";

/// The instruction-set class whose kernels run on this machine. Results are equal to the bit
/// within a class and close across classes, so ids of computed values name it. Where
/// `TUREEN_AMX` is 0, AMX is not used: the results are then those of machines without it.
pub fn class() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        static CLASS: std::sync::OnceLock<&str> = std::sync::OnceLock::new();
        CLASS.get_or_init(|| {
            let refused = std::env::var(WITHOUT_AMX).is_ok_and(|v| v == "0");
            if !refused && super::amx::available() {
                return AMX;
            }
            if is_x86_feature_detected!("avx512f") {
                return "x86-64-v4";
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return "x86-64-v3";
            }
            "x86-64"
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH
}
