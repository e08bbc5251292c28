//! Conflicts weighed by magnitude: how much of the members' mass they concern.

use std::iter::Sum;

use rayon::prelude::*;

use super::Members;
use crate::{Context, Result};

/// The mass of some members, and the part of it in conflict.
///
/// The mass of a number is its absolute value. At a position, P is the mass of the positive
/// members and N that of the negative ones.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mass {
    /// The sum over positions of P + N.
    pub total: f64,
    /// The sum over the positions in conflict (where neither P nor N is zero) of P + N.
    pub conflicting: f64,
    /// The sum over positions of 2 min(P, N): what goes when members are added up, since
    /// |P - N| = P + N - 2 min(P, N).
    pub cancelled: f64,
}

impl Mass {
    /// The members' numbers at one tensor, in the order of positions.
    pub fn of(members: &[&[f32]]) -> Self {
        let mut mass = Self::default();
        for j in 0..members.first().map_or(0, |m| m.len()) {
            let (mut positive, mut negative) = (0.0, 0.0);
            for member in members {
                let value = f64::from(member[j]);
                positive += value.max(0.0);
                negative += (-value).max(0.0);
            }
            let both = positive + negative;
            mass.total += both;
            mass.cancelled += 2.0 * positive.min(negative);
            if positive > 0.0 && negative > 0.0 {
                mass.conflicting += both;
            }
        }
        mass
    }

    /// The share of the mass that lies where members are in conflict; NaN where there is none.
    pub fn conflict_share(&self) -> f64 {
        self.conflicting / self.total
    }

    /// The share of the mass that goes when the members are added up; NaN where there is none.
    pub fn cancelled_share(&self) -> f64 {
        self.cancelled / self.total
    }
}

impl Sum for Mass {
    fn sum<I: Iterator<Item = Self>>(masses: I) -> Self {
        masses.fold(Self::default(), |a, b| Self {
            total: a.total + b.total,
            conflicting: a.conflicting + b.conflicting,
            cancelled: a.cancelled + b.cancelled,
        })
    }
}

/// The mass of members over all that is compared.
pub fn mass(members: &Members, context: &Context) -> Result<Mass> {
    let by_tensor: Vec<Result<Mass>> = members
        .shapes()
        .par_iter()
        .map(|(name, _)| {
            context.check()?;
            let values = members.values(name)?;
            let slices: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
            Ok(Mass::of(&slices))
        })
        .collect();
    by_tensor.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pair_by_hand() {
        let mass = Mass::of(&[&[1.0, -2.0, 0.0, 3.0], &[-3.0, -1.0, 5.0, 1.0]]);
        assert_eq!(mass.total, 16.0);
        assert_eq!((mass.conflicting, mass.cancelled), (4.0, 2.0));
        assert_eq!(mass.conflict_share(), 0.25);
        assert_eq!(mass.cancelled_share(), 0.125);
        assert!(Mass::of(&[&[0.0], &[-0.0]]).conflict_share().is_nan());
    }

    proptest! {
        #[test]
        fn what_is_cancelled_is_what_the_sum_lacks(
            members in (1usize..60, 1usize..6).prop_flat_map(|(n, l)| proptest::collection::vec(
                proptest::collection::vec(prop_oneof![Just(0f32), -1f32..1.0], n), l))
        ) {
            let slices: Vec<&[f32]> = members.iter().map(Vec::as_slice).collect();
            let mass = Mass::of(&slices);
            let sum = |j: usize| members.iter().map(|m| f64::from(m[j])).sum::<f64>().abs();
            let left: f64 = (0..members[0].len()).map(sum).sum();
            prop_assert!((mass.total - mass.cancelled - left).abs() < 1e-9);
            prop_assert!(mass.cancelled <= mass.conflicting + 1e-12);
        }
    }
}
