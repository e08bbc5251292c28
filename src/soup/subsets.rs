//! All subsets of some sizes, or some of each size.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::compute::random::Stream;
use crate::{Result, bail};

/// Subsets drawn at random.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// The most of each size.
    pub most: usize,
    /// Moves the choice.
    pub seed: u64,
}

/// How many subsets of `items` things have a size in `sizes`, or are drawn of them; the largest
/// number where they are more than can be counted.
pub fn subset_count(items: usize, sizes: RangeInclusive<usize>, draw: Option<Draw>) -> u128 {
    let (from, to) = (*sizes.start(), (*sizes.end()).min(items));
    let most = draw.map_or(u128::MAX, |draw| draw.most as u128);
    let of_size = |size| binomial(items, size).min(most);
    (from..=to).map(of_size).fold(0, u128::saturating_add)
}

/// All subsets of `items` with a size in `sizes`, smaller ones first, each in the items' order
/// and sizes in lexicographic order of positions; with `draw` so many of each size, each as likely
/// as any other, and all of a size that has no more. An error for sizes that no subset has.
pub fn subsets<T: Clone>(
    items: &[T],
    sizes: RangeInclusive<usize>,
    draw: Option<Draw>,
) -> Result<Vec<Vec<T>>> {
    let (lo, hi) = (*sizes.start(), *sizes.end());
    if lo > hi || hi > items.len() || lo == 0 {
        bail!(
            "subsets of sizes {lo} to {hi} of {} items; sizes lie between 1 and {}",
            items.len(),
            items.len()
        );
    }
    let mut all = Vec::new();
    for size in lo..=hi {
        let places: Vec<Vec<usize>> = match draw {
            Some(draw) if (draw.most as u128) < binomial(items.len(), size) => {
                drawn(items.len(), size, draw).into_iter().collect()
            }
            _ => combinations(items.len(), size).collect(),
        };
        let one = |at: Vec<usize>| at.into_iter().map(|i| items[i].clone()).collect();
        all.extend(places.into_iter().map(one));
    }
    Ok(all)
}

/// The positions of every subset of `size` of `n` items, in lexicographic order.
fn combinations(n: usize, size: usize) -> impl Iterator<Item = Vec<usize>> {
    let next = move |at: &Vec<usize>| {
        // The last position that can still move up takes its successors with it.
        let i = (0..size).rev().find(|&i| at[i] < n - size + i)?;
        let mut at = at.clone();
        at[i] += 1;
        for j in i + 1..size {
            at[j] = at[j - 1] + 1;
        }
        Some(at)
    };
    std::iter::successors(Some((0..size).collect()), next)
}

/// Different subsets, fewer than there are.
fn drawn(n: usize, size: usize, draw: Draw) -> BTreeSet<Vec<usize>> {
    let mut stream = Stream::new(draw.seed, "subsets", &format!("{size} of {n}"));
    let all = binomial(n, size);
    // Of most of them, rather those are drawn that are left out.
    let few =
        usize::try_from(all - draw.most as u128).map_or(draw.most, |rest| rest.min(draw.most));
    let mut found = BTreeSet::new();
    let mut places: Vec<usize> = (0..n).collect();
    while found.len() < few {
        stream.shuffle(&mut places);
        let mut chosen = places[..size].to_vec();
        chosen.sort_unstable();
        found.insert(chosen);
    }
    match few == draw.most {
        true => found,
        false => combinations(n, size)
            .filter(|at| !found.contains(at))
            .collect(),
    }
}

/// How many subsets of `size` there are of `n` items, or the largest number there is.
fn binomial(n: usize, size: usize) -> u128 {
    let mut count: u128 = 1;
    for i in 0..size.min(n - size) as u128 {
        // Of whole numbers in a row, so many multiplied divide without a rest.
        count = count.saturating_mul(n as u128 - i) / (i + 1);
        if count > u128::from(u64::MAX) {
            return u128::MAX;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_come_in_order_and_in_full() {
        let all = subsets(&["a", "b", "c"], 2..=3, None).unwrap();
        assert_eq!(
            all,
            [
                vec!["a", "b"],
                vec!["a", "c"],
                vec!["b", "c"],
                vec!["a", "b", "c"]
            ]
        );
        let thirteen: Vec<u8> = (0..13).collect();
        assert_eq!(subsets(&thirteen, 2..=13, None).unwrap().len(), 8178);
        assert!(subsets(&[1, 2], 2..=3, None).is_err());
        assert!(subsets(&[1, 2], 0..=1, None).is_err());
    }

    #[test]
    fn as_many_are_drawn_as_there_are_at_most() {
        let items: Vec<u8> = (0..8).collect();
        let draw = |most, seed| subsets(&items, 1..=8, Some(Draw { most, seed })).unwrap();
        for most in [1, 5, 20, 60] {
            let found = draw(most, 1);
            for size in 1..=8 {
                let own: Vec<_> = found.iter().filter(|s| s.len() == size).collect();
                assert_eq!(own.len(), most.min(binomial(8, size) as usize));
                assert!(own.is_sorted() && own.windows(2).all(|w| w[0] != w[1]));
            }
            assert_eq!(found, draw(most, 1));
        }
        assert_ne!(draw(5, 1), draw(5, 2));
        // Of very many, some can be had all the same.
        assert_eq!(
            subsets(&[0u8; 60], 30..=30, Some(Draw { most: 3, seed: 0 }))
                .unwrap()
                .len(),
            3
        );
        assert_eq!(binomial(60, 30), 118_264_581_564_861_424);
        assert_eq!(binomial(200, 100), u128::MAX);
    }

    #[test]
    fn each_is_as_likely_as_another() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..3000 {
            for set in subsets(&[0u8, 1, 2, 3], 2..=2, Some(Draw { most: 2, seed })).unwrap() {
                *counts.entry(set).or_insert(0) += 1;
            }
        }
        // Six pairs, each in a third of the draws; the bounds are four standard deviations.
        assert_eq!(counts.len(), 6);
        assert!(
            counts.values().all(|c| (897..1103).contains(c)),
            "{counts:?}"
        );
    }

    #[test]
    fn subsets_are_counted_without_being_made() {
        for items in 0..9usize {
            let all: Vec<usize> = (0..items).collect();
            for (from, to) in [(1, 1), (1, items), (2, 3), (items, items)] {
                if let Ok(made) = subsets(&all, from..=to, None) {
                    assert_eq!(subset_count(items, from..=to, None), made.len() as u128);
                }
            }
        }
        assert_eq!(subset_count(40, 20..=20, None), 137_846_528_820);
        assert_eq!(subset_count(1000, 1..=1000, None), u128::MAX);
        let draw = Some(Draw { most: 3, seed: 0 });
        assert_eq!(subset_count(4, 1..=4, draw), 3 + 3 + 3 + 1);
    }
}
