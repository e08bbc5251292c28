//! A split as a model reads it: token ids and answers.

use crate::adapter::Labels;
use crate::data::{Dataset, Label, Row, Split, Task};
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
        Task::Classification { labels } => Labels::Named(labels.to_vec()),
        Task::Regression => Labels::Number,
    }
}

/// The head's output of each of the dataset's labels: by name, or by position where the head
/// knows only a number of classes and it agrees.
pub fn match_labels(data: &Dataset, head: &Labels) -> Result<Vec<usize>> {
    outputs(data.name(), &labels_of(data), head)
}

fn outputs(dataset: &str, data: &Labels, head: &Labels) -> Result<Vec<usize>> {
    match (data, head) {
        (Labels::Number, Labels::Number) => Ok(vec![0]),
        (Labels::Named(names), Labels::Counted(n)) if names.len() == *n => Ok((0..*n).collect()),
        (Labels::Named(names), Labels::Named(known)) => names
            .iter()
            .map(|name| match known.iter().position(|k| k == name) {
                Some(at) => Ok(at),
                None => bail!(
                    "label {name:?} of {dataset} is not among the head's: {}",
                    known.join(", ")
                ),
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
        assert_eq!(outputs("d", &data, &named(&["yes", "no"])).unwrap(), [1, 0]);
        assert_eq!(outputs("d", &data, &Labels::Counted(2)).unwrap(), [0, 1]);
        for head in [named(&["yes", "maybe"]), Labels::Counted(3), Labels::Number] {
            assert!(outputs("d", &data, &head).is_err());
        }
    }
}
