//! Ids, the store, run records, locks.

mod compare;
pub mod files;
mod gc;
mod id;
mod lock;
mod plan;
mod run;
mod runs;
mod store;

pub use compare::{Comparison, Difference, Verdict};
pub use gc::Cleaned;
pub use id::Id;
pub use lock::Lock;
pub use plan::{Cost, Extent, Left, Plan, Shard, Work};
pub use run::{Record, Status, script_hash};
pub use runs::Run;
pub use store::{Entry, Store};
