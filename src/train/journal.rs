//! A training, for the journal of a run.

use serde_json::{Value, json};

use super::options::TrainOptions;
use crate::Context;
use crate::adapter::{self, Adapter};
use crate::data::Dataset;
use crate::model::Model;
use crate::study::Made;

/// Writes down a training and its epochs; `found` says that the store had it.
pub fn tell(
    context: &Context,
    (model, data, options): (&Model, &Dataset, &TrainOptions),
    adapter: &Adapter,
    found: bool,
) {
    let Some(journal) = context.journal() else {
        return;
    };
    if found {
        journal.took(adapter.id());
    }
    let (id, name) = (adapter.id().as_str(), adapter.name());
    let Some(training) = adapter.training().filter(|_| !journal.knows(id, name)) else {
        return;
    };
    journal.made(&Made::plain("model", model.name(), model.key()), []);
    journal.made(&Made::plain("dataset", data.name(), data.id()), []);
    let mut made = Made::plain("train/3", name, id)
        .from([("base", model.key()), ("data", data.id())])
        .with(training.options.clone())
        .with(json!({"class": model.class()}));
    made.with.shift_remove("from");
    if let Some(start) = &options.from {
        adapter::tell(start, journal);
        made = made.from([("start", start.id().as_str())]);
    }
    let lines = training.epochs.iter().enumerate().map(|(at, epoch)| {
        json!({
            "train": name,
            "id": id,
            "kind": adapter.kind().name(),
            "epoch": at + 1,
            "loss": epoch.loss,
            "validation_loss": epoch.validation_loss,
            "validation_score": epoch.validation_score,
            "kept": at + 1 == training.best_epoch,
        })
    });
    journal.made(&made, lines.collect::<Vec<Value>>());
}
