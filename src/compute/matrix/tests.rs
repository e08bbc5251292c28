//! Products against sums written out, whatever the views.

use super::*;
use crate::compute::check;
use candle_core::DType;
use proptest::prelude::*;

#[test]
fn views_multiply_without_copies() {
    let a: Vec<f64> = (0..6).map(f64::from).collect();
    // [[0, 1, 2], [3, 4, 5]] times its own transpose, and of its last two columns.
    let whole = Mat::new(&a, 3);
    assert_eq!(product(whole, whole.t()), [5.0, 14.0, 14.0, 50.0]);
    let last = whole.columns(1, 2);
    assert_eq!(
        product_scaled(last.t(), last, 2.0),
        [34.0, 44.0, 44.0, 58.0]
    );
}

#[test]
fn blocks_of_columns_are_written_apart() {
    let mut out = vec![1.0f64; 8];
    let a = Mat::new(&[1.0, 2.0], 1);
    let b = Mat::new(&[10.0, 20.0], 2);
    let mut blocks: Vec<_> = MatMut::new(&mut out, 4).split_columns(2).collect();
    multiply(a, b, 1.0, &mut blocks[1], Threads::One);
    multiply_add(a, b, 1.0, &mut blocks[0], Threads::All);
    assert_eq!(out, [11.0, 21.0, 10.0, 20.0, 21.0, 41.0, 20.0, 40.0]);
}

#[test]
fn empty_products_are_zero() {
    let none: &[f64] = &[];
    assert!(product(Mat::new(none, 3), Mat::new(&[1.0; 6], 2)).is_empty());
    assert_eq!(product(Mat::new(none, 2).t(), Mat::new(none, 2)), [0.0; 4]);
    assert_eq!(MatMut::new(&mut [0.0f64; 0], 4).split_columns(2).count(), 2);
}

/// A matrix of numbers in one of the ways a view can lie: whole, transposed, or columns cut out
/// of a wider one, whose last row then ends where the slice does or before.
fn laid<T>(
    rows: usize,
    columns: usize,
    way: usize,
    values: &mut Vec<f32>,
    f: impl FnOnce(Mat<'_, f32>) -> T,
) -> T {
    let (width, height) = (columns + 3, rows);
    *values = check::numbers(&check::random(&[width * height], "laid", DType::F32))
        .into_iter()
        .map(|x| x as f32)
        .collect();
    match way {
        0 => f(Mat::new(&values[..rows * columns], columns)),
        1 => f(Mat::new(&values[..rows * columns], rows).t()),
        2 => f(Mat::new(values, width).columns(3, columns)),
        _ => f(Mat::new(values, width).columns(0, columns)),
    }
}

proptest! {
    #[test]
    fn products_are_sums_of_products(
        (m, n, k) in (1usize..20, 1usize..40, 1usize..20),
        (left, right) in (0usize..4, 0usize..4),
        accumulate: bool,
        alone: bool,
    ) {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        laid(m, k, left, &mut a, |a| laid(k, n, right, &mut b, |b| {
            let mut out = vec![1.0; m * (n + 2)];
            let mut whole = MatMut::new(&mut out, n + 2);
            let threads = if alone { Threads::One } else { Threads::All };
            let multiply = if accumulate { multiply_add } else { multiply };
            multiply(a, b, 0.5, &mut whole.part(0..m, 1..n + 1), threads);
            for (at, &found) in out.iter().enumerate() {
                let (i, j) = (at / (n + 2), at % (n + 2));
                let expected = if (1..=n).contains(&j) {
                    let sum: f32 = (0..k).map(|l| a.at(i, l) * b.at(l, j - 1)).sum();
                    sum * 0.5 + f32::from(u8::from(accumulate))
                } else {
                    1.0
                };
                assert!((found - expected).abs() < 1e-4, "{i} {j}: {found}, expected {expected}");
            }
        }));
    }
}
