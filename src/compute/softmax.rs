//! The masked softmax of attention and its gradient, over rows in place.

use super::kernel::{max, sum};
use super::real::Real;
use multiversion::multiversion;

/// Turns each row of `[rows, keep.len()]` scores into weights that sum to 1 over the keys kept
/// and are 0 on the others; with `causal`, row q sees only the keys up to q. A row that sees no
/// key becomes all 0.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn softmax<T: Real>(scores: &mut [T], keep: &[bool], causal: bool) {
    let seq = keep.len();
    let masked = keep.contains(&false);
    for (q, row) in scores.chunks_exact_mut(seq).enumerate() {
        let seen = if causal { (q + 1).min(seq) } else { seq };
        let (row, hidden) = row.split_at_mut(seen);
        let keep = &keep[..seen];
        hidden.fill(T::zero());
        if masked {
            if !keep.contains(&true) {
                row.fill(T::zero());
                continue;
            }
            let lowest = T::of(f64::NEG_INFINITY);
            for (x, &keep) in row.iter_mut().zip(keep) {
                *x = if keep { *x } else { lowest };
            }
        }
        let largest = max(row);
        for x in row.iter_mut() {
            *x = (*x - largest).exp();
        }
        if masked {
            for (x, &keep) in row.iter_mut().zip(keep) {
                *x = if keep { *x } else { T::zero() };
            }
        }
        let scale = T::one() / sum([&*row], |[x]| x);
        for x in row.iter_mut() {
            *x *= scale;
        }
    }
}

/// Turns the gradients of weights into those of scores: with p the weights of a row and g their
/// gradients, p (g - sum(p g)).
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn softmax_gradient<T: Real>(weights: &[T], grads: &mut [T], seq: usize) {
    for (p, g) in weights.chunks_exact(seq).zip(grads.chunks_exact_mut(seq)) {
        let mean = sum([p, g], |[p, g]| p * g);
        for (g, &p) in g.iter_mut().zip(p) {
            *g = p * (*g - mean);
        }
    }
}

/// `x *= factors`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn scale_by<T: Real>(x: &mut [T], factors: &[T]) {
    for (x, &factor) in x.iter_mut().zip(factors) {
        *x *= factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_over_the_keys_kept() {
        let mut row = [1.0, 900.0, 2.0, 0.0];
        softmax(&mut row, &[true, false, true, true], false);
        assert_eq!(row[1], 0.0);
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-15);
        assert!((row[2] / row[0] - std::f64::consts::E).abs() < 1e-12);
    }

    #[test]
    fn a_causal_row_sees_what_came_before() {
        let mut rows = [0.0; 9];
        softmax(&mut rows, &[true; 3], true);
        let third = 1.0 / 3.0;
        assert_eq!(rows, [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, third, third, third]);
    }

    #[test]
    fn nothing_to_see_is_zero_and_nan_is_nan() {
        let mut rows = [3.0f32, 4.0];
        softmax(&mut rows, &[false, false], false);
        assert_eq!(rows, [0.0, 0.0]);
        let mut rows = [f32::NAN, f32::NAN];
        softmax(&mut rows, &[true, true], false);
        assert!(rows.iter().all(|x| x.is_nan()));
    }
}
