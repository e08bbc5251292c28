//! The least magnitude among the largest, of numbers too many to hold at once.

use crate::Result;

/// The magnitude of the smallest of the `density` largest of all numbers that `each` feeds to its
/// sink, twice; the number that stays is rounded half to even, and equals of the smallest stay
/// with it. Infinite where none stays.
///
/// Magnitudes order as their bits do: the first pass counts them by their upper 16 bits, the
/// second those of the right upper bits by their lower.
pub fn largest(density: f64, each: impl Fn(&mut dyn FnMut(&[f32])) -> Result<()>) -> Result<f32> {
    let bits = |x: &f32| x.abs().to_bits();
    let mut upper = vec![0usize; 1 << 16];
    let mut total = 0usize;
    each(&mut |values| {
        total += values.len();
        values
            .iter()
            .for_each(|x| upper[(bits(x) >> 16) as usize] += 1);
    })?;
    let stay = (density * total as f64).round_ties_even() as usize;
    if stay == 0 {
        return Ok(f32::INFINITY);
    }
    let (high, above) = from_the_top(&upper, stay);
    let mut lower = vec![0usize; 1 << 16];
    each(&mut |values| {
        for x in values
            .iter()
            .map(bits)
            .filter(|b| (b >> 16) as usize == high)
        {
            lower[(x & 0xffff) as usize] += 1;
        }
    })?;
    let (low, _) = from_the_top(&lower, stay - above);
    Ok(f32::from_bits((high << 16 | low) as u32))
}

/// The place at which, from the top, the count reaches `stay`, and the count above it.
fn from_the_top(counts: &[usize], stay: usize) -> (usize, usize) {
    let mut above = 0;
    for (place, count) in counts.iter().enumerate().rev() {
        if above + count >= stay {
            return (place, above);
        }
        above += count;
    }
    (0, above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_where_sorting_would_cut(
            values in proptest::collection::vec(-4f32..4.0, 1..200), density in 0f64..=1.0, at in 0usize..200,
        ) {
            let (first, second) = values.split_at(at.min(values.len()));
            let cut = largest(density, |sink| {
                sink(first);
                sink(second);
                Ok(())
            }).unwrap();
            let mut sorted: Vec<f32> = values.iter().map(|x| x.abs()).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let stay = (density * values.len() as f64).round_ties_even() as usize;
            match stay {
                0 => prop_assert!(cut.is_infinite()),
                n => prop_assert_eq!(cut, sorted[n - 1]),
            }
        }
    }
}
