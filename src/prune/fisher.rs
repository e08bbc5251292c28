//! Fisher: the squared gradient, as SparseAdapter has it (arXiv 2210.04284).

use super::{Criterion, Need, Target};

/// Keeps the entries that the loss depends on most: the score is g^2.
#[derive(Debug, Clone, Copy)]
pub struct Fisher;

impl Criterion for Fisher {
    fn name(&self) -> &'static str {
        "fisher"
    }

    fn needs(&self) -> Need {
        Need::Gradient
    }

    fn scores(&self, target: &Target<'_>) -> Vec<f32> {
        target.evidence.iter().map(|g| g * g).collect()
    }
}
