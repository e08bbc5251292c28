//! Cells that are missing or not a number.
