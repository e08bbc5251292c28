//! Canonical names of tensors.
