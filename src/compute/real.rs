//! The two floating-point types the CPU kernels are written for.

use super::bf16::Precision;
use super::matrix::{Mat, MatMut};
use super::packed::Tiles;
#[cfg(target_arch = "x86_64")]
use super::tile::Kernel;
use candle_core::WithDType;
use std::ops::Range;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32`, in which the program computes, or `f64`, in which its gradients are tested.
///
/// The functions of `f32` are branch-free polynomials that vectorise, without fused
/// multiply-add (a slow library call where the processor has none, and different bits where it
/// has); those of `f64` are `libm`'s.
pub trait Real: WithDType + Default + bytemuck::Pod + sealed::Sealed {
    /// The nearest value to `x`.
    fn of(x: f64) -> Self;

    /// The square root.
    fn root(self) -> Self;

    /// `self * factor + term`, rounded once.
    fn times_plus(self, factor: Self, term: Self) -> Self;

    /// e to the power of `self`, within 2e-7 of itself in `f32`; there the argument is clamped
    /// to [-87.3, 88.3], where the result is neither zero nor infinite. NaN stays NaN.
    fn exp(self) -> Self;

    /// The standard normal's distribution function and density at `self`, the first within
    /// 2e-7 in `f32`.
    fn normal(self) -> (Self, Self);

    /// Rows and columns of a tile of [`Real::multiply_tiled`]; none where that does nothing for
    /// this type on this processor.
    fn tile() -> Option<(usize, usize)> {
        None
    }

    /// `out = scale * a b`, or added to it, by kernels of this crate on this thread; whether there
    /// are any for this type and processor.
    fn multiply_tiled(
        _a: Mat<'_, Self>,
        _b: Mat<'_, Self>,
        _scale: Self,
        _out: &mut MatMut<'_, Self>,
        _accumulate: bool,
    ) -> bool {
        false
    }

    /// The matrix laid out for registers that hold matrices, where the processor has them.
    fn tiles(_matrix: Mat<'_, Self>, _precision: Precision) -> Option<Tiles> {
        None
    }

    /// Whether a product with a part of such a matrix can begin at this row and column.
    fn tiles_split_at(_tiles: &Tiles, _at: usize) -> bool {
        true
    }

    /// [`Packed::multiply`](super::packed::Packed::multiply) of such a matrix.
    fn multiply_tiles(
        _tiles: &Tiles,
        _a: Mat<'_, Self>,
        _part: (Range<usize>, Range<usize>),
        _accumulate: bool,
        _out: &mut MatMut<'_, Self>,
        _after: impl FnMut(usize, usize, &mut [Self]),
    ) {
    }

    /// Whether there are products of pairs of bf16 in the place of one value.
    fn has_pairs() -> bool {
        false
    }

    /// `x`, whose columns are taken in pairs, the last one perhaps with a zero, each pair rounded
    /// to bf16 and in the place of one value.
    fn pairs(_x: Mat<'_, Self>) -> Vec<Self> {
        Vec::new()
    }

    /// `out = a b`, or added to it, of operands of such pairs.
    fn multiply_pairs(
        _a: Mat<'_, Self>,
        _b: Mat<'_, Self>,
        _out: &mut MatMut<'_, Self>,
        _accumulate: bool,
    ) {
    }

    /// Values rounded to bf16; `f64`, in which no one computes with bf16, is left as it is.
    fn round_to_bf16(x: &[Self], out: &mut [Self]) {
        out.copy_from_slice(x);
    }

    /// 1 / (1 + e^-self).
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let one = Self::one();
        one / (one + (Self::zero() - self).exp())
    }
}

impl Real for f32 {
    #[cfg(target_arch = "x86_64")]
    fn tile() -> Option<(usize, usize)> {
        Kernel::best().map(|kernel| (kernel.rows(), kernel.columns()))
    }

    #[cfg(target_arch = "x86_64")]
    fn multiply_tiled(
        a: Mat<'_, Self>,
        b: Mat<'_, Self>,
        scale: Self,
        out: &mut MatMut<'_, Self>,
        accumulate: bool,
    ) -> bool {
        super::matrix::multiply_tiled(a, b, scale, out, accumulate, false)
    }

    #[cfg(target_arch = "x86_64")]
    fn tiles(matrix: Mat<'_, Self>, precision: Precision) -> Option<Tiles> {
        let used = super::class() == super::class::AMX;
        used.then(|| Tiles::new(matrix, precision.parts()))?
    }

    #[cfg(target_arch = "x86_64")]
    fn tiles_split_at(tiles: &Tiles, at: usize) -> bool {
        tiles.splits_at(at)
    }

    #[cfg(target_arch = "x86_64")]
    fn multiply_tiles(
        tiles: &Tiles,
        a: Mat<'_, Self>,
        (inner, columns): (Range<usize>, Range<usize>),
        accumulate: bool,
        out: &mut MatMut<'_, Self>,
        after: impl FnMut(usize, usize, &mut [Self]),
    ) {
        tiles.multiply(a, inner, columns, accumulate, out, after);
    }

    #[cfg(target_arch = "x86_64")]
    fn has_pairs() -> bool {
        Kernel::best().is_some_and(Kernel::multiplies_pairs)
    }

    fn pairs(x: Mat<'_, Self>) -> Vec<Self> {
        let half = x.width().div_ceil(2);
        let mut out = vec![0.0; x.rows() * half];
        let mut row = vec![0.0; 2 * half];
        for (i, out) in out.chunks_exact_mut(half.max(1)).enumerate() {
            x.narrow(i, 1).copy_to(&mut row[..x.width()]);
            super::bf16::pairs(&row, out);
        }
        out
    }

    #[cfg(target_arch = "x86_64")]
    fn multiply_pairs(
        a: Mat<'_, Self>,
        b: Mat<'_, Self>,
        out: &mut MatMut<'_, Self>,
        accumulate: bool,
    ) {
        super::matrix::multiply_tiled(a, b, 1.0, out, accumulate, true);
    }

    fn round_to_bf16(x: &[Self], out: &mut [Self]) {
        super::bf16::rounded(x, out);
    }

    #[inline(always)]
    fn of(x: f64) -> Self {
        x as f32
    }

    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn times_plus(self, factor: Self, term: Self) -> Self {
        self.mul_add(factor, term)
    }

    // Cephes' expf: e^x = 2^n e^r with r in [-ln 2 / 2, ln 2 / 2], ln 2 split in two so that r
    // is exact to the last bits.
    #[inline(always)]
    #[allow(clippy::manual_clamp)] // the comparisons let NaN through, as `clamp` may not once vectorised
    fn exp(self) -> Self {
        // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
        const ROUND: f32 = 12_582_912.0;
        let x = if self < -87.3 { -87.3 } else { self };
        let x = if x > 88.3 { 88.3 } else { x };
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
        let mut p = 1.987_569_1e-4;
        p = p * r + 1.398_2e-3;
        p = p * r + 8.333_452e-3;
        p = p * r + 4.166_579_6e-2;
        p = p * r + 1.666_666_5e-1;
        p = p * r + 0.5;
        let e = p * r * r + r + 1.0;
        let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits());
        e * f32::from_bits(exponent.wrapping_add(127) << 23)
    }

    // The tail is density-shaped: cdf(-|x|) = e^(-x^2/2) t Q(t) with t = 1 / (1 + 0.5 |x| / sqrt 2)
    // and Q the Chebyshev interpolant of degree 8 of erfcx(|x| / sqrt 2) / (2 t) for |x| < 9.9,
    // within 5e-8 of it, relatively.
    #[inline(always)]
    fn normal(self) -> (Self, Self) {
        const INV_SQRT_2PI: f32 = 0.398_942_3;
        let t = 1.0 / (1.0 + 0.353_553_4 * self.abs());
        let gauss = Real::exp(-0.5 * self * self);
        let mut q = Q[8];
        for i in (0..8).rev() {
            q = q * t + Q[i];
        }
        let tail = gauss * t * q;
        let cdf = if self < 0.0 { tail } else { 1.0 - tail };
        (cdf, gauss * INV_SQRT_2PI)
    }
}

/// The coefficients of [`Real::normal`]'s tail, ascending.
const Q: [f32; 9] = [
    0.141_057_26,
    0.140_952_63,
    0.123_201_37,
    0.094_989_73,
    0.001_410_528_6,
    0.117_964_18,
    -0.225_370_35,
    0.133_546_22,
    -0.027_751_574,
];

impl Real for f64 {
    #[inline(always)]
    fn of(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn times_plus(self, factor: Self, term: Self) -> Self {
        self.mul_add(factor, term)
    }

    #[inline(always)]
    fn exp(self) -> Self {
        libm::exp(self)
    }

    #[inline(always)]
    fn normal(self) -> (Self, Self) {
        let cdf = 0.5 * libm::erfc(-self * std::f64::consts::FRAC_1_SQRT_2);
        let density = libm::exp(-0.5 * self * self) / (2.0 * std::f64::consts::PI).sqrt();
        (cdf, density)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(from: f64, to: f64) -> impl Iterator<Item = f32> {
        (0..=200_000).map(move |i| (from + (to - from) * f64::from(i) / 200_000.0) as f32)
    }

    #[test]
    fn exp_in_f32_is_within_two_units_in_the_last_place() {
        for x in grid(-87.0, 88.0) {
            let expected = libm::exp(f64::from(x));
            let error = (f64::from(Real::exp(x)) - expected).abs() / expected;
            assert!(error < 2e-7, "exp({x}): relative error {error}");
        }
    }

    #[test]
    fn exp_keeps_nan_and_stays_finite() {
        assert!(Real::exp(f32::NAN).is_nan());
        assert!(Real::exp(f32::INFINITY).is_finite());
        assert!(Real::exp(f32::NEG_INFINITY) < 2e-38);
    }

    #[test]
    fn normal_in_f32_agrees_with_libm() {
        for x in grid(-12.0, 12.0) {
            let (cdf, density) = Real::normal(x);
            let (expected, slope) = Real::normal(f64::from(x));
            assert!((f64::from(cdf) - expected).abs() < 2e-7, "cdf({x}) = {cdf}");
            assert!((f64::from(density) - slope).abs() < 1e-7, "density({x})");
            if x > -5.0 {
                let relative = (f64::from(cdf) - expected).abs() / expected;
                assert!(relative < 2e-6, "tail({x}): relative error {relative}");
            }
        }
    }

    #[test]
    fn sigmoid_agrees_with_libm() {
        for x in grid(-80.0, 80.0) {
            let expected = 1.0 / (1.0 + libm::exp(-f64::from(x)));
            let error = (f64::from(x.sigmoid()) - expected).abs() / expected;
            assert!(error < 5e-7, "sigmoid({x}): relative error {error}");
        }
    }
}
