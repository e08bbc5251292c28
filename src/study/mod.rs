//! Ids, the store, run records.

pub mod files;
mod id;
mod store;

pub use id::Id;
pub use store::Store;
