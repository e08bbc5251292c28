//! The types of numbers that files hold.

use candle_core::DType;
use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::{Error, Result};

/// A file's type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Number {
    F64,
    F32,
    F16,
    BF16,
    /// Four bits of exponent and three of mantissa; no infinities.
    F8E4M3,
    /// Five bits of exponent and two of mantissa: the upper half of an F16.
    F8E5M2,
    I64,
    I32,
    I16,
    I8,
    U32,
    U16,
    U8,
    Bool,
}

impl Number {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether its numbers are not whole ones.
    pub fn is_float(self) -> bool {
        matches!(
            self,
            Self::F64 | Self::F32 | Self::F16 | Self::BF16 | Self::F8E4M3 | Self::F8E5M2
        )
    }

    /// Whether its numbers are floating-point ones of 8 bits, in which weights are mostly stored
    /// with scales.
    pub fn is_float8(self) -> bool {
        matches!(self, Self::F8E4M3 | Self::F8E5M2)
    }

    /// How safetensors files name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U32 => "U32",
            Self::U16 => "U16",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }

    /// The type that transformers calls `float32`, `float16` or `bfloat16`.
    pub fn of_torch(name: &str) -> Option<Self> {
        match name.trim_start_matches("torch.") {
            "float32" | "float" => Some(Self::F32),
            "float16" | "half" => Some(Self::F16),
            "bfloat16" => Some(Self::BF16),
            _ => None,
        }
    }

    /// How transformers calls the types in which results are written.
    pub fn torch(self) -> &'static str {
        match self {
            Self::F64 => "float64",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            _ => "float32",
        }
    }

    /// The type of the tensor made of such numbers; narrow integers and the narrowest floats
    /// widen.
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::F64 => DType::F64,
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::BF16 => DType::BF16,
            Self::F8E4M3 => DType::F32,
            Self::F8E5M2 => DType::F16,
            Self::U32 => DType::U32,
            Self::I64 | Self::I32 | Self::I16 | Self::I8 | Self::U16 => DType::I64,
            Self::U8 | Self::Bool => DType::U8,
        }
    }

    /// The numbers in these bytes as f32; an error for whole numbers, and for finite ones that are
    /// too large for f32.
    pub fn decode(self, bytes: &[u8]) -> Result<Vec<f32>> {
        Ok(match self {
            Self::F32 => words(bytes).map(f32::from_le_bytes).collect(),
            Self::F64 => words(bytes)
                .map(|b| narrowed(f64::from_le_bytes(b)))
                .collect::<Result<_>>()?,
            Self::F8E4M3 => bytes.iter().map(|b| e4m3(*b)).collect(),
            Self::F8E5M2 => bytes.iter().map(|b| e5m2(*b).to_f32()).collect(),
            Self::F16 => {
                let all: Vec<f16> = words(bytes).map(f16::from_le_bytes).collect();
                all.to_f32_vec()
            }
            Self::BF16 => words(bytes)
                .map(|b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16))
                .collect(),
            _ => {
                return Err(Error::new(format!(
                    "numbers of type {} cannot be mixed",
                    self.name()
                )));
            }
        })
    }

    /// The bytes of these numbers, rounded to the nearest; an error for whole numbers, and for
    /// finite ones that would become infinite.
    pub fn encode(self, values: &[f32]) -> Result<Vec<u8>> {
        self.check_range(values)?;
        Ok(match self {
            Self::F32 => bytes(values, f32::to_le_bytes),
            Self::F64 => bytes(values, |v| f64::from(v).to_le_bytes()),
            Self::F16 => {
                let mut all = vec![f16::ZERO; values.len()];
                all.convert_from_f32_slice(values);
                bytes(&all, f16::to_le_bytes)
            }
            Self::BF16 => bytes(values, |v| bfloat(v).to_le_bytes()),
            _ => {
                return Err(Error::new(format!(
                    "mixed numbers cannot be written as {}",
                    self.name()
                )));
            }
        })
    }
}

impl Number {
    /// The bits of the least number that rounds to infinity.
    fn too_large(self) -> Option<u32> {
        match self {
            // Halfway between the largest number, 65504, and the next power of two.
            Self::F16 => Some(65520f32.to_bits()),
            Self::BF16 => Some(0x7f7f_8000),
            _ => None,
        }
    }

    fn check_range(self, values: &[f32]) -> Result<()> {
        let Some(least) = self.too_large() else {
            return Ok(());
        };
        let infinite = f32::INFINITY.to_bits();
        let lost = |v: &f32| (least..infinite).contains(&v.abs().to_bits());
        // A pass over all is quicker than a search that may end at each number.
        if !values.iter().fold(false, |any, v| any | lost(v)) {
            return Ok(());
        }
        let value = values.iter().find(|v| lost(v)).copied().unwrap_or_default();
        let fits = match self {
            Self::F16 if Some(value.abs().to_bits()) < Self::BF16.too_large() => {
                "bfloat16 or float32"
            }
            _ => "float32",
        };
        Err(
            Error::new(format!("{value} is too large for {}", self.torch()))
                .hint(format!("{fits} holds it")),
        )
    }
}

/// The nearest f32; an error for a finite number that is too large.
pub(super) fn narrowed(value: f64) -> Result<f32> {
    let narrow = value as f32;
    match narrow.is_infinite() && value.is_finite() {
        true => Err(Error::new(format!(
            "{value:e} is too large for float32, in which tensors are used and saved"
        ))),
        false => Ok(narrow),
    }
}

/// The number of these bits: four of exponent, whose bias is 7, and three of mantissa. All set mean
/// NaN; there are no infinities.
pub(super) fn e4m3(bits: u8) -> f32 {
    let sign = if bits & 0x80 == 0 { 1.0 } else { -1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 3 & 0xf), f32::from(bits & 7));
    // Powers of two are exact.
    let power = |n: i32| f32::from_bits(((n + 127) as u32) << 23);
    sign * match (exponent, bits & 7) {
        (0xf, 7) => f32::NAN,
        (0, _) => mantissa * power(-9),
        _ => (8.0 + mantissa) * power(exponent - 10),
    }
}

/// The number of these bits.
fn e5m2(bits: u8) -> f16 {
    f16::from_bits(u16::from(bits) << 8)
}

/// The bytes of each value one after the other; a loop that the compiler makes vectors of.
fn bytes<T: Copy, const N: usize>(values: &[T], one: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut all = vec![0; N * values.len()];
    let (places, _) = all.as_chunks_mut::<N>();
    places
        .iter_mut()
        .zip(values)
        .for_each(|(place, value)| *place = one(*value));
    all
}

/// The bits of the nearest bf16, ties to the even one, as `bf16::from_f32` has them but without a
/// branch.
fn bfloat(value: f32) -> u16 {
    let bits = value.to_bits();
    let upper = bits >> 16;
    let nearest = bits.wrapping_add(0x7fff + (upper & 1)) >> 16;
    let quiet = upper | 0x40;
    (if value.is_nan() { quiet } else { nearest }) as u16
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_half() {
        // Every upper half with lower halves around what decides: a tie, and the largest.
        for upper in 0..=u32::from(u16::MAX) {
            for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let value = f32::from_bits(upper << 16 | lower);
                assert_eq!(
                    bfloat(value),
                    half::bf16::from_f32(value).to_bits(),
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn every_float_of_8_bits_is_that_of_the_crate() {
        let bits: Vec<u8> = (0..=u8::MAX).collect();
        let cpu = &candle_core::Device::Cpu;
        let theirs = candle_core::Tensor::from_raw_buffer(&bits, DType::F8E4M3, &[256], cpu);
        let theirs = theirs.and_then(|t| t.to_dtype(DType::F32)?.to_vec1::<f32>());
        for (bits, theirs) in bits.iter().zip(theirs.unwrap()) {
            let own = e4m3(*bits);
            assert!(own.to_bits() == theirs.to_bits() || own.is_nan() && theirs.is_nan());
        }
        let some = Number::F8E5M2
            .decode(&[0, 0x01, 0x3c, 0xbe, 0x7b, 0x7c])
            .unwrap();
        let expected = [0.0, 2f32.powi(-16), 1.0, -1.5, 57344.0, f32::INFINITY];
        assert_eq!(some, expected);
    }

    #[test]
    fn numbers_that_a_type_has_come_back() {
        let values = [0.0, -0.0, 1.0, -2.5, 0.15625, f32::INFINITY];
        for number in [Number::F64, Number::F32, Number::F16, Number::BF16] {
            let bytes = number.encode(&values).unwrap();
            assert_eq!(bytes.len(), values.len() * number.size());
            let back = number.decode(&bytes).unwrap();
            assert!(
                back.iter()
                    .zip(&values)
                    .all(|(a, b)| a.to_bits() == b.to_bits())
            );
        }
        // Rounded to the largest number, or past it.
        assert!(Number::F16.encode(&[65519.0, -65519.0]).is_ok());
        let message = Number::F16
            .encode(&[1.0, -65520.0])
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "-65520 is too large for float16; bfloat16 or float32 holds it"
        );
        for number in [Number::F16, Number::BF16] {
            let message = number.encode(&[f32::MAX]).unwrap_err().to_string();
            assert!(message.ends_with("; float32 holds it"), "{message}");
            assert!(number.encode(&[f32::NAN]).is_ok());
        }
        assert!(Number::F64.decode(&1e39f64.to_le_bytes()).is_err());
        // Halfway between two neighbours: to the even one.
        let between = Number::BF16.encode(&[1.0 + 1.0 / 256.0]).unwrap();
        assert_eq!(Number::BF16.decode(&between).unwrap(), [1.0]);
        assert!(Number::I64.decode(&[0; 8]).is_err());
        assert!(Number::U8.encode(&[1.0]).is_err());
    }
}
