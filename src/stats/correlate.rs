//! Correlation of two columns, plain, partial or within groups, with its p value and interval.

use std::fmt;
use std::str::FromStr;

use super::bootstrap::bootstrap;
use super::check::{Named, same_rows};
use super::choice::choose;
use super::distribution::p_of_r;
use super::kendall as tau_b;
use super::partial::residual_r;
use super::rank::ranks;
use crate::compute::random::Stream;
use crate::{Context, Error, Result, bail};

/// Which correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Linear.
    #[default]
    Pearson,
    /// Pearson's of the ranks.
    Spearman,
    /// Tau-b: pairs of rows in the same order against pairs in reversed order.
    Kendall,
}

impl Method {
    const ALL: [(&str, Self); 3] = [
        ("pearson", Self::Pearson),
        ("spearman", Self::Spearman),
        ("kendall", Self::Kendall),
    ];

    /// The name that options use.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        choose("correlation", name, &Self::ALL)
    }
}

/// A correlation and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// Which correlation.
    pub method: Method,
    /// The coefficient, -1 to 1.
    pub r: f64,
    /// Two-sided p value of no association, rows taken as independent.
    pub p: f64,
    /// Rows.
    pub n: usize,
    /// Degrees of freedom of the p value; none for Kendall.
    pub df: Option<usize>,
    /// Lower end of the 95 % bootstrap interval; none where no draws were asked for.
    pub lo: Option<f64>,
    /// Upper end of the 95 % bootstrap interval.
    pub hi: Option<f64>,
}

impl fmt::Display for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} r = {:.4}", self.method.name(), self.r)?;
        if let (Some(lo), Some(hi)) = (self.lo, self.hi) {
            write!(f, " (95 % interval {lo:.4} to {hi:.4})")?;
        }
        if self.p < 1e-3 && self.p > 0.0 {
            write!(f, ", p = {:.3e}, n = {}", self.p, self.n)
        } else {
            write!(f, ", p = {:.4}, n = {}", self.p, self.n)
        }
    }
}

/// What to correlate, under which controls.
#[derive(Debug, Clone)]
pub struct Correlate<'a> {
    /// One column.
    pub x: Named<'a>,
    /// The other.
    pub y: Named<'a>,
    /// Which correlation.
    pub method: Method,
    /// Columns held fixed (partial correlation); not with Kendall.
    pub given: Vec<Named<'a>>,
    /// The group of each row, 0, 1, 2...: every column is centred within its groups first, as if
    /// each group's indicator were a control. Not with Kendall.
    pub within: Option<&'a [usize]>,
}

impl<'a> Correlate<'a> {
    /// `x` and `y` by `method`, with nothing held fixed.
    pub fn new(x: Named<'a>, y: Named<'a>, method: Method) -> Self {
        Self {
            x,
            y,
            method,
            given: Vec::new(),
            within: None,
        }
    }

    /// The coefficient and its p value.
    ///
    /// Spearman's ranks are taken over all rows, of the controls too, before anything is centred
    /// or held fixed. The p value has n - 2 - controls - (groups - 1) degrees of freedom.
    pub fn run(&self) -> Result<Correlation> {
        let n = self.check()?;
        let result = |r, p, df| Correlation {
            method: self.method,
            r,
            p,
            n,
            df,
            lo: None,
            hi: None,
        };
        if self.method == Method::Kendall {
            self.x.varies()?;
            self.y.varies()?;
            let Some(r) = tau_b::tau(self.x.values, self.y.values) else {
                bail!("`{}` or `{}` is constant", self.x.name, self.y.name);
            };
            return Ok(result(r, tau_b::p(self.x.values, self.y.values), None));
        }
        let groups = self.within.map_or(1, distinct);
        let lost = 2 + self.given.len() + groups - 1;
        if n <= lost {
            bail!(
                "{n} rows are too few beside {} controls and {groups} groups: more than {lost} are needed",
                self.given.len()
            );
        }
        let r = self.coefficient(None)?;
        Ok(result(r, p_of_r(r, n - lost)?, Some(n - lost)))
    }

    /// The same with a 95 % percentile interval of `draws` bootstrap draws of rows, or of whole
    /// `clusters` (the cluster of each row).
    pub fn run_with_interval(
        &self,
        draws: usize,
        clusters: Option<&[usize]>,
        seed: u64,
        context: &Context,
    ) -> Result<Correlation> {
        let whole = self.run()?;
        let stream = Stream::new(seed, "bootstrap", self.method.name());
        let interval = bootstrap(whole.n, clusters, draws, &stream, context, |rows| {
            self.coefficient(Some(rows)).ok()
        })?;
        Ok(Correlation {
            lo: Some(interval.lo),
            hi: Some(interval.hi),
            ..whole
        })
    }

    fn check(&self) -> Result<usize> {
        let mut columns = vec![self.x, self.y];
        columns.extend(&self.given);
        let n = same_rows(&columns)?;
        if let Some(groups) = self.within
            && groups.len() != n
        {
            bail!("there are {n} rows and groups of {}", groups.len());
        }
        if self.method == Method::Kendall && (self.within.is_some() || !self.given.is_empty()) {
            bail!("kendall cannot hold columns or groups fixed"; hint: "use spearman");
        }
        Ok(n)
    }

    /// The coefficient over the rows at `rows`, all where none.
    fn coefficient(&self, rows: Option<&[usize]>) -> Result<f64> {
        let rank = self.method == Method::Spearman;
        let column = |named: &Named| -> Vec<f64> {
            let values: Vec<f64> = match rows {
                Some(rows) => rows.iter().map(|&at| named.values[at]).collect(),
                None => named.values.to_vec(),
            };
            if rank { ranks(&values) } else { values }
        };
        let (x, y) = (column(&self.x), column(&self.y));
        if self.method == Method::Kendall {
            return tau_b::tau(&x, &y).ok_or_else(|| Error::new("a column is constant"));
        }
        let given: Vec<Vec<f64>> = self.given.iter().map(column).collect();
        let given: Vec<Named> = self
            .given
            .iter()
            .zip(&given)
            .map(|(named, values)| Named::new(named.name, values))
            .collect();
        let groups: Option<Vec<usize>> = self.within.map(|groups| match rows {
            Some(rows) => rows.iter().map(|&at| groups[at]).collect(),
            None => groups.to_vec(),
        });
        residual_r(
            Named::new(self.x.name, &x),
            Named::new(self.y.name, &y),
            &given,
            groups.as_deref(),
        )
    }
}

/// Pearson's r of two columns.
pub fn pearson(x: &[f64], y: &[f64]) -> Result<Correlation> {
    Correlate::new(Named::new("x", x), Named::new("y", y), Method::Pearson).run()
}

/// Spearman's rank correlation of two columns; ties share their mean rank.
pub fn spearman(x: &[f64], y: &[f64]) -> Result<Correlation> {
    Correlate::new(Named::new("x", x), Named::new("y", y), Method::Spearman).run()
}

/// Kendall's tau-b of two columns.
pub fn kendall(x: &[f64], y: &[f64]) -> Result<Correlation> {
    Correlate::new(Named::new("x", x), Named::new("y", y), Method::Kendall).run()
}

/// Pearson's r of what `given` does not explain of two columns.
pub fn partial(x: &[f64], y: &[f64], given: &[Named]) -> Result<Correlation> {
    let mut problem = Correlate::new(Named::new("x", x), Named::new("y", y), Method::Pearson);
    problem.given = given.to_vec();
    problem.run()
}

fn distinct(groups: &[usize]) -> usize {
    let mut sorted = groups.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.len()
}
