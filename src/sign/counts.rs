//! Counting conflicts on bit planes. All counts are exact integers.

use rayon::prelude::*;

use super::planes::Planes;

/// Words counted by one task.
const BLOCK: usize = 1 << 12;

/// What two members have in common, entry by entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PairCounts {
    /// Entries.
    pub entries: u64,
    /// One is positive, the other negative.
    pub conflicts: u64,
    /// Neither is zero.
    pub both_nonzero: u64,
    /// Not both are zero.
    pub union_nonzero: u64,
    /// The signs differ, zero taken as a third sign.
    pub tristate: u64,
}

/// What all members of a mixture have in common, entry by entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MixtureCounts {
    /// Entries.
    pub entries: u64,
    /// At least one member is positive and at least one negative.
    pub conflicts: u64,
    /// At least two members are not zero.
    pub comparable: u64,
    /// At least one member is not zero.
    pub any_nonzero: u64,
    /// Sum over entries of min(#positive, #negative).
    pub minority: u64,
    /// Positive and negative entries of each member.
    pub signs: Vec<[u64; 2]>,
}

impl PairCounts {
    /// Counts of two runs of one length.
    pub fn of(a: &Planes, b: &Planes) -> Self {
        let words = a.positive().len();
        let mut total = (0..words.div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| {
                let mut sum = Self::default();
                for w in block * BLOCK..words.min((block + 1) * BLOCK) {
                    let (ap, an) = (a.positive()[w], a.negative()[w]);
                    let (bp, bn) = (b.positive()[w], b.negative()[w]);
                    let count = |x: u64| u64::from(x.count_ones());
                    sum.conflicts += count((ap & bn) | (an & bp));
                    sum.both_nonzero += count((ap | an) & (bp | bn));
                    sum.union_nonzero += count(ap | an | bp | bn);
                    sum.tristate += count((ap ^ bp) | (an ^ bn));
                }
                sum
            })
            .reduce(Self::default, Self::plus);
        total.entries = a.entries() as u64;
        total
    }

    /// The sum of two counts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries + other.entries,
            conflicts: self.conflicts + other.conflicts,
            both_nonzero: self.both_nonzero + other.both_nonzero,
            union_nonzero: self.union_nonzero + other.union_nonzero,
            tristate: self.tristate + other.tristate,
        }
    }
}

impl MixtureCounts {
    /// Counts of several runs of one length.
    pub fn of(members: &[&Planes]) -> Self {
        let words = members.first().map_or(0, |m| m.positive().len());
        let parts: Vec<Self> = (0..words.div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| {
                let mut sum = Self::empty(members.len());
                for w in block * BLOCK..words.min((block + 1) * BLOCK) {
                    sum.add_word(members, w);
                }
                sum
            })
            .collect();
        let mut total = Self::empty(members.len());
        for part in &parts {
            total.add(part);
        }
        total.entries = members.first().map_or(0, |m| m.entries() as u64);
        total
    }

    /// No entries of `members` members.
    pub fn empty(members: usize) -> Self {
        Self {
            signs: vec![[0; 2]; members],
            ..Self::default()
        }
    }

    /// Adds other counts of the same members.
    pub fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        self.conflicts += other.conflicts;
        self.comparable += other.comparable;
        self.any_nonzero += other.any_nonzero;
        self.minority += other.minority;
        for (mine, theirs) in self.signs.iter_mut().zip(&other.signs) {
            mine[0] += theirs[0];
            mine[1] += theirs[1];
        }
    }

    fn add_word(&mut self, members: &[&Planes], w: usize) {
        let (mut some_positive, mut some_negative) = (0u64, 0u64);
        let (mut one, mut two) = (0u64, 0u64);
        for (member, signs) in members.iter().zip(&mut self.signs) {
            let (p, n) = (member.positive()[w], member.negative()[w]);
            some_positive |= p;
            some_negative |= n;
            two |= one & (p | n);
            one |= p | n;
            signs[0] += u64::from(p.count_ones());
            signs[1] += u64::from(n.count_ones());
        }
        let conflict = some_positive & some_negative;
        self.conflicts += u64::from(conflict.count_ones());
        self.comparable += u64::from(two.count_ones());
        self.any_nonzero += u64::from(one.count_ones());
        // Only entries in conflict have a minority.
        let mut left = conflict;
        while left != 0 {
            let bit = left.trailing_zeros();
            left &= left - 1;
            let count = |plane: fn(&Planes) -> &[u64]| {
                members.iter().map(|m| plane(m)[w] >> bit & 1).sum::<u64>()
            };
            self.minority += count(Planes::positive).min(count(Planes::negative));
        }
    }

    /// The share of entries in conflict to be expected if every member kept its numbers of
    /// positive and negative entries and placed them independently: 1 - P(no +) - P(no -) +
    /// P(neither).
    pub fn expected(&self) -> f64 {
        let n = self.entries.max(1) as f64;
        let (mut no_positive, mut no_negative, mut neither) = (1.0, 1.0, 1.0);
        for [positive, negative] in &self.signs {
            let (p, q) = (*positive as f64 / n, *negative as f64 / n);
            no_positive *= 1.0 - p;
            no_negative *= 1.0 - q;
            neither *= 1.0 - p - q;
        }
        1.0 - no_positive - no_negative + neither
    }
}
