//! Which entries of a change stay: the trims of TIES, DARE, DELLA and breadcrumbs.

use crate::compute::random::Stream;

/// What becomes of the entries that stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rescale {
    /// Nothing.
    None,
    /// They are divided by the probability with which they stayed, so that the expected change is
    /// the whole one (the papers of DARE and DELLA; PEFT).
    Probability,
    /// They are scaled so that the sum of magnitudes is what it was (mergekit 0.1.5).
    L1,
}

impl Rescale {
    /// By its name.
    pub fn of(word: &str) -> Self {
        match word {
            "probability" => Self::Probability,
            "l1" => Self::L1,
            _ => Self::None,
        }
    }
}

/// Magnitudes as integers of the same order.
fn rank(x: f32) -> u32 {
    x.abs().to_bits()
}

/// Keeps the `count` entries of the greatest magnitude; among equals the first stay.
pub fn keep_largest(values: &mut [f32], count: usize) {
    let n = values.len();
    if count >= n {
        return;
    }
    if count == 0 {
        return values.fill(0.0);
    }
    let mut ranks: Vec<u32> = values.iter().map(|x| rank(*x)).collect();
    let (_, threshold, above) = ranks.select_nth_unstable(n - count);
    let threshold = *threshold;
    let mut equals = count - above.iter().filter(|r| **r > threshold).count();
    for x in values {
        let own = rank(*x);
        let stays = own > threshold || own == threshold && equals > 0;
        equals -= usize::from(own == threshold && stays);
        if !stays {
            *x = 0.0;
        }
    }
}

/// Keeps what is no smaller than `cut` in magnitude.
pub fn keep_above(values: &mut [f32], cut: f32) {
    for x in values {
        if x.abs() < cut {
            *x = 0.0;
        }
    }
}

/// Keeps the entries whose ranks by magnitude, from 0 for the least, lie in this range; equals
/// are ranked in their order.
pub fn keep_ranks(values: &mut [f32], range: std::ops::Range<usize>) {
    let order = ascending(values);
    for (position, index) in order.iter().enumerate() {
        if !range.contains(&position) {
            values[*index as usize] = 0.0;
        }
    }
}

fn ascending(values: &[f32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_by_key(|i| rank(values[*i as usize]));
    order
}

/// Keeps each entry with probability `density`, drawn from the stream.
pub fn keep_random(values: &mut [f32], density: f64, rescale: Rescale, stream: &mut Stream) {
    let before = l1(values);
    for x in values.iter_mut() {
        if stream.uniform() >= density {
            *x = 0.0;
        } else if rescale == Rescale::Probability {
            *x = (f64::from(*x) / density) as f32;
        }
    }
    if rescale == Rescale::L1 {
        to_l1(values, before);
    }
}

/// Keeps each entry of a row with a probability that grows with its rank by magnitude in the row,
/// from `density - epsilon` for the least to `density + epsilon` for the greatest.
pub fn keep_by_rank(
    values: &mut [f32],
    width: usize,
    (density, epsilon): (f64, f64),
    rescale: Rescale,
    stream: &mut Stream,
) {
    let before = l1(values);
    for row in values.chunks_mut(width.max(1)) {
        let order = ascending(row);
        let mut probability = vec![density; row.len()];
        let last = row.len().saturating_sub(1).max(1) as f64;
        for (position, index) in order.iter().enumerate() {
            let share = match row.len() {
                // A row of one entry has neither a least nor a greatest.
                1 => 0.5,
                _ => position as f64 / last,
            };
            probability[*index as usize] = density - epsilon + 2.0 * epsilon * share;
        }
        for (x, p) in row.iter_mut().zip(probability) {
            if stream.uniform() >= p {
                *x = 0.0;
            } else if rescale == Rescale::Probability {
                *x = (f64::from(*x) / p) as f32;
            }
        }
    }
    if rescale == Rescale::L1 {
        to_l1(values, before);
    }
}

/// The sum of magnitudes.
pub fn l1(values: &[f32]) -> f64 {
    values.iter().map(|x| f64::from(x.abs())).sum()
}

/// Scales the values to this sum of magnitudes, unless nothing is left of them.
pub fn to_l1(values: &mut [f32], before: f64) {
    let after = l1(values);
    if after == 0.0 {
        return;
    }
    let factor = (before / after) as f32;
    for x in values {
        *x *= factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_largest_stay_in_exact_number(
            values in proptest::collection::vec(prop_oneof![Just(0f32), Just(1f32), -2f32..2.0], 1..120),
            share in 0f64..=1.0,
        ) {
            let count = (share * values.len() as f64) as usize;
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()));
            let mut expected = vec![0.0; values.len()];
            for i in &order[..count] {
                expected[*i] = values[*i];
            }
            let mut kept = values.clone();
            keep_largest(&mut kept, count);
            prop_assert_eq!(kept, expected);
        }

        #[test]
        fn rescaling_keeps_the_sum_of_magnitudes(
            values in proptest::collection::vec(0.1f32..2.0, 50..120), seed in 0u64..99,
        ) {
            let mut kept = values.clone();
            let mut stream = Stream::new(seed, "test", "x");
            keep_random(&mut kept, 0.5, Rescale::L1, &mut stream);
            prop_assert!((l1(&kept) / l1(&values) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn the_expected_change_is_the_whole_one() {
        let mut sum = [0f64; 8];
        let values: Vec<f32> = (0..8).map(|i| i as f32 - 3.5).collect();
        for seed in 0..4000 {
            let mut kept = values.clone();
            let mut stream = Stream::new(seed, "test", "x");
            keep_by_rank(&mut kept, 4, (0.5, 0.2), Rescale::Probability, &mut stream);
            sum.iter_mut()
                .zip(&kept)
                .for_each(|(s, x)| *s += f64::from(*x) / 4000.0);
        }
        for (mean, x) in sum.iter().zip(&values) {
            assert!((mean - f64::from(*x)).abs() < 0.3, "{mean} {x}");
        }
    }

    #[test]
    fn outliers_and_small_entries_fall() {
        let mut values = [5.0, -1.0, 3.0, 0.5, -4.0];
        keep_ranks(&mut values, 1..4);
        assert_eq!(values, [0.0, -1.0, 3.0, 0.0, -4.0]);
    }
}
