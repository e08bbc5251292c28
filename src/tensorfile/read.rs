//! One file of named tensors, by its content.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use memmap2::Mmap;

use crate::{Error, Result};

use super::pickle;

/// All tensors of a safetensors file or a PyTorch pickle, by name, memory-mapped while reading.
/// Which of the two it is, is told by its extension: `.safetensors`, or anything else.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let map = map(path)?;
    let tensors = match path.extension().is_some_and(|e| e == "safetensors") {
        true => parse_safetensors(&map),
        false => pickle::read(&map),
    };
    tensors.map_err(|e| e.within(path.display()))
}

/// A file's bytes.
pub fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path).map_err(|e| Error::at_path(path, e))?;
    let size = file.metadata().map_err(|e| Error::at_path(path, e))?.len();
    if size == 0 {
        return Err(Error::at_path(path, "the file is empty"));
    }
    // SAFETY: the map is only read; a file that another process truncates meanwhile is outside
    // what any reader of mapped files can guard against.
    unsafe { Mmap::map(&file) }.map_err(|e| Error::at_path(path, e))
}

/// The tensors of a safetensors file's bytes.
pub fn parse_safetensors(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let parsed = safetensors::SafeTensors::deserialize(bytes)
        .map_err(|e| Error::new(format!("not a safetensors file: {e}")))?;
    let load = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let tensor = view
            .load(&Device::Cpu)
            .map_err(|e| Error::new(format!("tensor {name}: {e}")))?;
        Ok((name, tensor))
    };
    parsed.tensors().into_iter().map(load).collect()
}
