//! Statistics: correlations, regression, paired tests, bootstrap intervals, summaries.
//!
//! Every function takes slices of numbers and refuses what has no answer (too few values, a
//! constant column, NaN) with an error that names the column. Values and two-sided p values are
//! SciPy's; the tests hold them to it.

mod bootstrap;
mod check;
mod choice;
mod correlate;
mod distribution;
mod kendall;
mod mcnemar;
mod paired;
mod partial;
mod predict;
mod rank;
mod regression;
mod summary;
mod wilcoxon;

pub use bootstrap::{Interval, bootstrap};
pub use check::Named;
pub(crate) use choice::choose;
pub use correlate::{Correlate, Correlation, Method, kendall, partial, pearson, spearman};
pub use mcnemar::{McNemar, mcnemar};
pub use paired::{Paired, PairedTest, paired, paired_t};
pub use predict::{Prediction, predict};
pub use rank::ranks;
pub use regression::{Regression, linregress};
pub use summary::{ci95, mean, median, quantile, sd};
pub use wilcoxon::wilcoxon;

#[cfg(test)]
mod conformance;
