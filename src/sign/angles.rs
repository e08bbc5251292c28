//! Principal angles between what two LoRAs write to and read from.

use candle_core::Tensor;
use faer::Mat;
use rayon::prelude::*;

use crate::adapter::{Adapter, Name, factors, of_one_model, with_values};
use crate::{Context, Result, bail};

/// The angles between two subspaces, ascending, in radians; as many as the smaller one has
/// dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Angles {
    /// The angles.
    pub radians: Vec<f64>,
    /// The dimensions of the two.
    pub ranks: [usize; 2],
    /// The dimension of the space they lie in.
    pub width: usize,
}

impl Angles {
    /// The mean of the squared cosines (the overlap of Hu et al. 2022, appendix G): 1 where the
    /// smaller lies in the larger, 0 where they are orthogonal; NaN where one is nothing.
    pub fn overlap(&self) -> f64 {
        let n = self.radians.len() as f64;
        self.radians
            .iter()
            .map(|a| libm::cos(*a).powi(2))
            .sum::<f64>()
            / n
    }

    /// The overlap expected of unrelated subspaces: the larger one's share of the dimensions.
    pub fn expected_overlap(&self) -> f64 {
        self.ranks.into_iter().max().unwrap_or(0) as f64 / self.width as f64
    }
}

/// Two LoRAs at a map.
#[derive(Debug, Clone, PartialEq)]
pub struct AngleRow {
    /// The first adapter's place.
    pub a: usize,
    /// The second's.
    pub b: usize,
    /// The map's path.
    pub map: Name,
    /// Between the columns of B: what they write to.
    pub columns: Angles,
    /// Between the rows of A: what they read from.
    pub rows: Angles,
}

/// The principal angles of every pair of LoRAs at every map that both change, by pair and then by
/// map in natural order. Ranks may differ. Adapters that are no LoRAs are an error.
pub fn principal_angles(adapters: &[Adapter], context: &Context) -> Result<Vec<AngleRow>> {
    if adapters.len() < 2 {
        bail!(
            "principal angles need at least two adapters, got {}",
            adapters.len()
        );
    }
    for notice in of_one_model(adapters)? {
        context.notice_once(notice);
    }
    let spans: Vec<Vec<(Name, Spans)>> = adapters
        .iter()
        .map(|adapter| {
            let all = factors(adapter)?;
            let mut spans: Vec<(Name, Spans)> = all
                .into_par_iter()
                .map(|(stem, f)| {
                    context.check()?;
                    Ok((Name::new(stem), Spans::of(&f.a, &f.b)?))
                })
                .collect::<Vec<Result<_>>>()
                .into_iter()
                .collect::<Result<_>>()?;
            spans.sort_by(|x, y| x.0.cmp(&y.0));
            Ok(spans)
        })
        .collect::<Result<_>>()?;
    let mut rows = Vec::new();
    for a in 0..adapters.len() {
        for b in a + 1..adapters.len() {
            for (map, own) in &spans[a] {
                context.check()?;
                let Some((_, theirs)) = spans[b].iter().find(|(name, _)| name == map) else {
                    continue;
                };
                let aligned = own.columns.nrows() == theirs.columns.nrows()
                    && own.rows.nrows() == theirs.rows.nrows();
                if !aligned {
                    bail!(
                        "{map} has other widths in {} than in {}",
                        adapters[a].name(),
                        adapters[b].name()
                    );
                }
                rows.push(AngleRow {
                    a,
                    b,
                    map: map.clone(),
                    columns: angles(&own.columns, &theirs.columns)?,
                    rows: angles(&own.rows, &theirs.rows)?,
                });
            }
        }
    }
    Ok(rows)
}

/// Orthonormal bases of the columns of B and the rows of A.
struct Spans {
    columns: Mat<f64>,
    rows: Mat<f64>,
}

impl Spans {
    fn of(a: &Tensor, b: &Tensor) -> Result<Self> {
        Ok(Self {
            columns: basis(&matrix(b)?)?,
            rows: basis(&matrix(&a.t()?.contiguous()?)?)?,
        })
    }
}

fn matrix(tensor: &Tensor) -> Result<Mat<f64>> {
    let (rows, columns) = tensor.dims2()?;
    with_values(tensor, |values| {
        Mat::from_fn(rows, columns, |i, j| f64::from(values[i * columns + j]))
    })
}

/// An orthonormal basis of a matrix's columns: as many as it has singular values that count.
fn basis(m: &Mat<f64>) -> Result<Mat<f64>> {
    let Ok(svd) = m.thin_svd() else {
        bail!("the singular values of a factor could not be found");
    };
    let values: Vec<f64> = svd.S().column_vector().iter().copied().collect();
    let least = values.first().copied().unwrap_or(0.0)
        * f64::from(f32::EPSILON)
        * m.nrows().max(m.ncols()) as f64;
    let rank = values.iter().filter(|v| **v > least).count();
    Ok(svd.U().subcols(0, rank).to_owned())
}

/// The angles between the spans of two orthonormal bases. Of small angles the cosine says little:
/// below 45 degrees they are found from the sine (Björck & Golub 1973).
fn angles(x: &Mat<f64>, y: &Mat<f64>) -> Result<Angles> {
    let (large, small) = if x.ncols() >= y.ncols() {
        (x, y)
    } else {
        (y, x)
    };
    let ranks = [x.ncols(), y.ncols()];
    let width = x.nrows();
    if small.ncols() == 0 {
        let radians = Vec::new();
        return Ok(Angles {
            radians,
            ranks,
            width,
        });
    }
    let core = large.transpose() * small;
    let rest = small - large * &core;
    let singular = |m: &Mat<f64>| -> Result<Vec<f64>> {
        match m.singular_values() {
            Ok(values) => Ok(values),
            Err(_) => bail!("the principal angles could not be found"),
        }
    };
    // Cosines descend as angles ascend, sines the other way.
    let (cosines, sines) = (singular(&core)?, singular(&rest)?);
    let radians = cosines
        .iter()
        .zip(sines.iter().rev())
        .map(
            |(cosine, sine)| match *cosine > std::f64::consts::FRAC_1_SQRT_2 {
                true => libm::asin(sine.clamp(0.0, 1.0)),
                false => libm::acos(cosine.clamp(0.0, 1.0)),
            },
        )
        .collect();
    Ok(Angles {
        radians,
        ranks,
        width,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::random::Stream;

    fn random(rows: usize, columns: usize, item: &str) -> Mat<f64> {
        let mut stream = Stream::new(5, "angles test", item);
        Mat::from_fn(rows, columns, |_, _| stream.normal())
    }

    fn between(x: &Mat<f64>, y: &Mat<f64>) -> Angles {
        angles(&basis(x).unwrap(), &basis(y).unwrap()).unwrap()
    }

    #[test]
    fn a_plane_turned_about_one_axis() {
        for turn in [0.0f64, 1e-6, 0.3, 1.2] {
            let x = Mat::from_fn(4, 2, |i, j| if i == j { 1.0 } else { 0.0 });
            let y = Mat::from_fn(4, 2, |i, j| match (i, j) {
                (0, 0) => 2.0,
                (1, 1) => turn.cos(),
                (2, 1) => turn.sin(),
                _ => 0.0,
            });
            let found = between(&x, &y).radians;
            assert!(
                found[0].abs() < 1e-12 && (found[1] - turn).abs() < 1e-12,
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_change_of_basis_changes_nothing_and_a_subspace_overlaps_whole() {
        let x = random(40, 4, "x");
        let same = between(&x, &(&x * random(4, 4, "mix")));
        assert!(same.radians.iter().all(|a| a.abs() < 1e-10), "{same:?}");
        let part = between(&x, &x.subcols(0, 2).to_owned());
        assert_eq!((part.radians.len(), part.ranks), (2, [4, 2]));
        assert!((part.overlap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn unrelated_subspaces_overlap_as_expected() {
        let found = between(&random(768, 8, "a"), &random(768, 8, "b"));
        assert_eq!(found.expected_overlap(), 8.0 / 768.0);
        assert!((found.overlap() - found.expected_overlap()).abs() < 0.005);
    }

    #[test]
    fn nothing_has_no_angles() {
        let found = between(&Mat::zeros(5, 2), &random(5, 2, "x"));
        assert!(found.radians.is_empty() && found.overlap().is_nan());
    }
}
