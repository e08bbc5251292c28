//! Magnitude: |w|.

use super::{Criterion, Target};

/// Keeps the largest weights: the score is |w|.
#[derive(Debug, Clone, Copy)]
pub struct Magnitude;

impl Criterion for Magnitude {
    fn name(&self) -> &'static str {
        "magnitude"
    }

    fn scores(&self, target: &Target<'_>) -> Vec<f32> {
        target.weights.iter().map(|w| w.abs()).collect()
    }
}
