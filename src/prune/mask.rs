//! Masks: which entries of an adapter's tensors are kept.

use std::collections::BTreeMap;
use std::fmt;

use candle_core::{DType, Tensor};

use crate::adapter::{Name, Tensors, content};
use crate::study::Id;
use crate::{Result, bail};

/// Which entries are kept, tensor by tensor. Entries of tensors that it does not cover are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    tensors: BTreeMap<Name, Bits>,
}

/// One tensor's mask: `true` is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bits {
    shape: Vec<usize>,
    kept: Vec<bool>,
}

/// How much of a layer is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerDensity {
    /// The layer; none for tensors outside of layers.
    pub layer: Option<usize>,
    /// Entries.
    pub entries: u64,
    /// Kept entries.
    pub kept: u64,
}

impl Mask {
    /// The mask with these entries kept, by tensor with its shape.
    pub(super) fn new(tensors: BTreeMap<Name, (Vec<usize>, Vec<bool>)>) -> Self {
        let tensors = tensors
            .into_iter()
            .map(|(name, (shape, kept))| (name, Bits { shape, kept }))
            .collect();
        Self { tensors }
    }

    /// The mask that keeps what is not zero in `tensors`.
    pub fn of(tensors: &Tensors) -> Result<Self> {
        let mut bits = BTreeMap::new();
        for (name, tensor) in tensors {
            let values = tensor
                .to_dtype(DType::F32)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            let kept = values.into_iter().map(|v| v != 0.0).collect();
            bits.insert(name.clone(), (tensor.dims().to_vec(), kept));
        }
        Ok(Self::new(bits))
    }

    /// Whether it says anything of this tensor.
    pub fn covers(&self, name: &Name) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensors it covers.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.tensors.keys()
    }

    /// Entries it covers.
    pub fn entries(&self) -> u64 {
        self.tensors.values().map(|b| b.kept.len() as u64).sum()
    }

    /// Entries it keeps.
    pub fn kept(&self) -> u64 {
        self.tensors.values().map(Bits::count).sum()
    }

    /// Share of the covered entries that are kept; 1 where it covers none.
    pub fn density(&self) -> f64 {
        match self.entries() {
            0 => 1.0,
            n => self.kept() as f64 / n as f64,
        }
    }

    /// Share of the covered entries that are not kept.
    pub fn sparsity(&self) -> f64 {
        1.0 - self.density()
    }

    /// The tensors with what is not kept set to exactly zero, all else as it was.
    pub fn apply(&self, tensors: &Tensors) -> Result<Tensors> {
        for name in self.tensors.keys() {
            if !tensors.contains_key(name) {
                bail!("the mask covers tensor {name}, which the adapter has not");
            }
        }
        tensors
            .iter()
            .map(|(name, tensor)| {
                let Some(bits) = self.tensors.get(name) else {
                    return Ok((name.clone(), tensor.clone()));
                };
                if bits.shape != tensor.dims() {
                    bail!(
                        "the mask of tensor {name} has shape {:?}, the tensor {:?}",
                        bits.shape,
                        tensor.dims()
                    );
                }
                let mut values = tensor
                    .to_dtype(DType::F32)?
                    .flatten_all()?
                    .to_vec1::<f32>()?;
                for (value, kept) in values.iter_mut().zip(&bits.kept) {
                    if !kept {
                        *value = 0.0;
                    }
                }
                let masked = Tensor::from_vec(values, tensor.shape(), tensor.device())?
                    .to_dtype(tensor.dtype())?;
                Ok((name.clone(), masked))
            })
            .collect()
    }

    /// Kept in both.
    pub fn and(&self, other: &Self) -> Result<Self> {
        self.combine(other, |a, b| a && b)
    }

    /// Kept in either.
    pub fn or(&self, other: &Self) -> Result<Self> {
        self.combine(other, |a, b| a || b)
    }

    /// Kept in one alone.
    pub fn xor(&self, other: &Self) -> Result<Self> {
        self.combine(other, |a, b| a != b)
    }

    /// Kept where this one does not keep.
    #[must_use]
    pub fn not(&self) -> Self {
        let flip = |bits: &Bits| Bits {
            shape: bits.shape.clone(),
            kept: bits.kept.iter().map(|k| !k).collect(),
        };
        Self {
            tensors: self
                .tensors
                .iter()
                .map(|(n, b)| (n.clone(), flip(b)))
                .collect(),
        }
    }

    /// Jaccard's index of the kept entries: those kept in both over those kept in either; 1 where
    /// neither keeps any.
    pub fn overlap(&self, other: &Self) -> Result<f64> {
        let (both, either) = (self.and(other)?.kept(), self.or(other)?.kept());
        Ok(if either == 0 {
            1.0
        } else {
            both as f64 / either as f64
        })
    }

    /// How much of each layer is kept.
    pub fn by_layer(&self) -> Vec<LayerDensity> {
        let mut layers: BTreeMap<Option<usize>, (u64, u64)> = BTreeMap::new();
        for (name, bits) in &self.tensors {
            let sum = layers.entry(name.layer()).or_default();
            sum.0 += bits.kept.len() as u64;
            sum.1 += bits.count();
        }
        layers
            .into_iter()
            .map(|(layer, (entries, kept))| LayerDensity {
                layer,
                entries,
                kept,
            })
            .collect()
    }

    /// The masks as tensors of zeros and ones.
    pub fn tensors(&self) -> Result<Tensors> {
        self.tensors
            .iter()
            .map(|(name, bits)| {
                let values: Vec<f32> = bits.kept.iter().map(|k| f32::from(u8::from(*k))).collect();
                let tensor =
                    Tensor::from_vec(values, bits.shape.as_slice(), &candle_core::Device::Cpu)?;
                Ok((name.clone(), tensor))
            })
            .collect()
    }

    /// The hash of the content.
    pub fn id(&self) -> Result<Id> {
        Ok(Id::of_content("mask", &content(&self.tensors()?)))
    }

    fn combine(&self, other: &Self, op: fn(bool, bool) -> bool) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for (name, a) in &self.tensors {
            let Some(b) = other.tensors.get(name) else {
                bail!("one mask covers tensor {name}, the other does not");
            };
            if a.shape != b.shape {
                bail!(
                    "the masks of tensor {name} have shapes {:?} and {:?}",
                    a.shape,
                    b.shape
                );
            }
            let kept = a
                .kept
                .iter()
                .zip(&b.kept)
                .map(|(a, b)| op(*a, *b))
                .collect();
            tensors.insert(name.clone(), (a.shape.clone(), kept));
        }
        match other.tensors.keys().find(|name| !self.covers(name)) {
            Some(name) => bail!("one mask covers tensor {name}, the other does not"),
            None => Ok(Self::new(tensors)),
        }
    }
}

impl Bits {
    fn count(&self) -> u64 {
        self.kept.iter().filter(|kept| **kept).count() as u64
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Mask: keeps {} of {} entries in {} tensors (sparsity {:.4})",
            self.kept(),
            self.entries(),
            self.tensors.len(),
            self.sparsity()
        )
    }
}
