//! Percentile bootstrap: how a statistic varies when the rows are drawn again.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::summary::quantile;
use crate::compute::random::Stream;
use crate::{Context, Result, bail};

/// A 95 % percentile interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The 2.5 % quantile of the draws.
    pub lo: f64,
    /// The 97.5 % quantile of the draws.
    pub hi: f64,
    /// Draws in which the statistic existed.
    pub draws: usize,
}

/// The interval of `statistic` over `draws` draws of as many of the `rows` with replacement.
///
/// With `clusters` (the cluster of each row) whole clusters are drawn instead: the honest choice
/// where rows of one cluster resemble each other. Draw i comes from lane i of `stream`, so the
/// interval does not depend on the number of threads. A draw in which `statistic` does not exist
/// (a column drawn constant) is left out; an error if that is every other draw.
pub fn bootstrap(
    rows: usize,
    clusters: Option<&[usize]>,
    draws: usize,
    stream: &Stream,
    context: &Context,
    statistic: impl Fn(&[usize]) -> Option<f64> + Sync,
) -> Result<Interval> {
    let units = units(rows, clusters)?;
    if draws == 0 {
        bail!("an interval needs at least one bootstrap draw"; hint: "1000 is usual");
    }
    let values: Vec<Option<f64>> = (0..draws)
        .into_par_iter()
        .map(|draw| {
            context.check()?;
            let mut stream = stream.lane(draw as u64);
            let mut drawn = Vec::with_capacity(rows);
            for _ in 0..units.len() {
                drawn.extend_from_slice(&units[stream.below(units.len() as u64) as usize]);
            }
            Ok(statistic(&drawn).filter(|value| value.is_finite()))
        })
        .collect::<Result<_>>()?;
    let mut values: Vec<f64> = values.into_iter().flatten().collect();
    if 2 * values.len() <= draws {
        bail!(
            "the statistic exists in only {} of {draws} bootstrap draws",
            values.len();
            hint: "there are too few distinct rows or clusters to draw from"
        );
    }
    values.sort_by(f64::total_cmp);
    Ok(Interval {
        lo: quantile(&values, 0.025)?,
        hi: quantile(&values, 0.975)?,
        draws: values.len(),
    })
}

/// What is drawn as one: a row, or the rows of a cluster.
fn units(rows: usize, clusters: Option<&[usize]>) -> Result<Vec<Vec<usize>>> {
    let units: Vec<Vec<usize>> = match clusters {
        None => (0..rows).map(|row| vec![row]).collect(),
        Some(clusters) if clusters.len() != rows => {
            bail!("there are {rows} rows and clusters of {}", clusters.len())
        }
        Some(clusters) => {
            let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for (row, &cluster) in clusters.iter().enumerate() {
                members.entry(cluster).or_default().push(row);
            }
            members.into_values().collect()
        }
    };
    if units.len() < 2 {
        bail!("a bootstrap needs at least two rows or clusters to draw from");
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of<'a>(values: &'a [f64]) -> impl Fn(&[usize]) -> Option<f64> + Sync + 'a {
        |rows| Some(rows.iter().map(|&r| values[r]).sum::<f64>() / rows.len() as f64)
    }

    fn run(values: &[f64], clusters: Option<&[usize]>, seed: u64) -> Result<Interval> {
        let stream = Stream::new(seed, "test", "bootstrap");
        let context = Context::silent();
        bootstrap(
            values.len(),
            clusters,
            2000,
            &stream,
            &context,
            mean_of(values),
        )
    }

    #[test]
    fn the_interval_of_a_mean_is_near_two_standard_errors() {
        let mut stream = Stream::new(3, "test", "values");
        let values: Vec<f64> = (0..400).map(|_| stream.normal()).collect();
        let interval = run(&values, None, 1).unwrap();
        let width = interval.hi - interval.lo;
        assert!((width - 2.0 * 1.96 / 20.0).abs() < 0.03, "{interval:?}");
        assert_eq!(interval, run(&values, None, 1).unwrap());
        assert_ne!(interval, run(&values, None, 2).unwrap());
    }

    #[test]
    fn clusters_are_drawn_whole() {
        let values: Vec<f64> = (0..100).map(|row| f64::from(row / 50)).collect();
        let clusters: Vec<usize> = (0..100).map(|row| 7 * (row / 50)).collect();
        // Two clusters, of zeros and of ones: a drawn mean is 0, 1/2 or 1, each end in a quarter.
        let interval = run(&values, Some(&clusters), 1).unwrap();
        assert_eq!((interval.lo, interval.hi), (0.0, 1.0));
        let rows = run(&values, None, 1).unwrap();
        assert!(rows.lo > 0.3 && rows.hi < 0.7);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        assert!(run(&[1.0], None, 1).is_err());
        assert!(run(&[1.0, 2.0], Some(&[1, 1]), 1).is_err());
        assert!(run(&[1.0, 2.0], Some(&[1]), 1).is_err());
        let stream = Stream::new(1, "test", "none");
        let context = Context::silent();
        assert!(bootstrap(5, None, 10, &stream, &context, |_| None).is_err());
        assert!(bootstrap(5, None, 0, &stream, &context, |_| Some(1.0)).is_err());
    }
}
