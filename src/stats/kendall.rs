//! Kendall's tau-b: ordered pairs against reversed ones, corrected for ties.

use super::distribution::p_of_z;
use super::rank::ties;

/// Up to this many rows without ties the p value is exact, as in SciPy.
const EXACT_ROWS: usize = 33;

/// Tau-b; none where a column has a single value.
pub(super) fn tau(x: &[f64], y: &[f64]) -> Option<f64> {
    let pairs = Pairs::count(x, y);
    let scale = (pairs.total - pairs.tied_x).sqrt() * (pairs.total - pairs.tied_y).sqrt();
    (scale > 0.0).then(|| (pairs.balance() / scale).clamp(-1.0, 1.0))
}

/// Two-sided p of no association, for at least three rows and no constant column.
///
/// Exact where there are no ties and at most 33 rows (or at most one pair out of order); else
/// from the normal limit with the variance under ties (Kendall, Rank Correlation Methods).
pub(super) fn p(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len();
    let pairs = Pairs::count(x, y);
    let untied = pairs.tied_x == 0.0 && pairs.tied_y == 0.0;
    let fewest = pairs.reversed.min(pairs.total - pairs.reversed);
    if untied && (n <= EXACT_ROWS || fewest <= 1.0) {
        return exact(n, fewest as usize);
    }
    let rows = n as f64;
    let m = rows * (rows - 1.0);
    let (runs_x, runs_y) = (ties(x), ties(y));
    let triples = |runs: &[f64]| -> f64 { runs.iter().map(|t| t * (t - 1.0) * (t - 2.0)).sum() };
    let spread =
        |runs: &[f64]| -> f64 { runs.iter().map(|t| t * (t - 1.0) * (2.0 * t + 5.0)).sum() };
    let variance = (m * (2.0 * rows + 5.0) - spread(&runs_x) - spread(&runs_y)) / 18.0
        + 2.0 * pairs.tied_x * pairs.tied_y / m
        + triples(&runs_x) * triples(&runs_y) / (9.0 * m * (rows - 2.0));
    p_of_z(pairs.balance() / variance.sqrt())
}

/// Numbers of pairs of rows.
struct Pairs {
    total: f64,
    tied_x: f64,
    tied_y: f64,
    tied_both: f64,
    reversed: f64,
}

impl Pairs {
    /// In n log n steps (Knight 1966): sorted by x then y, the reversed pairs are y's inversions.
    fn count(x: &[f64], y: &[f64]) -> Self {
        let mut rows: Vec<(f64, f64)> = x.iter().copied().zip(y.iter().copied()).collect();
        // Adding zero makes -0 equal to 0 for the total order too.
        rows.iter_mut().for_each(|r| *r = (r.0 + 0.0, r.1 + 0.0));
        rows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let both = rows.chunk_by(|a, b| a == b).map(|run| run.len() as f64);
        let tied_both = both.map(pairs_of).sum();
        let mut second: Vec<f64> = rows.into_iter().map(|r| r.1).collect();
        Self {
            total: pairs_of(x.len() as f64),
            tied_x: ties(x).into_iter().map(pairs_of).sum(),
            tied_y: ties(y).into_iter().map(pairs_of).sum(),
            tied_both,
            reversed: inversions(&mut second) as f64,
        }
    }

    /// Pairs in order less pairs reversed.
    fn balance(&self) -> f64 {
        self.total - self.tied_x - self.tied_y + self.tied_both - 2.0 * self.reversed
    }
}

fn pairs_of(n: f64) -> f64 {
    n * (n - 1.0) / 2.0
}

/// How many pairs stand in falling order; sorts the values.
fn inversions(values: &mut [f64]) -> u64 {
    let n = values.len();
    let mut count = 0;
    let mut merged = Vec::with_capacity(n);
    let mut width = 1;
    while width < n {
        for block in values.chunks_mut(2 * width) {
            if block.len() <= width {
                continue;
            }
            let (left, right) = block.split_at(width);
            merged.clear();
            let (mut i, mut j) = (0, 0);
            while i < left.len() && j < right.len() {
                if left[i] <= right[j] {
                    merged.push(left[i]);
                    i += 1;
                } else {
                    merged.push(right[j]);
                    count += (left.len() - i) as u64;
                    j += 1;
                }
            }
            merged.extend_from_slice(&left[i..]);
            merged.extend_from_slice(&right[j..]);
            block.copy_from_slice(&merged);
        }
        width *= 2;
    }
    count
}

/// Twice the chance that a random order of `n` has at most `reversed` inversions.
fn exact(n: usize, reversed: usize) -> f64 {
    let mut chance = vec![0.0; reversed + 1];
    chance[0] = 1.0;
    for j in 2..=n {
        // The j-th row joins anywhere, which adds 0 to j - 1 inversions, each as likely.
        for k in (0..=reversed).rev() {
            let from = k.saturating_sub(j - 1);
            chance[k] = chance[from..=k].iter().sum::<f64>() / j as f64;
        }
    }
    (2.0 * chance.iter().sum::<f64>()).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inversions_are_counted_as_by_pairs() {
        let values = [3.0, 1.0, 2.0, 2.0, 5.0, 0.0, 4.0];
        let mut slow = 0;
        for i in 0..values.len() {
            slow += values[i..].iter().filter(|v| values[i] > **v).count() as u64;
        }
        assert_eq!(inversions(&mut values.clone()), slow);
    }

    #[test]
    fn a_perfect_order_of_four_has_one_chance_in_twelve() {
        let x = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(tau(&x, &x), Some(1.0));
        assert!((p(&x, &x) - 2.0 / 24.0).abs() < 1e-15);
        // Three of six pairs reversed: the middle of the distribution.
        assert_eq!(p(&x, &[4.0, 1.0, 2.0, 3.0]), 1.0);
    }

    #[test]
    fn a_constant_column_has_no_tau() {
        assert_eq!(tau(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
    }
}
