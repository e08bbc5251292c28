//! The linear soup: the sum of the members' tensors, each times its weight.
//!
//! Formula: T = sum_i w_i T_i over every tensor, biases included. Weights are used as given; they
//! default to 1/N (adapters 1.3.0's `average_adapter` normalises instead, as mergekit 0.1.5 does
//! and `normalize` here). LoRA adds up in delta space, exactly: the factors are joined, A's rows
//! scaled by w_i alpha_i / r_i, so ranks add up (as PEFT 0.21's `cat`).

use std::sync::Arc;

use crate::Result;

use super::method::{At, Combination, Gram, PLAIN, Spec, Work};

/// The method.
pub const SPEC: Spec = Spec {
    name: "linear",
    doc: "the weighted sum of the members' tensors; uniform, their mean",
    flags: &[("normalize", false)],
    make: |_| Ok(Work::Combination(Arc::new(Linear))),
    ..PLAIN
};

#[derive(Debug)]
struct Linear;

impl Combination for Linear {
    fn coefficients(&self, at: &At<'_>, _: &Gram) -> Result<Vec<f64>> {
        let total: f64 = at.weights.iter().sum();
        Ok(match at.settings.flag("normalize") && total.abs() >= 1e-8 {
            true => at.weights.iter().map(|w| w / total).collect(),
            false => at.weights.to_vec(),
        })
    }
}
