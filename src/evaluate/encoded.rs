//! A split as a model reads it: token ids and answers.

use crate::adapter::Labels;
use crate::data::{Dataset, Label, Row, Split, Task};
use crate::model::{Encoding, Model, tokenize::Text};
use crate::{Error, Result};

use super::matching::match_labels;

/// The rows of one split, encoded once.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The dataset's name.
    pub dataset: String,
    /// The dataset's id.
    pub dataset_id: String,
    /// Which split.
    pub split: Split,
    /// What may be answered: the dataset's labels, and the head's other classes.
    pub labels: Labels,
    /// The head's output of each of them.
    pub outputs: Vec<usize>,
    /// Token ids, not padded.
    pub encodings: Vec<Encoding>,
    /// The right answers: numbers of `labels`, or values.
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
        let answers = match_labels(data, head)?.answers(labels_of(data), head);
        let rows = data.split(split);
        let texts: Vec<Text<'_>> = rows.iter().map(text_of).collect();
        let gold = rows
            .iter()
            .enumerate()
            .map(|(i, row)| match row.label {
                Label::Class(class) => Ok(answers.places[class] as f64),
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
            labels: answers.labels,
            outputs: answers.outputs,
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
