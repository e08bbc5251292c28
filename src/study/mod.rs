//! Ids, the store, run records, locks.

mod claim;
mod compare;
pub mod files;
mod gc;
mod id;
mod lock;
mod run;
mod runs;
mod store;

pub use claim::Claim;
pub use compare::{Comparison, Difference, Verdict};
pub use gc::Cleaned;
pub use id::Id;
pub use lock::Lock;
pub use run::{Record, Status, script_hash};
pub use runs::Run;
pub use store::{Content, Entry, Store};
