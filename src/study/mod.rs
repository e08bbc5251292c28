//! Ids, the store, run records.

pub mod files;
