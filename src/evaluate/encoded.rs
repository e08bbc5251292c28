//! A split as a model reads it: token ids and answers.

use crate::adapter::Labels;
use crate::data::{Dataset, Label, Order, Row, Split, Task};
use crate::model::{Encoding, Model, tokenize::Text};
use crate::{Error, Result, bail};

/// The rows of one split, encoded once.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The dataset's name.
    pub dataset: String,
    /// The dataset's id.
    pub dataset_id: String,
    /// Which split.
    pub split: Split,
    /// The dataset's labels, in its order.
    pub labels: Labels,
    /// The head's output of each of them.
    pub outputs: Vec<usize>,
    /// Token ids, not padded.
    pub encodings: Vec<Encoding>,
    /// The right answers: class numbers in the dataset's order, or values.
    pub gold: Vec<f64>,
}

impl Encoded {
    /// Encodes a split for a head with these labels. Errors where the head's labels do not match
    /// the dataset's, and where a row's label is hidden.
    pub fn of(
        model: &Model,
        data: &Dataset,
        split: Split,
        head: &Labels,
        max_length: usize,
    ) -> Result<Self> {
        let labels = labels_of(data);
        let outputs = match_labels(data, head)?;
        let rows = data.split(split);
        let texts: Vec<Text<'_>> = rows.iter().map(text_of).collect();
        let gold = rows
            .iter()
            .enumerate()
            .map(|(i, row)| match row.label {
                Label::Class(class) => Ok(class as f64),
                Label::Value(value) => Ok(value),
                Label::Hidden => Err(Error::new(format!(
                    "{}: row {} of {split} has a hidden label",
                    data.name(),
                    i + 1
                ))
                .hint("evaluate on another split: #{ split: \"validation\" }")),
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            dataset: data.name().to_string(),
            dataset_id: data.id().to_string(),
            split,
            labels,
            outputs,
            encodings: model.tokenize(&texts, max_length)?,
            gold,
        })
    }
}

fn text_of(row: &Row) -> Text<'_> {
    match &row.text_b {
        None => Text::Single(&row.text),
        Some(second) => Text::Pair(&row.text, second),
    }
}

/// What a head for this dataset tells apart.
pub fn labels_of(data: &Dataset) -> Labels {
    match data.task() {
        Task::Classification { labels, .. } => Labels::Named(labels.to_vec()),
        Task::Regression => Labels::Number,
    }
}

/// The head's output of each of the dataset's labels, by name; names match where they differ in form
/// only (`LABEL_2`, `2` and `2.0`). A head whose classes have no names is matched by position: an
/// integer label is its own position, and names are in the order that the dataset declares.
///
/// # Errors
/// A label that the head does not have, another number of classes, and a head without names for a
/// dataset whose order of labels is not declared.
pub fn match_labels(data: &Dataset, head: &Labels) -> Result<Vec<usize>> {
    let order = match data.task() {
        Task::Classification { order, .. } => *order,
        Task::Regression => Order::Sorted,
    };
    outputs(data.name(), (&labels_of(data), order), head)
}

/// Whether [`match_labels`] goes by position.
pub fn by_position(data: &Dataset, head: &Labels) -> bool {
    matches!((labels_of(data), head), (Labels::Named(names), Labels::Counted(_))
        if !names.iter().all(|name| name.starts_with(UNNAMED)))
}

/// What begins the name that libraries make up for a class without one.
const UNNAMED: &str = "LABEL_";

/// A label's name without what only the form adds.
fn plain(name: &str) -> &str {
    let name = name.strip_prefix(UNNAMED).unwrap_or(name);
    match name.strip_suffix(".0") {
        Some(integer) if integer.parse::<i64>().is_ok() => integer,
        _ => name,
    }
}

fn outputs(dataset: &str, (data, order): (&Labels, Order), head: &Labels) -> Result<Vec<usize>> {
    match (data, head) {
        (Labels::Number, Labels::Number) => Ok(vec![0]),
        (Labels::Named(names), Labels::Counted(n)) => {
            let own = |name: &String| plain(name).parse().ok().filter(|at| at < n);
            let integers: Option<Vec<usize>> = names.iter().map(own).collect();
            let unnamed = names.iter().all(|name| name.starts_with(UNNAMED));
            match integers {
                Some(outputs) if unnamed || order == Order::Integers => return Ok(outputs),
                _ => {}
            }
            if names.len() != *n {
                bail!(
                    "the head tells {n} labels apart, but {dataset} has {}",
                    describe(data)
                );
            }
            if order == Order::Sorted {
                bail!(
                    "the head has no names for its {n} classes, and {dataset} does not declare the order of its labels: {}",
                    names.join(", ");
                    hint: "name them in the order of the head's classes: dataset(.., #{ labels: [\"..\", ..] })"
                );
            }
            Ok((0..*n).collect())
        }
        (Labels::Named(names), Labels::Named(known)) => names
            .iter()
            .map(|name| {
                let same = known.iter().position(|k| k == name);
                let alike = || known.iter().position(|k| plain(k) == plain(name));
                match same.or_else(alike) {
                    Some(at) => Ok(at),
                    None => bail!(
                        "label {name:?} of {dataset} is not among the head's: {}",
                        known.join(", ")
                    ),
                }
            })
            .collect(),
        _ => bail!(
            "the head tells {} apart, but {dataset} has {}",
            describe(head),
            describe(data)
        ),
    }
}

fn describe(labels: &Labels) -> String {
    match labels {
        Labels::Named(names) => format!("{} labels ({})", names.len(), names.join(", ")),
        Labels::Counted(n) => format!("{n} labels"),
        Labels::Number => "numbers".into(),
        Labels::Tokens(_) => "tokens".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_match_by_name_else_by_position() {
        let named = |names: &[&str]| Labels::Named(names.iter().map(ToString::to_string).collect());
        let data = named(&["no", "yes"]);
        let sorted = (&data, Order::Sorted);
        assert_eq!(
            outputs("d", sorted, &named(&["yes", "no"])).unwrap(),
            [1, 0]
        );
        let declared = (&data, Order::Declared);
        assert_eq!(outputs("d", declared, &Labels::Counted(2)).unwrap(), [0, 1]);
        for head in [named(&["yes", "maybe"]), Labels::Counted(3), Labels::Number] {
            assert!(outputs("d", declared, &head).is_err());
        }
        let error = outputs("d", sorted, &Labels::Counted(2)).unwrap_err();
        assert!(
            error.to_string().contains("does not declare the order"),
            "{error}"
        );
    }

    #[test]
    fn integers_are_their_own_positions() {
        let named = |names: &[&str]| Labels::Named(names.iter().map(ToString::to_string).collect());
        let found = |names: &[&str], order, head: &Labels| {
            outputs("d", (&named(names), order), head).map_err(|e| e.to_string())
        };
        let some = ["0", "2"];
        assert_eq!(
            found(&some, Order::Integers, &Labels::Counted(3)).unwrap(),
            [0, 2]
        );
        let stars = ["1", "2", "3"];
        assert_eq!(
            found(&stars, Order::Integers, &Labels::Counted(3)).unwrap(),
            [0, 1, 2]
        );
        assert!(found(&stars, Order::Integers, &Labels::Counted(4)).is_ok());
        let made_up = ["LABEL_2", "LABEL_0"];
        assert_eq!(
            found(&made_up, Order::Sorted, &Labels::Counted(3)).unwrap(),
            [2, 0]
        );
        assert_eq!(
            found(&some, Order::Integers, &named(&["LABEL_2", "LABEL_0"])).unwrap(),
            [1, 0]
        );
    }
}
