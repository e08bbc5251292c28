//! Ids, the store, run records.

pub mod files;
mod id;
mod run;
mod store;

pub use id::Id;
pub use run::{Record, Status};
pub use store::Store;
