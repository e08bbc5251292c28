//! What signs are compared with: cosine, distance and mass of every pair, from the same numbers.

use std::ops::AddAssign;

use rayon::prelude::*;

use super::counts::Counts;
use super::{By, Denominator, Mass, Members, Place};
use crate::{Context, Result};

/// Two members, as far as their numbers say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Likeness {
    /// Conflicts and positions that are not zero.
    pub counts: Counts,
    /// Conflicts weighed by magnitude.
    pub mass: Mass,
    dot: f64,
    squares: [f64; 2],
    distance: f64,
}

impl Likeness {
    /// Two tensors of one shape.
    fn of(a: &[f32], b: &[f32]) -> Self {
        let mut own = Self {
            mass: Mass::of(&[a, b]),
            ..Self::default()
        };
        for (a, b) in a.iter().zip(b) {
            let (x, y) = (f64::from(*a), f64::from(*b));
            own.dot += x * y;
            own.squares[0] += x * x;
            own.squares[1] += y * y;
            own.distance += (x - y) * (x - y);
            own.counts.conflicts += u64::from(*a > 0.0 && *b < 0.0 || *a < 0.0 && *b > 0.0);
            own.counts.both_nonzero += u64::from(*a != 0.0 && *b != 0.0);
            own.counts.union_nonzero += u64::from(*a != 0.0 || *b != 0.0);
        }
        own.counts.entries = a.len() as u64;
        // The signs differ where they conflict, or where only one is zero.
        own.counts.unequal =
            own.counts.conflicts + own.counts.union_nonzero - own.counts.both_nonzero;
        own
    }

    /// The cosine of the angle between the two as vectors; NaN where one is zero.
    pub fn cosine(&self) -> f64 {
        let [a, b] = self.squares;
        (self.dot / (a.sqrt() * b.sqrt())).clamp(-1.0, 1.0)
    }

    /// The Euclidean distance between them.
    pub fn l2(&self) -> f64 {
        self.distance.sqrt()
    }

    /// The distance as a share of the root of the mean square of the two lengths: 0 for equal
    /// members, sqrt(2) for orthogonal ones, 2 for opposite ones; NaN where both are zero.
    pub fn relative_l2(&self) -> f64 {
        let [a, b] = self.squares;
        (self.distance / (0.5 * (a + b))).sqrt()
    }

    /// Conflicts as a share of the denominator's positions.
    pub fn sign_diff(&self, denominator: Denominator) -> f64 {
        self.counts.rate(denominator)
    }
}

impl AddAssign for Likeness {
    fn add_assign(&mut self, other: Self) {
        self.counts = self.counts + other.counts;
        self.mass = [self.mass, other.mass].into_iter().sum();
        self.dot += other.dot;
        self.squares[0] += other.squares[0];
        self.squares[1] += other.squares[1];
        self.distance += other.distance;
    }
}

/// Two members at a place.
#[derive(Debug, Clone, PartialEq)]
pub struct LikenessRow {
    /// The first member's place among the members.
    pub a: usize,
    /// The second's.
    pub b: usize,
    /// Where.
    pub place: Place,
    /// What they have in common there.
    pub likeness: Likeness,
}

/// Every pair of members at every place: pairs (0, 1), (0, 2), ..., each with its places in order.
pub fn likeness(members: &Members, by: By, context: &Context) -> Result<Vec<LikenessRow>> {
    members.tell(context);
    let n = members.names().len();
    let pairs: Vec<(usize, usize)> = (0..n)
        .flat_map(|a| (a + 1..n).map(move |b| (a, b)))
        .collect();
    let places = by.places(members.shapes().keys());
    let mut sums = vec![vec![Likeness::default(); places.len()]; pairs.len()];
    // Tensor by tensor, so that no more than one is held of each member.
    for name in members.shapes().keys() {
        context.check()?;
        let values = members.values(name)?;
        let here = by.place(name);
        let Some(at) = places.iter().position(|place| *place == here) else {
            continue;
        };
        let add = |(sums, (a, b)): (&mut Vec<Likeness>, &(usize, usize))| -> Result<()> {
            context.check()?;
            sums[at] += Likeness::of(&values[*a], &values[*b]);
            Ok(())
        };
        sums.par_iter_mut().zip(&pairs).try_for_each(add)?;
    }
    let rows = pairs.iter().zip(sums).flat_map(|((a, b), sums)| {
        places
            .iter()
            .zip(sums)
            .map(move |(place, likeness)| LikenessRow {
                a: *a,
                b: *b,
                place: place.clone(),
                likeness,
            })
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    fn pair(a: &[f32], b: &[f32]) -> Likeness {
        let tensor = |v: &[f32]| Tensor::new(v, &Device::Cpu).unwrap();
        let (a, b) = (tensor(a), tensor(b));
        let members = Members::of_tensors(&[("a", &a), ("b", &b)]).unwrap();
        likeness(&members, By::Whole, &Context::silent()).unwrap()[0].likeness
    }

    #[test]
    fn a_pair_by_hand() {
        let found = pair(&[3.0, -4.0, 0.0], &[3.0, 4.0, 0.0]);
        assert_eq!(found.cosine(), -7.0 / 25.0);
        assert_eq!(found.l2(), 8.0);
        assert_eq!(found.relative_l2(), 1.6);
        assert_eq!(found.sign_diff(Denominator::All), 1.0 / 3.0);
        assert_eq!(found.mass.conflict_share(), 8.0 / 14.0);
        assert!(pair(&[0.0], &[1.0]).cosine().is_nan());
    }

    #[test]
    fn equal_and_opposite_members_are_the_ends() {
        let same = pair(&[0.1, -0.2, 0.3], &[0.1, -0.2, 0.3]);
        assert_eq!((same.cosine(), same.l2()), (1.0, 0.0));
        let opposite = pair(&[0.1, -0.2, 0.3], &[-0.1, 0.2, -0.3]);
        assert_eq!((opposite.cosine(), opposite.relative_l2()), (-1.0, 2.0));
        assert_eq!(opposite.sign_diff(Denominator::All), 1.0);
        assert_eq!(opposite.mass.cancelled_share(), 1.0);
    }
}
