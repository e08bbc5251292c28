//! SNIP: |w dL/dw| (Lee, Ajanthan & Torr, arXiv 1810.02340).

use super::{Criterion, Need, Target};

/// Keeps the entries whose removal changes the loss most, to first order: the score is |w g|.
///
/// Over several batches the gradients are summed first, the absolute value is taken once.
#[derive(Debug, Clone, Copy)]
pub struct Snip;

impl Criterion for Snip {
    fn name(&self) -> &'static str {
        "snip"
    }

    fn needs(&self) -> Need {
        Need::Gradient
    }

    fn scores(&self, target: &Target<'_>) -> Vec<f32> {
        let entries = target.weights.iter().zip(target.evidence);
        entries.map(|(w, g)| (w * g).abs()).collect()
    }
}
