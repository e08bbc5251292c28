//! Products against those of f64.

use super::super::matrix::{Mat, MatMut, product};
use super::super::random::Stream;
use super::*;

fn normal(item: &str, n: usize) -> Vec<f32> {
    let mut stream = Stream::new(1, "test", item);
    (0..n).map(|_| stream.normal() as f32).collect()
}

/// The largest error against f64, over the size of the operands' rows and columns.
fn error(found: &[f32], a: &[f32], b: &[f32], (k, n): (usize, usize)) -> f64 {
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let (a, b) = (wide(a), wide(b));
    let expected = product(Mat::new(&a, k), Mat::new(&b, n));
    let errors = found
        .iter()
        .zip(expected)
        .map(|(f, e)| (f64::from(*f) - e).abs());
    errors.fold(0.0, f64::max) / (k as f64).sqrt()
}

#[test]
fn three_parts_are_as_exact_as_f32() {
    if !available() {
        return;
    }
    for (m, n, k) in [(1, 1, 1), (33, 70, 45), (64, 96, 384), (50, 32, 1000)] {
        let (a, b) = (normal("a", m * k), normal("b", k * n));
        let right = Right::new(Mat::new(&b, n), 3).unwrap();
        let mut out = vec![0.0; m * n];
        let mut view = MatMut::new(&mut out, n);
        right.multiply(Mat::new(&a, k), 0..k, 0..n, false, &mut view, |_, _, _| {});
        let plain = product(Mat::new(&a, k), Mat::new(&b, n));
        let (found, f32s) = (error(&out, &a, &b, (k, n)), error(&plain, &a, &b, (k, n)));
        assert!(
            found < 2.0 * f32s.max(1e-7),
            "{m} {n} {k}: {found}, f32 {f32s}"
        );

        let mut view = MatMut::new(&mut out, n);
        right.multiply(
            Mat::new(&a, k),
            0..k,
            0..n,
            true,
            &mut view,
            |_, _, part| {
                for x in part {
                    *x *= 0.5;
                }
            },
        );
        assert!(error(&out, &a, &b, (k, n)) < 2.0 * f32s.max(1e-7));
    }
}

#[test]
fn one_part_is_the_product_of_rounded_operands() {
    if !available() {
        return;
    }
    let (m, n, k) = (40, 64, 96);
    let (a, b) = (normal("a", m * k), normal("b", k * n));
    let mut out = vec![0.0; m * n];
    let mut view = MatMut::new(&mut out, n);
    let right = Right::new(Mat::new(&b, n), 1).unwrap();
    right.multiply(Mat::new(&a, k), 0..k, 0..n, false, &mut view, |_, _, _| {});
    let round = |x: &[f32]| {
        let mut out = vec![0.0; x.len()];
        super::super::bf16::rounded(x, &mut out);
        out
    };
    assert!(error(&out, &round(&a), &round(&b), (k, n)) < 1e-6);
}

#[test]
fn parts_of_the_operand_multiply_alone() {
    if !available() {
        return;
    }
    let (m, n, k) = (20, 96, 128);
    let (a, b) = (normal("a", m * 64), normal("b", k * n));
    let right = Right::new(Mat::new(&b, n), 3).unwrap();
    let mut out = vec![0.0; m * 50];
    let mut view = MatMut::new(&mut out, 50);
    right.multiply(
        Mat::new(&a, 64),
        32..96,
        32..82,
        false,
        &mut view,
        |_, _, _| {},
    );
    let cut = Mat::new(&b, n).narrow(32, 64).columns(32, 50).copied();
    assert!(error(&out, &a, &cut, (64, 50)) < 1e-6);
}
