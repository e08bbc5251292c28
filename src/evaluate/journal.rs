//! An evaluation, for the journal of a run.

use serde_json::json;

use super::score::Score;
use crate::Context;
use crate::adapter::{self, Adapter, Head, Labels};
use crate::data::Dataset;
use crate::model::Model;
use crate::study::{Id, Made};

/// Writes down an evaluation; `found` says that the store had it.
pub fn tell(
    context: &Context,
    id: &Id,
    (model, adapter, head, data): (&Model, &Adapter, &Head, &Dataset),
    max_length: usize,
    score: &Score,
    found: bool,
) {
    let Some(journal) = context.journal() else {
        return;
    };
    if found {
        journal.took(id);
    }
    let name = format!("{} on {}", adapter.name(), data.name());
    if journal.knows(id.as_str(), &name) {
        return;
    }
    journal.made(&Made::plain("model", model.name(), model.key()), []);
    journal.made(&Made::plain("dataset", data.name(), data.id()), []);
    adapter::tell(adapter, journal);
    let made = Made::plain("evaluate/4", &name, id.as_str())
        .from([
            ("adapter", adapter.id().as_str()),
            ("base", model.key()),
            ("data", data.id()),
        ])
        .with(json!({
            "head": adapter::head_id(head),
            "split": score.split,
            "max_length": max_length,
            "precision": model.precision(),
            "class": model.class(),
        }));
    let mut line = json!({
        "evaluate": adapter.name(),
        "id": id,
        "adapter": adapter.id(),
        "dataset": score.dataset,
        "split": score.split,
        "n": score.n(),
        "loss": score.loss,
    });
    if score.labels != Labels::Number {
        line["accuracy"] = json!(score.selection());
    }
    journal.made(&made, [line]);
}
