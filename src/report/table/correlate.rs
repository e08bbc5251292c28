//! Correlation of two columns of a table.

use super::Table;
use crate::stats::{Correlate, Correlation, Method, Named};
use crate::{Context, Result, bail};

/// How to correlate; the default is Pearson's r without an interval.
#[derive(Debug, Clone, Default)]
pub struct CorrelateOptions {
    /// Which correlation.
    pub method: Method,
    /// Columns held fixed (partial correlation).
    pub given: Vec<String>,
    /// A column whose groups are centred first, so that only what varies within them counts.
    pub within: Option<String>,
    /// A column whose groups the bootstrap draws whole.
    pub cluster: Option<String>,
    /// Bootstrap draws for the 95 % interval; 0 for none.
    pub ci: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Table {
    /// The correlation of columns `x` and `y`.
    pub fn correlate(
        &self,
        x: &str,
        y: &str,
        options: &CorrelateOptions,
        context: &Context,
    ) -> Result<Correlation> {
        if options.cluster.is_some() && options.ci == 0 {
            bail!("a cluster only matters to the interval"; hint: "ask for one, such as ci: 1000");
        }
        let (xs, ys) = (self.numbers(x)?, self.numbers(y)?);
        let given = options
            .given
            .iter()
            .map(|name| Ok((name, self.numbers(name)?)))
            .collect::<Result<Vec<_>>>()?;
        let groups = |column: &Option<String>| -> Result<Option<Vec<usize>>> {
            match column {
                Some(name) => Ok(Some(self.groups_by(&[name])?.of_row)),
                None => Ok(None),
            }
        };
        let (within, clusters) = (groups(&options.within)?, groups(&options.cluster)?);
        let problem = Correlate {
            given: given.iter().map(|(n, v)| Named::new(n, v)).collect(),
            within: within.as_deref(),
            ..Correlate::new(Named::new(x, &xs), Named::new(y, &ys), options.method)
        };
        match options.ci {
            0 => problem.run(),
            draws => problem.run_with_interval(draws, clusters.as_deref(), options.seed, context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::Value;

    /// Within each dataset y falls with x; between them it rises.
    fn paradox() -> Table {
        let (mut x, mut y, mut name) = (vec![], vec![], vec![]);
        for group in 0..4 {
            for step in 0..5 {
                let wobble = f64::from((group * 5 + step) * 7 % 4) * 0.05;
                x.push(Value::Float(f64::from(group * 3 + step)));
                y.push(Value::Float(f64::from(group * 5 - step) + wobble));
                name.push(Value::from(format!("d{group}")));
            }
        }
        Table::from_columns([("x", x), ("y", y), ("dataset", name)]).unwrap()
    }

    fn run(options: &CorrelateOptions) -> Result<Correlation> {
        paradox().correlate("x", "y", options, &Context::silent())
    }

    #[test]
    fn groups_held_fixed_turn_the_sign() {
        let pooled = run(&CorrelateOptions::default()).unwrap();
        assert!(pooled.r > 0.5 && pooled.lo.is_none());
        let mut options = CorrelateOptions {
            within: Some("dataset".into()),
            ..Default::default()
        };
        let within = run(&options).unwrap();
        assert!(within.r < -0.9);
        assert_eq!((within.n, within.df), (20, Some(15)));
        options.cluster = Some("dataset".into());
        assert!(run(&options).unwrap_err().to_string().contains("ci: 1000"));
        options.ci = 400;
        let sure = run(&options).unwrap();
        let (lo, hi) = (sure.lo.unwrap(), sure.hi.unwrap());
        assert!(lo <= sure.r && sure.r <= hi && hi < -0.5, "{sure:?}");
        assert_eq!(sure.r, within.r);
    }

    #[test]
    fn a_group_s_own_column_cannot_be_given_too() {
        let table = paradox();
        let codes = (0..20).map(|row| Value::from(row / 5)).collect();
        let table = table.with_column("code", codes).unwrap();
        let options = CorrelateOptions {
            given: vec!["code".into()],
            within: Some("dataset".into()),
            ..Default::default()
        };
        let error = table.correlate("x", "y", &options, &Context::silent());
        assert_eq!(
            error.unwrap_err().to_string(),
            "`code` is constant within every group: it varies with nothing"
        );
        let text = CorrelateOptions {
            given: vec!["dataset".into()],
            ..Default::default()
        };
        assert!(
            run(&text)
                .unwrap_err()
                .to_string()
                .contains("expected a number")
        );
    }
}
