//! Elementwise steps over rows.

use super::super::real::Real;
use multiversion::multiversion;

/// `out += x`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn add<T: Real>(out: &mut [T], x: &[T]) {
    for (o, &x) in out.iter_mut().zip(x) {
        *o += x;
    }
}

/// `out *= x`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn scale<T: Real>(out: &mut [T], x: &[T]) {
    for (o, &x) in out.iter_mut().zip(x) {
        *o *= x;
    }
}

/// `out += scale * sum of the rows`, each of the length of `out`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn add_columns<T: Real>(rows: &[T], scale: T, out: &mut [T]) {
    let width = out.len().max(1);
    for row in rows.chunks_exact(width) {
        for (o, &x) in out.iter_mut().zip(row) {
            *o += scale * x;
        }
    }
}

/// Each row of `out` is `scale * row`.
pub fn fill<T: Real>(out: &mut [T], row: &[T], scale: T) {
    for out in out.chunks_exact_mut(row.len().max(1)) {
        for (o, &x) in out.iter_mut().zip(row) {
            *o = scale * x;
        }
    }
}
