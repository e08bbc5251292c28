//! Files of named tensors: safetensors, and the pickles that PyTorch writes, read as data.
//!
//! Both are read tensor by tensor, and safetensors written so, so that files may be larger than
//! memory.

mod entry;
mod narrow;
mod number;
mod pickle;
pub mod quantised;
mod read;
mod safetensors;
mod sharded;
mod write;

pub use self::safetensors::head;
pub use narrow::to_f32;
pub use number::Number;
pub use read::{TensorFile, read, read_bytes};
pub use sharded::{open_folder, read_folder};
pub use write::{Part, Planned, Streamed, encode, size, write, write_streamed};
