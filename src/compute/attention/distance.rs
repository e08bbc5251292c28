//! What is added to attention scores by how far apart query and key stand.

use super::super::real::Real;
use crate::Result;
use candle_core::Tensor;
use multiversion::multiversion;
use std::ops::Range;

/// How the keys of a text of `seq` tokens lie around query `q`, where distances up to `far` are
/// told apart: those that are, and the place of the first of them in a table from `-far` on.
#[inline(always)]
fn around(q: usize, seq: usize, far: usize) -> (Range<usize>, usize) {
    let near = q.saturating_sub(far).min(seq)..(q + far + 1).min(seq);
    let first = near.start + far - q;
    (near, first)
}

/// Adds to each row of `[rows, seq]` scores, row q being that of the query at position q, the
/// value that `table` has for each key's distance: an odd number of values, from `-far` to `far`.
/// What is farther away gets the value of the farthest.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn add_distances<T: Real>(scores: &mut [T], seq: usize, table: &[T]) {
    let far = table.len() / 2;
    let (Some(&before), Some(&after)) = (table.first(), table.last()) else {
        return;
    };
    for (q, row) in scores.chunks_exact_mut(seq.max(1)).enumerate() {
        let (near, first) = around(q, seq, far);
        for score in &mut row[..near.start] {
            *score += before;
        }
        for (score, &own) in row[near.clone()].iter_mut().zip(&table[first..]) {
            *score += own;
        }
        for score in &mut row[near.end..] {
            *score += after;
        }
    }
}

/// What [`add_distances`] adds to a text of `seq` tokens by tables `[heads, 2 far + 1]`, `[heads,
/// seq, seq]`.
pub fn spread(tables: &Tensor, seq: usize) -> Result<Tensor> {
    let (heads, width) = tables.dims2()?;
    let far = (width / 2) as i64;
    let place = |q: i64, k: i64| ((k - q).clamp(-far, far) + far) as u32;
    let seq = seq as i64;
    let places: Vec<u32> = (0..seq)
        .flat_map(|q| (0..seq).map(move |k| place(q, k)))
        .collect();
    let places = Tensor::new(places, tables.device())?;
    let seq = seq as usize;
    Ok(tables
        .index_select(&places, 1)?
        .reshape((heads, seq, seq))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn each_key_gets_what_its_distance_has() {
        for (seq, far) in [(1, 0i32), (1, 3), (5, 0), (5, 1), (5, 4), (5, 9)] {
            let table: Vec<f64> = (-far..=far).map(f64::from).collect();
            let mut scores = vec![0.0; seq * seq];
            add_distances(&mut scores, seq, &table);
            for q in 0..seq {
                for k in 0..seq {
                    let expected = (k as i32 - q as i32).clamp(-far, far);
                    let found = scores[q * seq + k];
                    assert_eq!(found, f64::from(expected), "{seq} {far} {q} {k}");
                }
            }
            let tables = Tensor::from_slice(&table, (1, table.len()), &Device::Cpu).unwrap();
            let spread = spread(&tables, seq).unwrap();
            let spread: Vec<f64> = spread.flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(spread, scores);
        }
    }
}
