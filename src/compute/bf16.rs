//! f32 values as sums of bf16 values.
//!
//! A bf16 has the first 8 of an f32's 24 significant bits. One part is the value rounded; three
//! parts are the value itself, and the six products of parts that matter give a product of f32
//! values to about the last bit of f32 (Henry, Tang and Heinecke 2019, "Leveraging the bfloat16
//! artificial intelligence datatype for higher-precision computations").

use multiversion::multiversion;

/// How exactly products with frozen weights are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As f32.
    #[default]
    F32,
    /// Operands rounded to bf16, products summed in f32.
    Bf16,
}

impl Precision {
    /// The name users know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// The parts an operand is split into.
    pub fn parts(self) -> usize {
        match self {
            Self::F32 => 3,
            Self::Bf16 => 1,
        }
    }
}

/// The bits of the bf16 nearest to `x`, ties to even; NaN stays NaN.
#[inline(always)]
pub fn round(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    if x.is_nan() { 0x7fc0 } else { rounded }
}

/// The value of a bf16.
#[inline(always)]
pub fn value(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Values split at a time.
pub const SPLIT: usize = 32;

/// The parts of 32 values, the largest first.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn split(x: &[f32; SPLIT], parts: &mut [[u16; SPLIT]]) {
    let mut rest = *x;
    for part in parts {
        for (part, rest) in part.iter_mut().zip(&mut rest) {
            *part = round(*rest);
            *rest -= value(*part);
        }
    }
}

/// The values rounded to bf16.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn rounded(x: &[f32], out: &mut [f32]) {
    for (o, &x) in out.iter_mut().zip(x) {
        *o = value(round(x));
    }
}

/// Pairs of values rounded to bf16, each in the place of one value, the first in its lower bits.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn pairs(x: &[f32], out: &mut [f32]) {
    for (o, x) in out.iter_mut().zip(x.chunks_exact(2)) {
        *o = f32::from_bits(u32::from(round(x[0])) | u32::from(round(x[1])) << 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    #[test]
    fn rounding_is_to_nearest_even() {
        for i in 0..200_000u32 {
            let x = f32::from_bits(i.wrapping_mul(2_654_435_761));
            let expected = bf16::from_f32(x);
            if x.is_nan() {
                assert!(value(round(x)).is_nan());
            } else {
                assert_eq!(round(x), expected.to_bits(), "{x}");
            }
        }
    }

    #[test]
    fn three_parts_are_the_value() {
        let x = std::array::from_fn(|i| (i as f32 + 0.1).sin() * 10f32.powi(i as i32 % 7 - 3));
        let mut parts = [[0; SPLIT]; 3];
        split(&x, &mut parts);
        for (i, x) in x.into_iter().enumerate() {
            assert_eq!(parts.iter().map(|p| value(p[i])).sum::<f32>(), x);
        }
    }
}
