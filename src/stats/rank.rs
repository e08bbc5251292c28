//! Ranks, and what ties do to them.

/// Ranks from 1; equal values share the mean of their ranks.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for run in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let shared = start as f64 + (run.len() as f64 + 1.0) / 2.0;
        for &at in run {
            ranks[at] = shared;
        }
        start += run.len();
    }
    ranks
}

/// How many values each run of equal ones has, runs of one left out.
pub(super) fn ties(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .chunk_by(|a, b| a == b)
        .filter(|run| run.len() > 1)
        .map(|run| run.len() as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_their_mean_rank() {
        assert_eq!(
            ranks(&[0.3, -1.0, 0.3, 5.0, 0.3]),
            [3.0, 1.0, 3.0, 5.0, 3.0]
        );
        assert_eq!(ranks(&[0.0, -0.0]), [1.5, 1.5]);
        assert!(ranks(&[]).is_empty());
    }

    #[test]
    fn ties_count_runs_of_equal_values() {
        assert_eq!(ties(&[2.0, 1.0, 2.0, 3.0, 1.0, 2.0]), [2.0, 3.0]);
        assert!(ties(&[1.0, 2.0]).is_empty());
    }
}
