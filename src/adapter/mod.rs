//! The Adapter value and its kinds.

mod tensors;

pub use tensors::{Name, Tensors, natural};
