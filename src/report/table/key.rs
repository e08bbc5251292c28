//! Cells as keys: what it means for two rows to agree.

use std::collections::HashMap;

use super::Value;

/// A cell that can be looked up. A whole float and its integer are the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Atom {
    Null,
    Bool(bool),
    Int(i64),
    Float(u64),
    Text(std::sync::Arc<str>),
    List(Vec<Atom>),
}

/// The cells of one row in the columns that identify it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key(Vec<Atom>);

impl Key {
    pub(super) fn new<'a>(cells: impl IntoIterator<Item = &'a Value>) -> Self {
        Self(cells.into_iter().map(atom).collect())
    }

    /// The keys of rows 0..len in `columns`.
    pub(super) fn of_rows(columns: &[&[Value]], len: usize) -> Vec<Self> {
        (0..len)
            .map(|row| Self::new(columns.iter().map(|column| &column[row])))
            .collect()
    }
}

fn atom(value: &Value) -> Atom {
    match value {
        Value::Null => Atom::Null,
        Value::Bool(value) => Atom::Bool(*value),
        Value::Int(value) => Atom::Int(*value),
        Value::Float(value) => {
            let whole = *value as i64;
            // The largest i64 is no float: a float that rounds to it is beyond all of them.
            if whole as f64 == *value && whole != i64::MAX {
                Atom::Int(whole)
            } else {
                Atom::Float(value.to_bits())
            }
        }
        Value::Text(text) => Atom::Text(text.clone()),
        Value::List(items) => Atom::List(items.iter().map(atom).collect()),
    }
}

/// Rows that agree, in the order in which each group first appears.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    /// The rows of each group, rising.
    pub(super) rows: Vec<Vec<usize>>,
    /// The group of each row.
    pub(super) of_row: Vec<usize>,
    index: HashMap<Key, usize>,
}

impl Groups {
    pub(super) fn new(keys: Vec<Key>) -> Self {
        let mut groups = Self {
            rows: Vec::new(),
            of_row: Vec::with_capacity(keys.len()),
            index: HashMap::new(),
        };
        for (row, key) in keys.into_iter().enumerate() {
            let next = groups.rows.len();
            let group = *groups.index.entry(key).or_insert(next);
            if group == next {
                groups.rows.push(Vec::new());
            }
            groups.rows[group].push(row);
            groups.of_row.push(group);
        }
        groups
    }

    /// The group of `key`, if a row has it.
    pub(super) fn find(&self, key: &Key) -> Option<usize> {
        self.index.get(key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_floats_are_the_integers_they_equal() {
        let same = |a: Value, b: Value| Key::new([&a]) == Key::new([&b]);
        assert!(same(2.into(), 2.0.into()));
        assert!(same(0.into(), (-0.0).into()));
        assert!(!same(2.into(), 2.5.into()));
        assert!(!same(2.into(), "2".into()));
        assert!(!same(i64::MAX.into(), (i64::MAX as f64).into()));
        assert!(!same(Value::Null, "".into()));
        assert!(same(Value::list([1, 2]), Value::list([1.0, 2.0])));
    }

    #[test]
    fn groups_keep_the_order_of_appearance() {
        let cells: Vec<Value> = ["b", "a", "b", "c"].map(Value::from).to_vec();
        let groups = Groups::new(Key::of_rows(&[&cells], 4));
        assert_eq!(groups.rows, [vec![0, 2], vec![1], vec![3]]);
        assert_eq!(groups.of_row, [0, 1, 0, 2]);
        assert_eq!(groups.find(&Key::new([&"c".into()])), Some(2));
        assert_eq!(groups.find(&Key::new([&"d".into()])), None);
    }
}
