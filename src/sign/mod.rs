//! Sign differences: where adapters' weights point in opposite directions.
//!
//! The fraction of sign difference is that of Nguyen & Le, "Generalizability of Mixture of
//! Domain-Specific Adapters from the Lens of Signed Weight Directions" (ACL 2024). Signs are bit
//! planes, so that 64 positions are compared at once and every count is exact.

mod angles;
pub mod bench;
mod counts;
mod diff;
mod expected;
mod flips;
mod likeness;
mod mass;
mod members;
mod mixture;
mod ones;
mod order;
mod pack;
mod pairs;
mod place;
mod planes;
mod rows;
mod shared;
mod subsets;
#[cfg(test)]
mod tests;

pub use angles::{AngleRow, Angles, principal_angles};
pub use counts::{Counts, Denominator};
pub use diff::{SignDiff, sign_diff};
pub use flips::{FlipRow, flips};
pub use likeness::{Likeness, LikenessRow, likeness};
pub use mass::{Mass, mass};
pub use members::{Members, Space, View, planes_of};
pub use mixture::MixtureIndex;
pub use order::similar;
pub use place::{By, Place};
pub use planes::{Planes, SignPlanes};
pub use rows::{MatrixRow, PairRow, PlaceRow, by_row};
pub use shared::{Shared, expected_shared};
pub use subsets::{MOST, Subset, subsets};
