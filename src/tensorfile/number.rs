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
    F8,
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
            Self::F8 | Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether its numbers are not whole ones.
    pub fn is_float(self) -> bool {
        matches!(
            self,
            Self::F64 | Self::F32 | Self::F16 | Self::BF16 | Self::F8
        )
    }

    /// How safetensors files name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F8 => "F8_E4M3",
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

    /// The type of the tensor made of such numbers; narrow integers widen.
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::F64 => DType::F64,
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::BF16 => DType::BF16,
            Self::F8 => DType::F8E4M3,
            Self::U32 => DType::U32,
            Self::I64 | Self::I32 | Self::I16 | Self::I8 | Self::U16 => DType::I64,
            Self::U8 | Self::Bool => DType::U8,
        }
    }

    /// The numbers in these bytes as f32; an error for whole numbers.
    pub fn decode(self, bytes: &[u8]) -> Result<Vec<f32>> {
        Ok(match self {
            Self::F32 => words(bytes).map(f32::from_le_bytes).collect(),
            Self::F64 => words(bytes).map(|b| f64::from_le_bytes(b) as f32).collect(),
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

    /// The bytes of these numbers, rounded to the nearest; an error for whole numbers.
    pub fn encode(self, values: &[f32]) -> Result<Vec<u8>> {
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
        // Halfway between two neighbours: to the even one.
        let between = Number::BF16.encode(&[1.0 + 1.0 / 256.0]).unwrap();
        assert_eq!(Number::BF16.decode(&between).unwrap(), [1.0]);
        assert!(Number::I64.decode(&[0; 8]).is_err());
        assert!(Number::U8.encode(&[1.0]).is_err());
    }
}
