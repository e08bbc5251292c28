//! Safetensors files.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};

use crate::{Error, Result};

use super::entry::Entry;
use super::number::Number;

/// The tensors that a file lists, by name. Of `bytes` only the head is looked at.
pub fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let unreadable = |e: &dyn std::fmt::Display| Error::new(format!("not a safetensors file: {e}"));
    let (head, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| unreadable(&e))?;
    // Eight bytes say how long the head is.
    let start = head + 8;
    let one = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let number = number(info.dtype).map_err(|e| e.within(format!("tensor {name}")))?;
        let (from, to) = info.data_offsets;
        let entry = Entry::plain(number, info.shape.clone(), start + from..start + to)
            .map_err(|e| e.within(format!("tensor {name}")))?;
        Ok((name, entry))
    };
    metadata.tensors().into_iter().map(one).collect()
}

fn number(dtype: Dtype) -> Result<Number> {
    Ok(match dtype {
        Dtype::F64 => Number::F64,
        Dtype::F32 => Number::F32,
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::BF16,
        Dtype::F8_E4M3 => Number::F8,
        Dtype::I64 => Number::I64,
        Dtype::I32 => Number::I32,
        Dtype::I16 => Number::I16,
        Dtype::I8 => Number::I8,
        Dtype::U32 => Number::U32,
        Dtype::U16 => Number::U16,
        Dtype::U8 => Number::U8,
        Dtype::BOOL => Number::Bool,
        other => {
            return Err(Error::new(format!(
                "numbers of type {other:?} are not supported"
            )));
        }
    })
}
