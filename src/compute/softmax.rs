//! The masked softmax of attention and its gradient, over rows in place.

use super::kernel::{max, sum};
use super::real::Real;
use crate::Result;
use candle_core::{Device, Tensor};
use multiversion::multiversion;
use std::ops::Range;

/// Which keys a query sees by where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// All of them.
    #[default]
    All,
    /// Those up to its own position.
    Before,
    /// Those at most this many positions away, on either side.
    Near(usize),
}

impl Sight {
    /// The keys among `seq` that query `q` sees.
    #[inline(always)]
    fn of(self, q: usize, seq: usize) -> Range<usize> {
        match self {
            Self::All => 0..seq,
            Self::Before => 0..(q + 1).min(seq),
            Self::Near(far) => q.saturating_sub(far).min(seq)..(q + far + 1).min(seq),
        }
    }

    /// 1 where a query, in rows, sees a key, else 0: u8 `[seq, seq]`.
    pub fn to_tensor(self, seq: usize, device: &Device) -> Result<Tensor> {
        let row = |q| {
            let seen = self.of(q, seq);
            (0..seq).map(move |k| u8::from(seen.contains(&k)))
        };
        let values: Vec<u8> = (0..seq).flat_map(row).collect();
        Ok(Tensor::from_vec(values, (seq, seq), device)?)
    }
}

/// Turns each row of `[rows, keep.len()]` scores into weights that sum to 1 over the keys kept
/// and seen, row q being that of the query at position q, and are 0 on the others. A row that sees
/// no key becomes all 0.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn softmax<T: Real>(scores: &mut [T], keep: &[bool], sight: Sight) {
    let seq = keep.len();
    // Padding at the end is left out of every sum, whose order follows from the number of terms: a
    // text's weights are then the same to the bit however far it is padded.
    let length = keep
        .iter()
        .rposition(|&keep| keep)
        .map_or(0, |last| last + 1);
    let masked = keep[..length].contains(&false);
    for (q, row) in scores.chunks_exact_mut(seq).enumerate() {
        let seen = sight.of(q, length);
        row[..seen.start].fill(T::zero());
        row[seen.end..].fill(T::zero());
        let (row, keep) = (&mut row[seen.clone()], &keep[seen]);
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
/// gradients, p (g - sum(p g)). Only the first `length` of the `seq` keys have weights.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn softmax_gradient<T: Real>(weights: &[T], grads: &mut [T], seq: usize, length: usize) {
    for (p, g) in weights.chunks_exact(seq).zip(grads.chunks_exact_mut(seq)) {
        let mean = sum([&p[..length], &g[..length]], |[p, g]| p * g);
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
        softmax(&mut row, &[true, false, true, true], Sight::All);
        assert_eq!(row[1], 0.0);
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-15);
        assert!((row[2] / row[0] - std::f64::consts::E).abs() < 1e-12);
    }

    #[test]
    fn a_causal_row_sees_what_came_before() {
        let mut rows = [0.0; 9];
        softmax(&mut rows, &[true; 3], Sight::Before);
        let third = 1.0 / 3.0;
        assert_eq!(rows, [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, third, third, third]);
    }

    #[test]
    fn a_row_of_near_sight_sees_its_neighbours() {
        let mut rows = [0.0; 16];
        softmax(&mut rows, &[true, true, true, false], Sight::Near(1));
        let third = 1.0 / 3.0;
        assert_eq!(rows[..4], [0.5, 0.5, 0.0, 0.0]);
        assert_eq!(rows[4..8], [third, third, third, 0.0]);
        assert_eq!(rows[8..12], [0.0, 0.5, 0.5, 0.0]);
        assert_eq!(rows[12..], [0.0, 0.0, 1.0, 0.0]);
        let mut rows = [1.0; 9];
        softmax(&mut rows, &[true, false, false], Sight::Near(0));
        assert_eq!(rows, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn nothing_to_see_is_zero_and_nan_is_nan() {
        let mut rows = [3.0f32, 4.0];
        softmax(&mut rows, &[false, false], Sight::All);
        assert_eq!(rows, [0.0, 0.0]);
        let mut rows = [f32::NAN, f32::NAN];
        softmax(&mut rows, &[true, true], Sight::All);
        assert!(rows.iter().all(|x| x.is_nan()));
    }
}
