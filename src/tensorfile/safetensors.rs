//! Safetensors files.

use std::collections::BTreeMap;

use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde_json::{Map, Value};

use crate::{Error, Result, input};

use super::entry::Entry;
use super::number::Number;

/// The bytes that say how long the head is.
const LENGTH: usize = 8;

/// The length of a file's head and what it lists; an error for what is no safetensors file, that
/// says so where it is the beginning of one.
pub fn head(bytes: &[u8]) -> Result<(usize, Metadata)> {
    input::check(bytes)?;
    SafeTensors::read_metadata(bytes).map_err(|error| {
        let unreadable = || Error::new(format!("not a safetensors file: {error}"));
        let again = |error: Error| error.hint("download it again");
        let length = bytes.len();
        match error {
            SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength
                if bytes.get(LENGTH).is_none_or(|first| *first == b'{') =>
            {
                again(Error::new(format!(
                    "the file ends early, within its head: it has {length} bytes"
                )))
            }
            SafeTensorError::MetadataIncompleteBuffer => match expected(bytes) {
                Some(expected) if expected > length => again(Error::new(format!(
                    "the file ends early: it has {length} bytes of {expected}"
                ))),
                Some(expected) => again(Error::new(format!(
                    "the file has {length} bytes, and its tensors end at byte {expected}"
                ))),
                None => unreadable(),
            },
            _ => unreadable(),
        }
    })
}

/// The number of bytes that a file with this head has.
fn expected(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let head: Map<String, Value> = serde_json::from_slice(rest.get(..length)?).ok()?;
    let end = |tensor: &Value| tensor["data_offsets"][1].as_u64();
    let end = usize::try_from(head.values().filter_map(end).max()?).ok()?;
    end.checked_add(LENGTH)?.checked_add(length)
}

/// The tensors that a file lists, by name. Of `bytes` only the head is looked at.
pub fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let (head, metadata) = head(bytes)?;
    let start = head + LENGTH;
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
        Dtype::F8_E4M3 => Number::F8E4M3,
        Dtype::F8_E5M2 => Number::F8E5M2,
        Dtype::I64 => Number::I64,
        Dtype::I32 => Number::I32,
        Dtype::I16 => Number::I16,
        Dtype::I8 => Number::I8,
        Dtype::U32 => Number::U32,
        Dtype::U16 => Number::U16,
        Dtype::U8 => Number::U8,
        Dtype::BOOL => Number::Bool,
        Dtype::F4
        | Dtype::F6_E2M3
        | Dtype::F6_E3M2
        | Dtype::F8_E8M0
        | Dtype::F8_E4M3FNUZ
        | Dtype::F8_E5M2FNUZ => {
            let error = Error::new(format!(
                "its numbers are quantised ({dtype:?}), which is not supported"
            ));
            return Err(error.hint(super::quantised::ADVICE));
        }
        other => {
            return Err(Error::new(format!(
                "numbers of type {other:?} are not supported"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::tensorfile::encode;

    #[test]
    fn the_beginning_of_a_file_is_told_from_another_file() {
        let tensor = Tensor::new(&[1f32, 2.0], &Device::Cpu).unwrap();
        let whole = encode(&[("a".to_string(), tensor)].into(), None).unwrap();
        assert!(entries(&whole).is_ok());
        for length in 1..whole.len() {
            let message = entries(&whole[..length]).unwrap_err().to_string();
            assert!(message.contains("ends early"), "{length}: {message}");
            assert!(message.contains("download it again"), "{message}");
        }
        let longer = [&whole[..], b"more"].concat();
        let message = entries(&longer).unwrap_err().to_string();
        assert!(message.contains("its tensors end at byte"), "{message}");
        let message = entries(b"PK\x03\x04 another file").unwrap_err().to_string();
        assert!(message.contains("not a safetensors file"), "{message}");
    }
}
