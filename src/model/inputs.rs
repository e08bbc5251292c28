//! What a forward pass reads: a padded batch of token ids.

use candle_core::{DType, Device, Tensor};

use crate::compute::{Dropout, Mask, dropout};
use crate::{Result, bail};

use super::tokenize::Encoding;

/// A padded batch.
#[derive(Clone)]
pub struct Inputs {
    /// Token ids, u32 [batch, seq].
    pub ids: Tensor,
    /// Which tokens are text rather than padding.
    pub mask: Mask,
    /// Token types, u32 [batch, seq].
    pub type_ids: Tensor,
}

/// Dropout of a training pass, as the model's configuration asks for it.
#[derive(Clone, Default)]
pub struct Noise {
    /// On embeddings and sublayer outputs.
    pub hidden: Option<Dropout>,
    /// On attention probabilities.
    pub attention: Option<Dropout>,
}

/// Dropout of states at a site, where there is any.
pub fn drop_hidden(x: Tensor, noise: &Noise, site: u64) -> Result<Tensor> {
    match &noise.hidden {
        Some(d) => dropout(&x, d, site),
        None => Ok(x),
    }
}

impl Inputs {
    /// Pads encodings to the longest of them. Of types that the model does not know (those of
    /// pairs, where it has `kinds` 1) nothing is kept.
    pub fn pad(encodings: &[&Encoding], pad_id: u32, kinds: u32, device: &Device) -> Result<Self> {
        let rows = encodings.len();
        let seq = encodings.iter().map(|e| e.ids.len()).max().unwrap_or(0);
        let mut ids = vec![pad_id; rows * seq];
        let mut types = vec![0u32; rows * seq];
        for (row, e) in encodings.iter().enumerate() {
            let at = row * seq;
            ids[at..at + e.ids.len()].copy_from_slice(&e.ids);
            for (own, kind) in types[at..].iter_mut().zip(&e.type_ids) {
                *own = if kinds < 2 { 0 } else { *kind };
            }
        }
        Ok(Self {
            ids: Tensor::from_vec(ids, (rows, seq), device)?,
            mask: Mask::from_lengths(
                &encodings.iter().map(|e| e.ids.len()).collect::<Vec<_>>(),
                seq,
            ),
            type_ids: Tensor::from_vec(types, (rows, seq), device)?,
        })
    }

    /// The same batch so many times, one after the other.
    pub fn repeat(&self, times: usize) -> Result<Self> {
        Ok(Self {
            ids: self.ids.repeat((times, 1))?,
            mask: self.mask.repeat(times),
            type_ids: self.type_ids.repeat((times, 1))?,
        })
    }

    /// From tensors a user gives: integers [batch, seq]; the mask defaults to ones, the types to
    /// zeros. `limits` are the numbers of tokens, types and positions that the model knows.
    pub fn from_tensors(
        ids: &Tensor,
        mask: Option<&Tensor>,
        type_ids: Option<&Tensor>,
        limits: [usize; 3],
    ) -> Result<Self> {
        let [vocab, kinds, positions] = limits;
        let [rows, seq] = ids.dims()[..] else {
            bail!(
                "input_ids have shape {:?}, expected [batch, seq]",
                ids.dims()
            );
        };
        if rows == 0 || seq == 0 {
            bail!(
                "input_ids have shape {:?}: there is nothing to read",
                ids.dims()
            );
        }
        if seq > positions {
            bail!("input_ids are {seq} tokens long, but the model has {positions} positions");
        }
        let values = integers(ids, "input_ids")?;
        if let Some(bad) = values.iter().find(|v| **v < 0 || **v >= vocab as i64) {
            bail!(
                "input_ids hold {bad}, but the model's tokens are 0 to {}",
                vocab - 1
            );
        }
        let like = |t: Option<&Tensor>, what: &str, default: i64| -> Result<Vec<i64>> {
            match t {
                None => Ok(vec![default; rows * seq]),
                Some(t) if t.dims() == ids.dims() => integers(t, what),
                Some(t) => bail!(
                    "{what} has shape {:?}, input_ids {:?}",
                    t.dims(),
                    ids.dims()
                ),
            }
        };
        let mask = like(mask, "attention_mask", 1)?;
        if let Some(bad) = mask.iter().find(|v| **v != 0 && **v != 1) {
            bail!("attention_mask holds {bad}, expected 0 or 1");
        }
        let types = like(type_ids, "type_ids", 0)?;
        if let Some(bad) = types.iter().find(|v| **v < 0 || **v >= kinds as i64) {
            bail!(
                "type_ids hold {bad}, but the model's types are 0 to {}",
                kinds - 1
            );
        }
        let device = ids.device();
        let narrow = |v: Vec<i64>| v.into_iter().map(|x| x as u32).collect::<Vec<u32>>();
        Ok(Self {
            ids: Tensor::from_vec(narrow(values), (rows, seq), device)?,
            mask: Mask::new(
                mask.into_iter().map(|x| x == 1).collect::<Vec<_>>(),
                rows,
                seq,
            )?,
            type_ids: Tensor::from_vec(narrow(types), (rows, seq), device)?,
        })
    }

    /// The same on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        Ok(Self {
            ids: self.ids.to_device(device)?,
            mask: self.mask.clone(),
            type_ids: self.type_ids.to_device(device)?,
        })
    }

    /// Rows and padded length.
    pub fn dims(&self) -> (usize, usize) {
        let d = self.ids.dims();
        (
            d.first().copied().unwrap_or(0),
            d.get(1).copied().unwrap_or(0),
        )
    }
}

fn integers(t: &Tensor, what: &str) -> Result<Vec<i64>> {
    let flat = t.flatten_all()?;
    match t.dtype() {
        DType::I64 | DType::U32 | DType::U8 => Ok(flat.to_dtype(DType::I64)?.to_vec1()?),
        DType::F32 | DType::F64 => flat
            .to_dtype(DType::F64)?
            .to_vec1::<f64>()?
            .into_iter()
            .map(|v| {
                if v.fract() == 0.0 && v.abs() < 1e9 {
                    Ok(v as i64)
                } else {
                    bail!("{what} holds {v}, expected integers")
                }
            })
            .collect(),
        other => bail!("{what} is of type {}, expected integers", other.as_str()),
    }
}
