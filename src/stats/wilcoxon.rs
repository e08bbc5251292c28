//! Wilcoxon's signed rank test.

use super::distribution::p_of_z;
use super::paired::{Paired, differences, summarise};
use super::rank::{ranks, ties};
use crate::Result;

/// Up to this many pairs without ties or zeros the p value is exact, as in SciPy.
const EXACT_PAIRS: usize = 50;
/// The same where there are ties or zeros.
const EXACT_TIED_PAIRS: usize = 13;

/// Wilcoxon's signed rank test of pairs. Pairs without a difference are left out of the ranks.
///
/// Exact up to 50 pairs (13 with ties or equal pairs), else the normal limit with the variance
/// under ties and no continuity correction: SciPy's choices. Where no pair differs, p is 1.
pub fn wilcoxon(a: &[f64], b: &[f64]) -> Result<Paired> {
    let differences = differences(a, b)?;
    let moved: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    if moved.is_empty() {
        return summarise(&differences, 0.0, 1.0);
    }
    let sizes: Vec<f64> = moved.iter().map(|d| d.abs()).collect();
    let ranks = ranks(&sizes);
    let signed = moved.iter().zip(&ranks);
    let up: f64 = signed.filter(|(d, _)| **d > 0.0).map(|(_, r)| r).sum();
    let down = ranks.iter().sum::<f64>() - up;
    let runs = ties(&sizes);
    let plain = runs.is_empty() && moved.len() == differences.len();
    let limit = if plain { EXACT_PAIRS } else { EXACT_TIED_PAIRS };
    let p = if differences.len() <= limit {
        exact(&ranks, up.min(down))
    } else {
        normal(moved.len() as f64, up, &runs)
    };
    summarise(&differences, up.min(down), p)
}

/// Twice the chance that random signs give a sum of ranks of at most `smaller`.
fn exact(ranks: &[f64], smaller: f64) -> f64 {
    // Shared ranks are halves: doubled, every sum is whole.
    let doubled: Vec<usize> = ranks.iter().map(|r| (2.0 * r) as usize).collect();
    let mut chance = vec![0.0; doubled.iter().sum::<usize>() + 1];
    chance[0] = 1.0;
    for &rank in &doubled {
        for sum in (0..chance.len()).rev() {
            let added = if sum >= rank { chance[sum - rank] } else { 0.0 };
            chance[sum] = (chance[sum] + added) / 2.0;
        }
    }
    let tail: f64 = chance[..=(2.0 * smaller) as usize].iter().sum();
    (2.0 * tail).min(1.0)
}

/// From the normal limit; `runs` are the sizes of the ties.
fn normal(n: f64, up: f64, runs: &[f64]) -> f64 {
    let mean = n * (n + 1.0) / 4.0;
    let tied: f64 = runs.iter().map(|t| t.powi(3) - t).sum();
    let variance = (n * (n + 1.0) * (2.0 * n + 1.0) - tied / 2.0) / 24.0;
    p_of_z((up - mean) / variance.sqrt())
}
