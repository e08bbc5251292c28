//! What decides which entries stay: one file a criterion.

mod magnitude;
mod random;

use crate::Result;
use crate::adapter::{Name, Tensors};
use crate::bail;

/// A score for every entry of a tensor; higher is kept.
pub type Scores = Vec<f64>;

/// A pruning criterion.
pub struct Criterion {
    /// Its name.
    pub name: &'static str,
    /// Scores the entries of one tensor (its values in order) under a seed.
    pub score: fn(name: &Name, values: &[f32], seed: u64) -> Scores,
}

/// The criteria. A new one is one file and one line.
pub const CRITERIA: &[Criterion] = &[magnitude::CRITERION, random::CRITERION];

/// The criterion of this name.
pub fn criterion(name: &str) -> Result<&'static Criterion> {
    match CRITERIA.iter().find(|c| c.name == name) {
        Some(criterion) => Ok(criterion),
        None => bail!(
            "no pruning criterion {name:?}; there are {}",
            CRITERIA
                .iter()
                .map(|c| c.name)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

impl Criterion {
    /// The scores of every tensor, by name.
    pub fn scores(&self, tensors: &Tensors, seed: u64) -> Result<Vec<(Name, Vec<usize>, Scores)>> {
        tensors
            .iter()
            .map(|(name, tensor)| {
                let values = tensor
                    .to_dtype(candle_core::DType::F32)?
                    .flatten_all()?
                    .to_vec1::<f32>()?;
                let scores = (self.score)(name, &values, seed);
                if let Some(at) = scores.iter().position(|s| s.is_nan()) {
                    bail!(
                        "the {} score of tensor {name} is NaN at entry {at}",
                        self.name
                    );
                }
                Ok((name.clone(), tensor.dims().to_vec(), scores))
            })
            .collect()
    }
}
