//! Choosing rows.

use std::cmp::Ordering;

use super::key::Key;
use super::value::Kind;
use super::{Table, Value};
use crate::{Result, bail};

/// What a cell must be for its row to stay. An empty cell meets only `Equals(Null)`.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Equal to this value; 2 and 2.0 are equal.
    Equals(Value),
    /// Equal to one of these values.
    OneOf(Vec<Value>),
    /// A number of at least `from` and below `to`, or at most `to` where `inclusive`.
    Between {
        /// The least number that stays.
        from: Value,
        /// The end.
        to: Value,
        /// Whether the end itself stays.
        inclusive: bool,
    },
}

impl Condition {
    /// Between two numbers, whole or not.
    pub fn between(from: impl Into<Value>, to: impl Into<Value>, inclusive: bool) -> Self {
        Self::Between {
            from: from.into(),
            to: to.into(),
            inclusive,
        }
    }

    /// Whether `cell` meets the condition; an error where they are unlike things.
    fn meets(&self, cell: &Value) -> Result<bool> {
        match self {
            Self::Equals(value) => equal(cell, value),
            Self::OneOf(values) => {
                // The values may be of several kinds, as a column's cells may: one that is like
                // the cell will do.
                let (mut alike, mut unlike) = (false, None);
                for value in values {
                    match equal(cell, value) {
                        Ok(true) => return Ok(true),
                        Ok(false) => alike = true,
                        Err(error) => unlike = Some(error),
                    }
                }
                match unlike {
                    Some(error) if !alike => Err(error),
                    _ => Ok(false),
                }
            }
            Self::Between {
                from,
                to,
                inclusive,
            } => {
                if cell.is_null() {
                    return Ok(false);
                }
                for value in [cell, from, to] {
                    if value.kind() != Kind::Number {
                        bail!("`{value}` is no number, so it lies in no range");
                    }
                }
                let above = cell.order(from).is_some_and(Ordering::is_ge);
                let below = cell
                    .order(to)
                    .is_some_and(|order| order.is_lt() || (*inclusive && order.is_eq()));
                Ok(above && below)
            }
        }
    }
}

fn equal(cell: &Value, value: &Value) -> Result<bool> {
    let (a, b) = (cell.kind(), value.kind());
    if a != b && a != Kind::Null && b != Kind::Null {
        bail!(
            "`{cell}` and `{value}` do not compare: one is of {}, the other of {}",
            a.plural(),
            b.plural()
        );
    }
    Ok(Key::new([cell]) == Key::new([value]))
}

impl Table {
    /// The rows that meet every condition, each on a column.
    pub fn where_(&self, conditions: &[(&str, Condition)]) -> Result<Self> {
        let mut kept = vec![true; self.len()];
        for (name, condition) in conditions {
            let cells = self.column(name)?;
            for (row, (kept, cell)) in kept.iter_mut().zip(cells).enumerate() {
                let met = condition.meets(cell);
                *kept &= met.map_err(|error| error.within(format!("row {row} of `{name}`")))?;
            }
        }
        self.filter(&kept)
    }

    /// The rows at which `kept` is true.
    pub fn filter(&self, kept: &[bool]) -> Result<Self> {
        if kept.len() != self.len() {
            bail!("{} verdicts for {} rows", kept.len(), self.len());
        }
        let rows: Vec<usize> = (0..self.len()).filter(|&row| kept[row]).collect();
        Ok(self.take(&rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::from_columns([
            ("size", vec![2.into(), 3.into(), 4.0.into(), Value::Null]),
            ("name", ["a", "b", "c", "d"].map(Value::from).to_vec()),
        ])
        .unwrap()
    }

    fn names(conditions: &[(&str, Condition)]) -> String {
        let table = table().where_(conditions).unwrap();
        table
            .column("name")
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn conditions_choose_rows() {
        assert_eq!(names(&[("size", Condition::Equals(2.0.into()))]), "a");
        assert_eq!(names(&[("size", Condition::Equals(Value::Null))]), "d");
        let some = Condition::OneOf(vec![2.into(), 4.into()]);
        assert_eq!(names(&[("size", some.clone())]), "ac");
        assert_eq!(names(&[("size", Condition::OneOf(vec![]))]), "");
        assert_eq!(names(&[("size", Condition::between(2, 4, false))]), "ab");
        assert_eq!(names(&[("size", Condition::between(2, 4, true))]), "abc");
        assert_eq!(names(&[("size", Condition::between(2.5, 4.0, true))]), "bc");
        let both = [("size", some), ("name", Condition::Equals("c".into()))];
        assert_eq!(names(&both), "c");
        assert_eq!(names(&[]), "abcd");
    }

    #[test]
    fn unlike_things_do_not_compare() {
        let fails = |name: &str, condition: Condition| {
            table()
                .where_(&[(name, condition)])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            fails("size", Condition::Equals("2".into())),
            "row 0 of `size`: `2` and `2` do not compare: one is of numbers, the other of texts"
        );
        assert!(fails("name", Condition::between(1, 2, true)).contains("no number"));
        assert!(fails("name", Condition::OneOf(vec![1.into()])).contains("do not compare"));
        let mixed = Condition::OneOf(vec!["c".into(), 1.into()]);
        assert_eq!(names(&[("name", mixed)]), "c");
        assert!(fails("sise", Condition::Equals(1.into())).contains("did you mean `size`"));
        assert!(table().filter(&[true]).is_err());
    }
}
