//! Signs as bits: one plane for positive entries, one for negative ones.

use std::collections::BTreeMap;

use candle_core::DType;
use rayon::prelude::*;

use crate::adapter::{Name, Tensors};
use crate::{Result, bail};

/// The signs of a run of numbers, 64 entries a word. A zero, also -0.0, is in neither plane; bits
/// past the end are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planes {
    positive: Vec<u64>,
    negative: Vec<u64>,
    entries: usize,
}

impl Planes {
    /// The signs of `values`, or the index of the first NaN.
    pub fn of(values: &[f32]) -> std::result::Result<Self, usize> {
        if let Some(at) = values.iter().position(|v| v.is_nan()) {
            return Err(at);
        }
        let (positive, negative) = values
            .par_chunks(64)
            .map(|word| {
                let (mut p, mut n) = (0u64, 0u64);
                for (bit, v) in word.iter().enumerate() {
                    p |= u64::from(*v > 0.0) << bit;
                    n |= u64::from(*v < 0.0) << bit;
                }
                (p, n)
            })
            .unzip();
        Ok(Self {
            positive,
            negative,
            entries: values.len(),
        })
    }

    /// Positive entries, 64 a word.
    pub fn positive(&self) -> &[u64] {
        &self.positive
    }

    /// Negative entries, 64 a word.
    pub fn negative(&self) -> &[u64] {
        &self.negative
    }

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.entries
    }
}

/// The signs of named tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignPlanes {
    tensors: BTreeMap<Name, (Vec<usize>, Planes)>,
}

impl SignPlanes {
    /// The signs of every tensor given. NaN is an error that names tensor and entry.
    pub fn of(tensors: &Tensors) -> Result<Self> {
        let mut planes = BTreeMap::new();
        for (name, tensor) in tensors {
            let values = tensor
                .to_dtype(DType::F32)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            match Planes::of(&values) {
                Ok(plane) => planes.insert(name.clone(), (tensor.dims().to_vec(), plane)),
                Err(at) => bail!("tensor {name} holds NaN at entry {at}: it has no sign"),
            };
        }
        if planes.values().all(|(_, p)| p.entries == 0) {
            bail!("there are no entries to take signs of");
        }
        Ok(Self { tensors: planes })
    }

    /// The planes by tensor, in natural order of names.
    pub fn tensors(&self) -> impl Iterator<Item = (&Name, &Planes)> {
        self.tensors
            .iter()
            .map(|(name, (_, planes))| (name, planes))
    }

    /// The planes of one tensor.
    pub fn get(&self, name: &Name) -> Option<&Planes> {
        self.tensors.get(name).map(|(_, planes)| planes)
    }

    /// An error that says what differs unless `other` has the same tensors in the same shapes.
    pub fn same_shapes(&self, other: &Self) -> Result<()> {
        for (name, (shape, _)) in &self.tensors {
            match other.tensors.get(name) {
                None => bail!("tensor {name} is in one and not in the other"),
                Some((theirs, _)) if theirs != shape => {
                    bail!("tensor {name} has shape {shape:?} in one and {theirs:?} in the other")
                }
                Some(_) => {}
            }
        }
        match other
            .tensors
            .keys()
            .find(|name| !self.tensors.contains_key(*name))
        {
            Some(name) => bail!("tensor {name} is in one and not in the other"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_have_no_sign_and_nan_is_found() {
        let planes = Planes::of(&[
            1.0,
            -0.0,
            -2.0,
            0.0,
            f32::MIN_POSITIVE / 2.0,
            f32::NEG_INFINITY,
        ])
        .unwrap();
        assert_eq!(planes.positive(), [0b01_0001]);
        assert_eq!(planes.negative(), [0b10_0100]);
        assert_eq!(Planes::of(&[1.0, f32::NAN]), Err(1));
    }

    #[test]
    fn bits_past_the_end_are_zero() {
        let planes = Planes::of(&[-1.0; 65]).unwrap();
        assert_eq!(planes.negative(), [u64::MAX, 1]);
        assert_eq!(planes.positive(), [0, 0]);
    }
}
