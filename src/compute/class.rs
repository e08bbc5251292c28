//! Which family of kernels makes the numbers.

/// The instruction-set class whose kernels run on this machine. Results are equal to the bit
/// within a class and close across classes, so ids of computed values name it.
pub fn class() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "x86-64-v4";
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "x86-64-v3";
        }
        "x86-64"
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH
}
