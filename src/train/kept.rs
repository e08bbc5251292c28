//! The head with which a training goes on.

use serde_json::{Value, json};

use crate::adapter::{Adapter, Form, Head, Labels};
use crate::data::Dataset;
use crate::evaluate::{Encoded, Matched, head_of, labels_of, match_labels};
use crate::{Context, Result};

/// The head of the adapter that a training starts from, as its outputs stand for a dataset's labels.
pub(super) struct Kept<'a> {
    /// The head.
    pub head: &'a Head,
    /// What its outputs mean: the dataset's names where it has them, else the head's own.
    pub labels: Labels,
    /// How its outputs stand for the dataset's labels.
    matched: Matched,
}

impl<'a> Kept<'a> {
    /// The head of `start` for this dataset. None, with a notice, where it has no such head or the
    /// head has other labels: a new one is drawn.
    ///
    /// # Errors
    /// A head without names for its classes, of which the dataset has as many without declaring
    /// their order.
    pub fn of(start: &'a Adapter, data: &Dataset, context: &Context) -> Result<Option<Self>> {
        let (name, dataset) = (start.name(), data.name());
        let new = |why: String| {
            context.notice_once(format!("{dataset}: training begins with a new head: {why}"));
            Ok(None)
        };
        if start.heads().is_empty() {
            return Ok(None);
        }
        let head = match start.head_for(data) {
            Ok(head) => head,
            Err(error) => return new(format!("{name}: {}", error.message())),
        };
        if !matches!(head.form, Form::Classifier(_)) {
            return new(format!("that of {name} is no classifier's"));
        }
        let own = labels_of(data);
        let asks = matches!(&head.labels, Labels::Counted(n) if *n == own.outputs());
        let matched = match match_labels(data, &head.labels) {
            Ok(_) => head_of(start, data, context)?.1,
            Err(error) if asks && own != Labels::Number => return Err(error),
            Err(error) => return new(error.message().to_string()),
        };
        let labels = match &own {
            Labels::Named(names) => {
                let mut all = head.labels.names();
                for (name, at) in names.iter().zip(&matched.outputs) {
                    all[*at].clone_from(name);
                }
                Labels::Named(all)
            }
            _ => own,
        };
        Ok(Some(Self {
            head,
            labels,
            matched,
        }))
    }

    /// Numbers the answers of rows as the head's outputs, as training takes them.
    pub fn renumber(&self, rows: &mut Encoded) {
        if rows.labels != Labels::Number {
            for gold in &mut rows.gold {
                *gold = self.matched.outputs[*gold as usize] as f64;
            }
        }
        rows.labels = self.labels.clone();
    }

    /// Takes the answers from this head, as evaluations read them.
    pub fn read_by(&self, rows: &mut Encoded) {
        let answers = self.matched.answers(rows.labels.clone(), &self.head.labels);
        if rows.labels != Labels::Number {
            for gold in &mut rows.gold {
                *gold = answers.places[*gold as usize] as f64;
            }
        }
        rows.labels = answers.labels;
        rows.outputs = answers.outputs;
    }

    /// What the record of a training has of it: nothing where its labels are the dataset's.
    pub fn describe(&self, data: &Dataset) -> Option<Value> {
        let differ = self.head.labels != labels_of(data);
        differ.then(|| json!({"labels": self.labels, "outputs": self.matched.outputs}))
    }
}
