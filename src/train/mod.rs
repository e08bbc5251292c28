//! Training adapters.
