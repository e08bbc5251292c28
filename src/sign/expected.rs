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

/// Expected numbers of positions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Tally {
    entries: f64,
    conflicts: f64,
    both_nonzero: f64,
    union_nonzero: f64,
}

impl Tally {
    /// Of a tensor whose members' entries, none of them zero, are at this share in conflict.
    pub fn dense(members: usize, entries: u64, conflict: f64) -> Self {
        Self::new(&vec![entries; members], entries, conflict)
    }

    /// Of a tensor whose members' signs are chance, each where it has them.
    pub fn chance(members: &[&Planes]) -> Self {
        let entries = members.first().map_or(0, |planes| planes.entries());
        let mut tally = Self {
            entries: entries as f64,
            ..Self::default()
        };
        let nonzero = |planes: &&Planes, i: usize| {
            let word = planes.positive()[i / 64] | planes.negative()[i / 64];
            word >> (i % 64) & 1 == 1
        };
        for i in 0..entries as usize {
            let present = members.iter().filter(|planes| nonzero(planes, i)).count();
            if present > 0 {
                tally.union_nonzero += 1.0;
                tally.both_nonzero += f64::from(u8::from(present > 1));
                // All but two of the patterns of signs are in conflict.
                tally.conflicts += 1.0 - libm::pow(2.0, 1.0 - present as f64);
            }
        }
        tally
    }

    /// Of a tensor whose members have these numbers of entries that are not zero, at positions
    /// independent of each other; `conflict` is the share of all positions in conflict.
    fn new(nonzero: &[u64], entries: u64, conflict: f64) -> Self {
        let n = entries as f64;
        // The chances that no member so far is other than zero, and that exactly one is.
        let (mut none, mut one) = (1.0, 0.0);
        for nonzero in nonzero {
            let (zero, other) = ((entries - nonzero) as f64 / n, *nonzero as f64 / n);
            one = one * zero + none * other;
            none *= zero;
        }
        // Sums of products that should be zero are not quite: only what can be there counts.
        let present = nonzero.iter().filter(|n| **n > 0).count();
        let share = |share: f64, least: usize| match present >= least {
            true => n * share.max(0.0),
            false => 0.0,
        };
        Self {
            entries: n,
            conflicts: share(conflict, 2),
            both_nonzero: share(1.0 - none - one, 2),
            union_nonzero: share(1.0 - none, 1),
        }
    }

    /// Of a tensor whose members' signs, in the numbers they have them, stand at positions
    /// independent of the other members'.
    pub fn independent(members: &[Signs], entries: u64) -> Self {
        let n = entries as f64;
        let (mut no_positive, mut no_negative, mut none) = (1.0, 1.0, 1.0);
        for signs in members {
            no_positive *= 1.0 - signs.positive as f64 / n;
            no_negative *= 1.0 - signs.negative as f64 / n;
            none *= (entries - signs.nonzero()) as f64 / n;
        }
        let nonzero: Vec<u64> = members.iter().map(|signs| signs.nonzero()).collect();
        Self::new(&nonzero, entries, 1.0 - no_positive - no_negative + none)
    }

    /// The share of the denominator's positions in conflict; NaN where none are expected.
    pub fn rate(&self, denominator: Denominator) -> f64 {
        match denominator {
            Denominator::All => self.conflicts / self.entries,
            Denominator::BothNonzero => self.conflicts / self.both_nonzero,
            Denominator::UnionNonzero => self.conflicts / self.union_nonzero,
        }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |a, b| Self {
            entries: a.entries + b.entries,
            conflicts: a.conflicts + b.conflicts,
            both_nonzero: a.both_nonzero + b.both_nonzero,
            union_nonzero: a.union_nonzero + b.union_nonzero,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(positive: u64, negative: u64) -> Signs {
        Signs { positive, negative }
    }

    fn expected_rate(members: &[Signs], entries: u64, denominator: Denominator) -> f64 {
        Tally::independent(members, entries).rate(denominator)
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

    /// The chances' sums are not exactly what they should be by rounding.
    #[test]
    fn what_cannot_be_is_expected_nowhere() {
        for entries in [3, 7, 10, 49, 1_000_003] {
            let own = signs(entries / 3, entries / 2);
            let alone = [own, signs(0, 0), signs(0, 0)];
            let rate =
                |members: &[Signs], denominator| expected_rate(members, entries, denominator);
            assert_eq!(rate(&alone, Denominator::All), 0.0);
            assert_eq!(rate(&alone, Denominator::UnionNonzero), 0.0);
            assert!(rate(&alone, Denominator::BothNonzero).is_nan());
            assert!(rate(&[signs(0, 0); 2], Denominator::UnionNonzero).is_nan());
            assert_eq!(rate(&[signs(0, 0); 2], Denominator::All), 0.0);
            // Two of one sign are never in conflict.
            let same = [signs(entries / 3, 0), signs(entries / 2, 0)];
            let found = rate(&same, Denominator::BothNonzero);
            assert!((0.0..1e-9).contains(&found), "{found}");
        }
    }

    #[test]
    fn chance_is_counted_where_the_signs_are() {
        let planes = |values: &[f32]| {
            Planes::new(&crate::adapter::Name::new("w"), values, &[values.len()]).unwrap()
        };
        let (a, b, c) = (
            planes(&[1.0, 1.0, 0.0, 0.0]),
            planes(&[1.0, -1.0, -1.0, 0.0]),
            planes(&[-1.0, 0.0, 0.0, 0.0]),
        );
        let tally = Tally::chance(&[&a, &b, &c]);
        // 3/4, 1/2, 0 and 0.
        assert_eq!(tally.rate(Denominator::All), 1.25 / 4.0);
        assert_eq!(tally.rate(Denominator::BothNonzero), 1.25 / 2.0);
        assert_eq!(tally.rate(Denominator::UnionNonzero), 1.25 / 3.0);
    }

    /// Two layers of one size, of density one half and of nothing: half of the entries have an
    /// expected conflict of 2 (1/4)(1/4) = 1/8.
    #[test]
    fn tensors_are_expected_one_by_one() {
        let dense = Tally::independent(&[signs(25, 25); 2], 100);
        let empty = Tally::independent(&[signs(0, 0); 2], 100);
        let both: Tally = [dense, empty].into_iter().sum();
        assert_eq!(both.rate(Denominator::All), 0.0625);
        assert_eq!(both.rate(Denominator::BothNonzero), 0.5);
        assert_eq!(both.rate(Denominator::UnionNonzero), 0.125 / 0.75);
    }
}
