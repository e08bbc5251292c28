//! GraSP: w (H g) (Wang, Zhang & Grosse, arXiv 2002.07376), as SparseAdapter keeps it.

use super::{Criterion, Need, Target};

/// Keeps the entries that the gradient's norm depends on most: the score is w times H g, with its
/// sign, the highest kept (arXiv 2210.04284 and its code; the paper's own -w (H g) is removed from
/// the top, which is the same order).
///
/// H g is [`crate::train::curvature_over`]: the Hessian's product with the gradient of the pruned
/// tensors, everything else held.
#[derive(Debug, Clone, Copy)]
pub struct Grasp;

impl Criterion for Grasp {
    fn name(&self) -> &'static str {
        "grasp"
    }

    fn needs(&self) -> Need {
        Need::Curvature
    }

    fn scores(&self, target: &Target<'_>) -> Vec<f32> {
        let entries = target.weights.iter().zip(target.evidence);
        entries.map(|(w, hg)| w * hg).collect()
    }
}
