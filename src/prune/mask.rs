//! Which entries of a set of tensors are kept: one bit an entry.

use std::collections::BTreeMap;
use std::fmt;

use candle_core::{DType, Device, Tensor};

use super::bits::Bits;
use crate::adapter::{
    Name, OTHER_RANKS, Selection, Tensors, check_aligned, ranks_differ, with_values,
};
use crate::{Error, Result};

/// Which entries of a set of tensors are kept; the others are pruned, that is exactly zero.
///
/// A mask may name fewer tensors than an adapter has: the others are left as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask(BTreeMap<Name, Bits>);

/// The kept entries of a layer, all its masked tensors together.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskRow {
    /// The layer's number; none for the tensors outside a layer, which come last.
    pub layer: Option<usize>,
    /// Entries.
    pub entries: u64,
    /// Entries that are kept.
    pub kept: u64,
    /// Kept entries as a share of all.
    pub density: f64,
}

impl Mask {
    pub(super) fn from_bits(bits: impl IntoIterator<Item = (Name, Bits)>) -> Self {
        Self(bits.into_iter().collect())
    }

    /// The mask of tensors whose kept entries are such bits as [`Self::words`] gives, with their
    /// shapes. An error where the bits are not as many as the entries.
    pub fn of_words(tensors: Vec<(Name, Vec<usize>, Vec<u64>)>) -> Result<Self> {
        let mut all = BTreeMap::new();
        for (name, dims, words) in tensors {
            let entries: usize = dims.iter().product();
            let used = entries % 64;
            let past = words.last().is_some_and(|w| used != 0 && w >> used != 0);
            if words.len() != entries.div_ceil(64) || past {
                return Err(Error::new(format!(
                    "`{name}` of shape {dims:?} has other bits than entries"
                )));
            }
            all.insert(name, Bits { dims, words });
        }
        Ok(Self(all))
    }

    pub(super) fn bits(&self) -> &BTreeMap<Name, Bits> {
        &self.0
    }

    /// The mask that keeps what is not zero (-0.0 is zero) in the selected tensors.
    pub fn of(tensors: &Tensors, selection: &Selection) -> Result<Self> {
        let bits = selection
            .pick(tensors)?
            .into_iter()
            .map(|(name, tensor)| {
                let bits = with_values(tensor, |values| {
                    Bits::new(tensor.dims(), values, |value| value != 0.0)
                });
                Ok((name.clone(), bits?))
            })
            .collect::<Result<_>>()?;
        Ok(Self(bits))
    }

    /// The masked tensors' names and shapes, in name order.
    pub fn shapes(&self) -> impl Iterator<Item = (&Name, &[usize])> {
        self.0.iter().map(|(name, bits)| (name, bits.dims()))
    }

    /// The kept entries of a tensor as bits in row-major order, the first in the lowest bit; none
    /// where it is not under the mask.
    pub fn words(&self, name: &Name) -> Option<&[u64]> {
        self.0.get(name).map(|bits| &bits.words[..])
    }

    /// Whether this tensor is under the mask.
    pub fn covers(&self, name: &Name) -> bool {
        self.0.contains_key(name)
    }

    /// The mask as tensors of zeros and ones.
    pub fn tensors(&self) -> Result<Tensors> {
        let ones = self
            .shapes()
            .map(|(name, dims)| {
                let ones = Tensor::ones(dims, DType::F32, &Device::Cpu)?;
                Ok((name.clone(), ones))
            })
            .collect::<Result<_>>()?;
        self.apply(&ones)
    }

    /// Entries under the mask.
    pub fn entries(&self) -> u64 {
        self.0.values().map(Bits::entries).sum()
    }

    /// Entries that are kept.
    pub fn kept(&self) -> u64 {
        self.0.values().map(Bits::kept).sum()
    }

    /// Kept entries as a share of all; 1 for a mask of no entries, which prunes nothing.
    pub fn density(&self) -> f64 {
        density(self.kept(), self.entries())
    }

    /// Pruned entries as a share of all.
    pub fn sparsity(&self) -> f64 {
        1.0 - self.density()
    }

    /// Keeps what both keep. The masks must have the same tensors, as in every such operation.
    pub fn and(&self, other: &Self) -> Result<Self> {
        self.zip_with(other, |a, b| a & b)
    }

    /// Keeps what either keeps.
    pub fn or(&self, other: &Self) -> Result<Self> {
        self.zip_with(other, |a, b| a | b)
    }

    /// Keeps what exactly one of the two keeps.
    pub fn xor(&self, other: &Self) -> Result<Self> {
        self.zip_with(other, |a, b| a ^ b)
    }

    /// Both masks at once: a tensor that both name keeps what both keep, one that only one of them
    /// names keeps what that one keeps. A tensor of two shapes is an error.
    pub fn joined(&self, other: &Self) -> Result<Self> {
        let mut all = self.0.clone();
        for (name, bits) in &other.0 {
            match all.get_mut(name) {
                Some(own) if own.dims() == bits.dims() => *own = own.zip_with(bits, |a, b| a & b),
                Some(own) => {
                    return Err(Error::new(format!(
                        "`{name}` is {:?} in one mask and {:?} in the other",
                        own.dims(),
                        bits.dims()
                    )));
                }
                None => {
                    all.insert(name.clone(), bits.clone());
                }
            }
        }
        Ok(Self(all))
    }

    /// Keeps what this mask prunes.
    #[must_use]
    pub fn not(&self) -> Self {
        let bits = self.0.iter();
        Self(
            bits.map(|(name, bits)| (name.clone(), bits.not()))
                .collect(),
        )
    }

    /// Jaccard overlap: entries that both keep, as a share of those that either keeps; 1 where
    /// neither keeps any.
    pub fn overlap(&self, other: &Self) -> Result<f64> {
        Ok(density(self.and(other)?.kept(), self.or(other)?.kept()))
    }

    /// Every layer, in order.
    pub fn by_layer(&self) -> Vec<MaskRow> {
        let mut layers: BTreeMap<(bool, Option<usize>), (u64, u64)> = BTreeMap::new();
        for (name, bits) in &self.0 {
            let layer = name.layer();
            let (entries, kept) = layers.entry((layer.is_none(), layer)).or_default();
            *entries += bits.entries();
            *kept += bits.kept();
        }
        layers
            .into_iter()
            .map(|((_, layer), (entries, kept))| MaskRow {
                layer,
                entries,
                kept,
                density: density(kept, entries),
            })
            .collect()
    }

    /// The tensors with pruned entries exactly 0.0 and every other bit as it was.
    ///
    /// Tensors that the mask does not name are the same tensors; one that it names must be there
    /// with the mask's shape. Masked tensors come back contiguous, f32, on the CPU.
    pub fn apply(&self, tensors: &Tensors) -> Result<Tensors> {
        let mut pruned = tensors.clone();
        for (name, bits) in &self.0 {
            let Some(tensor) = pruned.get_mut(name) else {
                return Err(Error::new(format!(
                    "the mask has `{name}`, the tensors do not"
                )));
            };
            if tensor.dims() != bits.dims() {
                let error = Error::new(format!(
                    "`{name}` is {:?} in the mask and {:?} in the tensors",
                    bits.dims(),
                    tensor.dims()
                ));
                return Err(match ranks_differ(name, bits.dims(), tensor.dims()) {
                    true => error.hint(OTHER_RANKS),
                    false => error,
                });
            }
            let values = with_values(tensor, |values| -> Vec<f32> {
                let kept = values.iter().zip(bits.iter());
                kept.map(|(value, kept)| if kept { *value } else { 0.0 })
                    .collect()
            })?;
            *tensor = Tensor::from_vec(values, bits.dims(), &Device::Cpu)?;
        }
        Ok(pruned)
    }

    fn zip_with(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Result<Self> {
        check_aligned(
            ("the first mask", &self.0),
            ("the second mask", &other.0),
            Bits::dims,
        )?;
        let bits = self.0.iter().zip(other.0.values());
        Ok(Self(
            bits.map(|((name, a), b)| (name.clone(), a.zip_with(b, &f)))
                .collect(),
        ))
    }
}

fn density(kept: u64, entries: u64) -> f64 {
    if entries == 0 {
        1.0
    } else {
        kept as f64 / entries as f64
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Mask: keeps {} of {} entries in {} tensors (sparsity {:.4})",
            self.kept(),
            self.entries(),
            self.0.len(),
            self.sparsity()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mask(tensors: &[(&str, &[bool])]) -> Mask {
        let bits = tensors
            .iter()
            .map(|(name, kept)| (Name::new(name), Bits::new(&[kept.len()], kept, |kept| kept)));
        Mask::from_bits(bits)
    }

    #[test]
    fn applying_zeroes_what_is_pruned_and_nothing_else() {
        let odd_nan = f32::from_bits(0x7fc0_1234);
        let values = [-0.0, odd_nan, -3.0, f32::NAN, f32::INFINITY];
        let w = Tensor::new(&values, &Device::Cpu).unwrap();
        let tensors: Tensors = [(Name::new("w"), w.clone()), (Name::new("b"), w)].into();
        let mask = mask(&[("w", &[true, true, false, false, false])]);
        let pruned = mask.apply(&tensors).unwrap();
        let bits = |name: &str| {
            with_values(&pruned[&Name::new(name)], |v| {
                v.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            })
            .unwrap()
        };
        assert_eq!(bits("w"), [1 << 31, 0x7fc0_1234, 0, 0, 0]);
        assert_eq!(bits("b"), values.map(f32::to_bits));
    }

    #[test]
    fn a_mask_of_other_tensors_is_refused() {
        let w = Tensor::new(&[1f32, 0.0], &Device::Cpu).unwrap();
        let tensors: Tensors = [(Name::new("w"), w)].into();
        let error = mask(&[("v", &[true])]).apply(&tensors).unwrap_err();
        assert_eq!(error.to_string(), "the mask has `v`, the tensors do not");
        let error = mask(&[("w", &[true])]).apply(&tensors).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`w` is [1] in the mask and [2] in the tensors"
        );
        let a = Tensor::zeros((4, 3), DType::F32, &Device::Cpu).unwrap();
        let tensors: Tensors = [(Name::new("q.lora_A"), a)].into();
        let of_rank_two = Bits::new(&[2, 3], &[true; 6], |kept| kept);
        let mask_of_rank_two = Mask::from_bits([(Name::new("q.lora_A"), of_rank_two)]);
        let error = mask_of_rank_two.apply(&tensors).unwrap_err().to_string();
        assert!(
            error.starts_with("`q.lora_A` is [2, 3] in the mask and [4, 3] in the tensors; ")
                && error.contains("lora: \"svd\"")
                && error.contains("\"factors\""),
            "{error}"
        );
        let error = mask(&[("v", &[true])])
            .and(&mask(&[("w", &[true])]))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the first mask and the second mask do not have the same tensors: \
             only the first mask has v; only the second mask has w"
        );
    }

    #[test]
    fn shares_and_layers_by_hand() {
        let a = mask(&[
            ("pooler", &[true]),
            ("h.10.w", &[true, false]),
            ("h.2.w", &[true, true, false, false, false]),
        ]);
        assert_eq!(
            (a.entries(), a.kept(), a.density(), a.sparsity()),
            (8, 4, 0.5, 0.5)
        );
        let rows: Vec<_> = a
            .by_layer()
            .iter()
            .map(|r| (r.layer, r.entries, r.kept))
            .collect();
        assert_eq!(rows, [(Some(2), 5, 2), (Some(10), 2, 1), (None, 1, 1)]);
        assert_eq!(a.overlap(&a.not()), Ok(0.0));
        let none = a.and(&a.not()).unwrap();
        assert_eq!((none.kept(), none.overlap(&none)), (0, Ok(1.0)));
    }

    #[test]
    fn zeros_of_either_sign_are_pruned_entries() {
        let w = Tensor::new(&[[0f32, -0.0], [1e-45, -2.0]], &Device::Cpu).unwrap();
        let tensors: Tensors = [(Name::new("w.weight"), w)].into();
        let mask = Mask::of(&tensors, &Selection::Matrices).unwrap();
        let kept: Vec<bool> = mask.bits()[&Name::new("w.weight")].iter().collect();
        assert_eq!(kept, [false, false, true, true]);
    }

    proptest! {
        #[test]
        fn masks_are_a_boolean_algebra(
            entries in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 0..200)
        ) {
            let [a, b, c] = [0, 1, 2].map(|m| {
                let kept: Vec<bool> = entries.iter().map(|e| [e.0, e.1, e.2][m]).collect();
                mask(&[("w", &kept)])
            });
            let and = |x: &Mask, y: &Mask| x.and(y).unwrap();
            let or = |x: &Mask, y: &Mask| x.or(y).unwrap();
            prop_assert_eq!(and(&a, &b).not(), or(&a.not(), &b.not()));
            prop_assert_eq!(and(&a, &or(&b, &c)), or(&and(&a, &b), &and(&a, &c)));
            prop_assert_eq!(a.xor(&b).unwrap(), and(&or(&a, &b), &and(&a, &b).not()));
            prop_assert_eq!(a.not().not(), a.clone());
            prop_assert_eq!(a.kept() + a.not().kept(), a.entries());
            prop_assert_eq!(and(&a, &b).kept() + or(&a, &b).kept(), a.kept() + b.kept());
            let both = entries.iter().filter(|e| e.0 && e.1).count() as u64;
            prop_assert_eq!(and(&a, &b).kept(), both);
        }
    }
}
