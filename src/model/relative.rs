//! What attention knows of distances, beside what embeddings say of positions.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::Result;
use crate::compute::dropout;

use super::inputs::{Inputs, Noise};

/// What attention knows of distances in every block alike.
#[derive(Clone)]
pub enum Relative {
    /// Nothing.
    Nothing,
    /// A number a head and distance, added to scores: [heads, 2 far + 1].
    Bias(Tensor),
    /// Embeddings of relative positions, which have queries and keys of their own.
    Positions(Positions),
}

/// Embeddings of relative positions.
#[derive(Clone)]
pub struct Positions {
    /// [rows, hidden].
    table: Tensor,
    /// The row of a distance from query to key.
    row: Arc<dyn Fn(i64) -> u32 + Send + Sync>,
}

/// The relative positions that occur in texts of one length.
pub struct Seen {
    /// Their embeddings, [1, positions, hidden].
    pub states: Tensor,
    /// Which of them each distance has, from the lowest to the highest.
    pub places: Arc<[u32]>,
}

impl Relative {
    /// The same of this type.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        Ok(match self {
            Self::Nothing => Self::Nothing,
            Self::Bias(bias) => Self::Bias(bias.to_dtype(dtype)?),
            Self::Positions(own) => Self::Positions(Positions {
                table: own.table.to_dtype(dtype)?,
                row: own.row.clone(),
            }),
        })
    }
}

impl Positions {
    /// A table [rows, hidden], with the row of each distance from query to key.
    pub fn new(table: Tensor, row: impl Fn(i64) -> u32 + Send + Sync + 'static) -> Self {
        let row = Arc::new(row);
        Self { table, row }
    }

    /// What texts as long as these need; with dropout `site`.
    pub fn of(&self, inputs: &Inputs, noise: &Noise, site: u64) -> Result<Seen> {
        let (_, seq) = inputs.dims();
        let far = seq.max(1) as i64 - 1;
        let rows: Vec<u32> = (-far..=far).map(|distance| (self.row)(distance)).collect();
        let lowest = rows.iter().copied().min().unwrap_or(0);
        let highest = rows.iter().copied().max().unwrap_or(0);
        let mut states = self.table.unsqueeze(0)?;
        if let Some(hidden) = &noise.hidden {
            states = dropout(&states, &hidden.shared(), site)?;
        }
        let count = (highest - lowest) as usize + 1;
        Ok(Seen {
            states: states.narrow(1, lowest as usize, count)?.contiguous()?,
            places: rows.iter().map(|row| row - lowest).collect(),
        })
    }
}
