//! How far a training has come at the end of an epoch, for one that is stopped or killed: all that
//! the rest of it depends on, to the bit. Random streams need no place here: they are keyed by
//! epoch and row. The learning rate follows from the step.
//!
//! The bytes are a safetensors file: `values/NAME`, `mean/NAME`, `square/NAME` and, where it is
//! followed, `moved/NAME` of the optimizer, f64; `adapter/NAME` and `head/NAME` of the best epoch;
//! `mask/NAME` of ones and zeros; the rest as JSON under the metadata key `tureen`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::adapter::{Epoch, Name, Selection, Tensors};
use crate::prune::Mask;
use crate::{Error, Result, bail};

use super::optimizer::{AdamW, Moments};

/// The version of the bytes.
const VERSION: u32 = 1;

/// What a training has done so far, apart from the optimizer.
pub(super) struct State {
    /// Steps.
    pub step: usize,
    /// What each epoch gave.
    pub epochs: Vec<Epoch>,
    pub best: Option<Best>,
    /// Which entries are kept, where it is sparse.
    pub mask: Option<Arc<Mask>>,
}

/// The best epoch so far.
pub(super) struct Best {
    /// Its score on validation, larger is better.
    pub selection: f64,
    /// Its loss there, which decides between equal scores.
    pub loss: f64,
    /// Its number, from 1.
    pub epoch: usize,
    pub adapter: Tensors,
    pub head: Tensors,
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    step: usize,
    epochs: Vec<Epoch>,
    best: Option<Chosen>,
    masked: bool,
}

#[derive(Serialize, Deserialize)]
struct Chosen {
    selection: f64,
    loss: f64,
    epoch: usize,
}

impl State {
    /// Of a training that begins with this mask.
    pub fn new(mask: Option<Arc<Mask>>) -> Self {
        Self {
            step: 0,
            epochs: Vec::new(),
            best: None,
            mask,
        }
    }

    /// The bytes of the state, with that of the optimizer.
    pub fn encode(&self, optimizer: &AdamW) -> Result<Vec<u8>> {
        let mut tensors = BTreeMap::new();
        for (name, moments) in optimizer.moments() {
            let mut put = |kind: &str, values: &[f64]| -> Result<()> {
                let tensor = Tensor::from_slice(values, values.len(), &Device::Cpu)?;
                tensors.insert(format!("{kind}/{name}"), tensor);
                Ok(())
            };
            put("values", moments.values)?;
            put("mean", moments.mean)?;
            put("square", moments.square)?;
            if let Some(moved) = moments.moved {
                put("moved", moved)?;
            }
        }
        if let Some(best) = &self.best {
            let named = |kind: &'static str, all: &Tensors| {
                let one = move |(name, tensor): (&Name, &Tensor)| {
                    (format!("{kind}/{name}"), tensor.clone())
                };
                all.iter().map(one).collect::<Vec<_>>()
            };
            tensors.extend(named("adapter", &best.adapter));
            tensors.extend(named("head", &best.head));
        }
        if let Some(mask) = &self.mask {
            for (name, tensor) in mask.tensors()? {
                tensors.insert(format!("mask/{name}"), tensor.to_dtype(DType::U8)?);
            }
        }
        let header = Header {
            version: VERSION,
            step: self.step,
            epochs: self.epochs.clone(),
            best: self.best.as_ref().map(|best| Chosen {
                selection: best.selection,
                loss: best.loss,
                epoch: best.epoch,
            }),
            masked: self.mask.is_some(),
        };
        let header = serde_json::to_string(&header).map_err(|e| Error::new(e.to_string()))?;
        let metadata = HashMap::from([("tureen".to_string(), header)]);
        safetensors::serialize(&tensors, Some(metadata)).map_err(|e| Error::new(e.to_string()))
    }

    /// The state in these bytes, and that of the optimizer.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Moments)> {
        let broken = |e: &dyn std::fmt::Display| Error::new(e.to_string());
        let (_, metadata) =
            safetensors::SafeTensors::read_metadata(bytes).map_err(|e| broken(&e))?;
        let header = metadata.metadata().as_ref().and_then(|m| m.get("tureen"));
        let header: Header = match header {
            Some(text) => serde_json::from_str(text).map_err(|e| broken(&e))?,
            None => bail!("it has no header"),
        };
        if header.version != VERSION {
            bail!("it is of version {}, not {VERSION}", header.version);
        }
        let file = safetensors::SafeTensors::deserialize(bytes).map_err(|e| broken(&e))?;
        let mut kinds: BTreeMap<String, Tensors> = BTreeMap::new();
        for (name, view) in file.tensors() {
            let tensor: Tensor = view.load(&Device::Cpu)?;
            if let Some((kind, name)) = name.split_once('/') {
                let kind = kinds.entry(kind.to_string()).or_default();
                kind.insert(Name::new(name), tensor);
            }
        }
        let mut take = |kind: &str| kinds.remove(kind).unwrap_or_default();
        let moments = Moments {
            values: take("values"),
            mean: take("mean"),
            square: take("square"),
            moved: take("moved"),
        };
        let mask = match header.masked {
            true => Some(Arc::new(Mask::of(&take("mask"), &Selection::All)?)),
            false => None,
        };
        let best = header.best.map(|chosen| Best {
            selection: chosen.selection,
            loss: chosen.loss,
            epoch: chosen.epoch,
            adapter: take("adapter"),
            head: take("head"),
        });
        let state = Self {
            step: header.step,
            epochs: header.epochs,
            best,
            mask,
        };
        Ok((state, moments))
    }
}
