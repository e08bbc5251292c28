//! The mixture of tensors of one name, as numbers.

use crate::Result;

use super::method::{Gram, Group, On, Work};

/// What one mixture is made of.
pub(super) struct Mixture<'a> {
    pub work: &'a Work,
    /// What the method works on.
    pub on: On,
    /// The members' tensors (not their changes), and what was set for them.
    pub group: Group<'a>,
    /// What changes are measured from; none where it is zero.
    pub base: Option<&'a [f32]>,
    /// How often the base is added to a sum of values.
    pub offset: f64,
}

impl Mixture<'_> {
    /// The numbers.
    pub fn values(self) -> Result<Vec<f32>> {
        let Self {
            work,
            on,
            mut group,
            base,
            offset,
        } = self;
        match work {
            Work::Combination(method) => {
                let products = match method.needs_products() {
                    true => gram(&group.members, base.filter(|_| on != On::Values)),
                    false => Gram::new(),
                };
                let coefficients = method.coefficients(&group.at, &products)?;
                let of_base = match on {
                    On::Values => offset,
                    _ => 1.0 - coefficients.iter().sum::<f64>(),
                };
                let mut sum = weighted_sum(&group.members, &coefficients);
                if let Some(base) = base.filter(|_| of_base != 0.0) {
                    add(&mut sum, base, of_base);
                }
                Ok(sum)
            }
            Work::Entrywise(method) => {
                if let Some(base) = base {
                    group.members.iter_mut().for_each(|m| add(m, base, -1.0));
                }
                let mut mixed = method.mix(group)?;
                if let Some(base) = base {
                    add(&mut mixed, base, 1.0);
                }
                Ok(mixed)
            }
        }
    }
}

/// x + weight * y.
pub(super) fn add(x: &mut [f32], y: &[f32], weight: f64) {
    let weight = weight as f32;
    for (x, y) in x.iter_mut().zip(y) {
        *x += weight * y;
    }
}

/// The sum of the members, each times its coefficient. The sum of equally weighted members is
/// scaled once, so that it is the same however the soup was made.
pub(super) fn weighted_sum(members: &[Vec<f32>], coefficients: &[f64]) -> Vec<f32> {
    let common = coefficients
        .iter()
        .all(|c| *c == coefficients[0])
        .then(|| coefficients[0]);
    let mut sum = vec![0f32; members.first().map_or(0, Vec::len)];
    for (i, (member, coefficient)) in members.iter().zip(coefficients).enumerate() {
        let factor = match common {
            Some(_) => 1.0,
            None => *coefficient as f32,
        };
        match i {
            0 => sum
                .iter_mut()
                .zip(member)
                .for_each(|(s, x)| *s = factor * x),
            _ => sum
                .iter_mut()
                .zip(member)
                .for_each(|(s, x)| *s += factor * x),
        }
    }
    if let Some(common) = common.filter(|c| *c != 1.0) {
        sum.iter_mut().for_each(|s| *s *= common as f32);
    }
    sum
}

/// The inner products of the members, or of their differences from `base`.
pub(super) fn gram(members: &[Vec<f32>], base: Option<&[f32]>) -> Gram {
    let n = members.len();
    let mut gram = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in i..n {
            let pairs = members[i].iter().zip(&members[j]);
            let product: f64 = match base {
                None => pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum(),
                Some(base) => pairs
                    .zip(base)
                    .map(|((x, y), b)| f64::from(x - b) * f64::from(y - b))
                    .sum(),
            };
            gram[i][j] = product;
            gram[j][i] = product;
        }
    }
    gram
}
