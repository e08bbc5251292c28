//! Tail probabilities and quantiles of the distributions that tests refer to.

use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::function::beta::checked_beta_reg;
use statrs::function::erf::erfc;

use crate::{Error, Result};

/// Two-sided p of a correlation of `r` under `df` degrees of freedom.
///
/// Student's t in terms of r itself: 1 - r² keeps its digits where t would lose them.
pub(super) fn p_of_r(r: f64, df: usize) -> Result<f64> {
    beta(df as f64 / 2.0, 0.5, (1.0 - r) * (1.0 + r))
}

/// Two-sided p of Student's t.
pub(super) fn p_of_t(t: f64, df: usize) -> Result<f64> {
    let df = df as f64;
    beta(df / 2.0, 0.5, df / (df + t * t))
}

/// Two-sided p of a standard normal.
pub(super) fn p_of_z(z: f64) -> f64 {
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// The t that 97.5 % of Student's distribution lies below.
pub(super) fn t_975(df: usize) -> Result<f64> {
    let students =
        StudentsT::new(0.0, 1.0, df as f64).map_err(|error| Error::new(error.to_string()))?;
    Ok(students.inverse_cdf(0.975))
}

/// At most `k` heads in `n` throws of a fair coin.
pub(super) fn coin_cdf(k: u64, n: u64) -> Result<f64> {
    if k >= n {
        return Ok(1.0);
    }
    beta((n - k) as f64, k as f64 + 1.0, 0.5)
}

fn beta(a: f64, b: f64, x: f64) -> Result<f64> {
    checked_beta_reg(a, b, x.clamp(0.0, 1.0))
        .map(|p| p.clamp(0.0, 1.0))
        .map_err(|error| Error::new(error.to_string()))
}
