//! A frozen layer norm.

use candle_core::{DType, Tensor};

use crate::Result;
use crate::compute;

/// Layer normalisation with frozen weight and bias.
#[derive(Debug, Clone)]
pub struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Norm {
    /// From weight and bias `[width]`.
    pub fn new(weight: Tensor, bias: Tensor, eps: f64) -> Self {
        Self { weight, bias, eps }
    }

    /// The same norm, of this type.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        let (weight, bias) = (self.weight.to_dtype(dtype)?, self.bias.to_dtype(dtype)?);
        Ok(Self::new(weight, bias, self.eps))
    }

    /// Weight, bias and epsilon.
    pub fn weights(&self) -> (&Tensor, &Tensor, f64) {
        (&self.weight, &self.bias, self.eps)
    }

    /// LN(x).
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        compute::layer_norm(x, &self.weight, &self.bias, self.eps)
    }

    /// LN(x + residual), in one pass.
    pub fn add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        compute::add_layer_norm(x, residual, &self.weight, &self.bias, self.eps)
    }
}
