//! McNemar's test: do two classifiers err differently on the same rows?

use super::distribution::coin_cdf;
use crate::{Result, bail};

/// Rows on which only one of two is right, and what that says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct McNemar {
    /// Rows only the first has right.
    pub only_first: u64,
    /// Rows only the second has right.
    pub only_second: u64,
    /// Exact two-sided p value: both are equally likely to be the one that is right.
    pub p: f64,
    /// Rows.
    pub n: usize,
}

/// McNemar's exact test of two rows of verdicts (right or wrong) on the same items.
///
/// p is 1 where they never differ.
pub fn mcnemar(first: &[bool], second: &[bool]) -> Result<McNemar> {
    if first.len() != second.len() {
        bail!(
            "{} verdicts against {}: they must be on the same rows",
            first.len(),
            second.len()
        );
    }
    if first.is_empty() {
        bail!("there are no rows to compare");
    }
    let pairs = first.iter().zip(second);
    let only_first = pairs.clone().filter(|(a, b)| **a && !**b).count() as u64;
    let only_second = pairs.filter(|(a, b)| !**a && **b).count() as u64;
    let fewer = coin_cdf(only_first.min(only_second), only_first + only_second)?;
    Ok(McNemar {
        only_first,
        only_second,
        p: (2.0 * fewer).min(1.0),
        n: first.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(only_first: usize, only_second: usize) -> McNemar {
        let mut first = vec![true; only_first];
        let mut second = vec![false; only_first];
        first.extend(vec![false; only_second]);
        second.extend(vec![true; only_second]);
        first.push(true);
        second.push(true);
        mcnemar(&first, &second).unwrap()
    }

    #[test]
    fn p_is_the_binomials() {
        // scipy.stats.binomtest(k, n, 0.5).pvalue
        for (a, b, p) in [
            (1, 9, 0.021484375),
            (3, 12, 0.03515625),
            (5, 5, 1.0),
            (0, 4, 0.125),
            (20, 45, 0.0026263768106840374),
        ] {
            let test = verdicts(a, b);
            assert!((test.p - p).abs() < 1e-12, "{a} {b}: {test:?}");
            assert_eq!((test.only_first, test.only_second), (a as u64, b as u64));
            assert_eq!(test.n, a + b + 1);
        }
        assert_eq!(verdicts(0, 0).p, 1.0);
    }

    #[test]
    fn verdicts_on_other_rows_are_refused() {
        assert!(mcnemar(&[true], &[true, false]).is_err());
        assert!(mcnemar(&[], &[]).is_err());
    }
}
