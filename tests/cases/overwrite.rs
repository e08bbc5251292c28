//! Output folders that already hold something.
