//! Where a list of scores is cut so that an exact number falls below.

use crate::adapter::Name;
use crate::{Result, bail};

/// Scores as integers of the same order.
///
/// A NaN has no place in an order: it is an error with its tensor and index. -0.0 equals 0.0.
pub(super) fn ranks(name: &Name, scores: &[f32]) -> Result<Vec<u32>> {
    if let Some(index) = scores.iter().position(|score| score.is_nan()) {
        bail!("the score of `{name}` is NaN at entry {index}: it has no rank");
    }
    let rank = |score: &f32| {
        // Adding zero turns -0.0 into 0.0.
        let bits = (score + 0.0).to_bits();
        if bits >> 31 == 1 {
            !bits
        } else {
            bits | 1 << 31
        }
    };
    Ok(scores.iter().map(rank).collect())
}

/// A cut through ranks, to be put to them one by one in their order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    threshold: u32,
    /// How many ranks equal to the threshold still fall.
    ties: usize,
}

impl Cut {
    /// The cut below which `count` of these ranks fall; among equals the first ones fall.
    ///
    /// Takes linear time; leaves `ranks` in another order.
    pub(super) fn new(ranks: &mut [u32], count: usize) -> Self {
        let nothing = Self {
            threshold: 0,
            ties: 0,
        };
        let Some(last) = count.min(ranks.len()).checked_sub(1) else {
            return nothing;
        };
        let (below, threshold, _) = ranks.select_nth_unstable(last);
        let threshold = *threshold;
        let ties = 1 + below.iter().filter(|rank| **rank == threshold).count();
        Self { threshold, ties }
    }

    /// Whether the next rank is kept.
    pub(super) fn keeps(&mut self, rank: u32) -> bool {
        if rank == self.threshold && self.ties > 0 {
            self.ties -= 1;
            return false;
        }
        rank >= self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(scores: &[f32], count: usize) -> Vec<usize> {
        let ranks = ranks(&Name::new("w"), scores).unwrap();
        let mut cut = Cut::new(&mut ranks.clone(), count);
        (0..scores.len()).filter(|i| cut.keeps(ranks[*i])).collect()
    }

    #[test]
    fn among_equals_the_first_fall() {
        assert_eq!(kept(&[1.0, 0.0, 1.0, -0.0, 1.0], 3), [2, 4]);
        assert_eq!(kept(&[0.0, -0.0, 0.0], 2), [2]);
        assert_eq!(kept(&[-1.0, f32::NEG_INFINITY, f32::INFINITY], 2), [2]);
    }

    #[test]
    fn nan_is_refused() {
        let error = ranks(&Name::new("w"), &[0.0, f32::NAN]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the score of `w` is NaN at entry 1: it has no rank"
        );
    }

    proptest! {
        #[test]
        fn a_cut_is_a_stable_sort(
            scores in proptest::collection::vec(prop_oneof![
                Just(0f32), Just(-0f32), Just(1f32), any::<f32>().prop_filter("a number", |v| !v.is_nan())
            ], 0..100),
            share in 0f64..=1.0,
        ) {
            let count = (share * scores.len() as f64) as usize;
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|a, b| scores[*a].partial_cmp(&scores[*b]).unwrap());
            let mut expected = order.split_off(count);
            expected.sort_unstable();
            prop_assert_eq!(kept(&scores, count), expected);
        }
    }
}
