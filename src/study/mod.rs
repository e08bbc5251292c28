//! Ids, the store, run records.
