//! How trimmed changes become one: by their sum, or by electing a sign first.

use crate::Result;

/// Whose rule elects the sign and divides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// No election: the weighted sum.
    Sum,
    /// The paper's: the sign of the weighted sum (none where it is zero); the weighted mean of
    /// those that have it. With equal weights the plain mean.
    Paper,
    /// PEFT 0.21, `total`: the sign of the unweighted sum, + for zero; the weighted sum of those
    /// that have it over their number.
    Total,
    /// PEFT 0.21, `frequency`: the sign of the sum of signs, + for zero; then the same.
    Frequency,
    /// mergekit 0.1.5: the sign of the weighted sum, + for zero; the weighted sum of those that
    /// have it.
    Mergekit,
}

/// Trimmed changes, each times its weight, as one. `normalize` divides by the sum of the weights
/// that counted (mergekit; PEFT and the paper have divisors of their own).
pub fn consensus(
    changes: &[Vec<f32>],
    weights: &[f64],
    rule: Rule,
    normalize: bool,
    lambda: f64,
) -> Result<Vec<f32>> {
    let n = changes.first().map_or(0, Vec::len);
    if rule == Rule::Sum {
        return Ok(sum(changes, weights, normalize, lambda));
    }
    let mut mixed = vec![0f32; n];
    for (j, out) in mixed.iter_mut().enumerate() {
        let at = || changes.iter().map(|c| f64::from(c[j])).zip(weights);
        let elected = match rule {
            Rule::Total => positive(at().map(|(x, _)| x).sum()),
            Rule::Frequency => positive(at().map(|(x, _)| sign(x)).sum()),
            Rule::Mergekit => positive(at().map(|(x, w)| w * x).sum()),
            Rule::Paper | Rule::Sum => sign(at().map(|(x, w)| w * x).sum()),
        };
        let weighted = matches!(rule, Rule::Paper | Rule::Mergekit);
        let (mut total, mut count, mut weight) = (0.0, 0.0, 0.0);
        for (x, w) in at() {
            let own = if weighted { sign(w * x) } else { sign(x) };
            if own == elected && own != 0.0 {
                total += w * x;
                count += 1.0;
                weight += if rule == Rule::Paper { w.abs() } else { *w };
            }
        }
        let divisor = match rule {
            Rule::Total | Rule::Frequency => f64::max(count, 1.0),
            Rule::Paper => weight,
            _ if normalize => weight,
            _ => 1.0,
        };
        let divisor = if divisor == 0.0 { 1.0 } else { divisor };
        *out = (lambda * (total / divisor)) as f32;
    }
    Ok(mixed)
}

fn sum(changes: &[Vec<f32>], weights: &[f64], normalize: bool, lambda: f64) -> Vec<f32> {
    let total: f64 = weights.iter().sum();
    let divisor = match normalize && total.abs() >= 1e-8 {
        true => total,
        false => 1.0,
    };
    let mut mixed = vec![0f64; changes.first().map_or(0, Vec::len)];
    for (change, w) in changes.iter().zip(weights) {
        for (out, x) in mixed.iter_mut().zip(change) {
            *out += w * f64::from(*x);
        }
    }
    let factor = lambda / divisor;
    mixed.into_iter().map(|x| (factor * x) as f32).collect()
}

fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}

/// + for zero.
fn positive(sum: f64) -> f64 {
    if sum >= 0.0 { 1.0 } else { -1.0 }
}
