//! Quantised weights.
