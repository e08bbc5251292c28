//! Task arithmetic: the base plus the sum of the members' changes.
//!
//! Formula: base + lambda sum_i w_i (T_i - base). `normalize` divides by the sum of the weights.
//! Source: Ilharco et al. 2023; mergekit 0.1.5.

use std::sync::Arc;

use crate::Result;

use super::method::{At, Combination, Gram, Number, On, PLAIN, Spec, Work};

/// The method.
pub const SPEC: Spec = Spec {
    name: "task_arithmetic",
    doc: "the base plus lambda times the weighted sum of the members' changes from it",
    on: On::ChangesFromBase,
    numbers: &[LAMBDA],
    flags: &[("normalize", false)],
    share: false,
    make: |_| Ok(Work::Combination(Arc::new(TaskArithmetic))),
    ..PLAIN
};

/// The factor on the mixed change.
pub const LAMBDA: Number = Number {
    name: "lambda",
    default: Some(1.0),
    least: -100.0,
    most: 100.0,
};

#[derive(Debug)]
struct TaskArithmetic;

impl Combination for TaskArithmetic {
    fn coefficients(&self, at: &At<'_>, _: &Gram) -> Result<Vec<f64>> {
        let total: f64 = at.weights.iter().sum();
        let divisor = match at.settings.flag("normalize") && total.abs() >= 1e-8 {
            true => total,
            false => 1.0,
        };
        let lambda = at.number("lambda")?;
        Ok(at.weights.iter().map(|w| lambda * w / divisor).collect())
    }
}
