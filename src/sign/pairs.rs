//! Counts of every pair of members at once.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{Counts, Planes};

/// Members on a side of a tile.
const TILE: usize = 16;
/// Words of a plane in a tile: the planes of two tiles' sides stay in a core's own cache.
const WORDS: usize = 256;

/// What is counted for a pair; the rest follows from the members' own counts.
#[derive(Clone, Copy, Default)]
struct Pair {
    conflicts: u64,
    both_nonzero: u64,
}

/// The counts of the pairs (0, 1), (0, 2), ... (1, 2), ... summed over tensors.
///
/// `tensors[t][m]` are the signs of member `m`'s tensor `t`, `nonzero[t][m]` its entries that are
/// not zero.
pub(super) fn count_pairs(tensors: &[Vec<&Planes>], nonzero: &[Vec<u64>]) -> Vec<Counts> {
    let members = tensors.first().map_or(0, Vec::len);
    let entries = tensors
        .iter()
        .filter_map(|tensor| tensor.first())
        .map(|planes| planes.entries())
        .sum();
    let own: Vec<u64> = (0..members)
        .map(|m| nonzero.iter().map(|tensor| tensor[m]).sum())
        .collect();
    let sides = members.div_ceil(TILE);
    let tiles: Vec<(usize, usize)> = (0..sides)
        .flat_map(|i| (i..sides).map(move |j| (i, j)))
        .collect();
    let counted: Vec<Vec<(usize, usize, Pair)>> = tiles
        .into_par_iter()
        .map(|tile| {
            let mut pairs = pairs_of(tile, members);
            for (planes, nonzero) in tensors.iter().zip(nonzero) {
                count_tile(&mut pairs, planes, nonzero);
            }
            pairs
        })
        .collect();
    let mut pairs: Vec<_> = counted.into_iter().flatten().collect();
    pairs.sort_unstable_by_key(|(a, b, _)| (*a, *b));
    pairs
        .into_iter()
        .map(|(a, b, pair)| {
            let union_nonzero = own[a] + own[b] - pair.both_nonzero;
            Counts {
                entries,
                conflicts: pair.conflicts,
                both_nonzero: pair.both_nonzero,
                union_nonzero,
                // The signs differ where they conflict, or where only one is zero.
                unequal: pair.conflicts + union_nonzero - pair.both_nonzero,
            }
        })
        .collect()
}

fn pairs_of((i, j): (usize, usize), members: usize) -> Vec<(usize, usize, Pair)> {
    let side = |k: usize| k * TILE..members.min((k + 1) * TILE);
    side(i)
        .flat_map(|a| side(j).map(move |b| (a, b, Pair::default())))
        .filter(|(a, b, _)| a < b)
        .collect()
}

fn count_tile(pairs: &mut [(usize, usize, Pair)], planes: &[&Planes], nonzero: &[u64]) {
    let Some(first) = planes.first() else { return };
    let (entries, words) = (first.entries(), first.positive().len());
    for start in (0..words).step_by(WORDS) {
        let range = start..words.min(start + WORDS);
        for (a, b, pair) in pairs.iter_mut() {
            let (p, q) = (
                &planes[*a].positive()[range.clone()],
                &planes[*b].positive()[range.clone()],
            );
            if nonzero[*a] == entries && nonzero[*b] == entries {
                pair.conflicts += differing(p, q);
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
    for (a, b, pair) in pairs {
        if nonzero[*a] == entries && nonzero[*b] == entries {
            pair.both_nonzero += entries;
        }
    }
}

/// The bits that differ: the conflicts of two members without zeros.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx512vpopcntdq+popcnt",
    "x86_64+avx2+bmi1+bmi2+popcnt"
))]
fn differing(p: &[u64], q: &[u64]) -> u64 {
    p.iter()
        .zip(q)
        .map(|(p, q)| u64::from((p ^ q).count_ones()))
        .sum()
}

/// The conflicts, and the positions where both are not zero.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx512vpopcntdq+popcnt",
    "x86_64+avx2+bmi1+bmi2+popcnt"
))]
fn opposed(p: &[u64], n: &[u64], q: &[u64], m: &[u64]) -> (u64, u64) {
    let (mut conflicts, mut both) = (0, 0);
    for (((p, n), q), m) in p.iter().zip(n).zip(q).zip(m) {
        conflicts += u64::from((p & m | n & q).count_ones());
        both += u64::from(((p | n) & (q | m)).count_ones());
    }
    (conflicts, both)
}
