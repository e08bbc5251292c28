//! Adapters on disk, one file a library.

pub mod adapterhub;
pub mod own;
mod tensorfile;

pub use adapterhub::{load, save};

use std::collections::BTreeMap;

use candle_core::Tensor;

/// The bytes of a safetensors file with these tensors as f32.
pub fn encode_tensors(tensors: &BTreeMap<String, Tensor>) -> crate::Result<Vec<u8>> {
    tensorfile::encode(tensors, None)
}
