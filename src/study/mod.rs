//! Ids, the store, run records, locks, archives.

mod compare;
mod differences;
pub mod files;
mod gc;
mod id;
mod journal;
mod lock;
pub mod pack;
mod recipes;
mod run;
mod runs;
mod store;

pub use compare::{Comparison, Difference, Verdict};
pub use differences::Part;
pub use gc::Cleaned;
pub use id::Id;
pub use journal::{Journal, Made};
pub use lock::Lock;
pub use recipes::Recipes;
pub use run::{Record, SCHEMA, Status, script_hash};
pub use runs::Run;
pub use store::{Entry, Store};
