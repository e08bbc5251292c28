//! Sign differences: where adapters' weights point in opposite directions.
//!
//! The fraction of sign difference is that of Nguyen & Le, "Generalizability of Mixture of
//! Domain-Specific Adapters from the Lens of Signed Weight Directions" (ACL 2024). Signs are bit
//! planes, so that 64 positions are compared at once and every count is exact.

mod counts;
mod diff;
mod expected;
mod mixture;
mod pairs;
mod planes;
mod rows;
#[cfg(test)]
mod tests;

use candle_core::Tensor;

use crate::Result;
use crate::adapter::Name;

pub use counts::{Counts, Denominator};
pub use diff::{SignDiff, sign_diff};
pub use mixture::MixtureIndex;
pub use planes::{Planes, SignPlanes};
pub use rows::{LayerRow, PairRow, TensorRow};

/// The sign difference of two or more named tensors of one shape (see [`sign_diff`]).
pub fn sign_diff_tensors(
    members: &[(&str, &Tensor)],
    denominator: Denominator,
) -> Result<SignDiff> {
    let name = Name::new("tensor");
    let planes: Vec<SignPlanes> = members
        .iter()
        .map(|(member, tensor)| {
            let planes = Planes::of(&name, tensor).map_err(|error| error.within(member))?;
            Ok(SignPlanes::from_iter([(name.clone(), planes)]))
        })
        .collect::<Result<_>>()?;
    let named: Vec<(&str, &SignPlanes)> = members
        .iter()
        .zip(&planes)
        .map(|((member, _), planes)| (*member, planes))
        .collect();
    sign_diff(&named, denominator)
}
