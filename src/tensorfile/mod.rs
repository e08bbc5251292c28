//! Files of named tensors: safetensors, and the pickles that PyTorch writes, read as data.

mod pickle;
mod read;
mod sharded;
mod write;

pub use read::read;
pub use sharded::read_folder;
pub use write::encode;

/// The entry points as functions of bytes, for tests that try hostile ones.
#[doc(hidden)]
pub mod bytes {
    pub use super::pickle::read as read_pickle;
    pub use super::read::parse_safetensors;
}
