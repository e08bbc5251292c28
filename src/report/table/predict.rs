//! How well columns of a table predict another.

use super::{Table, Value};
use crate::Result;
use crate::stats::{Named, predict};

impl Table {
    /// How well each of several sets of columns predicts `y`: a Table with columns, r2, r2_left_out,
    /// n and groups (see [`predict`]). `leave_out` is the column whose values make the groups.
    pub fn predict(&self, y: &str, sets: &[Vec<String>], leave_out: &str) -> Result<Self> {
        let target = self.numbers(y)?;
        let groups = self.groups_by(&[leave_out])?.of_row;
        let rows = sets
            .iter()
            .map(|names| {
                let columns = names
                    .iter()
                    .map(|name| Ok((name, self.numbers(name)?)))
                    .collect::<Result<Vec<_>>>()?;
                let columns: Vec<Named> = columns.iter().map(|(n, v)| Named::new(n, v)).collect();
                predict(Named::new(y, &target), &columns, &groups)
            })
            .collect::<Result<Vec<_>>>()?;
        let whole = |n: usize| Value::Int(n as i64);
        Self::from_columns([
            (
                "columns",
                sets.iter()
                    .map(|names| Value::list(names.iter().map(Value::text)))
                    .collect(),
            ),
            ("r2", rows.iter().map(|p| Value::Float(p.r2)).collect()),
            (
                "r2_left_out",
                rows.iter().map(|p| Value::Float(p.r2_left_out)).collect(),
            ),
            ("n", rows.iter().map(|p| whole(p.n)).collect()),
            ("groups", rows.iter().map(|p| whole(p.groups)).collect()),
        ])
    }
}
