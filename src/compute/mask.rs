//! Which positions of a padded batch are tokens.

use crate::{Result, bail};
use candle_core::{DType, Tensor};
use std::sync::Arc;

/// The attention mask of a batch: for each row and position, whether it may be attended to.
///
/// Any pattern is allowed, not only padding at the end. Clones share the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    keep: Arc<[bool]>,
    batch: usize,
    seq: usize,
}

impl Mask {
    /// A mask of `batch` rows of `seq` positions, row by row.
    pub fn new(keep: impl Into<Arc<[bool]>>, batch: usize, seq: usize) -> Result<Self> {
        let keep = keep.into();
        if keep.len() != batch * seq {
            bail!(
                "attention mask: {} values for a batch of {batch} x {seq}",
                keep.len()
            );
        }
        Ok(Self { keep, batch, seq })
    }

    /// The mask of rows of these lengths, padded at the end to `seq` positions.
    pub fn from_lengths(lengths: &[usize], seq: usize) -> Self {
        let keep = lengths.iter().flat_map(|&n| (0..seq).map(move |i| i < n));
        Self {
            keep: keep.collect(),
            batch: lengths.len(),
            seq,
        }
    }

    /// A mask that keeps all positions.
    pub fn all(batch: usize, seq: usize) -> Self {
        Self {
            keep: vec![true; batch * seq].into(),
            batch,
            seq,
        }
    }

    /// The mask of a `[batch, seq]` tensor of numbers: zero is masked, all else kept.
    pub fn from_tensor(mask: &Tensor) -> Result<Self> {
        let (batch, seq) = mask.dims2()?;
        let values = mask.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let keep: Arc<[bool]> = values.into_iter().map(|x| x != 0.0).collect();
        Self::new(keep, batch, seq)
    }

    /// The same rows so many times, one after the other.
    pub fn repeat(&self, times: usize) -> Self {
        Self {
            keep: self.keep.repeat(times).into(),
            batch: self.batch * times,
            seq: self.seq,
        }
    }

    /// The number of rows and of positions.
    pub fn dims(&self) -> (usize, usize) {
        (self.batch, self.seq)
    }

    /// The positions of one row; empty where there is no such row.
    pub fn row(&self, row: usize) -> &[bool] {
        self.keep
            .get(row * self.seq..(row + 1) * self.seq)
            .unwrap_or_default()
    }

    /// The number of a row's positions up to the last one kept, at least 1 where it has any.
    pub fn length(&self, row: usize) -> usize {
        let keep = self.row(row);
        let last = keep.iter().rposition(|&k| k);
        last.map_or(keep.len().min(1), |last| last + 1)
    }

    /// The mask as a `[batch, seq]` tensor of 0 and 1.
    pub fn to_tensor(&self, dtype: DType, device: &candle_core::Device) -> Result<Tensor> {
        let values: Vec<f32> = self.keep.iter().map(|&k| f32::from(u8::from(k))).collect();
        Ok(Tensor::from_vec(values, (self.batch, self.seq), device)?.to_dtype(dtype)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_ways_to_make_a_mask_agree() -> Result<()> {
        let lengths = Mask::from_lengths(&[2, 0], 3);
        let values = Tensor::new(&[[1u32, 1, 0], [0, 0, 0]], &Device::Cpu)?;
        assert_eq!(lengths, Mask::from_tensor(&values)?);
        assert_eq!(lengths.row(0), [true, true, false]);
        assert!(lengths.row(2).is_empty());
        let back = lengths.to_tensor(DType::U32, &Device::Cpu)?;
        assert_eq!(back.to_vec2::<u32>()?, values.to_vec2::<u32>()?);
        Ok(())
    }

    #[test]
    fn trailing_padding_is_no_length_and_holes_are() {
        let keep = [true, false, true, false, false, false];
        let mask = Mask::new([&keep[..], &[false; 6]].concat(), 2, 6).unwrap();
        assert_eq!([mask.length(0), mask.length(1)], [3, 1]);
        assert_eq!(Mask::all(1, 0).length(0), 0);
    }

    #[test]
    fn a_mask_of_the_wrong_size_is_refused() {
        let error = Mask::new(vec![true; 5], 2, 3).unwrap_err();
        assert!(error.to_string().contains("5 values"), "{error}");
    }
}
