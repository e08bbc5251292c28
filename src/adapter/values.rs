//! A tensor's numbers as a slice.

use candle_core::{DType, Device, Storage, Tensor};

use crate::{Error, Result};

/// Calls `f` with the tensor's numbers in row-major order.
///
/// A contiguous f32 tensor on the CPU is lent without a copy; others are converted first.
pub fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor
        .to_device(&Device::Cpu)?
        .to_dtype(DType::F32)?
        .contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        return Err(Error::new("the tensor could not be brought to the CPU"));
    };
    let start = layout.start_offset();
    let values = storage.as_slice::<f32>()?;
    match values.get(start..start + layout.shape().elem_count()) {
        Some(values) => Ok(f(values)),
        None => Err(Error::new("the tensor's layout reaches past its numbers")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_and_other_types_read_row_by_row() {
        let tensor = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let read = |t: &Tensor| with_values(t, <[f32]>::to_vec).unwrap();
        assert_eq!(read(&tensor.t().unwrap()), [1.0, 3.0, 2.0, 4.0]);
        assert_eq!(read(&tensor.narrow(0, 1, 1).unwrap()), [3.0, 4.0]);
        assert_eq!(read(&tensor.to_dtype(DType::F64).unwrap()), read(&tensor));
    }
}
