//! What a column of numbers must be before anything is computed from it.

use crate::{Result, bail};

/// A column of numbers under the name that errors call it by.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// What errors call the column.
    pub name: &'a str,
    /// One number a row.
    pub values: &'a [f64],
}

impl<'a> Named<'a> {
    /// `values` called `name`.
    pub fn new(name: &'a str, values: &'a [f64]) -> Self {
        Self { name, values }
    }

    /// Every value is a finite number.
    pub(super) fn finite(&self) -> Result<()> {
        match self.values.iter().position(|v| !v.is_finite()) {
            Some(at) => bail!(
                "`{}` is {} in row {at}, expected a finite number",
                self.name,
                self.values[at]
            ),
            None => Ok(()),
        }
    }

    /// The values lie apart by more than rounding.
    pub(super) fn varies(&self) -> Result<()> {
        if is_constant(self.values) {
            bail!("`{}` is constant: it varies with nothing", self.name);
        }
        Ok(())
    }
}

/// Fewest rows a correlation or a regression is computed from.
const FEWEST_ROWS: usize = 3;

/// Columns that stand row by row beside each other: of one length of at least three, finite.
pub(super) fn same_rows(columns: &[Named]) -> Result<usize> {
    let Some(first) = columns.first() else {
        return Ok(0);
    };
    let n = first.values.len();
    for column in columns {
        if column.values.len() != n {
            bail!(
                "`{}` has {n} values and `{}` has {}: they must pair up",
                first.name,
                column.name,
                column.values.len()
            );
        }
    }
    if n < FEWEST_ROWS {
        bail!("{n} rows are too few: at least {FEWEST_ROWS} are needed");
    }
    columns.iter().try_for_each(Named::finite)?;
    Ok(n)
}

/// Whether the values differ by no more than rounding does.
pub(super) fn is_constant(values: &[f64]) -> bool {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let centred: Vec<f64> = values.iter().map(|v| v - mean).collect();
    norm(&centred) <= ROUNDING * norm(values)
}

/// What is left of a column after its mean is taken out, relative to the column, where only
/// rounding is left. SciPy warns at the same level.
pub(super) const ROUNDING: f64 = 1e-13;

/// Euclidean length, without overflow where the squares would.
pub(super) fn norm(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    let squares: f64 = values.iter().map(|v| (v / largest).powi(2)).sum();
    largest * squares.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_column_and_the_row() {
        let good = [1.0, 2.0, 3.0];
        let x = Named::new("x", &good);
        let error = |y: &[f64]| {
            same_rows(&[x, Named::new("drop", y)])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error(&[1.0]),
            "`x` has 3 values and `drop` has 1: they must pair up"
        );
        assert_eq!(
            error(&[1.0, f64::NAN, 2.0]),
            "`drop` is NaN in row 1, expected a finite number"
        );
        assert!(same_rows(&[Named::new("x", &[1.0, 2.0])]).is_err());
        assert_eq!(same_rows(&[x, x]).unwrap(), 3);
    }

    #[test]
    fn constant_up_to_rounding_is_constant() {
        assert!(is_constant(&[0.1 + 0.2, 0.3, 0.3]));
        assert!(is_constant(&[0.0, 0.0]));
        assert!(!is_constant(&[1e-30, 2e-30]));
        assert!(!is_constant(&[1.0, 1.0 + 1e-9]));
    }

    #[test]
    fn norms_do_not_overflow() {
        assert!((norm(&[3e200, 4e200]) / 5e200 - 1.0).abs() < 1e-15);
        assert_eq!(norm(&[]), 0.0);
    }
}
