//! Frozen transformers.

pub mod bundled;
pub mod tokenize;
