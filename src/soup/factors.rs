//! Low-rank algebra: factors side by side, inner products of changes, and cuts by singular value,
//! without forming the changes.

use candle_core::{DType, Device, Tensor};
use faer::{Mat, MatRef};

use crate::adapter::Factors;
use crate::{Result, bail};

use super::method::Gram;

/// The inner products of the changes B_i A_i, each with its scale; a member that leaves the map as
/// it is has zeros.
pub(super) fn products(parts: &[Option<Factors>]) -> Result<Gram> {
    let n = parts.len();
    let mut gram = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in i..n {
            let (Some(x), Some(y)) = (&parts[i], &parts[j]) else {
                continue;
            };
            gram[i][j] = product(x, y)?;
            gram[j][i] = gram[i][j];
        }
    }
    Ok(gram)
}

/// trace((B A)^T D C) = sum of the entries of (B^T D) * (A C^T).
fn product(x: &Factors, y: &Factors) -> Result<f64> {
    let mut sum = 0.0;
    for g in 0..x.groups {
        let ((a, b), (c, d)) = (group(x, g)?, group(y, g)?);
        let (left, right) = (b.transpose() * &d, a * c.transpose());
        for i in 0..left.nrows() {
            for j in 0..left.ncols() {
                sum += left[(i, j)] * right[(i, j)];
            }
        }
    }
    Ok(sum * x.scale * y.scale)
}

/// A and B of one group.
fn group(factors: &Factors, g: usize) -> Result<(Mat<f64>, Mat<f64>)> {
    let rank = factors.b.dim(1)?;
    let out = factors.b.dim(0)? / factors.groups;
    let a = factors.a.narrow(0, g * rank, rank)?;
    let b = factors.b.narrow(0, g * out, out)?;
    Ok((matrix(&a)?, matrix(&b)?))
}

/// The factors of the sum of changes, each times its coefficient: side by side, in A with
/// coefficient and scale, filled up with zeros to `rank`. Where several A's lie on top of each
/// other, each for its own rows of B, each of them grows by itself.
pub(super) fn joined(parts: &[(&Factors, f64)], rank: usize) -> Result<(Tensor, Tensor)> {
    let Some((first, _)) = parts.first() else {
        bail!("no member changes the map");
    };
    let (input, output) = (first.a.dim(1)?, first.b.dim(0)?);
    let mut a = Vec::new();
    let mut b = Vec::new();
    let mut used = 0;
    for (factors, _) in parts {
        used += factors.b.dim(1)?;
        b.push(factors.b.clone());
    }
    if used > rank {
        bail!("ranks add up to {used}, expected at most {rank}");
    }
    let zeros = |shape: (usize, usize)| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    for g in 0..first.groups {
        for (factors, coefficient) in parts {
            let own = factors.b.dim(1)?;
            let rows = factors.a.narrow(0, g * own, own)?;
            a.push(match coefficient * factors.scale {
                1.0 => rows,
                share => (rows * share)?,
            });
        }
        if used < rank {
            a.push(zeros((rank - used, input))?);
        }
    }
    if used < rank {
        b.push(zeros((output, rank - used))?);
    }
    Ok((Tensor::cat(&a, 0)?, Tensor::cat(&b, 1)?))
}

/// The sum of changes cut to `rank`: A = V^T, B = U S. With QR of the B's side by side and of the
/// A's on top of each other, only a core of their ranks is decomposed.
pub(super) fn truncated(parts: &[(&Factors, f64)], rank: usize) -> Result<(Tensor, Tensor)> {
    let used = parts
        .iter()
        .map(|(f, _)| Ok(f.b.dim(1)?))
        .sum::<Result<usize>>()?;
    let (a, b) = joined(parts, used)?;
    let groups = parts.first().map_or(1, |(f, _)| f.groups);
    by_group(&a, &b, groups, rank, |a, b| cut(&a, &b, rank))
}

fn cut(a: &Mat<f64>, b: &Mat<f64>, rank: usize) -> Result<(Mat<f64>, Mat<f64>)> {
    let (left, right) = (b.qr(), a.transpose().qr());
    let core = left.thin_R() * right.thin_R().transpose();
    let (u, s, v) = decomposed(core.as_ref())?;
    let kept = rank.min(s.len());
    let mut b = left.compute_thin_Q() * u.subcols(0, kept);
    for (j, s) in s.iter().take(kept).enumerate() {
        b.col_mut(j).iter_mut().for_each(|x| *x *= *s);
    }
    let a = v.subcols(0, kept).transpose() * right.compute_thin_Q().transpose();
    Ok((a, b))
}

/// U, the singular values in descending order, and V.
fn decomposed(m: MatRef<'_, f64>) -> Result<(Mat<f64>, Vec<f64>, Mat<f64>)> {
    match m.thin_svd() {
        Ok(svd) => {
            let values = svd.S().column_vector().iter().copied().collect();
            Ok((svd.U().to_owned(), values, svd.V().to_owned()))
        }
        Err(_) => bail!("the singular values of the change could not be found"),
    }
}

/// A change [output, input] as factors of this rank: exact where the rank is full (one factor the
/// identity), else cut by its largest singular values.
pub(super) fn of_change(
    change: &[f32],
    (output, input): (usize, usize),
    rank: usize,
    exact: bool,
) -> Result<(Mat<f64>, Mat<f64>)> {
    let own = Mat::from_fn(output, input, |i, j| f64::from(change[i * input + j]));
    if exact {
        let unit = |rows: usize, columns: usize| {
            Mat::from_fn(rows, columns, |i, j| if i == j { 1.0 } else { 0.0 })
        };
        return Ok(match input <= output {
            true => (unit(rank, input), own),
            false => (own, unit(output, rank)),
        });
    }
    let (u, s, v) = decomposed(own.as_ref())?;
    let kept = rank.min(s.len());
    let mut b = u.subcols(0, kept).to_owned();
    for (j, s) in s.iter().take(kept).enumerate() {
        b.col_mut(j).iter_mut().for_each(|x| *x *= *s);
    }
    Ok((v.subcols(0, kept).transpose().to_owned(), b))
}

/// Does something to each group of factors by itself; the result has this rank.
fn by_group(
    a: &Tensor,
    b: &Tensor,
    groups: usize,
    rank: usize,
    of: impl Fn(Mat<f64>, Mat<f64>) -> Result<(Mat<f64>, Mat<f64>)>,
) -> Result<(Tensor, Tensor)> {
    let (rows, out) = (a.dim(0)? / groups, b.dim(0)? / groups);
    let mut all = Vec::new();
    for g in 0..groups {
        let (a, b) = (a.narrow(0, g * rows, rows)?, b.narrow(0, g * out, out)?);
        all.push(of(matrix(&a)?, matrix(&b)?)?);
    }
    stacked(&all, rank)
}

/// Groups of factors as tensors of this rank, filled up with zeros.
pub(super) fn stacked(groups: &[(Mat<f64>, Mat<f64>)], rank: usize) -> Result<(Tensor, Tensor)> {
    let (mut all_a, mut all_b) = (Vec::new(), Vec::new());
    for (a, b) in groups {
        all_a.push(tensor(a, rank, a.ncols())?);
        all_b.push(tensor(b, b.nrows(), rank)?);
    }
    Ok((Tensor::cat(&all_a, 0)?, Tensor::cat(&all_b, 0)?))
}

fn matrix(t: &Tensor) -> Result<Mat<f64>> {
    let (rows, columns) = t.dims2()?;
    let own = crate::adapter::with_values(t, |values| {
        Mat::from_fn(rows, columns, |i, j| f64::from(values[i * columns + j]))
    })?;
    Ok(own)
}

/// The matrix as f32, with zeros up to this size.
fn tensor(m: &Mat<f64>, rows: usize, columns: usize) -> Result<Tensor> {
    let mut values = vec![0f32; rows * columns];
    for i in 0..m.nrows().min(rows) {
        for j in 0..m.ncols().min(columns) {
            values[i * columns + j] = m[(i, j)] as f32;
        }
    }
    Ok(Tensor::from_vec(values, (rows, columns), &Device::Cpu)?)
}
