//! Random: what any other criterion should beat.

use super::{Criterion, Target};
use crate::compute::random::Stream;

/// Keeps entries at random: the score is uniform, by seed and tensor name.
#[derive(Debug, Clone, Copy)]
pub struct Random;

impl Criterion for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn scores(&self, target: &Target<'_>) -> Vec<f32> {
        let mut stream = Stream::new(target.seed, "prune", target.name.as_str());
        target
            .weights
            .iter()
            .map(|_| stream.uniform() as f32)
            .collect()
    }
}
