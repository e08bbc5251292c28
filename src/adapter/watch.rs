//! What flows into an adapter's linear maps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Tensor};

use crate::Result;

use super::tensors::Name;

/// Adds up X^T X of the inputs X of an adapter's linear maps, by the name of the map's tensor.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Mutex<BTreeMap<Name, Gram>>>);

/// The sum of X^T X over rows, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    /// The width of the rows.
    pub width: usize,
    /// width x width numbers.
    pub values: Vec<f64>,
}

impl Watch {
    /// Adds the rows of `x`, [..., width].
    pub fn see(&self, name: Name, x: &Tensor) -> Result<()> {
        let width = x.dims().last().copied().unwrap_or(0);
        let rows = x.detach().to_dtype(DType::F32)?.reshape(((), width))?;
        let product = rows.t()?.contiguous()?.matmul(&rows.contiguous()?)?;
        let product = product.flatten_all()?.to_vec1::<f32>()?;
        // A poisoned lock only means that somebody else failed; the sums are whole.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = all.entry(name).or_insert_with(|| Gram {
            width,
            values: vec![0.0; width * width],
        });
        for (sum, x) in sum.values.iter_mut().zip(product) {
            *sum += f64::from(x);
        }
        Ok(())
    }

    /// What was added up.
    pub fn take(&self) -> BTreeMap<Name, Gram> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
