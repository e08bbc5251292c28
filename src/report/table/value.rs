//! One cell of a table.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::number::shown;
use crate::adapter::natural;
use crate::{Result, bail};

/// One cell: nothing, a number, a text or a list. Cheap to copy.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// An empty cell.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number; a table refuses the others.
    Float(f64),
    /// A text.
    Text(Arc<str>),
    /// Several values, such as a soup's members; shown as `a+b+c`.
    List(Arc<[Value]>),
}

/// What can be compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    List,
}

impl Kind {
    /// The kind's values, in words.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Null => "empty cells",
            Self::Bool => "true or false",
            Self::Number => "numbers",
            Self::Text => "texts",
            Self::List => "lists",
        }
    }
}

impl Value {
    /// A text cell.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().into())
    }

    /// A list cell.
    pub fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// Whether the cell is empty.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The cell as a number; true is 1 and false 0, so that the mean of verdicts is their rate.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) | Self::Float(_) => Kind::Number,
            Self::Text(_) => Kind::Text,
            Self::List(_) => Kind::List,
        }
    }

    /// The items of a list; none for any other cell.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// Every number in the cell is finite.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Float(value) if !value.is_finite() => {
                bail!("{value} is not a finite number"; hint: "leave the cell empty instead")
            }
            Self::List(items) => items.iter().try_for_each(Self::check),
            _ => Ok(()),
        }
    }

    /// The order of two cells: numbers by size, texts naturally (layer.2 before layer.10), lists
    /// item by item. None for unlike kinds and for empty cells.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Float(b)) => Some(int_to_float(*a, *b)),
            (Self::Float(a), Self::Int(b)) => Some(int_to_float(*b, *a).reverse()),
            (Self::Text(a), Self::Text(b)) => Some(natural(a, b)),
            (Self::List(a), Self::List(b)) => {
                for (x, y) in a.iter().zip(b.iter()) {
                    match x.order(y)? {
                        Ordering::Equal => {}
                        order => return Some(order),
                    }
                }
                Some(a.len().cmp(&b.len()))
            }
            _ => None,
        }
    }
}

/// Compares without rounding the whole number to a float, so that the order stays one order.
fn int_to_float(int: i64, float: f64) -> Ordering {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if float >= BEYOND {
        return Ordering::Less;
    }
    if float < -BEYOND {
        return Ordering::Greater;
    }
    let whole = float.trunc();
    int.cmp(&(whole as i64))
        .then_with(|| whole.partial_cmp(&float).unwrap_or(Ordering::Equal))
}

/// For reading: numbers with at most four decimals, a list as `a+b+c`, nothing for an empty cell.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => f.write_str(&shown(*value)),
            Self::Text(text) => f.write_str(text),
            Self::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        f.write_str("+")?;
                    }
                    write!(f, "{item}")?;
                }
                Ok(())
            }
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

/// Sizes of things in memory: always within `i64`.
impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

/// Counts: always within `i64`.
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::text(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::text(value)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::list(items)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_exactly_across_kinds() {
        let order = |a: Value, b: Value| a.order(&b).unwrap();
        assert_eq!(order(2.into(), 2.0.into()), Ordering::Equal);
        assert_eq!(order(2.into(), 2.5.into()), Ordering::Less);
        assert_eq!(order((-2).into(), (-2.5).into()), Ordering::Greater);
        assert_eq!(order((-2.5).into(), (-2).into()), Ordering::Less);
        let big = (1i64 << 53) + 1;
        assert_eq!(order(big.into(), (big as f64).into()), Ordering::Greater);
        assert_eq!(order(i64::MAX.into(), 1e300.into()), Ordering::Less);
        assert_eq!(order(i64::MIN.into(), (-1e300).into()), Ordering::Greater);
    }

    #[test]
    fn unlike_cells_have_no_order() {
        assert_eq!(Value::from(1).order(&"1".into()), None);
        assert_eq!(Value::Null.order(&Value::Null), None);
        let (a, b) = (Value::list(["a", "b"]), Value::list(["a", "c"]));
        assert_eq!(a.order(&b), Some(Ordering::Less));
        assert_eq!(Value::list(["a"]).order(&a), Some(Ordering::Less));
        assert_eq!(
            Value::text("layer.10").order(&"layer.2".into()),
            Some(Ordering::Greater)
        );
    }

    #[test]
    fn cells_read_well() {
        let members = Value::list(["films", "news"]);
        assert_eq!(members.to_string(), "films+news");
        assert_eq!(Value::from(0.123456).to_string(), "0.1235");
        assert_eq!(Value::Null.to_string(), "");
        assert_eq!(Value::from(None::<i64>), Value::Null);
    }
}
