//! The identity of a dataset.

use super::dataset::Parts;
use super::row::{Label, Order, Task};

/// Hashes what decides numbers: the labels in their order, their class numbers where classes are
/// declared that have no row, and for each split its rows in their order.
pub(super) fn of(parts: &Parts) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("tureen dataset 1");
    let text = |hasher: &mut blake3::Hasher, text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    match &parts.task {
        Task::Regression => {
            hasher.update(b"r");
        }
        Task::Classification { labels, order } => {
            match order {
                Order::Declared(numbering) if !numbering.is_full() => {
                    hasher.update(b"n");
                    hasher.update(&(numbering.classes as u64).to_le_bytes());
                    for number in numbering.numbers.iter() {
                        hasher.update(&(*number as u64).to_le_bytes());
                    }
                }
                _ => {
                    hasher.update(b"c");
                }
            }
            hasher.update(&(labels.len() as u64).to_le_bytes());
            for label in labels.iter() {
                text(&mut hasher, label);
            }
        }
    }
    let splits = if parts.shared { 1 } else { 3 };
    for rows in &parts.splits[..splits] {
        hasher.update(&(rows.len() as u64).to_le_bytes());
        for row in rows.iter() {
            text(&mut hasher, &row.text);
            hasher.update(&[u8::from(row.text_b.is_some())]);
            text(&mut hasher, row.text_b.as_deref().unwrap_or_default());
            match row.label {
                Label::Class(class) => hasher.update(&(class as u64).to_le_bytes()),
                Label::Value(value) => hasher.update(&value.to_bits().to_le_bytes()),
                Label::Hidden => hasher.update(b"-"),
            };
        }
    }
    hasher.finalize().to_hex()[..32].to_string()
}
