//! Signs as bits: which entries of a tensor are positive, which are negative.

use std::collections::BTreeMap;

use candle_core::Tensor;
use multiversion::multiversion;
use rayon::prelude::*;

use crate::adapter::{Name, Selection, Tensors, with_values};
use crate::{Error, Result};

/// Words packed by one task: enough work for a thread, and a cut that is the same for all.
const BLOCK: usize = 4096;

/// The signs of one tensor: two bits an entry, in row-major order.
///
/// An entry is in neither plane if it is zero; -0.0 is zero, an infinity has its sign. Bits past
/// the last entry are clear in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planes {
    dims: Vec<usize>,
    positive: Vec<u64>,
    negative: Vec<u64>,
}

impl Planes {
    /// The signs of `values` as a tensor of shape `dims`; `name` is the tensor's in an error.
    ///
    /// A NaN is an error with its index, and so are `dims` of another number of entries.
    pub fn new(name: &Name, values: &[f32], dims: &[usize]) -> Result<Self> {
        if dims.iter().product::<usize>() != values.len() {
            crate::bail!(
                "`{name}`: {} values do not fill the shape {dims:?}",
                values.len()
            );
        }
        let words = values.len().div_ceil(64);
        let (mut positive, mut negative) = (vec![0; words], vec![0; words]);
        let finite = positive
            .par_chunks_mut(BLOCK)
            .zip(negative.par_chunks_mut(BLOCK))
            .zip(values.par_chunks(BLOCK * 64))
            .map(|((positive, negative), values)| pack(values, positive, negative))
            .reduce(|| true, |a, b| a & b);
        if !finite && let Some(index) = values.iter().position(|value| value.is_nan()) {
            return Err(Error::new(format!(
                "`{name}` is NaN at entry {index}: it has no sign"
            )));
        }
        Ok(Self {
            dims: dims.to_vec(),
            positive,
            negative,
        })
    }

    /// The signs of a tensor; `name` is the tensor's in an error.
    pub fn of(name: &Name, tensor: &Tensor) -> Result<Self> {
        with_values(tensor, |values| Self::new(name, values, tensor.dims()))?
    }

    /// The tensor's shape.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The number of entries.
    pub fn entries(&self) -> u64 {
        self.dims.iter().map(|&d| d as u64).product()
    }

    /// One bit an entry, the first in the lowest bit: set where the entry is above zero.
    pub fn positive(&self) -> &[u64] {
        &self.positive
    }

    /// One bit an entry, the first in the lowest bit: set where the entry is below zero.
    pub fn negative(&self) -> &[u64] {
        &self.negative
    }
}

/// Packs 64 values into a word of each plane; false if there is a NaN.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512dq+avx512vl",
    "x86_64+avx2+bmi1+bmi2+popcnt"
))]
fn pack(values: &[f32], positive: &mut [u64], negative: &mut [u64]) -> bool {
    let mut ordered = true;
    for ((values, positive), negative) in values.chunks(64).zip(positive).zip(negative) {
        let (mut p, mut n, mut nan) = (0u64, 0u64, false);
        for (bit, value) in values.iter().enumerate() {
            p |= u64::from(*value > 0.0) << bit;
            n |= u64::from(*value < 0.0) << bit;
            nan |= value.is_nan();
        }
        (*positive, *negative) = (p, n);
        ordered &= !nan;
    }
    ordered
}

/// The signs of a set of tensors, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignPlanes(BTreeMap<Name, Planes>);

impl SignPlanes {
    /// The signs of the selected tensors. It is an error if none is selected, or at a NaN.
    pub fn new(tensors: &Tensors, selection: &Selection) -> Result<Self> {
        let planes: Vec<(Name, Planes)> = selection
            .pick(tensors)?
            .into_par_iter()
            .map(|(name, tensor)| Ok((name.clone(), Planes::of(name, tensor)?)))
            .collect::<Vec<Result<_>>>()
            .into_iter()
            .collect::<Result<_>>()?;
        Ok(Self(planes.into_iter().collect()))
    }

    /// The signs of each tensor, in name order.
    pub fn tensors(&self) -> &BTreeMap<Name, Planes> {
        &self.0
    }
}

impl FromIterator<(Name, Planes)> for SignPlanes {
    fn from_iter<I: IntoIterator<Item = (Name, Planes)>>(planes: I) -> Self {
        Self(planes.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    fn planes(values: &[f32]) -> Result<Planes> {
        Planes::new(&Name::new("w"), values, &[values.len()])
    }

    #[test]
    fn special_values_have_the_sign_they_should() {
        let smallest = f32::from_bits(1);
        let p = planes(&[
            0.0,
            -0.0,
            smallest,
            -smallest,
            f32::INFINITY,
            f32::NEG_INFINITY,
        ])
        .unwrap();
        assert_eq!(p.positive(), [0b01_0100]);
        assert_eq!(p.negative(), [0b10_1000]);
    }

    #[test]
    fn a_nan_is_an_error_that_says_where() {
        let mut values = vec![1.0; 64 * BLOCK + 70];
        values[64 * BLOCK + 66] = f32::NAN;
        let tensor = Tensor::from_vec(values, 64 * BLOCK + 70, &Device::Cpu).unwrap();
        let tensors: Tensors = [(Name::new("layer.0.weight"), tensor)].into();
        let error = SignPlanes::new(&tensors, &Selection::Matrices).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`layer.0.weight` is NaN at entry 262210: it has no sign"
        );
    }

    #[test]
    fn a_shape_of_another_size_is_refused() {
        assert!(Planes::new(&Name::new("w"), &[1.0, 2.0], &[3]).is_err());
    }

    proptest! {
        #[test]
        fn every_bit_is_the_sign_of_its_entry(values in proptest::collection::vec(
            prop_oneof![Just(0f32), Just(-0f32), any::<f32>().prop_filter("a number", |v| !v.is_nan())], 0..300)
        ) {
            let p = planes(&values).unwrap();
            for i in 0..p.positive().len() * 64 {
                let bit = |plane: &[u64]| plane[i / 64] >> (i % 64) & 1 == 1;
                let value = values.get(i).copied().unwrap_or(0.0);
                prop_assert_eq!(bit(p.positive()), value > 0.0);
                prop_assert_eq!(bit(p.negative()), value < 0.0);
            }
        }
    }
}
