//! How well columns predict another one on groups of rows that they were not fitted to.

use faer::{Mat, Side};

use super::check::{Named, same_rows};
use crate::{Error, Result, bail};

/// A direction of the columns this small beside the largest is rounding: it predicts nothing.
const EMPTY: f64 = 1e-12;

/// How a linear prediction does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The share of the target's variance that the columns explain in the rows they were fitted
    /// to.
    pub r2: f64,
    /// 1 less the squared error on groups left out one at a time, as a share of that of their
    /// distance from the mean of the other groups' rows; below 0 where the columns predict worse
    /// than that mean.
    pub r2_left_out: f64,
    /// Rows.
    pub n: usize,
    /// Groups.
    pub groups: usize,
}

/// A linear prediction of `y` (least squares with an intercept) from `columns`, fitted with each
/// of `groups` left out in its turn. Columns that follow from others add nothing.
pub fn predict(y: Named, columns: &[Named], groups: &[usize]) -> Result<Prediction> {
    let mut all = vec![y];
    all.extend_from_slice(columns);
    let n = same_rows(&all)?;
    y.varies()?;
    let count = groups.iter().max().map_or(0, |g| g + 1);
    if groups.len() != n || count < 3 {
        bail!("a prediction needs at least 3 groups of rows to leave out, got {count}");
    }
    let rows: Vec<usize> = (0..n).collect();
    let whole = errors(y, columns, &rows, &rows)?;
    let mut left_out = (0.0, 0.0);
    for group in 0..count {
        let (inside, outside): (Vec<usize>, Vec<usize>) =
            rows.iter().partition(|row| groups[**row] == group);
        let (fitted, mean) = errors(y, columns, &outside, &inside)?;
        left_out.0 += fitted;
        left_out.1 += mean;
    }
    Ok(Prediction {
        r2: 1.0 - whole.0 / whole.1,
        r2_left_out: 1.0 - left_out.0 / left_out.1,
        n,
        groups: count,
    })
}

/// The squared errors on the rows `on` of what is fitted to the rows `to`, and of their mean.
fn errors(y: Named, columns: &[Named], to: &[usize], on: &[usize]) -> Result<(f64, f64)> {
    let mean = |values: &[f64]| to.iter().map(|&row| values[row]).sum::<f64>() / to.len() as f64;
    let means: Vec<f64> = columns.iter().map(|c| mean(c.values)).collect();
    // Columns of one size, so that none counts as empty for its unit; one that does not vary tells
    // nothing.
    let scales: Vec<f64> = columns
        .iter()
        .zip(&means)
        .map(|(column, mean)| {
            let squares = to.iter().map(|&row| (column.values[row] - mean).powi(2));
            let first = to.first().map_or(0.0, |&row| column.values[row]);
            // The mean of equal values may be off by rounding.
            match to.iter().all(|&row| column.values[row] == first) {
                true => f64::INFINITY,
                false => squares.sum::<f64>().sqrt(),
            }
        })
        .collect();
    let at =
        |column: usize, row: usize| (columns[column].values[row] - means[column]) / scales[column];
    let middle = mean(y.values);
    let k = columns.len();
    let gram = Mat::from_fn(k, k, |i, j| {
        to.iter().map(|&row| at(i, row) * at(j, row)).sum::<f64>()
    });
    let against: Vec<f64> = (0..k)
        .map(|i| {
            to.iter()
                .map(|&row| at(i, row) * (y.values[row] - middle))
                .sum()
        })
        .collect();
    let slopes = solved(&gram, &against)?;
    let mut sums = (0.0, 0.0);
    for &row in on {
        let offset = y.values[row] - middle;
        let found: f64 = (0..k).map(|i| slopes[i] * at(i, row)).sum();
        sums.0 += (offset - found).powi(2);
        sums.1 += offset.powi(2);
    }
    Ok(sums)
}

/// The least solution of `gram` x = `against`.
fn solved(gram: &Mat<f64>, against: &[f64]) -> Result<Vec<f64>> {
    let k = against.len();
    if k == 0 {
        return Ok(Vec::new());
    }
    let Ok(parts) = gram.self_adjoint_eigen(Side::Lower) else {
        return Err(Error::new("the columns are too large to predict with"));
    };
    let (directions, sizes) = (parts.U(), parts.S().column_vector());
    let most = (0..k).map(|i| sizes[i]).fold(0.0, f64::max);
    let mut solution = vec![0.0; k];
    for i in (0..k).filter(|i| sizes[*i] > EMPTY * most) {
        let along: f64 = (0..k).map(|j| directions[(j, i)] * against[j]).sum();
        for (j, value) in solution.iter_mut().enumerate() {
            *value += directions[(j, i)] * along / sizes[i];
        }
    }
    Ok(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize) -> f64 {
        ((i * 7919 + 13) % 101) as f64 / 101.0 - 0.5
    }

    #[test]
    fn a_line_is_found_and_noise_is_not() {
        let groups: Vec<usize> = (0..60).map(|i| i / 10).collect();
        let x: Vec<f64> = (0..60).map(|i| (i % 10) as f64).collect();
        let y: Vec<f64> = x.iter().map(|x| 3.0 - 2.0 * x).collect();
        let other: Vec<f64> = (0..60).map(noise).collect();
        let twice: Vec<f64> = x.iter().map(|x| 5.0 * x + 1.0).collect();
        let (x, y) = (Named::new("x", &x), Named::new("y", &y));
        let found = predict(y, &[x], &groups).unwrap();
        assert!((found.r2 - 1.0).abs() < 1e-12 && (found.r2_left_out - 1.0).abs() < 1e-12);
        assert_eq!((found.n, found.groups), (60, 6));
        // The same column once more changes nothing.
        let doubled = predict(y, &[x, Named::new("twice", &twice)], &groups).unwrap();
        assert!((doubled.r2_left_out - 1.0).abs() < 1e-9);
        let none = predict(y, &[Named::new("other", &other)], &groups).unwrap();
        assert!(none.r2 < 0.1 && none.r2_left_out < 0.05, "{none:?}");
        // No column: the mean alone.
        let mean = predict(y, &[], &groups).unwrap();
        assert_eq!((mean.r2, mean.r2_left_out), (0.0, 0.0));
    }

    #[test]
    fn a_column_that_does_not_vary_tells_nothing() {
        // The mean of thirty times 0.1 is not 0.1.
        let groups: Vec<usize> = (0..45).map(|i| i / 15).collect();
        let x: Vec<f64> = groups.iter().map(|g| [0.1, 0.1, 0.3][*g]).collect();
        let tens: Vec<f64> = x.iter().map(|x| 10.0 * x).collect();
        let y: Vec<f64> = (0..45).map(noise).collect();
        let y = Named::new("y", &y);
        let small = predict(y, &[Named::new("x", &x)], &groups).unwrap();
        let large = predict(y, &[Named::new("x", &tens)], &groups).unwrap();
        assert!((small.r2_left_out - large.r2_left_out).abs() < 1e-9);
        assert!(small.r2_left_out > -1.0, "{small:?}");
    }

    #[test]
    fn what_holds_in_each_group_alone_does_not_carry_over() {
        // In every group y rises with x, from a level that has nothing to do with x.
        let groups: Vec<usize> = (0..40).map(|i| i / 10).collect();
        let x: Vec<f64> = (0..40).map(|i| i as f64).collect();
        let levels = [0.0, 80.0, -60.0, 50.0];
        let y: Vec<f64> = (0..40).map(|i| (i % 10) as f64 + levels[i / 10]).collect();
        let (x, y) = (Named::new("x", &x), Named::new("y", &y));
        let found = predict(y, &[x], &groups).unwrap();
        assert!(found.r2 > 0.0 && found.r2_left_out < 0.0, "{found:?}");
    }

    #[test]
    fn least_squares_by_hand() {
        let groups = [0, 1, 2];
        let (x, y) = ([0.0, 1.0, 2.0], [0.0, 1.0, 1.0]);
        let (x, y) = (Named::new("x", &x), Named::new("y", &y));
        let found = predict(y, &[x], &groups).unwrap();
        // The line 1/6 + x/2 leaves 1/6 of 2/3.
        assert!((found.r2 - 0.75).abs() < 1e-12);
        // Left out: 0 is met by 1, 1 by 1/2, 1 by 2; the means are 1, 1/2 and 1/2.
        let expected = 1.0 - (1.0 + 0.25 + 1.0) / (1.0 + 0.25 + 0.25);
        assert!((found.r2_left_out - expected).abs() < 1e-12);
    }

    #[test]
    fn few_groups_are_refused() {
        let (x, y) = ([0.0, 1.0, 2.0], [0.0, 1.0, 1.0]);
        let (x, y) = (Named::new("x", &x), Named::new("y", &y));
        assert!(predict(y, &[x], &[0, 0, 1]).is_err());
    }
}
