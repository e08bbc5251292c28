//! The straight line of least squares.

use super::check::{Named, same_rows};
use super::correlate::pearson;
use crate::Result;

/// y = intercept + slope x, and how sure the slope is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regression {
    /// Change of y for one unit of x.
    pub slope: f64,
    /// y where x is 0.
    pub intercept: f64,
    /// Pearson's r.
    pub r: f64,
    /// Two-sided p value of no slope.
    pub p: f64,
    /// Standard error of the slope.
    pub stderr: f64,
    /// Rows.
    pub n: usize,
}

/// The line of least squares of `y` on `x`.
pub fn linregress(x: &[f64], y: &[f64]) -> Result<Regression> {
    let n = same_rows(&[Named::new("x", x), Named::new("y", y)])?;
    let correlation = pearson(x, y)?;
    let rows = n as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / rows, y.iter().sum::<f64>() / rows);
    let xx: f64 = x.iter().map(|v| (v - mean_x).powi(2)).sum();
    let yy: f64 = y.iter().map(|v| (v - mean_y).powi(2)).sum();
    let xy: f64 = x
        .iter()
        .zip(y)
        .map(|(a, b)| (a - mean_x) * (b - mean_y))
        .sum();
    let slope = xy / xx;
    let r = correlation.r;
    Ok(Regression {
        slope,
        intercept: mean_y - slope * mean_x,
        r,
        p: correlation.p,
        stderr: ((1.0 - r) * (1.0 + r) * yy / xx / (rows - 2.0)).sqrt(),
        n,
    })
}
