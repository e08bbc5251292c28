//! Adapters on disk, one file a library.

pub mod adapterhub;
pub mod own;
mod tensorfile;

pub use adapterhub::{load, save};
