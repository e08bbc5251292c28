//! Safetensors with deterministic bytes.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use safetensors::tensor::{Dtype, View};

use crate::{Error, Result};

/// A tensor ready to be written: shape and little-endian f32 bytes.
struct Plain {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for &Plain {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.bytes).into()
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// The bytes of a safetensors file with these tensors as f32. `metadata` is at most one entry,
/// since the format's map of metadata has no order.
pub fn encode(
    tensors: &BTreeMap<String, Tensor>,
    metadata: Option<(&str, String)>,
) -> Result<Vec<u8>> {
    let mut plain = BTreeMap::new();
    for (name, tensor) in tensors {
        let values = tensor
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        plain.insert(
            name.as_str(),
            Plain {
                shape: tensor.dims().to_vec(),
                bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            },
        );
    }
    let metadata = metadata.map(|(key, value)| [(key.to_string(), value)].into_iter().collect());
    safetensors::serialize(plain.iter().map(|(k, v)| (*k, v)), metadata)
        .map_err(|e| Error::new(format!("tensors could not be written: {e}")))
}
