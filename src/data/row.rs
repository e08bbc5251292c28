//! One example, and the rows of a split.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Error, Result, nearest};

/// What the rows of a dataset are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// Fitted on: training, pruning scores.
    Train,
    /// Chosen by: early stopping, greedy soups, learned weights.
    Validation,
    /// Reported: evaluation, attacks.
    Test,
}

impl Split {
    /// The three splits in their order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// `train`, `validation` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        if let Some(split) = Self::ALL.into_iter().find(|split| split.name() == name) {
            return Ok(split);
        }
        let error = Error::new(format!(
            "unknown split \"{name}\", expected train, validation or test"
        ));
        let known = Self::ALL.map(Self::name);
        Err(match nearest(name, known) {
            Some(meant) => error.hint(format!("did you mean \"{meant}\"?")),
            None => error,
        })
    }
}

/// What a dataset asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// One of these labels a row; a [`Label::Class`] is an index into them.
    Classification {
        /// The label names.
        labels: Arc<[String]>,
        /// Where their order comes from.
        order: Order,
    },
    /// One number a row.
    Regression,
}

/// Where the order of a dataset's labels comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// The dataset declares it: the names of a ClassLabel, the option `labels`, or labels that are
    /// integers.
    Declared(Numbering),
    /// No order is declared: the names are sorted as strings.
    Sorted,
}

/// The class number of each label among all classes that a dataset declares. Classes without a row
/// are no labels, but they count here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbering {
    /// One number a label, ascending.
    pub numbers: Arc<[usize]>,
    /// How many classes there are.
    pub classes: usize,
}

impl Numbering {
    /// That of so many classes, each of which is a label.
    pub fn full(classes: usize) -> Self {
        Self {
            numbers: (0..classes).collect(),
            classes,
        }
    }

    /// Whether each class is a label.
    pub fn is_full(&self) -> bool {
        self.numbers.len() == self.classes
    }

    /// That of the labels for which `used` is true.
    pub(super) fn of_used(&self, used: &[bool]) -> Self {
        let numbers = self.numbers.iter().zip(used);
        Self {
            numbers: numbers
                .filter(|(_, used)| **used)
                .map(|(number, _)| *number)
                .collect(),
            classes: self.classes,
        }
    }
}

/// The answer to a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Label {
    /// An index into the label names of the dataset.
    Class(usize),
    /// A number, always finite.
    Value(f64),
    /// Not told, as in the test splits of benchmarks.
    Hidden,
}

/// One example: a text or a pair of texts, and its label. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The text, or the first of the pair; may be empty.
    pub text: Arc<str>,
    /// The second text of a pair.
    pub text_b: Option<Arc<str>>,
    /// The answer.
    pub label: Label,
}

/// The rows of one split, read as a slice. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows(Arc<[Row]>);

impl Deref for Rows {
    type Target = [Row];

    fn deref(&self) -> &[Row] {
        &self.0
    }
}

impl From<Vec<Row>> for Rows {
    fn from(rows: Vec<Row>) -> Self {
        Self(rows.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_read_by_name() {
        assert_eq!("validation".parse(), Ok(Split::Validation));
        let error = "tests".parse::<Split>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown split \"tests\", expected train, validation or test; did you mean \"test\"?"
        );
    }
}
