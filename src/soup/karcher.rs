//! The Karcher mean: the point on the sphere with the least sum of squared angles to the members'
//! directions, as long as the members on average.
//!
//! Found by following the mean of the members in the tangent plane. Source: mergekit 0.1.5, which
//! takes uniform weights and at most 10 steps, and the first member's direction where all cancel
//! out (here nothing); tensor by tensor.

use std::sync::Arc;

use crate::Result;

use super::method::{At, Combination, Gram, Number, PLAIN, Spec, Work};

/// The method.
pub const SPEC: Spec = Spec {
    name: "karcher",
    doc: "the mean on the sphere (Riemannian), as long as the members on average",
    numbers: &[Number {
        name: "max_iter",
        default: Some(10.0),
        least: 0.0,
        most: 100_000.0,
    }],
    make: |_| Ok(Work::Combination(Arc::new(Karcher))),
    ..PLAIN
};

/// Angles below this are nothing.
const TOLERANCE: f64 = 1e-5;

#[derive(Debug)]
struct Karcher;

impl Combination for Karcher {
    fn needs_products(&self) -> bool {
        true
    }

    // The mean stays in the span of the members: all is done on coefficients of their unit
    // vectors, whose inner products are known.
    fn coefficients(&self, at: &At<'_>, products: &Gram) -> Result<Vec<f64>> {
        let n = products.len();
        if n == 1 {
            return Ok(at.weights.to_vec());
        }
        let lengths: Vec<f64> = (0..n).map(|i| products[i][i].max(0.0).sqrt()).collect();
        let valid: Vec<usize> = (0..n).filter(|i| lengths[*i] > 0.0).collect();
        let total: f64 = valid.iter().map(|i| at.weights[*i]).sum();
        if valid.is_empty() || total == 0.0 {
            return Ok(vec![0.0; n]);
        }
        let shares: Vec<f64> = valid.iter().map(|i| at.weights[*i] / total).collect();
        let cosines: Vec<Vec<f64>> = valid
            .iter()
            .map(|i| {
                valid
                    .iter()
                    .map(|j| products[*i][*j] / (lengths[*i] * lengths[*j]))
            })
            .map(Iterator::collect)
            .collect();
        let dot =
            |x: &[f64], j: usize| -> f64 { x.iter().zip(&cosines[j]).map(|(a, c)| a * c).sum() };
        let norm = |x: &[f64]| -> f64 {
            let square: f64 = (0..x.len()).map(|j| x[j] * dot(x, j)).sum();
            square.max(0.0).sqrt()
        };
        let mut mean = shares.clone();
        let length = norm(&mean);
        if length < TOLERANCE {
            // Directions that cancel out have no mean, whatever their order.
            return Ok(vec![0.0; n]);
        }
        mean.iter_mut().for_each(|m| *m /= length);
        for _ in 0..at.number("max_iter")? as usize {
            let mut tangent = vec![0.0; valid.len()];
            for (j, share) in shares.iter().enumerate() {
                let cosine = dot(&mean, j).clamp(-1.0, 1.0);
                let theta = libm::acos(cosine);
                let sine = libm::sin(theta);
                // An opposite point has no direction of its own.
                if theta < TOLERANCE || sine < TOLERANCE {
                    continue;
                }
                let factor = share * theta / sine;
                tangent[j] += factor;
                tangent
                    .iter_mut()
                    .zip(&mean)
                    .for_each(|(t, m)| *t -= factor * cosine * m);
            }
            let step = norm(&tangent);
            if step < TOLERANCE {
                break;
            }
            let (along, across) = (libm::cos(step), libm::sin(step) / step);
            for (m, t) in mean.iter_mut().zip(&tangent) {
                *m = along * *m + across * t;
            }
            let length = norm(&mean);
            if length > TOLERANCE {
                mean.iter_mut().for_each(|m| *m /= length);
            }
        }
        let scale: f64 = at.weights.iter().zip(&lengths).map(|(w, l)| w * l).sum();
        let mut coefficients = vec![0.0; n];
        for (i, m) in valid.iter().zip(&mean) {
            coefficients[*i] = scale * m / lengths[*i];
        }
        Ok(coefficients)
    }
}
