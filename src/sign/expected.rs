//! The conflict rate that chance alone would give.

use std::iter::Sum;

use super::{Denominator, Planes};

/// How many of a member's entries are above and below zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Signs {
    pub positive: u64,
    pub negative: u64,
}

impl Signs {
    pub fn of(planes: &Planes) -> Self {
        let ones = |words: &[u64]| words.iter().map(|w| u64::from(w.count_ones())).sum();
        Self {
            positive: ones(planes.positive()),
            negative: ones(planes.negative()),
        }
    }

    pub fn nonzero(self) -> u64 {
        self.positive + self.negative
    }
}

impl Sum for Signs {
    fn sum<I: Iterator<Item = Self>>(signs: I) -> Self {
        signs.fold(Self::default(), |a, b| Self {
            positive: a.positive + b.positive,
            negative: a.negative + b.negative,
        })
    }
}

/// The rate expected if each member's signs, in the numbers it has them, stood at positions
/// independent of the other members'; NaN where the denominator is expected to be empty.
///
/// For a pair over all entries it is (p_a n_b + n_a p_b) / n^2.
pub(super) fn expected_rate(members: &[Signs], entries: u64, denominator: Denominator) -> f64 {
    let n = entries as f64;
    let (mut no_positive, mut no_negative) = (1.0, 1.0);
    // The chances that no member so far is other than zero, and that exactly one is.
    let (mut none, mut one) = (1.0, 0.0);
    for signs in members {
        let (positive, negative) = (signs.positive as f64 / n, signs.negative as f64 / n);
        let zero = (entries - signs.positive - signs.negative) as f64 / n;
        no_positive *= 1.0 - positive;
        no_negative *= 1.0 - negative;
        one = one * zero + none * (positive + negative);
        none *= zero;
    }
    let conflict = 1.0 - no_positive - no_negative + none;
    match denominator {
        Denominator::All => conflict,
        Denominator::BothNonzero => conflict / (1.0 - none - one),
        Denominator::UnionNonzero => conflict / (1.0 - none),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(positive: u64, negative: u64) -> Signs {
        Signs { positive, negative }
    }

    #[test]
    fn a_pair_follows_its_formula() {
        let members = [signs(30, 50), signs(60, 10)];
        let rate = |denominator| expected_rate(&members, 100, denominator);
        let conflict = (30.0 * 10.0 + 50.0 * 60.0) / 1e4;
        assert!((rate(Denominator::All) - conflict).abs() < 1e-14);
        assert!((rate(Denominator::BothNonzero) - conflict / (0.8 * 0.7)).abs() < 1e-14);
        assert!((rate(Denominator::UnionNonzero) - conflict / (1.0 - 0.2 * 0.3)).abs() < 1e-14);
    }

    #[test]
    fn a_mixture_is_the_sum_over_all_sign_patterns() {
        let members = [signs(3, 5), signs(6, 1), signs(2, 2)];
        let chances = members.map(|s| {
            [10 - s.positive - s.negative, s.positive, s.negative].map(|count| count as f64 / 10.0)
        });
        let (mut conflict, mut contested) = (0.0, 0.0);
        for pattern in 0..27usize {
            let signs = [pattern % 3, pattern / 3 % 3, pattern / 9];
            let chance: f64 = (0..3).map(|m| chances[m][signs[m]]).product();
            if signs.contains(&1) && signs.contains(&2) {
                conflict += chance;
            }
            if signs.iter().filter(|s| **s != 0).count() > 1 {
                contested += chance;
            }
        }
        assert!((expected_rate(&members, 10, Denominator::All) - conflict).abs() < 1e-14);
        let both = expected_rate(&members, 10, Denominator::BothNonzero);
        assert!((both - conflict / contested).abs() < 1e-14);
    }
}
