//! Pearson's r of what is left of two columns once group means and controls are taken out.

use super::check::{Named, ROUNDING, norm};
use crate::{Result, bail};

/// A residual this small beside its column is rounding: the controls explain it all.
const EXPLAINED: f64 = 1e-10;

/// The correlation of `x` and `y`, both centred (within each of `groups`) and freed of `given`.
///
/// Regressing x and y on the controls by an orthogonal basis: equal to inverting the correlation
/// matrix, but steady where controls resemble each other.
pub(super) fn residual_r(
    x: Named,
    y: Named,
    given: &[Named],
    groups: Option<&[usize]>,
) -> Result<f64> {
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(given.len());
    for control in given {
        let centred = centred(control, groups)?;
        let rest = residual(&centred, &basis);
        let size = norm(&rest);
        if size <= EXPLAINED * norm(&centred) {
            bail!(
                "the control `{}` follows from the controls before it",
                control.name;
                hint: "leave it out"
            );
        }
        basis.push(rest.iter().map(|v| v / size).collect());
    }
    let unit = |column: &Named| -> Result<Vec<f64>> {
        let centred = centred(column, groups)?;
        let rest = residual(&centred, &basis);
        let size = norm(&rest);
        if size <= EXPLAINED * norm(&centred) {
            bail!("`{}` follows wholly from the controls", column.name);
        }
        Ok(rest.iter().map(|v| v / size).collect())
    };
    let r = dot(&unit(&x)?, &unit(&y)?);
    if !r.is_finite() {
        bail!("`{}` and `{}` are too large to correlate", x.name, y.name);
    }
    Ok(r.clamp(-1.0, 1.0))
}

/// The column less its mean, or less the mean of each row's group.
fn centred(column: &Named, groups: Option<&[usize]>) -> Result<Vec<f64>> {
    let values = column.values;
    let out: Vec<f64> = match groups {
        None => {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.iter().map(|v| v - mean).collect()
        }
        Some(groups) => {
            let size = groups.iter().max().map_or(0, |g| g + 1);
            let mut sums = vec![(0.0, 0.0); size];
            for (&group, value) in groups.iter().zip(values) {
                sums[group].0 += value;
                sums[group].1 += 1.0;
            }
            let mean = |g: usize| sums[g].0 / sums[g].1;
            let pairs = groups.iter().zip(values);
            pairs.map(|(&g, v)| v - mean(g)).collect()
        }
    };
    if norm(&out) <= ROUNDING * norm(values) {
        let place = groups.map_or("", |_| " within every group");
        bail!(
            "`{}` is constant{place}: it varies with nothing",
            column.name
        );
    }
    Ok(out)
}

/// The column less its part along the basis; twice, as once leaves rounding of its own.
fn residual(column: &[f64], basis: &[Vec<f64>]) -> Vec<f64> {
    let mut rest = column.to_vec();
    for _ in 0..2 {
        for direction in basis {
            let along = dot(&rest, direction);
            for (value, d) in rest.iter_mut().zip(direction) {
                *value -= along * d;
            }
        }
    }
    rest
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
