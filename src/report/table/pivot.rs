//! From long to wide.

use super::{Column, Table, Value};
use crate::{Result, bail};

impl Table {
    /// A row for each distinct cell of `rows`, a column for each of `columns`, in them the cell of
    /// `values` where both meet, empty where no row has both. In order of first appearance.
    ///
    /// Two rows that meet at one place are an error: group them first.
    pub fn pivot(&self, rows: &str, columns: &str, values: &str) -> Result<Self> {
        let (down, across) = (self.groups_by(&[rows])?, self.groups_by(&[columns])?);
        let cells = self.column(values)?;
        let (left, top) = (self.column(rows)?, self.column(columns)?);
        if let Some(row) = top.iter().position(Value::is_null) {
            bail!("`{columns}` is empty in row {row}: it names no column"; hint: "filter such rows out first");
        }
        let mut wide = vec![vec![Value::Null; down.rows.len()]; across.rows.len()];
        let mut met = vec![vec![None; down.rows.len()]; across.rows.len()];
        for (row, cell) in cells.iter().enumerate() {
            let (i, j) = (across.of_row[row], down.of_row[row]);
            if let Some(earlier) = met[i][j].replace(row) {
                bail!(
                    "rows {earlier} and {row} both have `{rows}` {} and `{columns}` {}",
                    left[row], top[row];
                    hint: "group by both and take a summary first"
                );
            }
            wide[i][j] = cell.clone();
        }
        let firsts = down.rows.iter().map(|group| left[group[0]].clone());
        let mut out = vec![Column::new(rows, firsts.collect())?];
        for (group, cells) in across.rows.iter().zip(wide) {
            out.push(Column::new(&top[group[0]].to_string(), cells)?);
        }
        Self::of_columns(out, down.rows.len())
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
        let wide = table().pivot("dataset", "size", "drop").unwrap();
        let expected = Table::from_columns([
            ("dataset", vec!["news".into(), "films".into()]),
            ("3", vec![0.1.into(), Value::Null]),
            ("2", vec![0.3.into(), 0.2.into()]),
        ]);
        assert_eq!(wide, expected.unwrap());
    }

    #[test]
    fn a_place_holds_one_cell() {
        let twice = Table::concat(&[table(), table().first(1)]).unwrap();
        let error = twice.pivot("dataset", "size", "drop").unwrap_err();
        assert!(error.to_string().contains("rows 0 and 3"), "{error}");
        assert!(table().pivot("dataset", "sizes", "drop").is_err());
    }
}
