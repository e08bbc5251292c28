//! Pruning criteria and masks.
