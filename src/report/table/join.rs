//! Tables put below or beside each other.

use super::key::{Groups, Key};
use super::value::Kind;
use super::{Column, Table, Value};
use crate::stats::choose;
use crate::{Error, Result, bail};

/// Which rows without a partner a join keeps, their missing cells empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum How {
    /// None.
    #[default]
    Inner,
    /// The left table's.
    Left,
    /// Both tables'.
    Outer,
}

impl How {
    const ALL: [(&str, Self); 3] = [
        ("inner", Self::Inner),
        ("left", Self::Left),
        ("outer", Self::Outer),
    ];
}

impl std::str::FromStr for How {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        choose("join", name, &Self::ALL)
    }
}

impl Table {
    /// The rows of all tables below each other, columns in the order of the first. Every table has
    /// the same columns, in any order.
    pub fn concat(tables: &[Self]) -> Result<Self> {
        let Some(first) = tables.first() else {
            bail!("there is no table to put below another");
        };
        let names = first.columns();
        for (at, table) in tables.iter().enumerate().skip(1) {
            let theirs = table.columns();
            if let Some(name) = names.iter().find(|name| !theirs.contains(name)) {
                bail!("table {at} has no column `{name}`, which table 0 has");
            }
            if let Some(name) = theirs.iter().find(|name| !names.contains(name)) {
                bail!("table {at} has a column `{name}`, which table 0 has not");
            }
        }
        let columns = names.iter().map(|name| {
            let mut cells = Vec::new();
            for table in tables {
                cells.extend_from_slice(table.column(name)?);
            }
            Column::new(name, cells)
        });
        let rows = tables.iter().map(Self::len).sum();
        Self::of_columns(columns.collect::<Result<_>>()?, rows)
    }

    /// How many rows [`Table::join`] gives at the most, without making them.
    pub fn joined_rows(&self, other: &Self, keys: &[&str]) -> Result<u128> {
        let (mine, theirs) = (self.keys(keys)?, other.keys(keys)?);
        let groups = Groups::new(theirs);
        let partners = |key: &Key| groups.find(key).map_or(1, |group| groups.rows[group].len());
        let met: u128 = mine.iter().map(|key| partners(key) as u128).sum();
        Ok(met + other.len() as u128)
    }

    /// The rows of both tables beside each other where their `keys` agree; a row with several
    /// partners stands once for each.
    ///
    /// Columns: this table's, then the other's without the keys. Rows: in this table's order, a
    /// row's partners in the other's order, then (outer) the other's rows without a partner. Keys
    /// are never empty. A column of the other that both have and that is no key comes with
    /// `suffix` behind its name.
    pub fn join(&self, other: &Self, keys: &[&str], how: How, suffix: &str) -> Result<Self> {
        if keys.is_empty() {
            bail!("a join needs at least one key column");
        }
        let (mine, theirs) = (self.keys(keys)?, other.keys(keys)?);
        for key in keys {
            same_kind(key, self.column(key)?, other.column(key)?)?;
        }
        let added: Vec<(&str, String)> = other
            .columns()
            .into_iter()
            .filter(|name| !keys.contains(name))
            .map(|name| match self.has(name) {
                true => (name, format!("{name}{suffix}")),
                false => (name, name.to_string()),
            })
            .collect();
        for (at, (name, new)) in added.iter().enumerate() {
            if self.has(new) || added[..at].iter().any(|(_, before)| before == new) {
                bail!("both tables have a column `{name}` that is no key, and `{new}` is taken"; hint: "rename one of them, or give another suffix");
            }
        }
        let pairs = pairs(&mine, theirs, how);
        let mut columns = Vec::with_capacity(self.columns.len() + added.len());
        for column in self.columns.iter() {
            let key = keys.contains(&&*column.name);
            let there = if key {
                Some(other.column(&column.name)?)
            } else {
                None
            };
            let cell = |&(left, right): &(Option<usize>, Option<usize>)| match (left, right, there)
            {
                (Some(left), _, _) => column.cells[left].clone(),
                (None, Some(right), Some(there)) => there[right].clone(),
                _ => Value::Null,
            };
            columns.push(Column::new(&column.name, pairs.iter().map(cell).collect())?);
        }
        for (name, new) in &added {
            let there = other.column(name)?;
            let cell = |&(_, right): &(Option<usize>, Option<usize>)| {
                right.map_or(Value::Null, |right| there[right].clone())
            };
            columns.push(Column::new(new, pairs.iter().map(cell).collect())?);
        }
        Self::of_columns(columns, pairs.len())
    }

    /// The key of each row; an error where a key cell is empty.
    fn keys(&self, names: &[&str]) -> Result<Vec<Key>> {
        let cells = self.cells_of(names)?;
        for (name, column) in names.iter().zip(&cells) {
            if let Some(row) = column.iter().position(Value::is_null) {
                bail!("the key `{name}` is empty in row {row}"; hint: "filter such rows out first");
            }
        }
        Ok(Key::of_rows(&cells, self.len()))
    }
}

/// Which rows stand beside each other.
fn pairs(mine: &[Key], theirs: Vec<Key>, how: How) -> Vec<(Option<usize>, Option<usize>)> {
    let groups = Groups::new(theirs);
    let mut met = vec![false; groups.rows.len()];
    let mut pairs = Vec::new();
    for (left, key) in mine.iter().enumerate() {
        match groups.find(key) {
            Some(group) => {
                met[group] = true;
                let rights = &groups.rows[group];
                pairs.extend(rights.iter().map(|&right| (Some(left), Some(right))));
            }
            None if how != How::Inner => pairs.push((Some(left), None)),
            None => {}
        }
    }
    if how == How::Outer {
        let alone = groups.of_row.iter().enumerate().filter(|(_, g)| !met[**g]);
        pairs.extend(alone.map(|(right, _)| (None, Some(right))));
    }
    pairs
}

/// Keys of unlike kinds would never meet, silently.
fn same_kind(name: &str, mine: &[Value], theirs: &[Value]) -> Result<()> {
    let kinds = |cells: &[Value]| -> Vec<Kind> { cells.iter().map(Value::kind).collect() };
    let (a, b) = (kinds(mine), kinds(theirs));
    match (a.first(), b.first()) {
        (Some(x), Some(y)) if !b.contains(x) && !a.contains(y) => bail!(
            "the key `{name}` holds {} here and {} there: they never agree",
            x.plural(),
            y.plural()
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left() -> Table {
        Table::from_columns([
            ("size", vec![2.into(), 3.into(), 2.into(), 9.into()]),
            ("drop", [0.1, 0.2, 0.3, 0.4].map(Value::from).to_vec()),
        ])
        .unwrap()
    }

    fn right() -> Table {
        Table::from_columns([
            ("name", ["two", "five", "three"].map(Value::from).to_vec()),
            ("size", vec![2.0.into(), 5.into(), 3.into()]),
        ])
        .unwrap()
    }

    fn texts(table: &Table, column: &str) -> Vec<String> {
        let cells = table.column(column).unwrap();
        cells.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn joins_keep_the_rows_they_promise() {
        let inner = left()
            .join(&right(), &["size"], How::Inner, "_right")
            .unwrap();
        assert_eq!(inner.columns(), ["size", "drop", "name"]);
        assert_eq!(texts(&inner, "name"), ["two", "three", "two"]);
        let kept = left()
            .join(&right(), &["size"], How::Left, "_right")
            .unwrap();
        assert_eq!(texts(&kept, "name"), ["two", "three", "two", ""]);
        let outer = left()
            .join(&right(), &["size"], How::Outer, "_right")
            .unwrap();
        assert_eq!(texts(&outer, "size"), ["2", "3", "2", "9", "5"]);
        assert_eq!(texts(&outer, "drop"), ["0.1", "0.2", "0.3", "0.4", ""]);
        assert_eq!(texts(&outer, "name"), ["two", "three", "two", "", "five"]);
        let many = right()
            .join(&left(), &["size"], How::Inner, "_right")
            .unwrap();
        assert_eq!(texts(&many, "drop"), ["0.1", "0.3", "0.2"]);
        let alike = left()
            .join(&left(), &["size"], How::Inner, "_right")
            .unwrap();
        assert_eq!(alike.columns(), ["size", "drop", "drop_right"]);
        assert_eq!(
            texts(&alike, "drop_right"),
            ["0.1", "0.3", "0.2", "0.1", "0.3", "0.4"]
        );
    }

    #[test]
    fn ambiguous_joins_are_refused() {
        let fails = |a: &Table, b: &Table, keys: &[&str]| {
            a.join(b, keys, How::Inner, "").unwrap_err().to_string()
        };
        assert_eq!(
            fails(&left(), &left(), &["size"]),
            "both tables have a column `drop` that is no key, and `drop` is taken; rename one of them, or give another suffix"
        );
        assert!(fails(&left(), &right(), &["drop"]).contains("no column `drop`"));
        assert!(fails(&left(), &right(), &[]).contains("at least one key"));
        let named = right().rename(&[("size", "n"), ("name", "size")]).unwrap();
        assert_eq!(
            fails(&left(), &named, &["size"]),
            "the key `size` holds numbers here and texts there: they never agree"
        );
        let holes = Table::from_columns([("size", vec![Value::Null])]).unwrap();
        assert!(fails(&left(), &holes, &["size"]).contains("empty in row 0"));
    }

    #[test]
    fn concat_wants_the_same_columns_in_any_order() {
        let turned = left().select(&["drop", "size"]).unwrap();
        let both = Table::concat(&[left(), turned]).unwrap();
        assert_eq!(both.columns(), ["size", "drop"]);
        assert_eq!(both.first(4), left());
        assert_eq!(both.len(), 8);
        let error = Table::concat(&[left(), right()]).unwrap_err().to_string();
        assert_eq!(error, "table 1 has no column `drop`, which table 0 has");
        assert!(Table::concat(&[]).is_err());
    }
}
