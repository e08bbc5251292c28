//! Tables from columns and from rows.

use super::{Column, Table, Value};
use crate::{Error, Result, bail};

impl Column {
    pub(super) fn new(name: &str, cells: Vec<Value>) -> Result<Self> {
        for (row, cell) in cells.iter().enumerate() {
            cell.check()
                .map_err(|error| error.within(format!("row {row} of `{name}`")))?;
        }
        Ok(Self {
            name: name.into(),
            cells: cells.into(),
        })
    }
}

impl Table {
    /// A table of these columns: unlike names, equal lengths, finite numbers.
    pub fn from_columns<N: AsRef<str>>(
        columns: impl IntoIterator<Item = (N, Vec<Value>)>,
    ) -> Result<Self> {
        let columns = columns
            .into_iter()
            .map(|(name, cells)| Column::new(name.as_ref(), cells))
            .collect::<Result<Vec<_>>>()?;
        let rows = columns.first().map_or(0, |column| column.cells.len());
        Self::of_columns(columns, rows)
    }

    /// A table of rows of (name, cell) with its columns in `order`.
    ///
    /// Every row has exactly the names of `order`, in any order of its own.
    pub fn from_rows<N: AsRef<str>>(rows: &[Vec<(N, Value)>], order: &[&str]) -> Result<Self> {
        let mut columns: Vec<Vec<Value>> = vec![Vec::with_capacity(rows.len()); order.len()];
        for (at, row) in rows.iter().enumerate() {
            for (name, column) in order.iter().zip(&mut columns) {
                let mut found = row.iter().filter(|(key, _)| key.as_ref() == *name);
                match (found.next(), found.next()) {
                    (Some((_, cell)), None) => column.push(cell.clone()),
                    (None, _) => return Err(missing(at, name, row)),
                    (Some(_), Some(_)) => bail!("row {at} has `{name}` twice"),
                }
            }
            let stray = row.iter().find(|(key, _)| !order.contains(&key.as_ref()));
            if let Some((key, _)) = stray {
                bail!(
                    "row {at} has `{}`, which is not among the columns {}",
                    key.as_ref(),
                    order.join(", ")
                );
            }
        }
        Self::of_columns(
            order
                .iter()
                .zip(columns)
                .map(|(name, cells)| Column::new(name, cells))
                .collect::<Result<_>>()?,
            rows.len(),
        )
    }

    /// The one door to a table: names are there and unlike, lengths equal.
    pub(super) fn of_columns(columns: Vec<Column>, rows: usize) -> Result<Self> {
        for (at, column) in columns.iter().enumerate() {
            let name = &column.name;
            if name.is_empty() {
                bail!("column {at} has no name");
            }
            if columns[..at].iter().any(|earlier| earlier.name == *name) {
                bail!("two columns are called `{name}`"; hint: "rename one");
            }
            if column.cells.len() != rows {
                bail!(
                    "column `{name}` has {} cells, expected {rows}",
                    column.cells.len()
                );
            }
        }
        let rows = if columns.is_empty() { 0 } else { rows };
        Ok(Self {
            columns: columns.into(),
            rows,
        })
    }
}

fn missing<N: AsRef<str>>(at: usize, name: &str, row: &[(N, Value)]) -> Error {
    let keys: Vec<&str> = row.iter().map(|(key, _)| key.as_ref()).collect();
    let error = Error::new(format!("row {at} has no `{name}`"));
    match crate::nearest(name, keys.iter().copied()) {
        Some(meant) => error.hint(format!("it has `{meant}`")),
        None => error.hint(format!("it has {}", keys.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(table: Result<Table>) -> String {
        table.unwrap_err().to_string()
    }

    #[test]
    fn rows_take_the_order_they_are_given() {
        let rows = vec![
            vec![("drop", 0.1.into()), ("size", 2.into())],
            vec![("size", 3.into()), ("drop", 0.2.into())],
        ];
        let table = Table::from_rows(&rows, &["size", "drop"]).unwrap();
        assert_eq!(table.columns(), ["size", "drop"]);
        assert_eq!(table.column("size").unwrap(), [2.into(), 3.into()]);
        let columns = Table::from_columns([
            ("size", vec![2.into(), 3.into()]),
            ("drop", vec![0.1.into(), 0.2.into()]),
        ]);
        assert_eq!(table, columns.unwrap());
        assert_eq!(
            table.row(1).unwrap(),
            [("size", &3.into()), ("drop", &0.2.into())]
        );
        assert!(table.row(2).is_err());
    }

    #[test]
    fn ragged_and_ambiguous_tables_are_refused() {
        let row = |pairs: &[(&'static str, i64)]| -> Vec<(&'static str, Value)> {
            pairs.iter().map(|(k, v)| (*k, Value::from(*v))).collect()
        };
        let of = |rows: &[Vec<(&'static str, Value)>]| line(Table::from_rows(rows, &["a", "size"]));
        assert_eq!(
            of(&[row(&[("a", 1), ("size", 1)]), row(&[("a", 1), ("sise", 1)])]),
            "row 1 has no `size`; it has `sise`"
        );
        assert_eq!(
            of(&[row(&[("a", 1), ("size", 1), ("b", 1)])]),
            "row 0 has `b`, which is not among the columns a, size"
        );
        assert_eq!(
            of(&[row(&[("a", 1), ("a", 2), ("size", 1)])]),
            "row 0 has `a` twice"
        );
        let cells = |n: usize| vec![Value::Int(1); n];
        assert_eq!(
            line(Table::from_columns([("a", cells(2)), ("b", cells(1))])),
            "column `b` has 1 cells, expected 2"
        );
        assert_eq!(
            line(Table::from_columns([("a", cells(1)), ("a", cells(1))])),
            "two columns are called `a`; rename one"
        );
        assert!(line(Table::from_columns([("", cells(1))])).contains("no name"));
        assert_eq!(
            line(Table::from_columns([(
                "a",
                vec![1.0.into(), f64::NAN.into()]
            )])),
            "row 1 of `a`: NaN is not a finite number; leave the cell empty instead"
        );
    }

    #[test]
    fn an_unknown_column_names_the_nearest() {
        let table =
            Table::from_columns([("size", vec![Value::Int(1)]), ("drop", vec![2.into()])]).unwrap();
        let text = table.column("siz").unwrap_err().to_string();
        assert_eq!(
            text,
            "there is no column `siz`; did you mean `size`? the columns are size, drop"
        );
        assert!(table.select(&["accuracy"]).is_err());
        assert!(table.unique("x").is_err());
        assert!(table.rename(&[("x", "y")]).is_err());
    }

    #[test]
    fn columns_are_added_chosen_and_renamed() {
        let table = Table::from_columns([("a", vec![Value::Int(1), 2.into()])]).unwrap();
        let table = table
            .with_column("b", vec!["x".into(), "y".into()])
            .unwrap();
        let swapped = table.rename(&[("a", "b"), ("b", "a")]).unwrap();
        assert_eq!(swapped.columns(), ["b", "a"]);
        assert_eq!(swapped.column("a").unwrap(), table.column("b").unwrap());
        assert_eq!(table.select(&["b"]).unwrap().columns(), ["b"]);
        assert_eq!(table.first(1).len(), 1);
        assert_eq!(table.first(9), table);
        assert!(table.with_column("a", vec![1.into(), 2.into()]).is_err());
        assert!(table.with_column("c", vec![1.into()]).is_err());
        assert!(table.rename(&[("a", "b")]).is_err());
        assert!(table.select(&["a", "a"]).is_err());
        assert_eq!(table.numbers("a").unwrap(), [1.0, 2.0]);
        assert!(
            table
                .numbers("b")
                .unwrap_err()
                .to_string()
                .contains("row 0")
        );
    }
}
