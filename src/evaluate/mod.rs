//! Metrics, evaluation, the grid engine.
