//! Tables: named columns of cells, never changed once made.
//!
//! Whatever asks for a column that is not there, a key that is missing or a comparison of unlike
//! things gets an error, never an empty answer. Every operation gives a new table that shares the
//! columns it keeps, so a copy costs nothing.

mod build;
mod compare;
mod correlate;
mod encode;
mod filter;
mod group;
mod id;
mod join;
mod key;
mod number;
mod pivot;
mod predict;
mod read;
mod render;
mod sort;
mod value;

#[cfg(test)]
pub(crate) mod laws;

pub use compare::CompareOptions;
pub use correlate::CorrelateOptions;
pub use encode::Format;
pub use filter::Condition;
pub use group::{Aggregate, Grouped};
pub use join::How;
pub use read::{CellType, ReadOptions};
pub use sort::Order;
pub use value::Value;

use std::sync::Arc;

use crate::{Error, Result, bail, nearest, text};

/// Named columns of equal length, in an order that operations keep.
///
/// Cheap to copy. Equal tables have equal names, order and cells; `2` and `2.0` differ here.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    columns: Arc<[Column]>,
    rows: usize,
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    name: Arc<str>,
    cells: Arc<[Value]>,
}

impl Table {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The columns' names, in order.
    pub fn columns(&self) -> Vec<&str> {
        self.columns.iter().map(|c| &*c.name).collect()
    }

    /// Whether there is a column of this name.
    pub fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|c| &*c.name == name)
    }

    /// The cells of a column.
    pub fn column(&self, name: &str) -> Result<&[Value]> {
        Ok(&self.columns[self.position(name)?].cells)
    }

    /// The cells of a column as numbers (true is 1, false 0); an error names the first that is none.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        let cells = self.column(name)?;
        let number = |(row, cell): (usize, &Value)| match cell.number() {
            Some(number) => Ok(number),
            None if cell.is_null() => {
                bail!("`{name}` is empty in row {row}, expected a number"; hint: "filter such rows out first")
            }
            None => bail!("`{name}` is `{cell}` in row {row}, expected a number"),
        };
        // In a column of texts the culprit is the cell that is written as no number.
        let odd = |cell: &&Value| matches!(cell, Value::Text(text) if text::number(text).is_none());
        if cells.iter().any(|cell| matches!(cell, Value::Text(_)))
            && let Some(row) = cells.iter().position(|cell| odd(&cell))
        {
            bail!(
                "`{name}` is `{}` in row {row}, expected a number",
                cells[row]
            );
        }
        cells.iter().enumerate().map(number).collect()
    }

    /// One row, 0 the first: names and cells in column order.
    pub fn row(&self, row: usize) -> Result<Vec<(&str, &Value)>> {
        if row >= self.rows {
            bail!("there is no row {row} in a table of {}", self.rows; hint: "rows count from 0");
        }
        let cells = self.columns.iter().map(|c| (&*c.name, &c.cells[row]));
        Ok(cells.collect())
    }

    /// The first `n` rows, all where there are fewer.
    #[must_use]
    pub fn first(&self, n: usize) -> Self {
        let rows: Vec<usize> = (0..self.rows.min(n)).collect();
        self.take(&rows)
    }

    /// These columns, in this order.
    pub fn select(&self, names: &[&str]) -> Result<Self> {
        let chosen = names
            .iter()
            .map(|name| Ok(self.columns[self.position(name)?].clone()))
            .collect::<Result<Vec<_>>>()?;
        Self::of_columns(chosen, self.rows)
    }

    /// The table with one more column at its end.
    pub fn with_column(&self, name: &str, cells: Vec<Value>) -> Result<Self> {
        if self.has(name) {
            bail!("there already is a column `{name}`"; hint: "choose another name, or rename the first");
        }
        let mut columns = self.columns.to_vec();
        let rows = if columns.is_empty() {
            cells.len()
        } else {
            self.rows
        };
        columns.push(Column::new(name, cells)?);
        Self::of_columns(columns, rows)
    }

    /// The table with columns renamed, each pair (from, to); all at once, so names may be swapped.
    pub fn rename(&self, names: &[(&str, &str)]) -> Result<Self> {
        let mut columns = self.columns.to_vec();
        for (at, (from, to)) in names.iter().enumerate() {
            if names[..at].iter().any(|(earlier, _)| earlier == from) {
                bail!("`{from}` is renamed twice");
            }
            columns[self.position(from)?].name = (*to).into();
        }
        Self::of_columns(columns, self.rows)
    }

    /// The distinct cells of a column, in the order in which they first appear.
    pub fn unique(&self, name: &str) -> Result<Vec<Value>> {
        let cells = self.column(name)?;
        let groups = key::Groups::new(key::Key::of_rows(&[cells], self.rows));
        Ok(groups.rows.iter().map(|g| cells[g[0]].clone()).collect())
    }

    /// The rows at these places, in this order; places are below `len`.
    fn take(&self, rows: &[usize]) -> Self {
        let columns = self.columns.iter().map(|column| Column {
            name: column.name.clone(),
            cells: rows.iter().map(|&row| column.cells[row].clone()).collect(),
        });
        Self {
            columns: columns.collect(),
            rows: rows.len(),
        }
    }

    /// The place of a column, or an error with its nearest name and the names there are.
    fn position(&self, name: &str) -> Result<usize> {
        if let Some(at) = self.columns.iter().position(|c| &*c.name == name) {
            return Ok(at);
        }
        let known = self.columns();
        let there = format!("the columns are {}", known.join(", "));
        let error = Error::new(format!("there is no column `{name}`"));
        Err(match nearest(name, known.iter().copied()) {
            Some(meant) => error.hint(format!("did you mean `{meant}`? {there}")),
            None if known.is_empty() => error.hint("the table has no columns"),
            None => error.hint(there),
        })
    }

    /// The cells of several columns.
    fn cells_of(&self, names: &[&str]) -> Result<Vec<&[Value]>> {
        names.iter().map(|name| self.column(name)).collect()
    }

    /// The rows grouped by the cells of several columns.
    fn groups_by(&self, names: &[&str]) -> Result<key::Groups> {
        let cells = self.cells_of(names)?;
        Ok(key::Groups::new(key::Key::of_rows(&cells, self.rows)))
    }
}
