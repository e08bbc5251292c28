//! Sign differences of adapters (Nguyen and Le 2024: the fraction of weight sign difference).
//!
//! Two entries conflict where their product is negative; a zero never conflicts.

mod counts;
mod difference;
mod planes;

pub use counts::{MixtureCounts, PairCounts};
pub use difference::{Denominator, MixtureRates, PairRow, SignDiff, TensorRow, mixture_rates};
pub use planes::{Planes, SignPlanes};
