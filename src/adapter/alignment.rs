//! Whether two sets of named tensors can be taken entry by entry.

use std::collections::BTreeMap;

use super::Name;
use crate::{Error, Result};

/// How many differences of one sort an error lists.
const LISTED: usize = 3;

/// An error that lists what differs, unless both sets have the same names with the same shapes.
///
/// `dims` gives a value's shape; `a` and `b` name the two sets in the message.
pub fn check_aligned<V>(
    (a, left): (&str, &BTreeMap<Name, V>),
    (b, right): (&str, &BTreeMap<Name, V>),
    dims: impl Fn(&V) -> &[usize],
) -> Result<()> {
    let missing = |from: &BTreeMap<Name, V>, of: &BTreeMap<Name, V>| -> Vec<String> {
        of.keys()
            .filter(|name| !from.contains_key(*name))
            .map(Name::to_string)
            .collect()
    };
    let shapes = left
        .iter()
        .filter_map(|(name, l)| right.get(name).map(|r| (name, dims(l), dims(r))))
        .filter(|(_, l, r)| l != r)
        .map(|(name, l, r)| format!("{name} is {l:?} in {a} and {r:?} in {b}"))
        .collect();
    let differences: Vec<String> = [
        (format!("only {a} has "), missing(right, left)),
        (format!("only {b} has "), missing(left, right)),
        (String::new(), shapes),
    ]
    .into_iter()
    .filter(|(_, items)| !items.is_empty())
    .map(|(lead, items)| format!("{lead}{}", shortened(&items)))
    .collect();
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!(
        "{a} and {b} do not have the same tensors: {}",
        differences.join("; ")
    )))
}

/// The first few items, and how many more there are.
pub(super) fn shortened(items: &[String]) -> String {
    let text = items[..items.len().min(LISTED)].join(", ");
    match items.len().checked_sub(LISTED) {
        None | Some(0) => text,
        Some(more) => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(shapes: &[(&str, &[usize])]) -> BTreeMap<Name, Vec<usize>> {
        shapes
            .iter()
            .map(|(name, dims)| (Name::new(name), dims.to_vec()))
            .collect()
    }

    #[test]
    fn every_sort_of_difference_is_listed() {
        let a = set(&[
            ("s", &[2, 3]),
            ("p.1", &[1]),
            ("p.2", &[1]),
            ("p.3", &[1]),
            ("p.10", &[1]),
        ]);
        let b = set(&[("s", &[3, 2]), ("q", &[1])]);
        assert!(check_aligned(("a", &a), ("a", &a), Vec::as_slice).is_ok());
        let error = check_aligned(("a", &a), ("b", &b), Vec::as_slice).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a and b do not have the same tensors: only a has p.1, p.2, p.3 and 1 more; \
             only b has q; s is [2, 3] in a and [3, 2] in b"
        );
    }
}
