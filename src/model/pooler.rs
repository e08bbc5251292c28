//! What a model's own classifiers put between a text's state and their output.

use candle_core::{DType, Tensor};

use crate::Result;
use crate::compute::{Activation, FrozenLinear};

use super::norm::Norm;

/// A map, an activation and perhaps a norm, of the base or of the task model around it.
#[derive(Debug, Clone)]
pub struct Pooler {
    map: FrozenLinear,
    activation: Activation,
    norm: Option<Norm>,
}

impl Pooler {
    /// The norm comes after the activation.
    pub fn new(map: FrozenLinear, activation: Activation, norm: Option<Norm>) -> Self {
        Self {
            map,
            activation,
            norm,
        }
    }

    /// What the classifier reads of states [batch, hidden].
    pub fn apply(&self, states: &Tensor) -> Result<Tensor> {
        let pooled = self.activation.apply(&self.map.forward(states)?)?;
        match &self.norm {
            Some(norm) => norm.apply(&pooled),
            None => Ok(pooled),
        }
    }

    /// The same of this type.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        let norm = self.norm.as_ref().map(|n| n.to_dtype(dtype));
        Ok(Self {
            map: self.map.to_dtype(dtype)?,
            activation: self.activation,
            norm: norm.transpose()?,
        })
    }
}
