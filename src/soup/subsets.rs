//! All subsets of some sizes.

use std::ops::RangeInclusive;

use crate::{Result, bail};

/// The most subsets made at once.
const LIMIT: usize = 2_000_000;

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
            if all.len() == LIMIT {
                bail!(
                    "more than {LIMIT} subsets of {} items; choose fewer sizes",
                    items.len()
                );
            }
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
}
