//! Tensors as f32, in which they are mixed and saved.

use candle_core::{DType, Tensor};

use crate::{Error, Result};

use super::number::narrowed;

/// The tensor as f32. An error for a finite number that f32 has only as an infinite one, and for a
/// whole number that it has not.
pub fn to_f32(tensor: &Tensor) -> Result<Tensor> {
    match tensor.dtype() {
        DType::F64 => {
            let values = tensor.flatten_all()?.to_vec1::<f64>()?;
            values.into_iter().try_for_each(|v| narrowed(v).map(drop))?;
        }
        DType::I64 | DType::U32 => {
            let values = tensor
                .to_dtype(DType::I64)?
                .flatten_all()?
                .to_vec1::<i64>()?;
            // Both ways round to the nearest, and back only what was exact is equal.
            let kept = |v: &i64| (*v as f32) as i64 == *v;
            if let Some(value) = values.iter().find(|v| !kept(v)) {
                return Err(Error::new(format!(
                    "the whole number {value} is not one of float32, in which tensors are saved"
                )));
            }
        }
        _ => {}
    }
    Ok(tensor.to_dtype(DType::F32)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn what_f32_has_not_is_refused() {
        let as_f32 = |tensor: candle_core::Result<Tensor>| to_f32(&tensor.unwrap());
        let device = &Device::Cpu;
        assert!(as_f32(Tensor::new(&[1e38f64, -0.1], device)).is_ok());
        assert!(as_f32(Tensor::new(&[f64::INFINITY], device)).is_ok());
        let message = as_f32(Tensor::new(&[1e39f64], device))
            .unwrap_err()
            .to_string();
        assert!(message.contains("1e39 is too large"), "{message}");
        assert!(as_f32(Tensor::new(&[1i64 << 24, -3], device)).is_ok());
        let message = as_f32(Tensor::new(&[(1i64 << 24) + 1], device)).unwrap_err();
        assert!(message.to_string().contains("16777217"), "{message}");
    }
}
