//! The counts of every subset of some members, in one pass over their planes.
//!
//! Subsets are the nodes of a tree: a subset's parent lacks its last member. What the parent knows
//! of a few words at a time stays in the core's nearest cache, so that each subset costs one
//! member's words.

use std::ops::RangeInclusive;

use multiversion::multiversion;
use rayon::prelude::*;

use super::counts::Counts;
use super::expected::{Signs, Tally as Expected};
use super::pairs::{PairCounts, shares};
use super::{Denominator, MixtureIndex, Planes};
use crate::{Context, Result, bail};

/// The most members of which all subsets are counted: a million subsets.
pub const MOST: usize = 20;
/// Words that are taken together.
const WORDS: usize = 16;
/// Members whose subsets a task counts; of the others it is given a subset.
const OWN: usize = 8;
/// Binary digits of a number of members.
const DIGITS: usize = 5;

/// A subset of the members and how their signs differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Subset {
    /// The members' places, from 0, ascending.
    pub members: Vec<usize>,
    /// The exact counts.
    pub counts: Counts,
    /// The mean over positions of min(#positive, #negative) / #members.
    pub minority: f64,
    /// The mean over pairs of their conflicts as a share of all positions.
    pub mean_pairwise: f64,
    /// The share of all positions expected to be in conflict if the members' signs were
    /// independent.
    pub expected: f64,
}

/// Every subset with so many members (at least 2), smaller ones first, then by the places of
/// their members. More than [`MOST`] members are an error.
pub fn subsets(
    index: &MixtureIndex<'_>,
    sizes: RangeInclusive<usize>,
    context: &Context,
) -> Result<Vec<Subset>> {
    let tensors = index.tensors();
    let members = tensors.first().map_or(0, Vec::len);
    if members > MOST {
        bail!(
            "{members} members have too many subsets: at most {MOST} are counted all at once";
            hint: "choose the subsets and give each to sign_diff"
        );
    }
    let own: Vec<Vec<Signs>> = tensors
        .iter()
        .map(|tensor| tensor.iter().map(|planes| Signs::of(planes)).collect())
        .collect();
    let lengths: Vec<u64> = tensors
        .iter()
        .map(|tensor| tensor.first().map_or(0, |planes| planes.entries()))
        .collect();
    let nonzero: Vec<Vec<u64>> = own
        .iter()
        .map(|signs| signs.iter().map(|s| s.nonzero()).collect())
        .collect();
    let entries: u64 = lengths.iter().sum();
    let pairs = PairConflicts::of(tensors, &nonzero, members, context)?;
    let tallies = tallies(tensors, members, context)?;
    let mut chosen: Vec<Vec<usize>> = (1u32..1 << members)
        .filter(|mask| sizes.contains(&(mask.count_ones() as usize)) && mask.count_ones() > 1)
        .map(|mask| (0..members).filter(|m| mask >> m & 1 == 1).collect())
        .collect();
    chosen.sort_by(|a: &Vec<usize>, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    Ok(chosen
        .into_par_iter()
        .map(|subset| {
            let mask: usize = subset.iter().map(|m| 1 << m).sum();
            let tally = tallies[mask];
            let l = subset.len() as f64;
            let positions = entries as f64;
            let expected = own.iter().zip(&lengths).map(|(signs, entries)| {
                let signs: Vec<Signs> = subset.iter().map(|m| signs[*m]).collect();
                Expected::independent(&signs, *entries)
            });
            Subset {
                counts: tally.counts(entries),
                minority: tally.minority as f64 / (l * positions),
                mean_pairwise: pairs.sum(&subset) as f64 / (l * (l - 1.0) / 2.0 * positions),
                expected: expected.sum::<Expected>().rate(Denominator::All),
                members: subset,
            }
        })
        .collect())
}

/// The conflicts of every pair.
struct PairConflicts {
    members: usize,
    conflicts: Vec<u64>,
}

impl PairConflicts {
    fn of(
        tensors: &[Vec<&Planes>],
        nonzero: &[Vec<u64>],
        members: usize,
        context: &Context,
    ) -> Result<Self> {
        let mut conflicts = vec![0; members * members];
        for (a, b, counts) in PairCounts::of(tensors, nonzero, context)?.iter() {
            conflicts[a * members + b] = counts.conflicts;
        }
        Ok(Self { members, conflicts })
    }

    /// Over the pairs of a subset.
    fn sum(&self, subset: &[usize]) -> u64 {
        let pairs = subset
            .iter()
            .enumerate()
            .flat_map(|(i, a)| subset[i + 1..].iter().map(move |b| (a, b)));
        pairs
            .map(|(a, b)| self.conflicts[a * self.members + b])
            .sum()
    }
}

/// What is counted of a subset.
#[derive(Clone, Copy, Default)]
struct Tally {
    conflicts: u64,
    both_nonzero: u64,
    union_nonzero: u64,
    unequal: u64,
    minority: u64,
}

impl Tally {
    fn counts(&self, entries: u64) -> Counts {
        Counts {
            entries,
            conflicts: self.conflicts,
            both_nonzero: self.both_nonzero,
            union_nonzero: self.union_nonzero,
            unequal: self.unequal,
        }
    }

    fn add(&mut self, other: &Self) {
        self.conflicts += other.conflicts;
        self.both_nonzero += other.both_nonzero;
        self.union_nonzero += other.union_nonzero;
        self.unequal += other.unequal;
        self.minority += other.minority;
    }
}

/// By set of members, bit `m` standing for member `m`.
fn tallies(tensors: &[Vec<&Planes>], members: usize, context: &Context) -> Result<Vec<Tally>> {
    let given = members.saturating_sub(OWN);
    let shares = shares(tensors, 0);
    let counted: Vec<Vec<Tally>> = (0..1usize << given)
        .into_par_iter()
        .map(|prefix| {
            let sum = |mut a: Vec<Tally>, b: Vec<Tally>| {
                a.iter_mut().zip(&b).for_each(|(a, b)| a.add(b));
                a
            };
            let blank = || vec![Tally::default(); 1 << (members - given)];
            shares
                .par_iter()
                .map(|share| -> Result<Vec<Tally>> {
                    context.check()?;
                    let mut out = blank();
                    for (t, words) in share {
                        for start in words.clone().step_by(WORDS) {
                            let count = WORDS.min(words.end - start);
                            let words = gathered(&tensors[*t], start, count);
                            sweep(prefix, given, &words, &mut out);
                        }
                    }
                    Ok(out)
                })
                .try_reduce(blank, |a, b| Ok(sum(a, b)))
        })
        .collect::<Result<_>>()?;
    let mut all = vec![Tally::default(); 1 << members];
    for (prefix, counted) in counted.into_iter().enumerate() {
        for (code, tally) in counted.into_iter().enumerate() {
            all[prefix | set_of(code, given, members)] = tally;
        }
    }
    Ok(all)
}

/// The members that a task's code stands for: its highest bit for the first of the task's own.
fn set_of(code: usize, given: usize, members: usize) -> usize {
    let own = members - given;
    (0..own)
        .filter(|bit| code >> bit & 1 == 1)
        .map(|bit| 1 << (members - 1 - bit))
        .sum()
}

/// A few words of a plane.
type Few = [u64; WORDS];

/// A few words of both planes of every member, zeros after the last.
fn gathered(planes: &[&Planes], start: usize, count: usize) -> Vec<(Few, Few)> {
    let few = |words: &[u64]| {
        let mut few = [0; WORDS];
        few[..count].copy_from_slice(&words[start..start + count]);
        few
    };
    planes
        .iter()
        .map(|planes| (few(planes.positive()), few(planes.negative())))
        .collect()
}

/// What is known of a subset at a few words.
#[derive(Clone, Copy)]
struct State {
    any_positive: Few,
    any_negative: Few,
    all_positive: Few,
    all_negative: Few,
    /// At least two are not zero.
    two: Few,
    /// The numbers of positive and of negative members, in binary digits.
    positive: [Few; DIGITS],
    negative: [Few; DIGITS],
}

impl State {
    const NONE: Self = Self {
        any_positive: [0; WORDS],
        any_negative: [0; WORDS],
        all_positive: [!0; WORDS],
        all_negative: [!0; WORDS],
        two: [0; WORDS],
        positive: [[0; WORDS]; DIGITS],
        negative: [[0; WORDS]; DIGITS],
    };

    /// Makes this `from` with one more member, of numbers with so many digits.
    #[inline(always)]
    fn extend(&mut self, from: &Self, (p, n): &(Few, Few), digits: usize) {
        let (mut p_carry, mut n_carry) = (*p, *n);
        for k in 0..WORDS {
            let any = from.any_positive[k] | from.any_negative[k];
            self.two[k] = from.two[k] | any & (p[k] | n[k]);
            self.any_positive[k] = from.any_positive[k] | p[k];
            self.any_negative[k] = from.any_negative[k] | n[k];
            self.all_positive[k] = from.all_positive[k] & p[k];
            self.all_negative[k] = from.all_negative[k] & n[k];
        }
        for d in 0..digits {
            for k in 0..WORDS {
                self.positive[d][k] = from.positive[d][k] ^ p_carry[k];
                p_carry[k] &= from.positive[d][k];
                self.negative[d][k] = from.negative[d][k] ^ n_carry[k];
                n_carry[k] &= from.negative[d][k];
            }
        }
    }

    #[inline(always)]
    fn tally(&self, digits: usize, tally: &mut Tally) {
        let mut fewer_positive = [0; WORDS];
        for k in 0..WORDS {
            let any = self.any_positive[k] | self.any_negative[k];
            let same = self.all_positive[k] | self.all_negative[k];
            tally.conflicts += ones(self.any_positive[k] & self.any_negative[k]);
            tally.both_nonzero += ones(self.two[k]);
            tally.union_nonzero += ones(any);
            tally.unequal += ones(any & !same);
        }
        for d in 0..digits {
            for (k, fewer) in fewer_positive.iter_mut().enumerate() {
                let (p, n) = (self.positive[d][k], self.negative[d][k]);
                *fewer = !p & n | !(p ^ n) & *fewer;
            }
        }
        for d in 0..digits {
            let mut sum = 0;
            for (k, fewer) in fewer_positive.iter().enumerate() {
                let (p, n) = (self.positive[d][k], self.negative[d][k]);
                sum += ones(p & fewer | n & !fewer);
            }
            tally.minority += sum << d;
        }
    }
}

#[inline(always)]
fn ones(word: u64) -> u64 {
    u64::from(word.count_ones())
}

/// Counts the subsets that have these of the first `given` members, and any of the others, at a
/// few words.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx512vpopcntdq+popcnt",
    "x86_64+avx2+bmi1+bmi2+popcnt"
))]
fn sweep(prefix: usize, given: usize, words: &[(Few, Few)], out: &mut [Tally]) {
    let digits = (usize::BITS - words.len().leading_zeros()) as usize;
    // By the number of a subset's members among the task's own; the parent of a code lacks its
    // lowest bit, and is still there since codes ascend.
    let mut states = [State::NONE; OWN + 1];
    for member in (0..given).filter(|m| prefix >> m & 1 == 1) {
        let before = states[0];
        states[0].extend(&before, &words[member], digits);
    }
    if prefix != 0 {
        states[0].tally(digits, &mut out[0]);
    }
    for (code, tally) in out.iter_mut().enumerate().skip(1) {
        let depth = code.count_ones() as usize;
        let member = words.len() - 1 - code.trailing_zeros() as usize;
        let (parents, children) = states.split_at_mut(depth);
        if let (Some(parent), Some(child)) = (parents.last(), children.first_mut()) {
            child.extend(parent, &words[member], digits);
            child.tally(digits, tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::Name;
    use crate::sign::{SignPlanes, sign_diff};
    use proptest::prelude::*;

    fn planes(values: &[f32]) -> SignPlanes {
        let half = values.len() / 2;
        [("a", &values[..half]), ("b", &values[half..])]
            .into_iter()
            .map(|(name, values)| {
                let name = Name::new(name);
                let planes = Planes::new(&name, values, &[values.len()]).unwrap();
                (name, planes)
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_subset_is_what_its_members_alone_give(
            members in (2usize..3000, 1usize..11).prop_flat_map(|(n, members)| {
                let value = prop_oneof![
                    Just(0f32), Just(-0f32), Just(1e-44f32), Just(-1e-44f32), -1f32..1.0
                ];
                proptest::collection::vec(proptest::collection::vec(value, n), members)
            })
        ) {
            let planes: Vec<SignPlanes> = members.iter().map(|m| planes(m)).collect();
            let named: Vec<(&str, &SignPlanes)> = planes.iter().map(|p| ("m", p)).collect();
            let index = MixtureIndex::new(&named).unwrap();
            let all = subsets(&index, 1..=members.len(), &Context::silent()).unwrap();
            prop_assert_eq!(all.len() as u64 + 1 + members.len() as u64, 1 << members.len());
            for subset in all {
                let alone: Vec<_> = subset.members.iter().map(|m| named[*m]).collect();
                let alone = sign_diff(&alone, Denominator::All, &Context::silent()).unwrap();
                prop_assert_eq!(subset.counts, alone.counts());
                prop_assert_eq!(subset.minority, alone.minority());
                prop_assert_eq!(subset.mean_pairwise, alone.mean_pairwise());
                prop_assert_eq!(subset.expected, alone.expected());
            }
        }
    }

    #[test]
    fn more_members_than_a_task_has_are_counted_too() {
        let mut stream = crate::compute::random::Stream::new(3, "subsets", "test");
        let members: Vec<SignPlanes> = (0..13)
            .map(|_| {
                let values: Vec<f32> = (0..999).map(|_| stream.below(3) as f32 - 1.0).collect();
                planes(&values)
            })
            .collect();
        let named: Vec<(&str, &SignPlanes)> = members.iter().map(|p| ("m", p)).collect();
        let index = MixtureIndex::new(&named).unwrap();
        let all = subsets(&index, 2..=13, &Context::silent()).unwrap();
        assert_eq!(all.len(), 8178);
        assert_eq!(all[0].members, [0, 1]);
        for subset in all.iter().step_by(97).chain(all.last()) {
            assert_eq!(index.counts(&subset.members).unwrap(), subset.counts);
        }
    }

    #[test]
    fn too_many_members_are_refused() {
        let one = planes(&[1.0, -1.0]);
        let named: Vec<(&str, &SignPlanes)> = (0..21).map(|_| ("m", &one)).collect();
        let index = MixtureIndex::new(&named).unwrap();
        let error = subsets(&index, 2..=3, &Context::silent()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("21 members have too many subsets")
        );
    }
}
