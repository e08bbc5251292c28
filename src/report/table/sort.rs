//! Sorting rows.

use std::cmp::Ordering;

use super::{Table, Value};
use crate::{Result, bail};

/// Which end comes first. Empty cells come last either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The least first.
    #[default]
    Ascending,
    /// The greatest first.
    Descending,
}

impl Table {
    /// The rows sorted by the first column, its ties by the second and so on; further ties stay in
    /// order. Numbers by size, texts naturally; an error where a column mixes kinds.
    pub fn sort(&self, by: &[(&str, Order)]) -> Result<Self> {
        let mut columns = Vec::with_capacity(by.len());
        for (name, order) in by {
            let cells = self.column(name)?;
            comparable(name, cells)?;
            columns.push((cells, *order));
        }
        let mut rows: Vec<usize> = (0..self.len()).collect();
        rows.sort_by(|&a, &b| {
            columns
                .iter()
                .map(|(cells, order)| compare(&cells[a], &cells[b], *order))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        Ok(self.take(&rows))
    }
}

/// Every two cells that are not empty have an order: all of one kind, lists of items of one kind.
fn comparable<'a>(name: &str, cells: impl IntoIterator<Item = &'a Value>) -> Result<()> {
    let filled: Vec<&Value> = cells.into_iter().filter(|cell| !cell.is_null()).collect();
    let Some(first) = filled.first() else {
        return Ok(());
    };
    if let Some(other) = filled.iter().find(|cell| cell.kind() != first.kind()) {
        bail!(
            "`{name}` holds `{first}` and `{other}`, {} and {}: they have no order",
            first.kind().plural(),
            other.kind().plural()
        );
    }
    let items: Vec<&Value> = filled.iter().flat_map(|cell| cell.items()).collect();
    if items.iter().any(|item| item.is_null()) {
        bail!("`{name}` holds lists with empty items: they have no order");
    }
    if items.is_empty() {
        return Ok(());
    }
    comparable(name, items)
}

fn compare(a: &Value, b: &Value, order: Order) -> Ordering {
    match (a.is_null(), b.is_null(), order) {
        (true, _, _) | (_, true, _) => a.is_null().cmp(&b.is_null()),
        (_, _, Order::Ascending) => a.order(b).unwrap_or(Ordering::Equal),
        (_, _, Order::Descending) => b.order(a).unwrap_or(Ordering::Equal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::from_columns([
            (
                "n",
                vec![3.into(), Value::Null, 2.5.into(), 3.into(), (-1).into()],
            ),
            (
                "t",
                ["layer.10", "a", "layer.2", "layer.2", "b"]
                    .map(Value::from)
                    .to_vec(),
            ),
            ("i", (0..5).map(Value::from).collect()),
        ])
        .unwrap()
    }

    fn order(by: &[(&str, Order)]) -> Vec<f64> {
        table().sort(by).unwrap().numbers("i").unwrap()
    }

    #[test]
    fn rows_sort_stably_with_empty_cells_last() {
        use Order::{Ascending, Descending};
        assert_eq!(order(&[("n", Ascending)]), [4.0, 2.0, 0.0, 3.0, 1.0]);
        assert_eq!(order(&[("n", Descending)]), [0.0, 3.0, 2.0, 4.0, 1.0]);
        assert_eq!(order(&[("t", Ascending)]), [1.0, 4.0, 2.0, 3.0, 0.0]);
        let both = [("n", Ascending), ("t", Ascending)];
        assert_eq!(order(&both), [4.0, 2.0, 3.0, 0.0, 1.0]);
        assert_eq!(order(&[]), [0.0, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn mixed_kinds_have_no_order() {
        let fails = |cells: Vec<Value>| {
            let table = Table::from_columns([("x", cells)]).unwrap();
            table
                .sort(&[("x", Order::Ascending)])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            fails(vec![1.into(), "a".into()]),
            "`x` holds `1` and `a`, numbers and texts: they have no order"
        );
        let empty: [Value; 0] = [];
        let lists = vec![Value::list(empty), Value::list([1]), Value::list(["a"])];
        assert!(fails(lists).contains("no order"));
        assert!(fails(vec![Value::list([Value::Null])]).contains("empty items"));
        assert!(fails(vec![true.into(), 1.into()]).contains("true or false"));
    }
}
