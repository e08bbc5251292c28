//! Mean, spread and quantiles of one column.

use super::check::Named;
use super::distribution::t_975;
use crate::{Result, bail};

/// The arithmetic mean.
pub fn mean(values: &[f64]) -> Result<f64> {
    at_least(values, 1, "a mean")?;
    Ok(values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation of a sample (divisor n - 1).
pub fn sd(values: &[f64]) -> Result<f64> {
    at_least(values, 2, "a standard deviation")?;
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Ok((squares / (values.len() - 1) as f64).sqrt())
}

/// Half the width of the mean's 95 % interval, by Student's t: the interval is mean ± ci95.
pub fn ci95(values: &[f64]) -> Result<f64> {
    at_least(values, 2, "a confidence interval")?;
    Ok(t_975(values.len() - 1)? * sd(values)? / (values.len() as f64).sqrt())
}

/// The middle value, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> Result<f64> {
    at_least(values, 1, "a median")?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// The `q` quantile, 0 to 1, of values sorted upwards; between two values on the line that joins
/// them (NumPy's default).
pub fn quantile(sorted: &[f64], q: f64) -> Result<f64> {
    at_least(sorted, 1, "a quantile")?;
    if !(0.0..=1.0).contains(&q) {
        bail!("a quantile is between 0 and 1, not {q}");
    }
    let place = q * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let part = place - place.floor();
    Ok(sorted[below] * (1.0 - part) + sorted[above] * part)
}

fn at_least(values: &[f64], fewest: usize, what: &str) -> Result<()> {
    if values.len() < fewest {
        bail!(
            "{what} needs at least {fewest} values, not {}",
            values.len()
        );
    }
    Named::new("values", values).finite()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_a_small_sample() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(mean(&values).unwrap(), 5.0);
        assert!((sd(&values).unwrap() - (32.0f64 / 7.0).sqrt()).abs() < 1e-15);
        assert_eq!(median(&values).unwrap(), 4.5);
        assert_eq!(median(&[3.0, 1.0, 2.0]).unwrap(), 2.0);
        // numpy.quantile(values, 0.9)
        assert!((quantile(&values, 0.9).unwrap() - 7.6).abs() < 1e-12);
    }

    #[test]
    fn the_interval_is_students() {
        // scipy.stats.t.ppf(0.975, df) * sd / sqrt(n).
        let half = ci95(&[0.0, 1.0]).unwrap();
        assert!((half - 12.706204736174694 * 0.5).abs() < 1e-9, "{half}");
        let half = ci95(&[1.0, 2.0, 3.0]).unwrap();
        let expected = 4.302652729749462 / 3.0f64.sqrt();
        assert!((half - expected).abs() < 1e-9, "{half}");
    }

    #[test]
    fn too_few_values_are_refused() {
        assert!(mean(&[]).is_err());
        assert!(sd(&[1.0]).is_err());
        assert!(ci95(&[1.0]).is_err());
        assert!(median(&[f64::NAN]).is_err());
        assert!(quantile(&[1.0], 1.5).is_err());
    }
}
