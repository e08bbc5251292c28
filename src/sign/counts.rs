//! Exact counts of how the signs of several tensors of one shape agree.

use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;

use multiversion::multiversion;
use rayon::prelude::*;

use super::Planes;
use crate::{Error, Result, nearest};

/// Words taken together, so that each step of a loop is one vector instruction.
const LANES: usize = 8;
/// Words counted by one task.
const BLOCK: usize = 4096;

/// Which positions a conflict rate is a share of.
///
/// For more than two members the positions are those where the members could conflict at all
/// (`BothNonzero`), and those where at least one has a weight (`UnionNonzero`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Denominator {
    /// Every position.
    #[default]
    All,
    /// The positions where at least two members are not zero: both, for a pair.
    BothNonzero,
    /// The positions where at least one member is not zero.
    UnionNonzero,
}

impl FromStr for Denominator {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = [
            ("all", Self::All),
            ("both_nonzero", Self::BothNonzero),
            ("union_nonzero", Self::UnionNonzero),
        ];
        if let Some((_, denominator)) = known.iter().find(|(name, _)| *name == text) {
            return Ok(*denominator);
        }
        let error = Error::new(format!(
            "unknown denominator `{text}`: expected `all`, `both_nonzero` or `union_nonzero`"
        ));
        Err(match nearest(text, known.map(|(name, _)| name)) {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None => error,
        })
    }
}

/// How many positions are what, over the signs of two or more members. Sums are exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Positions.
    pub entries: u64,
    /// Positions with at least one positive and at least one negative member.
    pub conflicts: u64,
    /// Positions where at least two members are not zero.
    pub both_nonzero: u64,
    /// Positions where at least one member is not zero.
    pub union_nonzero: u64,
    /// Positions where the members' signs are not all the same, zero being a third sign.
    pub unequal: u64,
}

impl Counts {
    /// Conflicts as a share of the denominator's positions; NaN where there are none.
    pub fn rate(&self, denominator: Denominator) -> f64 {
        let positions = match denominator {
            Denominator::All => self.entries,
            Denominator::BothNonzero => self.both_nonzero,
            Denominator::UnionNonzero => self.union_nonzero,
        };
        self.conflicts as f64 / positions as f64
    }

    /// The share of all positions whose signs are not all the same, zero being a third sign.
    pub fn tristate(&self) -> f64 {
        self.unequal as f64 / self.entries as f64
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            entries: self.entries + other.entries,
            conflicts: self.conflicts + other.conflicts,
            both_nonzero: self.both_nonzero + other.both_nonzero,
            union_nonzero: self.union_nonzero + other.union_nonzero,
            unequal: self.unequal + other.unequal,
        }
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

/// The positive and the negative words of a member.
type Words<'a> = (&'a [u64], &'a [u64]);

/// The counts over members of one shape.
pub(super) fn count(members: &[&Planes]) -> Counts {
    let mut counts = blocks(members).map(|words| tally(&words)).sum::<Counts>();
    counts.entries = members.first().map_or(0, |planes| planes.entries());
    counts
}

/// [`count`], its blocks shared among threads.
pub(super) fn count_parallel(members: &[&Planes]) -> Counts {
    let blocks: Vec<_> = blocks(members).collect();
    let mut counts = blocks.par_iter().map(|words| tally(words)).sum::<Counts>();
    counts.entries = members.first().map_or(0, |planes| planes.entries());
    counts
}

/// The sum over positions of the smaller of the number of positive and of negative members.
pub(super) fn minority_parallel(members: &[&Planes]) -> u64 {
    let blocks: Vec<_> = blocks(members).collect();
    blocks.par_iter().map(|words| minority(words)).sum()
}

fn blocks<'a>(members: &[&'a Planes]) -> impl Iterator<Item = Vec<Words<'a>>> {
    let words = members.first().map_or(0, |planes| planes.positive().len());
    (0..words).step_by(BLOCK).map(move |start| {
        let range = start..words.min(start + BLOCK);
        members
            .iter()
            .map(|planes| {
                (
                    &planes.positive()[range.clone()],
                    &planes.negative()[range.clone()],
                )
            })
            .collect()
    })
}

/// All counts of one block but the entries.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx512vpopcntdq+popcnt",
    "x86_64+avx2+bmi1+bmi2+popcnt"
))]
fn tally(members: &[Words<'_>]) -> Counts {
    let mut counts = Counts::default();
    let words = members.first().map_or(0, |(positive, _)| positive.len());
    for start in (0..words).step_by(LANES) {
        let (mut any_positive, mut any_negative) = ([0; LANES], [0; LANES]);
        let (mut all_positive, mut all_negative) = ([!0; LANES], [!0; LANES]);
        let mut two = [0; LANES];
        for (positive, negative) in members {
            let (p, n) = (lanes(positive, start), lanes(negative, start));
            for k in 0..LANES {
                two[k] |= (any_positive[k] | any_negative[k]) & (p[k] | n[k]);
                any_positive[k] |= p[k];
                any_negative[k] |= n[k];
                all_positive[k] &= p[k];
                all_negative[k] &= n[k];
            }
        }
        for k in 0..LANES {
            let any = any_positive[k] | any_negative[k];
            let same = all_positive[k] | all_negative[k];
            counts.conflicts += ones(any_positive[k] & any_negative[k]);
            counts.both_nonzero += ones(two[k]);
            counts.union_nonzero += ones(any);
            counts.unequal += ones(any & !same);
        }
    }
    counts
}

/// The sum over a block's positions of min(#positive, #negative).
///
/// The numbers at 64 positions are held as the binary digits of one word each, so that a member is
/// added, and the two numbers are compared, at all of them at once.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx512vpopcntdq+popcnt",
    "x86_64+avx2+bmi1+bmi2+popcnt"
))]
fn minority(members: &[Words<'_>]) -> u64 {
    let digits = (usize::BITS - members.len().leading_zeros()) as usize;
    let mut positive_digits = vec![[0; LANES]; digits];
    let mut negative_digits = vec![[0; LANES]; digits];
    let mut sum = 0;
    let words = members.first().map_or(0, |(positive, _)| positive.len());
    for start in (0..words).step_by(LANES) {
        positive_digits.fill([0; LANES]);
        negative_digits.fill([0; LANES]);
        for (positive, negative) in members {
            increment(&mut positive_digits, lanes(positive, start));
            increment(&mut negative_digits, lanes(negative, start));
        }
        let mut fewer_positive = [0; LANES];
        for (p, n) in positive_digits.iter().zip(&negative_digits) {
            for k in 0..LANES {
                fewer_positive[k] = !p[k] & n[k] | !(p[k] ^ n[k]) & fewer_positive[k];
            }
        }
        for (digit, (p, n)) in positive_digits.iter().zip(&negative_digits).enumerate() {
            for k in 0..LANES {
                let smaller = p[k] & fewer_positive[k] | n[k] & !fewer_positive[k];
                sum += ones(smaller) << digit;
            }
        }
    }
    sum
}

/// Adds a bit to the number at each position, the carry from digit to digit.
#[inline(always)]
fn increment(digits: &mut [[u64; LANES]], mut carry: [u64; LANES]) {
    for digit in digits {
        for k in 0..LANES {
            let sum = digit[k] ^ carry[k];
            carry[k] &= digit[k];
            digit[k] = sum;
        }
    }
}

/// The words from `start` on, zeros after the last.
#[inline(always)]
fn lanes(words: &[u64], start: usize) -> [u64; LANES] {
    let rest = &words[start..];
    match rest.first_chunk() {
        Some(lanes) => *lanes,
        None => std::array::from_fn(|k| rest.get(k).copied().unwrap_or(0)),
    }
}

#[inline(always)]
fn ones(word: u64) -> u64 {
    u64::from(word.count_ones())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::Name;
    use proptest::prelude::*;

    fn brute(members: &[Vec<f32>]) -> (Counts, u64) {
        let mut counts = Counts::default();
        let mut minority = 0;
        for j in 0..members[0].len() {
            let positive = members.iter().filter(|m| m[j] > 0.0).count();
            let negative = members.iter().filter(|m| m[j] < 0.0).count();
            let zero = members.len() - positive - negative;
            counts.entries += 1;
            counts.conflicts += u64::from(positive > 0 && negative > 0);
            counts.both_nonzero += u64::from(positive + negative > 1);
            counts.union_nonzero += u64::from(positive + negative > 0);
            counts.unequal += u64::from(![positive, negative, zero].contains(&members.len()));
            minority += positive.min(negative) as u64;
        }
        (counts, minority)
    }

    fn sets() -> impl Strategy<Value = Vec<Vec<f32>>> {
        let value = prop_oneof![
            Just(0f32),
            Just(-0f32),
            Just(1e-44f32),
            Just(-1e-44f32),
            -1f32..1.0
        ];
        (1usize..20, 1usize..700).prop_flat_map(move |(members, n)| {
            proptest::collection::vec(proptest::collection::vec(value.clone(), n), members)
        })
    }

    proptest! {
        #[test]
        fn words_count_what_a_loop_over_values_counts(members in sets()) {
            let planes: Vec<Planes> = members.iter()
                .map(|m| Planes::new(&Name::new("w"), m, &[m.len()]).unwrap())
                .collect();
            let planes: Vec<&Planes> = planes.iter().collect();
            let (counts, minority) = brute(&members);
            prop_assert_eq!(count(&planes), counts);
            prop_assert_eq!(count_parallel(&planes), counts);
            prop_assert_eq!(minority_parallel(&planes), minority);
        }
    }

    #[test]
    fn a_rate_of_no_position_is_not_a_number() {
        let counts = Counts {
            entries: 4,
            ..Counts::default()
        };
        assert_eq!(counts.rate(Denominator::All), 0.0);
        assert!(counts.rate(Denominator::BothNonzero).is_nan());
    }

    #[test]
    fn a_misspelt_denominator_is_corrected() {
        assert_eq!("union_nonzero".parse(), Ok(Denominator::UnionNonzero));
        let error = "both_nonzer"
            .parse::<Denominator>()
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("; did you mean `both_nonzero`?"), "{error}");
    }
}
