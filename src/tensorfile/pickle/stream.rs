//! The stream of `torch.save` before PyTorch 1.6: five pickles, then the storages one after the
//! other, each behind its length.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::tensorfile::entry::Entry;
use crate::{Result, bail};

use super::value::{Heap, Storage, Value};
use super::{machine, tensor};

/// 0x1950a86a20f9469cfc6c, little endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The tensors of a stream.
pub fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let mut heap = Heap::default();
    let (magic, rest) = machine::run(bytes, &mut heap)?;
    if !matches!(&magic, Value::Big(n) if n[..] == MAGIC) {
        bail!("not a file of torch.save");
    }
    let (_version, rest) = machine::run(rest, &mut heap)?;
    let (_system, rest) = machine::run(rest, &mut heap)?;
    let (root, rest) = machine::run(rest, &mut heap)?;
    let (keys, mut rest) = machine::run(rest, &mut heap)?;
    let Value::List(keys) = keys else {
        bail!("not a file of torch.save: no list of storages");
    };
    let sizes = sizes(&root);
    let mut storages: HashMap<String, Range<usize>> = HashMap::new();
    for key in keys.borrow().iter() {
        let Value::Text(key) = key else {
            bail!("a storage whose name is no text");
        };
        let Some((len, after)) = rest.split_first_chunk::<8>() else {
            bail!("the file ends before storage {key}"; hint: "download it again");
        };
        let len = usize::try_from(u64::from_le_bytes(*len)).ok();
        let size = sizes.get(&**key).copied().unwrap_or(1);
        let split = len
            .and_then(|len| len.checked_mul(size))
            .and_then(|len| after.split_at_checked(len));
        let Some((content, after)) = split else {
            bail!("the file ends within storage {key}"; hint: "download it again");
        };
        let start = bytes.len() - after.len() - content.len();
        storages.insert(key.to_string(), start..start + content.len());
        rest = after;
    }
    tensor::all(
        &root,
        bytes.len(),
        &|storage: &Storage| match storages.get(&storage.key) {
            Some(content) => Ok(content.clone()),
            None => bail!("no storage {}", storage.key),
        },
    )
}

/// The bytes of a number in each storage that tensors are made of.
fn sizes(root: &Value) -> HashMap<String, usize> {
    let mut sizes = HashMap::new();
    if let Value::Map(map) = root {
        for (_, value) in map.borrow().iter() {
            if let Value::Tensor(view) = value {
                sizes.insert(view.storage.key.clone(), view.storage.number.size());
            }
        }
    }
    sizes
}
