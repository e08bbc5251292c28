//! Tensors of the views that a pickle lists.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use candle_core::{Device, Tensor};

use crate::{Error, Result, bail};

use super::value::{Number, Storage, Value, View};

/// How many bytes the views may show for each one the file has: a few may share a storage, as tied
/// weights do.
const SHARED: usize = 4;

/// Finds the bytes of a storage.
pub type Find<'f, 'a> = &'f dyn Fn(&Storage) -> Result<&'a [u8]>;

/// The tensors of a map from names to tensors, of a file of `size` bytes; what is no tensor is
/// left out. A map within has its name and a dot before its own names, and counts once.
pub fn all<'a>(root: &Value, size: usize, find: Find<'_, 'a>) -> Result<BTreeMap<String, Tensor>> {
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
                    let of = |e: Error| e.within(format!("tensor {name}"));
                    let bytes = find(&view.storage).map_err(of)?;
                    let tensor = tensor(view, bytes, &mut room).map_err(of)?;
                    found.insert(name, tensor);
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// A tensor of its storage's bytes.
fn tensor(view: &View, bytes: &[u8], room: &mut usize) -> Result<Tensor> {
    let size = view.storage.number.size();
    if view.storage.len.checked_mul(size) != Some(bytes.len()) {
        bail!(
            "its storage has {} bytes, expected {} numbers of {size}",
            bytes.len(),
            view.storage.len
        );
    }
    if view.shape.len() != view.stride.len() || view.shape.len() > 8 {
        bail!("shape {:?} with strides {:?}", view.shape, view.stride);
    }
    let count = view.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    let last = view
        .shape
        .iter()
        .zip(&view.stride)
        .try_fold(view.offset, |at, (d, s)| {
            at.checked_add(d.saturating_sub(1).checked_mul(*s)?)
        });
    let (Some(count), Some(last)) = (count, last) else {
        bail!("shape {:?} is too large", view.shape);
    };
    // A view may not be larger than what it shows: a stride of 0 would make much of little.
    if count > 0 && (last >= view.storage.len || count > view.storage.len) {
        bail!(
            "shape {:?} does not lie within a storage of {} numbers",
            view.shape,
            view.storage.len
        );
    }
    match room.checked_sub(count * size) {
        Some(left) => *room = left,
        None => bail!("the tensors show the same numbers too often"),
    }
    let picked;
    let own = if is_contiguous(view) {
        let start = if count == 0 { 0 } else { view.offset * size };
        &bytes[start..start + count * size]
    } else {
        picked = pick(view, bytes, count, size);
        &picked[..]
    };
    numbers(view.storage.number, own, &view.shape)
}

fn is_contiguous(view: &View) -> bool {
    let mut expected = 1;
    view.shape.iter().zip(&view.stride).rev().all(|(d, s)| {
        let fits = *d == 1 || *s == expected;
        expected *= d.max(&1);
        fits
    })
}

/// The bytes of a view's numbers in its own order.
fn pick(view: &View, bytes: &[u8], count: usize, size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(count * size);
    let mut index = vec![0; view.shape.len()];
    for _ in 0..count {
        let at = index.iter().zip(&view.stride).map(|(i, s)| i * s);
        let at = (view.offset + at.sum::<usize>()) * size;
        out.extend_from_slice(&bytes[at..at + size]);
        for (i, d) in index.iter_mut().zip(&view.shape).rev() {
            *i += 1;
            if *i < *d {
                break;
            }
            *i = 0;
        }
    }
    out
}

fn numbers(number: Number, bytes: &[u8], shape: &[usize]) -> Result<Tensor> {
    let widened: Vec<u8>;
    let widen = |of: fn(&[u8]) -> i64| -> Vec<u8> {
        let all = bytes.chunks_exact(number.size()).map(of);
        all.flat_map(i64::to_le_bytes).collect()
    };
    let bytes = match number {
        Number::I32 => {
            widened = widen(|b| i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            &widened
        }
        Number::I16 => {
            widened = widen(|b| i64::from(i16::from_le_bytes([b[0], b[1]])));
            &widened
        }
        Number::I8 => {
            widened = widen(|b| i64::from(b[0] as i8));
            &widened
        }
        _ => bytes,
    };
    Tensor::from_raw_buffer(bytes, number.dtype(), shape, &Device::Cpu).map_err(Error::from)
}
