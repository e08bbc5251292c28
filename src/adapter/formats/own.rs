//! One adapter with its heads as one run of bytes: how the store keeps it.
//!
//! A safetensors file; tensors under `adapter/NAME`, `head/I/NAME` and, of zeros and ones,
//! `mask/NAME`, the rest as JSON under the metadata key `tureen`.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adapter::metadata::{self, Metadata};
use crate::adapter::{
    Adapter, Base, Form, Head, Labels, Name, Parts, Selection, Tensors, Training, kind,
};
use crate::data::Dataset;
use crate::prune::Mask;
use crate::study::Id;
use crate::{Error, Result};

use crate::tensorfile;

/// Everything of an adapter but its tensors.
#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    name: String,
    config: Value,
    base: Base,
    training: Option<Training>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init_seed: Option<u64>,
    heads: Vec<HeadHeader>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
}

#[derive(Serialize, Deserialize)]
struct HeadHeader {
    name: String,
    dataset: Option<String>,
    labels: Labels,
    /// As AdapterHub writes it; the default where it is missing.
    #[serde(default)]
    config: Option<Value>,
}

impl Header {
    /// The names of the heads.
    pub fn heads(&self) -> impl Iterator<Item = &str> {
        self.heads.iter().map(|h| &*h.name)
    }
}

/// That of an adapter.
pub(super) fn header(adapter: &Adapter) -> Header {
    let parts = adapter.parts();
    Header {
        name: parts.name.clone(),
        config: parts.kind.config(),
        base: parts.base.clone(),
        training: parts.training.clone(),
        init_seed: parts.init_seed,
        heads: parts
            .heads
            .iter()
            .map(|h| HeadHeader {
                name: h.name.clone(),
                dataset: h.dataset.clone(),
                labels: h.labels.clone(),
                config: Some(h.form.config(&h.labels, parts.base.hidden_size)),
            })
            .collect(),
        metadata: match &*parts.metadata.get() {
            own if *own == Metadata::default() => None,
            own => Some(own.clone()),
        },
    }
}

/// The bytes of an adapter.
pub fn encode(adapter: &Adapter) -> Result<Vec<u8>> {
    let parts = adapter.parts();
    let mut tensors = BTreeMap::new();
    for (name, tensor) in adapter.tensors()?.iter() {
        tensors.insert(format!("adapter/{name}"), tensor.clone());
    }
    for (i, head) in parts.heads.iter().enumerate() {
        for (name, tensor) in &head.tensors {
            tensors.insert(format!("head/{i}/{name}"), tensor.clone());
        }
    }
    if let Some(mask) = &parts.mask {
        for (name, tensor) in mask.tensors()? {
            tensors.insert(format!("mask/{name}"), tensor);
        }
    }
    let header = header(adapter);
    let header = serde_json::to_string(&header).map_err(|e| Error::new(e.to_string()))?;
    tensorfile::encode(&tensors, Some(("tureen", header)))
}

/// The adapter in these bytes, under the id it was kept by. `domain` is the dataset it was
/// trained on, if at hand.
pub fn decode(bytes: &[u8], id: Id, domain: Option<Dataset>) -> Result<Adapter> {
    let broken =
        |e: &dyn std::fmt::Display| Error::new(format!("a stored adapter is damaged: {e}"));
    let (_, metadata) = safetensors::SafeTensors::read_metadata(bytes).map_err(|e| broken(&e))?;
    let header = metadata
        .metadata()
        .as_ref()
        .and_then(|m| m.get("tureen"))
        .ok_or_else(|| broken(&"no header"))?;
    let header: Header = serde_json::from_str(header).map_err(|e| broken(&e))?;
    let file = safetensors::SafeTensors::deserialize(bytes).map_err(|e| broken(&e))?;
    let (mut own, mut masked) = (Tensors::new(), Tensors::new());
    let mut heads: Vec<Tensors> = header.heads.iter().map(|_| Tensors::new()).collect();
    for (name, view) in file.tensors() {
        let tensor: Tensor = view.load(&Device::Cpu)?;
        if let Some(name) = name.strip_prefix("adapter/") {
            own.insert(Name::new(name), tensor);
        } else if let Some(name) = name.strip_prefix("mask/") {
            masked.insert(Name::new(name), tensor);
        } else if let Some((i, name)) = name.strip_prefix("head/").and_then(|n| n.split_once('/'))
            && let Some(head) = i.parse::<usize>().ok().and_then(|i| heads.get_mut(i))
        {
            head.insert(Name::new(name), tensor);
        }
    }
    let mask = match masked.is_empty() {
        true => None,
        false => Some(Arc::new(Mask::of(&masked, &Selection::All)?)),
    };
    let mut parts = assemble(header, heads, mask, domain)?;
    parts.id = id;
    Adapter::new(parts, own)
}

/// An adapter without its tensors, of its header and its heads' tensors. The id is to be set.
pub(super) fn assemble(
    header: Header,
    heads: Vec<Tensors>,
    mask: Option<Arc<Mask>>,
    domain: Option<Dataset>,
) -> Result<Parts> {
    Ok(Parts {
        name: header.name,
        kind: kind::from_config(&header.config)?,
        base: header.base,
        // Whoever calls knows it.
        id: Id::of_content("adapter", b""),
        heads: header
            .heads
            .into_iter()
            .zip(heads)
            .map(|(h, tensors)| {
                Ok(Arc::new(Head {
                    name: h.name,
                    dataset: h.dataset,
                    labels: h.labels,
                    form: match &h.config {
                        Some(config) => Form::read(config)?,
                        None => Form::default(),
                    },
                    tensors,
                }))
            })
            .collect::<Result<_>>()?,
        mask,
        training: header.training,
        init_seed: header.init_seed,
        domain,
        source: None,
        metadata: metadata::Source::from(header.metadata.unwrap_or_default()),
    })
}
