//! Tests of two measurements of the same things.

use std::str::FromStr;

use super::check::{Named, is_constant, same_rows};
use super::choice::choose;
use super::distribution::{p_of_t, t_975};
use super::summary::{mean, sd};
use super::wilcoxon::wilcoxon;
use crate::{Error, Result, bail};

/// Which paired test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PairedTest {
    /// Wilcoxon's signed rank test: no shape assumed but symmetry.
    #[default]
    Wilcoxon,
    /// Student's t test: the differences are taken as normal.
    T,
}

impl PairedTest {
    const ALL: [(&str, Self); 2] = [("wilcoxon", Self::Wilcoxon), ("t", Self::T)];

    /// The name that options use.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl FromStr for PairedTest {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        choose("paired test", name, &Self::ALL)
    }
}

/// How far `a` lies above `b`, pair by pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// Mean of a - b.
    pub diff: f64,
    /// Lower end of the mean difference's 95 % interval, by Student's t.
    pub lo: f64,
    /// Upper end of that interval.
    pub hi: f64,
    /// The test's statistic: t, or the smaller sum of signed ranks.
    pub statistic: f64,
    /// Two-sided p value of no difference.
    pub p: f64,
    /// Pairs.
    pub n: usize,
}

/// `test` of `a` against `b`, which stand pair by pair.
pub fn paired(a: &[f64], b: &[f64], test: PairedTest) -> Result<Paired> {
    match test {
        PairedTest::Wilcoxon => wilcoxon(a, b),
        PairedTest::T => paired_t(a, b),
    }
}

/// Student's t test of pairs; an error where all differences are equal.
pub fn paired_t(a: &[f64], b: &[f64]) -> Result<Paired> {
    let differences = differences(a, b)?;
    if is_constant(&differences) {
        bail!("every pair differs by {}: the t test has no answer", differences[0]; hint: "use wilcoxon");
    }
    let df = differences.len() - 1;
    let error = sd(&differences)? / (differences.len() as f64).sqrt();
    let t = mean(&differences)? / error;
    summarise(&differences, t, p_of_t(t, df)?)
}

/// a - b, checked.
pub(super) fn differences(a: &[f64], b: &[f64]) -> Result<Vec<f64>> {
    same_rows(&[Named::new("a", a), Named::new("b", b)])?;
    let differences: Vec<f64> = a.iter().zip(b).map(|(x, y)| x - y).collect();
    Named::new("a - b", &differences).finite()?;
    Ok(differences)
}

/// The test's result beside the mean difference and its interval.
pub(super) fn summarise(differences: &[f64], statistic: f64, p: f64) -> Result<Paired> {
    let n = differences.len();
    let diff = mean(differences)?;
    let half = t_975(n - 1)? * sd(differences)? / (n as f64).sqrt();
    Ok(Paired {
        diff,
        lo: diff - half,
        hi: diff + half,
        statistic,
        p,
        n,
    })
}
