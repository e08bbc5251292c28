//! Merges of whole models.
