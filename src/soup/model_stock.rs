//! Model stock: the mean of the members, drawn towards the base the more their changes differ.
//!
//! t avg + (1 - t) base with t = N cos / (1 + (N - 1) cos), cos the mean cosine between two
//! members' changes, tensor by tensor. Source: Jang et al. 2024; mergekit 0.1.5, which asks for
//! two members at least, keeps the base where the formula has no value, and draws the cosine of
//! changes shorter than 1e-3 towards zero.

use std::sync::Arc;

use crate::Result;

use super::method::{At, Combination, Gram, On, PLAIN, Spec, Work};

/// The method.
pub const SPEC: Spec = Spec {
    name: "model_stock",
    doc: "between the base and the members' mean, nearer to the mean the more their changes agree",
    on: On::Changes,
    weighted: false,
    make: |_| Ok(Work::Combination(Arc::new(ModelStock))),
    ..PLAIN
};

#[derive(Debug)]
struct ModelStock;

impl Combination for ModelStock {
    fn needs_products(&self) -> bool {
        true
    }

    fn coefficients(&self, _: &At<'_>, products: &Gram) -> Result<Vec<f64>> {
        let n = products.len();
        if n == 1 {
            return Ok(vec![1.0]);
        }
        let length = |i: usize| products[i][i].max(0.0).sqrt();
        let (mut sum, mut pairs) = (0.0, 0.0);
        for (i, row) in products.iter().enumerate() {
            for (j, product) in row.iter().enumerate().skip(i + 1) {
                let lengths = length(i) * length(j);
                // No change has no direction.
                sum += match lengths > 0.0 {
                    true => (product / lengths).clamp(-1.0, 1.0),
                    false => 0.0,
                };
                pairs += 1.0;
            }
        }
        let (cosine, count) = (sum / pairs, n as f64);
        let denominator = 1.0 + (count - 1.0) * cosine;
        let t = match denominator.abs() < 1e-6 {
            true => 0.0,
            false => count * cosine / denominator,
        };
        Ok(vec![t / count; n])
    }
}
