//! Ids, the store, run records, locks, archives.

mod claim;
mod compare;
mod differences;
pub mod disk;
pub mod files;
mod gc;
mod id;
mod journal;
mod lock;
pub mod pack;
mod plan;
mod recipes;
mod run;
mod runs;
pub mod size;
mod store;

pub use claim::Claim;
pub use compare::{Comparison, Difference, Verdict};
pub use differences::Part;
pub use gc::Cleaned;
pub use id::Id;
pub use journal::{Journal, Made};
pub use lock::Lock;
pub use plan::{Cost, Extent, Left, Plan, Shard, Work};
pub use recipes::Recipes;
pub use run::{OWN_FILES, Record, SCHEMA, SCRIPT, Status, script_hash};
pub use runs::Run;
pub use store::{Content, Entry, Store};
