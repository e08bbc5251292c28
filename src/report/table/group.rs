//! Rows in groups, and what each group sums up to.

use std::str::FromStr;

use super::key::Groups;
use super::{Column, Table, Value};
use crate::stats::{self, choose};
use crate::{Error, Result, bail};

/// A summary of a group's cells. Empty cells are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// The arithmetic mean.
    Mean,
    /// The standard deviation (divisor n - 1); empty for fewer than two cells.
    Sd,
    /// How many cells are filled; of any kind.
    N,
    /// Half the width of the mean's 95 % interval (Student's t); empty for fewer than two cells.
    Ci95,
    /// The middle.
    Median,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The sum; whole where the cells are.
    Sum,
}

impl Aggregate {
    const ALL: [(&str, Self); 8] = [
        ("mean", Self::Mean),
        ("sd", Self::Sd),
        ("n", Self::N),
        ("ci95", Self::Ci95),
        ("median", Self::Median),
        ("min", Self::Min),
        ("max", Self::Max),
        ("sum", Self::Sum),
    ];

    /// The name that follows the column's: `accuracy_mean`.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    fn of(self, cells: &[&Value], numbers: &[f64]) -> Result<Value> {
        let n = numbers.len();
        Ok(match self {
            Self::N => cells.len().into(),
            Self::Sum => sum(cells, numbers)?,
            Self::Mean | Self::Median | Self::Min | Self::Max if n == 0 => Value::Null,
            Self::Sd | Self::Ci95 if n < 2 => Value::Null,
            Self::Mean => stats::mean(numbers)?.into(),
            Self::Sd => stats::sd(numbers)?.into(),
            Self::Ci95 => stats::ci95(numbers)?.into(),
            Self::Median => stats::median(numbers)?.into(),
            Self::Min => extreme(cells, numbers, |a, b| a < b),
            Self::Max => extreme(cells, numbers, |a, b| a > b),
        })
    }
}

impl FromStr for Aggregate {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        choose("summary", name, &Self::ALL)
    }
}

/// A whole sum of whole cells, so that counts stay counts.
fn sum(cells: &[&Value], numbers: &[f64]) -> Result<Value> {
    let mut whole: i64 = 0;
    for cell in cells {
        let Value::Int(value) = cell else {
            return Ok(numbers.iter().sum::<f64>().into());
        };
        whole = match whole.checked_add(*value) {
            Some(sum) => sum,
            None => bail!("the sum is beyond whole numbers"),
        };
    }
    Ok(whole.into())
}

fn extreme(cells: &[&Value], numbers: &[f64], beats: fn(f64, f64) -> bool) -> Value {
    let mut best = 0;
    for at in 1..numbers.len() {
        if beats(numbers[at], numbers[best]) {
            best = at;
        }
    }
    cells[best].clone()
}

/// A table's rows in groups that agree in some columns.
#[derive(Debug, Clone)]
pub struct Grouped {
    table: Table,
    keys: Vec<String>,
    groups: Groups,
}

impl Table {
    /// The rows grouped by their cells in `keys`, groups in the order in which they first appear;
    /// without keys all rows are one group.
    pub fn group(&self, keys: &[&str]) -> Result<Grouped> {
        Ok(Grouped {
            table: self.clone(),
            keys: keys.iter().map(ToString::to_string).collect(),
            groups: self.groups_by(keys)?,
        })
    }
}

impl Grouped {
    /// The columns that the rows of a group agree in.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// How many groups.
    pub fn len(&self) -> usize {
        self.groups.rows.len()
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.groups.rows.is_empty()
    }

    /// The keys and rows of each group, as a table.
    pub fn tables(&self) -> Vec<Table> {
        let rows = self.groups.rows.iter();
        rows.map(|rows| self.table.take(rows)).collect()
    }

    /// A row a group: its keys, then each column's summaries, named `accuracy_mean`.
    pub fn agg(&self, summaries: &[(&str, Vec<Aggregate>)]) -> Result<Table> {
        let mut columns = Vec::new();
        let groups = &self.groups.rows;
        for key in &self.keys {
            let cells = self.table.column(key)?;
            let firsts = groups.iter().map(|rows| cells[rows[0]].clone());
            columns.push(Column::new(key, firsts.collect())?);
        }
        for (name, aggregates) in summaries {
            if aggregates.is_empty() {
                bail!("`{name}` has no summary to make of it"; hint: "such as [\"mean\"]");
            }
            let groups = self.filled(name)?;
            let counted = aggregates.iter().all(|a| *a == Aggregate::N);
            let numbers = groups
                .iter()
                .map(|cells| {
                    if counted {
                        Ok(Vec::new())
                    } else {
                        numbers(name, cells)
                    }
                })
                .collect::<Result<Vec<_>>>()?;
            for aggregate in aggregates {
                let title = format!("{name}_{}", aggregate.name());
                let pairs = groups.iter().zip(&numbers);
                let cells = pairs.map(|(cells, numbers)| aggregate.of(cells, numbers));
                let cells = cells.collect::<Result<_>>();
                let cells = cells.map_err(|error| error.within(&title))?;
                columns.push(Column::new(&title, cells)?);
            }
        }
        Table::of_columns(columns, groups.len())
    }

    /// The filled cells of a column, by group.
    fn filled(&self, name: &str) -> Result<Vec<Vec<&Value>>> {
        let cells = self.table.column(name)?;
        let of = |rows: &Vec<usize>| {
            let cells = rows.iter().map(|&row| &cells[row]);
            cells.filter(|cell| !cell.is_null()).collect()
        };
        Ok(self.groups.rows.iter().map(of).collect())
    }
}

fn numbers(name: &str, cells: &[&Value]) -> Result<Vec<f64>> {
    let number = |cell: &&Value| match cell.number() {
        Some(number) => Ok(number),
        None => {
            bail!("`{name}` holds `{cell}`, expected a number"; hint: "of such a column only n can be told")
        }
    };
    cells.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::from_columns([
            ("size", vec![3.into(), 2.into(), 3.into(), 3.into()]),
            (
                "drop",
                vec![0.5.into(), 0.25.into(), 1.5.into(), Value::Null],
            ),
            ("n", vec![1.into(), 2.into(), 3.into(), 4.into()]),
            ("name", ["a", "b", "c", "d"].map(Value::from).to_vec()),
        ])
        .unwrap()
    }

    #[test]
    fn names_and_aggregates_agree() {
        for (name, aggregate) in Aggregate::ALL {
            assert_eq!(aggregate.name(), name);
            assert_eq!(name.parse::<Aggregate>().unwrap(), aggregate);
        }
        let error = "maen".parse::<Aggregate>().unwrap_err().to_string();
        assert_eq!(error, "no summary is called `maen`; did you mean `mean`?");
    }

    #[test]
    fn groups_sum_up_in_order_of_appearance() {
        use Aggregate::*;
        let all = vec![Mean, Sd, N, Median, Min, Max, Sum];
        let grouped = table().group(&["size"]).unwrap();
        assert_eq!(grouped.len(), 2);
        assert_eq!(grouped.tables()[0].len(), 3);
        let table = grouped
            .agg(&[("drop", all), ("n", vec![Sum, Max])])
            .unwrap();
        assert_eq!(
            table.columns(),
            [
                "size",
                "drop_mean",
                "drop_sd",
                "drop_n",
                "drop_median",
                "drop_min",
                "drop_max",
                "drop_sum",
                "n_sum",
                "n_max"
            ]
        );
        let row = |at: usize| -> Vec<Value> {
            table
                .row(at)
                .unwrap()
                .into_iter()
                .map(|(_, cell)| cell.clone())
                .collect()
        };
        let half = 0.5f64.sqrt();
        let first: [Value; 10] = [
            3.into(),
            1.0.into(),
            half.into(),
            2.into(),
            1.0.into(),
            0.5.into(),
            1.5.into(),
            2.0.into(),
            8.into(),
            4.into(),
        ];
        assert_eq!(row(0), first);
        assert_eq!(row(1)[2], Value::Null);
        assert_eq!(row(1)[3], Value::Int(1));
    }

    #[test]
    fn only_numbers_have_a_mean() {
        let grouped = table().group(&[]).unwrap();
        assert_eq!(grouped.len(), 1);
        let counts = grouped.agg(&[("name", vec![Aggregate::N])]).unwrap();
        assert_eq!(counts.column("name_n").unwrap(), [Value::Int(4)]);
        let fails = |column: &str, of: Vec<Aggregate>| {
            grouped
                .agg(&[(column, of)])
                .err()
                .map(|e| e.to_string())
                .unwrap()
        };
        assert!(fails("name", vec![Aggregate::Mean]).contains("`name` holds `a`"));
        assert!(fails("nam", vec![Aggregate::N]).contains("did you mean `name`"));
        assert!(fails("n", vec![]).contains("no summary"));
        assert!(fails("n", vec![Aggregate::N, Aggregate::N]).contains("two columns"));
        assert!(table().group(&["siz"]).is_err());
        let big = Table::from_columns([("x", vec![i64::MAX.into(), 1.into()])]).unwrap();
        assert!(
            big.group(&[])
                .unwrap()
                .agg(&[("x", vec![Aggregate::Sum])])
                .is_err()
        );
    }
}
