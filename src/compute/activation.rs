//! The activation functions of transformers and adapters.

use super::kernel::{self, by_dtype, slice, values};
use super::real::Real;
use crate::{Error, Result, nearest};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};
use multiversion::multiversion;
use std::fmt;
use std::str::FromStr;

/// Runs a function over the curve of an activation that has a kernel.
macro_rules! by_curve {
    ($activation:expr, $f:ident, $t:ty, $($arg:expr),+) => {
        match $activation {
            Activation::Relu => $f::<Relu, $t>($($arg),+),
            Activation::Silu => $f::<Silu, $t>($($arg),+),
            Activation::Gelu => $f::<Gelu, $t>($($arg),+),
            Activation::GeluNew => $f::<GeluNew, $t>($($arg),+),
            other => candle_core::bail!("{other} has no kernel of its own"),
        }
    };
}

/// A function applied to each element, by the name model configurations give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// max(x, 0); its slope at 0 is 0.
    Relu,
    /// x sigmoid(x), also called swish.
    Silu,
    /// x times the standard normal's distribution function at x: the exact form, by erf.
    Gelu,
    /// The approximation of [`Activation::Gelu`] by tanh, as in GPT-2.
    GeluNew,
    /// The hyperbolic tangent.
    Tanh,
    /// x, or 0.01 x below 0.
    LeakyRelu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// x sigmoid(1.702 x), as in CLIP.
    QuickGelu,
    /// max(0, x), at most 6.
    Relu6,
    /// x tanh(log(1 + exp(x))).
    Mish,
    /// x, or exp(x) - 1 below 0.
    Elu,
    /// x itself.
    Linear,
}

impl Activation {
    /// All activations, with the name each is known by.
    const NAMES: [(&'static str, Self); 17] = [
        ("relu", Self::Relu),
        ("silu", Self::Silu),
        ("swish", Self::Silu),
        ("gelu", Self::Gelu),
        ("gelu_python", Self::Gelu),
        ("gelu_new", Self::GeluNew),
        ("gelu_fast", Self::GeluNew),
        ("gelu_accurate", Self::GeluNew),
        ("gelu_pytorch_tanh", Self::GeluNew),
        ("tanh", Self::Tanh),
        ("leakyrelu", Self::LeakyRelu),
        ("sigmoid", Self::Sigmoid),
        ("quick_gelu", Self::QuickGelu),
        ("relu6", Self::Relu6),
        ("mish", Self::Mish),
        ("elu", Self::Elu),
        ("linear", Self::Linear),
    ];

    /// The function of each element of `x`, any shape, with its gradient.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        // tanh is met on one token a row only, in a classification head.
        if !self.has_kernel() || !kernel::takes(x) {
            return self.composite(x);
        }
        Ok(x.contiguous()?.apply_op1(self)?)
    }

    fn composite(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Relu => x.relu()?,
            Self::Silu => x.silu()?,
            Self::Gelu => x.gelu_erf()?,
            Self::GeluNew => x.gelu()?,
            Self::Tanh => x.tanh()?,
            // max(x, 0) of NaN is 0, so that x itself is in the sum of these.
            Self::LeakyRelu => ((x * 0.01)? + (x.relu()? * 0.99)?)?,
            Self::Sigmoid => candle_nn::ops::sigmoid(x)?,
            Self::QuickGelu => (x * candle_nn::ops::sigmoid(&(x * 1.702)?)?)?,
            Self::Relu6 => ((x + x.neg()?.relu()?)? - (x - 6.0)?.relu()?)?,
            // log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), which cannot overflow.
            Self::Mish => {
                let tail = ((x.abs()?.neg()?.exp()? + 1.0)?).log()?;
                (x * (x.relu()? + tail)?.tanh()?)?
            }
            // exp of min(x, 0), which cannot overflow.
            Self::Elu => {
                let below = x.neg()?.relu()?;
                ((x + &below)? + (below.neg()?.exp()? - 1.0)?)?
            }
            Self::Linear => x.clone(),
        })
    }

    /// Whether there is a kernel of its own for it.
    pub(super) fn has_kernel(self) -> bool {
        matches!(self, Self::Relu | Self::Silu | Self::Gelu | Self::GeluNew)
    }

    /// Writes the values at `x` to `out` and replaces `x` by the slopes there.
    pub(super) fn both<T: Real>(self, x: &mut [T], out: &mut [T]) -> candle_core::Result<()> {
        by_curve!(self, both, T, x, out);
        Ok(())
    }

    /// Replaces `x` by the values there.
    pub(super) fn in_place<T: Real>(self, x: &mut [T]) -> candle_core::Result<()> {
        by_curve!(self, in_place, T, x);
        Ok(())
    }

    /// The name model configurations use; the first where there are several.
    pub fn name(self) -> &'static str {
        let known = Self::NAMES.iter().find(|(_, a)| *a == self);
        known.map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// By any case, as adapters 1.3.0 reads them.
    fn from_str(name: &str) -> Result<Self> {
        let name = name.to_lowercase();
        let name = name.as_str();
        if let Some((_, activation)) = Self::NAMES.iter().find(|(n, _)| *n == name) {
            return Ok(*activation);
        }
        let names = Self::NAMES.map(|(n, _)| n);
        let error = Error::new(format!(
            "unknown activation `{name}`, expected one of {}",
            names.join(", ")
        ));
        Err(match nearest(name, names) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        })
    }
}

/// The value and the slope of an activation at a point.
trait Curve {
    fn at<T: Real>(x: T) -> (T, T);
}

struct Relu;
struct Silu;
struct Gelu;
struct GeluNew;

impl Curve for Relu {
    // Not `max`, which would turn NaN into 0.
    #[inline(always)]
    fn at<T: Real>(x: T) -> (T, T) {
        if x <= T::zero() {
            (T::zero(), T::zero())
        } else {
            (x, T::one())
        }
    }
}

impl Curve for Silu {
    #[inline(always)]
    fn at<T: Real>(x: T) -> (T, T) {
        let s = x.sigmoid();
        (x * s, s + x * s * (T::one() - s))
    }
}

impl Curve for Gelu {
    #[inline(always)]
    fn at<T: Real>(x: T) -> (T, T) {
        let (cdf, density) = x.normal();
        (x * cdf, cdf + x * density)
    }
}

impl Curve for GeluNew {
    // (1 + tanh u) / 2 = sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
    #[inline(always)]
    fn at<T: Real>(x: T) -> (T, T) {
        let linear = T::of(2.0 * 0.797_884_560_802_865_4);
        let cubic = T::of(2.0 * 0.797_884_560_802_865_4 * 0.044_715);
        let s = (x * (linear + cubic * x * x)).sigmoid();
        let slope = linear + T::of(3.0) * cubic * x * x;
        (x * s, s + x * s * (T::one() - s) * slope)
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn forward<C: Curve, T: Real>(x: &[T], out: &mut [T]) {
    for (o, &x) in out.iter_mut().zip(x) {
        *o = C::at(x).0;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn backward<C: Curve, T: Real>(x: &[T], grad: &[T], out: &mut [T]) {
    for ((o, &x), &g) in out.iter_mut().zip(x).zip(grad) {
        *o = C::at(x).1 * g;
    }
}

/// Writes the value and the slope at `x` and leaves the slope in its place.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn both<C: Curve, T: Real>(x: &mut [T], out: &mut [T]) {
    for (o, x) in out.iter_mut().zip(x) {
        (*o, *x) = C::at(*x);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn in_place<C: Curve, T: Real>(x: &mut [T]) {
    for x in x.iter_mut() {
        *x = C::at(*x).0;
    }
}

fn value<C: Curve, T: Real>(x: &[T]) -> Vec<T> {
    kernel::build(x.len(), kernel::CHUNK, |start, out| {
        forward::<C, T>(&x[start..start + out.len()], out);
    })
}

fn gradient<C: Curve, T: Real>(x: &[T], grad: &[T]) -> Vec<T> {
    kernel::build(x.len(), kernel::CHUNK, |start, out| {
        let part = start..start + out.len();
        backward::<C, T>(&x[part.clone()], &grad[part], out);
    })
}

impl CustomOp1 for Activation {
    fn name(&self) -> &'static str {
        (*self).name()
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(kernel::dtype(x), T => {
            let y = by_curve!(self, value, T, slice(x, layout)?);
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (x_values, g_values) = (values(x), values(&grad));
        by_dtype!(grad.dtype(), T => {
            let dx = by_curve!(self, gradient, T, x_values.slice()?, g_values.slice()?);
            kernel::tensor(dx, x.shape()).map(Some)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use candle_core::{DType, Device};

    fn each() -> impl Iterator<Item = Activation> {
        Activation::NAMES.into_iter().map(|(_, a)| a)
    }

    #[test]
    fn gradients_match_differences() {
        for activation in each() {
            let x = check::random(&[3, 11], "x", DType::F64);
            check::gradients(&[(x * 2.0).unwrap()], |p| activation.apply(&p[0]));
        }
    }

    #[test]
    fn forward_matches_the_composite() -> Result<()> {
        for activation in each() {
            for x in check::layouts(&[5, 21], DType::F32) {
                let x = (x * 3.0)?;
                check::close(&activation.apply(&x)?, &activation.composite(&x)?, 1e-6);
            }
        }
        Ok(())
    }

    #[test]
    fn gelu_is_accurate_over_its_range() -> Result<()> {
        let grid: Vec<f32> = (-12_000..=12_000).map(|i| i as f32 * 1e-3).collect();
        let y = Activation::Gelu.apply(&Tensor::new(grid.clone(), &Device::Cpu)?)?;
        for (x, y) in grid.into_iter().zip(y.to_vec1::<f32>()?) {
            let x = f64::from(x);
            let expected = 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
            let error = (f64::from(y) - expected).abs();
            assert!(
                error <= 2e-7 * x.abs(),
                "gelu({x}) = {y}, expected {expected}"
            );
        }
        Ok(())
    }

    #[test]
    fn threads_do_not_change_bits() {
        let x = check::random(&[100, 777], "x", DType::F32);
        check::threads(&[x], |p| Activation::Gelu.apply(&p[0]));
    }

    #[test]
    fn nan_stays_nan_and_nothing_is_empty() -> Result<()> {
        for activation in each() {
            let y = activation.apply(&Tensor::new(&[f32::NAN], &Device::Cpu)?)?;
            assert!(y.to_vec1::<f32>()?[0].is_nan(), "{activation}");
            let none = Tensor::zeros((0, 3), DType::F32, &Device::Cpu)?;
            assert_eq!(activation.apply(&none)?.dims(), [0, 3]);
        }
        Ok(())
    }

    #[test]
    fn names_are_read_back_and_typos_corrected() {
        for activation in each() {
            assert_eq!(activation.name().parse(), Ok(activation));
        }
        assert_eq!("swish".parse(), Ok(Activation::Silu));
        let error = "gelu_nwe".parse::<Activation>().unwrap_err().to_string();
        assert!(error.ends_with("did you mean `gelu_new`?"), "{error}");
    }
}
