//! The sparse layout: masks as bits and the kept values packed.
//!
//! A folder with two safetensors files, any reader of which can unpack them:
//!
//! - `adapter.sparse.safetensors`: for each packed tensor NAME (canonical) of n entries, k of them
//!   kept, `NAME/kept` of U8, `[ceil(n / 8)]`: one bit an entry in row-major order, the first in the
//!   lowest bit of the first byte, bits past the last clear; and `NAME/values` of F32, `[k]`: the
//!   kept entries in the same order. What is not kept is 0.0. Other tensors are whole, F32, under
//!   NAME: those that packing would not make smaller and that no mask covers. The metadata key
//!   `tureen` holds one JSON object: `layout` "sparse", `version` 1, `packed` (by NAME: `shape`, and
//!   `masked`, whether the bits are the adapter's mask or only where it is not 0.0) and `adapter`
//!   (name, `config` as AdapterHub writes it, base, training, heads).
//! - `heads.safetensors`: `head/I/NAME`, whole, F32, I counting the heads of `adapter`.
//!
//! An entry takes 1/32 of a dense one, a kept value 1: at a sparsity of 90 % the file is 0.13 of the
//! dense one. Every bit comes back, -0.0 too. The Python libraries do not read it: they read what
//! `save` writes by default.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::adapter::source::Source;
use crate::adapter::value::{Adapter, head_id};
use crate::adapter::{Name, Shapes, Tensors, with_values};
use crate::prune::Mask;
use crate::study::Id;
use crate::tensorfile::{self, Number, Part, Streamed, TensorFile};
use crate::{Error, Result, bail};

use super::own::{Header, assemble, header};
use super::{CONFIG, Layout, Origin, Types, load_files};

/// The weights' file.
pub const FILE: &str = "adapter.sparse.safetensors";
/// The heads' file.
pub const HEADS: &str = "heads.safetensors";
const KEY: &str = "tureen";

#[derive(Serialize, Deserialize)]
struct Metadata {
    layout: String,
    version: u32,
    packed: BTreeMap<String, Packed>,
    adapter: Header,
}

#[derive(Serialize, Deserialize)]
struct Packed {
    shape: Vec<usize>,
    masked: bool,
}

/// Saves an adapter with its heads to `folder`, which must not hold one in another layout.
pub fn save(adapter: &Adapter, folder: &Path) -> Result<()> {
    if folder.join(CONFIG).exists() {
        return Err(Error::at_path(folder, "holds an adapter in another layout")
            .hint("choose another folder, or remove it first"));
    }
    super::save_over(adapter, folder, Layout::Sparse, false).map(|_| ())
}

/// Writes an adapter's files to a folder that holds none yet, on its way to `to`.
pub(super) fn write(adapter: &Adapter, folder: &Path, to: &Path) -> Result<()> {
    let heads = adapter.heads().iter().enumerate().flat_map(|(i, head)| {
        let named = move |(name, t): (&Name, &Tensor)| (format!("head/{i}/{name}"), t.clone());
        head.tensors.iter().map(named)
    });
    let heads: Vec<_> = heads
        .map(|(name, t)| tensorfile::Planned::ready(name, t))
        .collect();
    if !heads.is_empty() {
        tensorfile::write(&folder.join(HEADS), heads, None)?;
    }
    let tensors = adapter.tensors()?;
    let (streamed, metadata) = plan(adapter, &tensors, adapter.mask().map(|m| &**m))?;
    tensorfile::write_streamed(&folder.join(FILE), streamed, Some((KEY, metadata)))?;
    super::beside::copy(&adapter.parts().metadata.get(), folder)?;
    let loaded = load_files(folder)?;
    Origin::write(adapter, None, (folder, to), Types::Keep, &loaded)
}

/// The bytes of the weights' file that [`save`] would write of an adapter under this mask.
pub fn size(adapter: &Adapter, tensors: &Tensors, mask: &Mask) -> Result<usize> {
    let (streamed, metadata) = plan(adapter, tensors, Some(mask))?;
    tensorfile::size(&streamed, Some((KEY, metadata)))
}

/// What the weights' file holds.
fn plan<'a>(
    adapter: &Adapter,
    tensors: &'a Tensors,
    mask: Option<&Mask>,
) -> Result<(Vec<Streamed<'a>>, String)> {
    let mut streamed = Vec::new();
    let mut packed = BTreeMap::new();
    for (name, tensor) in tensors {
        let own = mask.and_then(|m| m.words(name));
        let n = tensor.elem_count();
        let bits: Vec<u8> = match own {
            Some(words) => words
                .iter()
                .flat_map(|w| w.to_le_bytes())
                .take(n.div_ceil(8))
                .collect(),
            None => with_values(tensor, |values| {
                let byte = |eight: &[f32]| {
                    let bits = eight.iter().enumerate();
                    bits.fold(0, |all, (i, v)| all | u8::from(v.to_bits() != 0) << i)
                };
                values.chunks(8).map(byte).collect()
            })?,
        };
        let kept: usize = bits.iter().map(|b| b.count_ones() as usize).sum();
        if own.is_none() && bits.len() + 4 * kept >= 4 * n {
            streamed.push(part(
                name.to_string(),
                tensor.dims().to_vec(),
                Number::F32,
                4 * n,
                move || with_values(tensor, |values| Number::F32.encode(values))?,
            ));
            continue;
        }
        let entry = Packed {
            shape: tensor.dims().to_vec(),
            masked: own.is_some(),
        };
        packed.insert(name.to_string(), entry);
        let bits = Arc::new(bits);
        let of_values = bits.clone();
        streamed.push(part(
            format!("{name}/values"),
            vec![kept],
            Number::F32,
            4 * kept,
            move || {
                with_values(tensor, |values| {
                    let kept = values.iter().enumerate();
                    let kept = kept.filter(|(i, _)| of_values[i / 8] >> (i % 8) & 1 == 1);
                    let kept: Vec<f32> = kept.map(|(_, value)| *value).collect();
                    Number::F32.encode(&kept)
                })?
            },
        ));
        streamed.push(part(
            format!("{name}/kept"),
            vec![bits.len()],
            Number::U8,
            bits.len(),
            move || Ok(bits.to_vec()),
        ));
    }
    let metadata = Metadata {
        layout: "sparse".into(),
        version: 1,
        packed,
        adapter: header(adapter),
    };
    let metadata = serde_json::to_string(&metadata).map_err(|e| Error::new(e.to_string()))?;
    Ok((streamed, metadata))
}

fn part<'a>(
    name: String,
    shape: Vec<usize>,
    number: Number,
    size: usize,
    make: impl Fn() -> Result<Vec<u8>> + Sync + 'a,
) -> Streamed<'a> {
    let make = Box::new(make);
    Streamed {
        name,
        shape,
        number,
        parts: vec![Part { size, make }],
    }
}

/// The adapter that [`save`] wrote to `folder`.
pub fn load(folder: &Path) -> Result<Adapter> {
    let path = folder.join(FILE);
    read(folder, &path).map_err(|e| e.within(path.display()))
}

fn read(folder: &Path, path: &Path) -> Result<Adapter> {
    let metadata = metadata(path)?;
    if metadata.layout != "sparse" || metadata.version != 1 {
        bail!(
            "layout {:?} of version {} is not known here, only \"sparse\" of version 1",
            metadata.layout,
            metadata.version
        );
    }
    let file = TensorFile::open(path)?;
    let (mut tensors, mut bits) = (Tensors::new(), Vec::new());
    let mut parts = Shapes::new();
    for (name, shape) in file.shapes() {
        parts.insert(Name::new(name), shape.to_vec());
    }
    for (name, packed) in &metadata.packed {
        let [kept, values] = ["kept", "values"].map(|part| format!("{name}/{part}"));
        let within = |e: Error| e.within(format!("tensor {name}"));
        let (own, tensor) = unpack(&file, (&kept, &values), &packed.shape).map_err(within)?;
        parts.remove(&Name::new(kept));
        parts.remove(&Name::new(values));
        if packed.masked {
            bits.push((Name::new(name), packed.shape.clone(), own));
        }
        tensors.insert(Name::new(name), tensor);
    }
    for name in parts.into_keys() {
        let tensor = file.get(name.as_str())?.to_dtype(DType::F32)?;
        tensors.insert(name, tensor);
    }
    let mask = match bits.is_empty() {
        true => None,
        false => Some(Arc::new(Mask::of_words(bits)?)),
    };
    let mut heads: Vec<Tensors> = metadata.adapter.heads().map(|_| Tensors::new()).collect();
    if !heads.is_empty() {
        for (name, tensor) in tensorfile::read(&folder.join(HEADS))? {
            let place = name.strip_prefix("head/").and_then(|n| n.split_once('/'));
            let own = place.and_then(|(i, own)| Some((i.parse::<usize>().ok()?, own)));
            match own.and_then(|(i, own)| Some((heads.get_mut(i)?, own))) {
                Some((head, own)) => head.insert(Name::new(own), tensor.to_dtype(DType::F32)?),
                None => bail!("{HEADS}: tensor {name} belongs to no head"),
            };
        }
    }
    let source = Source::Ready(tensors);
    let mut adapter = assemble(metadata.adapter, heads, mask, None)?;
    let config =
        serde_json::to_vec(&adapter.kind.config()).map_err(|e| Error::new(e.to_string()))?;
    // As that of the same adapter in AdapterHub's layout.
    adapter.id = Id::of_pieces("adapter", |sink| {
        sink(&config);
        source.content(&mut *sink)?;
        for head in &adapter.heads {
            sink(head_id(head).as_bytes());
        }
        Ok(())
    })?;
    Adapter::from_source(adapter, source)
}

fn metadata(path: &Path) -> Result<Metadata> {
    let damaged = |e: &dyn std::fmt::Display| Error::new(format!("not of the sparse layout: {e}"));
    let file = std::fs::File::open(path).map_err(|e| Error::new(e.to_string()))?;
    // SAFETY: the map is only read, and only here; see `tensorfile::read`.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::new(e.to_string()))?;
    let (_, head) = tensorfile::head(&map)?;
    let text = head.metadata().as_ref().and_then(|m| m.get(KEY));
    let text = text.ok_or_else(|| damaged(&"it has no metadata `tureen`"))?;
    serde_json::from_str(text).map_err(|e| damaged(&e))
}

/// The kept entries as bits, and the tensor.
fn unpack(
    file: &TensorFile,
    (kept, values): (&str, &str),
    shape: &[usize],
) -> Result<(Vec<u64>, Tensor)> {
    let entries = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    let bits = file.raw(kept)?;
    let values = file
        .get(values)?
        .to_dtype(DType::F32)?
        .flatten_all()?
        .to_vec1::<f32>()?;
    let Some(n) = entries.filter(|n| n.div_ceil(8) == bits.len()) else {
        bail!("shape {shape:?} does not fit {} bytes of bits", bits.len());
    };
    let set: usize = bits.iter().map(|b| b.count_ones() as usize).sum();
    let past = bits
        .last()
        .is_some_and(|last| n % 8 != 0 && last >> (n % 8) != 0);
    if set != values.len() || past {
        bail!(
            "{set} bits are set for {} values of {n} entries",
            values.len()
        );
    }
    let mut next = values.into_iter();
    let dense: Vec<f32> = (0..n)
        .map(|i| match bits[i / 8] >> (i % 8) & 1 {
            1 => next.next().unwrap_or_default(),
            _ => 0.0,
        })
        .collect();
    let words = bits.chunks(8).map(|eight| {
        let mut word = [0; 8];
        word[..eight.len()].copy_from_slice(eight);
        u64::from_le_bytes(word)
    });
    let tensor = Tensor::from_vec(dense, shape, &candle_core::Device::Cpu)?;
    Ok((words.collect(), tensor))
}
