//! What training minimises.

use candle_core::{DType, Tensor};

use crate::adapter::Labels;
use crate::compute::widened;
use crate::{Result, bail};

/// The targets of a batch.
#[derive(Debug, Clone)]
pub enum Targets {
    /// Class numbers, u32 `[batch]`.
    Classes(Tensor),
    /// Numbers `[batch]`.
    Numbers(Tensor),
    /// The next token's id behind every position, `[batch, seq]`; below 0 where none is asked
    /// for.
    Next(Tensor),
}

/// The mean loss over the batch of logits [batch, outputs]: cross-entropy for classes, squared
/// error for numbers.
pub fn loss(logits: &Tensor, targets: &Targets) -> Result<Tensor> {
    let logits = &widened(logits)?;
    match targets {
        Targets::Classes(classes) => Ok(candle_nn::loss::cross_entropy(logits, classes)?),
        Targets::Next(ids) => next_token(logits, ids),
        Targets::Numbers(numbers) => {
            let numbers = numbers.to_dtype(logits.dtype())?;
            Ok(candle_nn::loss::mse(&logits.squeeze(1)?, &numbers)?)
        }
    }
}

/// The mean cross-entropy of logits [batch, seq, vocabulary] with the tokens behind them, over the
/// positions whose next token is asked for.
fn next_token(logits: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let (rows, seq, vocabulary) = logits.dims3()?;
    let ids = ids.to_dtype(DType::I64)?.to_vec2::<i64>()?;
    let (mut places, mut next) = (Vec::new(), Vec::new());
    for (row, ids) in ids.iter().enumerate() {
        for (at, id) in ids.iter().enumerate().skip(1) {
            if (0..vocabulary as i64).contains(id) {
                places.push((row * seq + at - 1) as u32);
                next.push(*id as u32);
            }
        }
    }
    if places.is_empty() {
        bail!("labels ask for no token");
    }
    let count = places.len();
    let places = Tensor::from_vec(places, count, logits.device())?;
    let next = Tensor::from_vec(next, count, logits.device())?;
    let flat = logits.reshape((rows * seq, vocabulary))?;
    Ok(candle_nn::loss::cross_entropy(
        &flat.index_select(&places, 0)?,
        &next,
    )?)
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
