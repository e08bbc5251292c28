//! Frozen transformers.
