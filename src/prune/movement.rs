//! Movement: whether training moved a weight away from zero (Sanh, Wolf & Rush, arXiv 2005.07683).

use super::{Criterion, Need, Target};

/// Keeps the entries that training moved away from zero, by how far: the score is w (w - start).
///
/// The paper sums -w dL/dw over the steps of training. A step of gradient descent moves a weight by
/// -lr dL/dw, so that the sum is that of w times the moves; the score here is the same from the two
/// ends alone, which every trained adapter has, whatever optimizer made it. The sum itself is what
/// pruning during training by `movement` takes ([`crate::train::Gradual`]).
#[derive(Debug, Clone, Copy)]
pub struct Movement;

impl Criterion for Movement {
    fn name(&self) -> &'static str {
        "movement"
    }

    fn needs(&self) -> Need {
        Need::Start
    }

    fn scores(&self, target: &Target<'_>) -> Vec<f32> {
        let entries = target.weights.iter().zip(target.evidence);
        entries.map(|(w, start)| w * (w - start)).collect()
    }
}
