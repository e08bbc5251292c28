//! Signs as bits: which entries of a tensor are positive, which are negative.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::pack::{WORD, Words, bytes_of, pack};
use crate::adapter::{FileTensors, Name, Selection, Tensors, with_values};
use crate::tensorfile::Number;
use crate::{Error, Result, bail};

/// Entries packed by one task: enough work for a thread, few enough that what is read of a file
/// stays in a core's own cache until it is packed.
const PART: usize = 16 * 1024;

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
            bail!(
                "`{name}`: {} values do not fill the shape {dims:?}",
                values.len()
            );
        }
        let bytes = bytes_of(values);
        Self::of_parts(dims, |_, range, positive, negative| {
            match pack(&bytes[4 * range.start..4 * range.end], positive, negative) {
                true => Ok(()),
                false => Err(no_sign(name, range.start, &values[range])),
            }
        })
    }

    /// The signs of a tensor in files, read part by part: the tensor is never held. A NaN is an
    /// error with its index.
    pub fn read(files: &FileTensors, name: &Name) -> Result<Self> {
        let Some(dims) = files.shapes().get(name) else {
            bail!("there is no tensor {name}");
        };
        Self::of_parts(dims, |buffer, range, positive, negative| {
            let start = range.start;
            let number = files.read_into(name, range, buffer)?;
            let decoded;
            let bytes = match number {
                Number::F32 => Cow::Borrowed(&buffer[..]),
                _ => {
                    decoded = number.decode(buffer).map_err(|e| e.within(name))?;
                    bytes_of(&decoded)
                }
            };
            match pack(&bytes, positive, negative) {
                true => Ok(()),
                false => Err(no_sign(name, start, &Number::F32.decode(&bytes)?)),
            }
        })
    }

    /// Reads a tensor in files as [`Self::read`] does, for nothing: a yardstick for it.
    pub(super) fn scan(files: &FileTensors, name: &Name) -> Result<()> {
        let entries: usize = files
            .shapes()
            .get(name)
            .map_or(0, |dims| dims.iter().product());
        (0..entries)
            .into_par_iter()
            .step_by(PART)
            .try_for_each_init(Vec::new, |buffer, start| {
                files.read_into(name, start..entries.min(start + PART), buffer)?;
                Ok(())
            })
    }

    /// Planes of this shape, made by `fill` in parts of [`PART`] entries: it gets a buffer of its
    /// thread's, the part's entries, and the words of both planes, every one of which [`pack`]
    /// writes.
    fn of_parts(
        dims: &[usize],
        fill: impl Fn(&mut Vec<u8>, Range<usize>, &mut Words, &mut Words) -> Result<()> + Sync,
    ) -> Result<Self> {
        let entries = dims.iter().product::<usize>();
        let words = entries.div_ceil(WORD);
        // Not zeros: writing them first would take a tenth of the time.
        let (mut positive, mut negative) = (Vec::with_capacity(words), Vec::with_capacity(words));
        let filled: Vec<Result<()>> = positive.spare_capacity_mut()[..words]
            .par_chunks_mut(PART / WORD)
            .zip(negative.spare_capacity_mut()[..words].par_chunks_mut(PART / WORD))
            .enumerate()
            .map_init(Vec::new, |buffer, (part, (positive, negative))| {
                let start = part * PART;
                let range = start..entries.min(start + PART);
                fill(buffer, range, positive, negative)
            })
            .collect();
        // The first error in order, whichever thread found one first.
        filled.into_iter().collect::<Result<()>>()?;
        // SAFETY: `pack` has written all words of every part.
        unsafe {
            positive.set_len(words);
            negative.set_len(words);
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

    /// Only the entries whose bits are set in `words`; the others count as zero.
    pub(super) fn kept(mut self, words: &[u64]) -> Self {
        for plane in [&mut self.positive, &mut self.negative] {
            plane
                .iter_mut()
                .zip(words)
                .for_each(|(bits, kept)| *bits &= kept);
        }
        self
    }

    /// The tensor's shape.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The number of entries.
    pub fn entries(&self) -> u64 {
        self.dims.iter().map(|&d| d as u64).product()
    }

    /// The number of rows: the first dimension of a matrix; a vector is one row.
    pub fn rows(&self) -> usize {
        match self.dims[..] {
            [rows, _, ..] => rows,
            _ => 1,
        }
    }

    /// The signs of a row, as a vector.
    pub fn row(&self, row: usize) -> Self {
        let width = match &self.dims[..] {
            [_, rest @ ..] if !rest.is_empty() => rest.iter().product(),
            _ => self.entries() as usize,
        };
        let cut = |plane: &[u64]| -> Vec<u64> {
            let start = row * width;
            (0..width.div_ceil(WORD))
                .map(|i| {
                    let at = start + i * WORD;
                    let (word, shift) = (at / WORD, at % WORD);
                    let next = match shift {
                        0 => 0,
                        _ => plane.get(word + 1).map_or(0, |next| next << (WORD - shift)),
                    };
                    let bits = plane[word] >> shift | next;
                    match width - i * WORD {
                        left if left < WORD => bits & ((1 << left) - 1),
                        _ => bits,
                    }
                })
                .collect()
        };
        Self {
            dims: vec![width],
            positive: cut(&self.positive),
            negative: cut(&self.negative),
        }
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

/// The error of the first NaN among the values of a tensor from entry `start` on.
fn no_sign(name: &Name, start: usize, values: &[f32]) -> Error {
    let at = values.iter().position(|value| value.is_nan());
    let index = start + at.unwrap_or(0);
    Error::new(format!("`{name}` is NaN at entry {index}: it has no sign"))
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
        let mut values = vec![1.0; 16 * PART + 70];
        values[16 * PART + 66] = f32::NAN;
        let tensor = Tensor::from_vec(values, 16 * PART + 70, &Device::Cpu).unwrap();
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
        fn a_row_is_what_its_numbers_alone_give(
            (rows, width, values) in (1usize..6, 1usize..200).prop_flat_map(|(rows, width)| {
                let value = prop_oneof![Just(0f32), Just(1f32), Just(-1f32)];
                let values = proptest::collection::vec(value, rows * width);
                (Just(rows), Just(width), values)
            })
        ) {
            let whole = Planes::new(&Name::new("w"), &values, &[rows, width]).unwrap();
            prop_assert_eq!(whole.rows(), rows);
            for (i, row) in values.chunks(width).enumerate() {
                prop_assert_eq!(whole.row(i), planes(row).unwrap());
            }
        }

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
