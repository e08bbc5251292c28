//! Ids, the store, run records, locks.

mod compare;
pub mod disk;
pub mod files;
mod gc;
mod id;
mod lock;
mod run;
mod runs;
pub mod size;
mod store;

pub use compare::{Comparison, Difference, Verdict};
pub use gc::Cleaned;
pub use id::Id;
pub use lock::Lock;
pub use run::{OWN_FILES, Record, Status, script_hash};
pub use runs::Run;
pub use store::{Entry, Store};
