//! All subsets of some sizes.

use std::ops::RangeInclusive;

use crate::{Result, bail};

/// How many subsets of `items` things have a size in `sizes`; the largest number where they are
/// more than can be counted.
pub fn subset_count(items: usize, sizes: RangeInclusive<usize>) -> u128 {
    let of_size = |size: usize| {
        let mut count: u128 = 1;
        for i in 0..size as u128 {
            // Of whole numbers in a row, so many multiplied divide without a rest.
            count = count.saturating_mul(items as u128 - i) / (i + 1);
            if count > u128::from(u64::MAX) {
                return u128::MAX;
            }
        }
        count
    };
    let (from, to) = (*sizes.start(), (*sizes.end()).min(items));
    (from..=to).map(of_size).fold(0, u128::saturating_add)
}

/// All subsets of `items` with a size in `sizes`, smaller ones first, each in the items' order
/// and sizes in lexicographic order of positions. An error for sizes that no subset has.
pub fn subsets<T: Clone>(items: &[T], sizes: RangeInclusive<usize>) -> Result<Vec<Vec<T>>> {
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
        let mut at: Vec<usize> = (0..size).collect();
        loop {
            all.push(at.iter().map(|&i| items[i].clone()).collect());
            // The last position that can still move up takes its successors with it.
            let Some(i) = (0..size).rev().find(|&i| at[i] < items.len() - size + i) else {
                break;
            };
            at[i] += 1;
            for j in i + 1..size {
                at[j] = at[j - 1] + 1;
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_come_in_order_and_in_full() {
        let all = subsets(&["a", "b", "c"], 2..=3).unwrap();
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
        assert_eq!(subsets(&thirteen, 2..=13).unwrap().len(), 8178);
        assert!(subsets(&[1, 2], 2..=3).is_err());
        assert!(subsets(&[1, 2], 0..=1).is_err());
    }

    #[test]
    fn subsets_are_counted_without_being_made() {
        for items in 0..9usize {
            let all: Vec<usize> = (0..items).collect();
            for (from, to) in [(1, 1), (1, items), (2, 3), (items, items)] {
                if let Ok(made) = subsets(&all, from..=to) {
                    assert_eq!(subset_count(items, from..=to), made.len() as u128);
                }
            }
        }
        assert_eq!(subset_count(40, 20..=20), 137_846_528_820);
        assert_eq!(subset_count(1000, 1..=1000), u128::MAX);
    }
}
