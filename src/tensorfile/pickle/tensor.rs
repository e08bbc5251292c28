//! The tensors that a pickle lists, by where their numbers lie.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use crate::tensorfile::entry::{Entry, View as Strides};
use crate::{Error, Result, bail};

use super::value::{Storage, Value, View};

/// How many bytes the views may show for each one the file has: a few may share a storage, as tied
/// weights do.
const SHARED: usize = 4;

/// Finds the bytes of a storage in the file.
pub type Find<'f> = &'f dyn Fn(&Storage) -> Result<Range<usize>>;

/// The tensors of a map from names to tensors, of a file of `size` bytes; what is no tensor is
/// left out. A map within has its name and a dot before its own names, and counts once.
pub fn all(root: &Value, size: usize, find: Find<'_>) -> Result<BTreeMap<String, Entry>> {
    let Value::Map(root) = root else {
        bail!("the pickle is no map from names to tensors");
    };
    let mut found = BTreeMap::new();
    let mut room = size.saturating_mul(SHARED);
    let mut seen = HashSet::new();
    let mut waiting = vec![(String::new(), root.clone())];
    while let Some((prefix, map)) = waiting.pop() {
        if !seen.insert(Rc::as_ptr(&map)) {
            continue;
        }
        for (key, value) in map.borrow().iter() {
            let Value::Text(key) = key else { continue };
            match value {
                Value::Map(inner) => waiting.push((format!("{prefix}{key}."), inner.clone())),
                Value::Tensor(view) => {
                    let name = format!("{prefix}{key}");
                    let entry = entry(view, find, &mut room);
                    let entry = entry.map_err(|e: Error| e.within(format!("tensor {name}")))?;
                    found.insert(name, entry);
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

fn entry(view: &View, find: Find<'_>, room: &mut usize) -> Result<Entry> {
    let range = find(&view.storage)?;
    let (number, len) = (view.storage.number, view.storage.len);
    if len.checked_mul(number.size()) != Some(range.len()) {
        bail!(
            "its storage has {} bytes, expected {len} numbers of {}",
            range.len(),
            number.size()
        );
    }
    let strides = Strides {
        offset: view.offset,
        stride: view.stride.clone(),
    };
    let entry = Entry::view(number, view.shape.clone(), range, strides)?;
    match room.checked_sub(entry.range().len()) {
        Some(left) => *room = left,
        None => bail!("the tensors show the same numbers too often"),
    }
    Ok(entry)
}
