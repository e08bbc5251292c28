//! Metrics, evaluation, the grid engine.

pub mod metrics;
