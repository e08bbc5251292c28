//! From long to wide.

use super::{Aggregate, Column, Table, Value};
use crate::{Result, bail};

impl Table {
    /// A row for each distinct cell of `rows`, a column for each of `columns`, in them the cell of
    /// `values` where both meet, empty where no row has both. In order of first appearance. Where
    /// several rows meet at one place, `summary` of their cells stands there.
    pub fn pivot(
        &self,
        rows: &str,
        columns: &str,
        values: &str,
        summary: Aggregate,
    ) -> Result<Self> {
        let (down, across) = (self.groups_by(&[rows])?, self.groups_by(&[columns])?);
        self.column(values)?;
        let (left, top) = (self.column(rows)?, self.column(columns)?);
        if let Some(row) = top.iter().position(Value::is_null) {
            bail!("`{columns}` is empty in row {row}: it names no column"; hint: "filter such rows out first");
        }
        let mut met = vec![vec![Vec::new(); down.rows.len()]; across.rows.len()];
        for (row, (i, j)) in across.of_row.iter().zip(&down.of_row).enumerate() {
            met[*i][*j].push(row);
        }
        let wide = met
            .into_iter()
            .map(|column| {
                let cells = column
                    .iter()
                    .map(|rows| self.meeting(values, rows, summary));
                cells.collect::<Result<Vec<Value>>>()
            })
            .collect::<Result<Vec<_>>>()?;
        let firsts = down.rows.iter().map(|group| left[group[0]].clone());
        let mut out = vec![Column::new(rows, firsts.collect())?];
        for (group, cells) in across.rows.iter().zip(wide) {
            out.push(Column::new(&top[group[0]].to_string(), cells)?);
        }
        Self::of_columns(out, down.rows.len())
    }

    /// What stands where these rows meet.
    fn meeting(&self, values: &str, rows: &[usize], summary: Aggregate) -> Result<Value> {
        match (rows, summary) {
            ([], _) => Ok(Value::Null),
            // Of one cell these are the cell itself, which need be no number.
            (
                [row],
                Aggregate::Mean
                | Aggregate::Median
                | Aggregate::Min
                | Aggregate::Max
                | Aggregate::Sum,
            ) => Ok(self.column(values)?[*row].clone()),
            (rows, summary) => {
                let met = self
                    .take(rows)
                    .group(&[])?
                    .agg(&[(values, vec![summary])])?;
                let name = format!("{values}_{}", summary.name());
                Ok(met.column(&name)?.first().cloned().unwrap_or(Value::Null))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::from_columns([
            (
                "dataset",
                ["news", "films", "news"].map(Value::from).to_vec(),
            ),
            ("size", vec![3.into(), 2.into(), 2.into()]),
            ("drop", [0.1, 0.2, 0.3].map(Value::from).to_vec()),
        ])
        .unwrap()
    }

    #[test]
    fn long_becomes_wide() {
        let wide = table()
            .pivot("dataset", "size", "drop", Aggregate::Mean)
            .unwrap();
        let expected = Table::from_columns([
            ("dataset", vec!["news".into(), "films".into()]),
            ("3", vec![0.1.into(), Value::Null]),
            ("2", vec![0.3.into(), 0.2.into()]),
        ]);
        assert_eq!(wide, expected.unwrap());
    }

    #[test]
    fn where_several_rows_meet_their_summary_stands() {
        let more = Table::from_columns([
            ("dataset", vec!["news".into()]),
            ("size", vec![3.into()]),
            ("drop", vec![0.3.into()]),
        ]);
        let twice = Table::concat(&[table(), more.unwrap()]).unwrap();
        let at = |summary| {
            let wide = twice.pivot("dataset", "size", "drop", summary).unwrap();
            wide.column("3").unwrap().to_vec()
        };
        assert_eq!(at(Aggregate::Mean), [0.2.into(), Value::Null]);
        assert_eq!(at(Aggregate::N), [2.into(), Value::Null]);
        assert_eq!(at(Aggregate::Max), [0.3.into(), Value::Null]);
        let names = twice.pivot("size", "drop", "dataset", Aggregate::Mean);
        assert!(names.is_ok(), "cells that stand alone may be texts");
        let mixed = twice.pivot("dataset", "size", "dataset", Aggregate::Mean);
        assert!(mixed.is_err(), "texts have no mean");
        let wrong = table().pivot("dataset", "sizes", "drop", Aggregate::Mean);
        assert!(wrong.is_err());
    }
}
