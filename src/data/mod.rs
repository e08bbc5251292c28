//! Datasets: readers, splits, batches.
