//! What training minimises.

use candle_core::{DType, Tensor};

use crate::Result;
use crate::adapter::Labels;

/// The targets of a batch.
#[derive(Debug, Clone)]
pub enum Targets {
    /// Class numbers, u32 `[batch]`.
    Classes(Tensor),
    /// Numbers `[batch]`.
    Numbers(Tensor),
}

/// The mean loss over the batch of logits [batch, outputs]: cross-entropy for classes, squared
/// error for numbers.
pub fn loss(logits: &Tensor, targets: &Targets) -> Result<Tensor> {
    match targets {
        Targets::Classes(classes) => Ok(candle_nn::loss::cross_entropy(logits, classes)?),
        Targets::Numbers(numbers) => Ok(candle_nn::loss::mse(&logits.squeeze(1)?, numbers)?),
    }
}

/// Targets of rows: class numbers or values as `gold` gives them.
pub fn targets(
    gold: &[f64],
    labels: &Labels,
    dtype: DType,
    device: &candle_core::Device,
) -> Result<Targets> {
    Ok(match labels {
        Labels::Number => {
            Targets::Numbers(Tensor::from_slice(gold, gold.len(), device)?.to_dtype(dtype)?)
        }
        _ => {
            let classes: Vec<u32> = gold.iter().map(|g| *g as u32).collect();
            Targets::Classes(Tensor::from_vec(classes, gold.len(), device)?)
        }
    })
}
