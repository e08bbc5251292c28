//! Sign differences.
