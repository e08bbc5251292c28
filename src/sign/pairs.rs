//! Counts of every pair of members at once.

use std::ops::{AddAssign, Range};

use rayon::prelude::*;

use super::ones::{differing, opposed};
use super::{Counts, Planes};
use crate::{Context, Result};

/// Members on a side of a tile.
const TILE: usize = 24;
/// Words of a plane in a tile: the planes of two tiles' sides stay in a core's own cache.
const WORDS: usize = 1024;
/// Words of a plane that a task takes where there are few tiles.
const SHARE: usize = 1 << 16;
/// So many tiles are enough for all threads.
const ENOUGH: usize = 64;

/// What is counted for a pair; the rest follows from the members' own counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Pair {
    conflicts: u64,
    both_nonzero: u64,
}

impl AddAssign for Pair {
    fn add_assign(&mut self, other: Self) {
        self.conflicts += other.conflicts;
        self.both_nonzero += other.both_nonzero;
    }
}

/// The counts of every pair of members, summed over tensors: two numbers a pair, so that those of
/// many members are small beside their planes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PairCounts {
    entries: u64,
    /// Entries that are not zero, by member.
    nonzero: Vec<u64>,
    /// (0, 1), (0, 2), ... (1, 2), ...
    pairs: Vec<Pair>,
}

impl PairCounts {
    /// Counts every pair.
    ///
    /// `tensors[t][m]` are the signs of member `m`'s tensor `t`, `nonzero[t][m]` its entries that
    /// are not zero.
    pub fn of(tensors: &[Vec<&Planes>], nonzero: &[Vec<u64>], context: &Context) -> Result<Self> {
        let members = tensors.first().map_or(0, Vec::len);
        let sides = members.div_ceil(TILE);
        let tiles: Vec<(usize, usize)> = (0..sides)
            .flat_map(|i| (i..sides).map(move |j| (i, j)))
            .collect();
        let shares = shares(tensors, tiles.len());
        let counted: Vec<Vec<Pair>> = tiles
            .par_iter()
            .map(|tile| {
                let places: Vec<(usize, usize)> = pairs_of(*tile, members).collect();
                let sums: Vec<Vec<Pair>> = shares
                    .par_iter()
                    .map(|share| {
                        let mut pairs = vec![Pair::default(); places.len()];
                        for (t, words) in share {
                            context.check()?;
                            count_tile(&mut pairs, &places, &tensors[*t], &nonzero[*t], words);
                        }
                        Ok(pairs)
                    })
                    .collect::<Result<_>>()?;
                let sum = sums.into_iter().reduce(|mut a, b| {
                    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                    a
                });
                Ok(sum.unwrap_or_default())
            })
            .collect::<Result<_>>()?;
        let mut pairs = vec![Pair::default(); members * members.saturating_sub(1) / 2];
        for (tile, counted) in tiles.into_iter().zip(counted) {
            for ((a, b), pair) in pairs_of(tile, members).zip(counted) {
                pairs[a * (2 * members - a - 1) / 2 + b - a - 1] = pair;
            }
        }
        let first = tensors.iter().filter_map(|tensor| tensor.first());
        let own = |m: usize| nonzero.iter().map(|tensor| tensor[m]).sum();
        Ok(Self {
            entries: first.map(|planes| planes.entries()).sum(),
            nonzero: (0..members).map(own).collect(),
            pairs,
        })
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Every pair with its counts: (0, 1), (0, 2), ... (1, 2), ...
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize, Counts)> {
        let members = self.nonzero.len();
        (0..members)
            .flat_map(move |a| (a + 1..members).map(move |b| (a, b)))
            .zip(&self.pairs)
            .map(|((a, b), pair)| (a, b, self.counts(a, b, pair)))
    }

    fn counts(&self, a: usize, b: usize, pair: &Pair) -> Counts {
        let union_nonzero = self.nonzero[a] + self.nonzero[b] - pair.both_nonzero;
        Counts {
            entries: self.entries,
            conflicts: pair.conflicts,
            both_nonzero: pair.both_nonzero,
            union_nonzero,
            // The signs differ where they conflict, or where only one is zero.
            unequal: pair.conflicts + union_nonzero - pair.both_nonzero,
        }
    }
}

/// The words of each tensor, in shares that a task takes: one where there are tiles enough.
pub(super) fn shares(tensors: &[Vec<&Planes>], tiles: usize) -> Vec<Vec<(usize, Range<usize>)>> {
    let words = |t: usize| tensors[t].first().map_or(0, |p| p.positive().len());
    if tiles >= ENOUGH {
        return vec![(0..tensors.len()).map(|t| (t, 0..words(t))).collect()];
    }
    let mut shares = vec![Vec::new()];
    let mut size = 0;
    for t in 0..tensors.len() {
        for start in (0..words(t)).step_by(SHARE) {
            let range = start..words(t).min(start + SHARE);
            if size + range.len() > SHARE {
                shares.push(Vec::new());
                size = 0;
            }
            size += range.len();
            if let Some(share) = shares.last_mut() {
                share.push((t, range));
            }
        }
    }
    shares
}

/// The pairs of a tile.
fn pairs_of((i, j): (usize, usize), members: usize) -> impl Iterator<Item = (usize, usize)> {
    let side = move |k: usize| k * TILE..members.min((k + 1) * TILE);
    side(i)
        .flat_map(move |a| side(j).map(move |b| (a, b)))
        .filter(|(a, b)| a < b)
}

/// Adds the counts of some words of a tensor to those of a tile's pairs.
fn count_tile(
    pairs: &mut [Pair],
    places: &[(usize, usize)],
    planes: &[&Planes],
    nonzero: &[u64],
    words: &Range<usize>,
) {
    let entries = planes.first().map_or(0, |planes| planes.entries());
    let dense = |a: usize, b: usize| nonzero[a] == entries && nonzero[b] == entries;
    for start in words.clone().step_by(WORDS) {
        let range = start..words.end.min(start + WORDS);
        let positions = (entries - 64 * start as u64).min(64 * range.len() as u64);
        for (pair, (a, b)) in pairs.iter_mut().zip(places) {
            let (p, q) = (
                &planes[*a].positive()[range.clone()],
                &planes[*b].positive()[range.clone()],
            );
            if dense(*a, *b) {
                pair.conflicts += differing(p, q);
                pair.both_nonzero += positions;
                continue;
            }
            let (n, m) = (
                &planes[*a].negative()[range.clone()],
                &planes[*b].negative()[range.clone()],
            );
            let (conflicts, both_nonzero) = opposed(p, n, q, m);
            pair.conflicts += conflicts;
            pair.both_nonzero += both_nonzero;
        }
    }
}
