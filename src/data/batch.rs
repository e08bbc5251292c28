//! The order of rows in training and evaluation.
//!
//! Batches hold rows of like length, so that little is padded. Lengths are in tokens, as many as
//! there are rows; batches hold row numbers.

use crate::compute::random::Stream;

/// How many batches are sorted by length together in training.
pub const CHUNK: usize = 50;

/// The batches of one epoch, each of `batch` rows, the last of a chunk maybe fewer.
///
/// Rows are shuffled by the stream `(seed, "shuffle", epoch)`, taken in chunks of [`CHUNK`]
/// batches, sorted stably by length within a chunk, cut into batches, and the batches shuffled by
/// the same stream. Every row comes once. A `batch` of 0 is 1.
pub fn training_batches(
    lengths: &[usize],
    batch: usize,
    seed: u64,
    epoch: usize,
) -> Vec<Vec<usize>> {
    let batch = batch.max(1);
    let mut stream = Stream::new(seed, "shuffle", &epoch.to_string());
    let mut rows: Vec<usize> = (0..lengths.len()).collect();
    stream.shuffle(&mut rows);
    for chunk in rows.chunks_mut(CHUNK.saturating_mul(batch)) {
        chunk.sort_by_key(|&row| lengths[row]);
    }
    let mut batches = cut(&rows, batch);
    stream.shuffle(&mut batches);
    batches
}

/// The batches of an evaluation: all rows by length, equal ones by row, cut into `batch` rows.
///
/// The order depends on nothing else, so a row meets the same neighbours in every evaluation.
pub fn evaluation_batches(lengths: &[usize], batch: usize) -> Vec<Vec<usize>> {
    let mut rows: Vec<usize> = (0..lengths.len()).collect();
    rows.sort_by_key(|&row| lengths[row]);
    cut(&rows, batch.max(1))
}

/// Splits a batch into consecutive parts whose padded size, rows times the longest length, stays
/// within `token_budget`; a row that is longer stands alone.
pub fn micro_batches(rows: &[usize], lengths: &[usize], token_budget: usize) -> Vec<Vec<usize>> {
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut longest = 0;
    for &row in rows {
        longest = longest.max(lengths[row]);
        match parts.last_mut() {
            Some(part) if (part.len() + 1) * longest <= token_budget => part.push(row),
            _ => {
                parts.push(vec![row]);
                longest = lengths[row];
            }
        }
    }
    parts
}

fn cut(rows: &[usize], batch: usize) -> Vec<Vec<usize>> {
    rows.chunks(batch).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(batches: &[Vec<usize>]) -> Vec<usize> {
        let mut rows: Vec<usize> = batches.iter().flatten().copied().collect();
        rows.sort_unstable();
        rows
    }

    proptest! {
        #[test]
        fn every_row_comes_once(
            lengths in prop::collection::vec(0usize..200, 0..400),
            batch in 0usize..20,
            seed: u64,
            epoch in 0usize..5,
        ) {
            let all: Vec<usize> = (0..lengths.len()).collect();
            let training = training_batches(&lengths, batch, seed, epoch);
            prop_assert_eq!(sorted(&training), all.clone());
            prop_assert!(training.iter().all(|rows| rows.len() <= batch.max(1)));
            prop_assert_eq!(sorted(&evaluation_batches(&lengths, batch)), all);
            prop_assert_eq!(&training, &training_batches(&lengths, batch, seed, epoch));
        }

        #[test]
        fn micro_batches_keep_the_order_and_the_budget(
            lengths in prop::collection::vec(0usize..200, 0..60),
            budget in 0usize..2000,
        ) {
            let rows: Vec<usize> = (0..lengths.len()).rev().collect();
            let parts = micro_batches(&rows, &lengths, budget);
            prop_assert_eq!(parts.concat(), rows);
            for part in parts {
                let longest = part.iter().map(|&row| lengths[row]).max().unwrap();
                prop_assert!(part.len() == 1 || part.len() * longest <= budget);
            }
        }
    }

    #[test]
    fn seeds_and_epochs_give_other_orders() {
        let lengths = vec![1; 100];
        let first = training_batches(&lengths, 8, 1, 0);
        assert_ne!(first, training_batches(&lengths, 8, 1, 1));
        assert_ne!(first, training_batches(&lengths, 8, 2, 0));
    }

    #[test]
    fn batches_are_sorted_within_chunks_only() {
        let lengths: Vec<usize> = (0..300).collect();
        let batches = training_batches(&lengths, 2, 7, 0);
        assert!(
            batches
                .iter()
                .all(|rows| rows.windows(2).all(|w| w[0] < w[1]))
        );
        // 300 rows are three chunks of 50 batches: a batch spans about a hundredth of its chunk.
        let spread: usize = batches.iter().map(|rows| rows[1] - rows[0]).sum();
        assert!(spread > 300 && spread < 1200, "{spread}");
    }

    #[test]
    fn evaluation_breaks_ties_by_row() {
        assert_eq!(
            evaluation_batches(&[3, 1, 3, 1, 2], 2),
            [vec![1, 3], vec![4, 0], vec![2]]
        );
    }
}
