//! The pickles that `torch.save` writes, parsed as data: nothing in them is ever run.
//!
//! Two containers: a zip archive (PyTorch 1.6 and later) and the stream of before. Hand-written:
//! candle's reader trusts lengths in the file and knows the archive only, and crates that read
//! pickles in general know neither tensors nor which names to refuse.

mod archive;
mod machine;
mod stream;
mod tensor;
mod value;

use std::collections::BTreeMap;

use crate::Result;

use super::entry::Entry;

/// The tensors of a file that `torch.save` made of a map from names to tensors. A pickle that
/// asks for anything but tensors is refused with the name it asked for.
pub fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    match bytes.starts_with(b"PK") {
        true => archive::entries(bytes),
        false => stream::entries(bytes),
    }
}
