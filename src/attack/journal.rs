//! An attack, for the journal of a run.

use serde_json::{Value, json};

use super::outcome::Attack;
use crate::Context;
use crate::adapter::{self, Adapter};
use crate::data::Dataset;
use crate::model::Model;
use crate::study::{Id, Made};

/// The operation with its version, as ids and recipes have it.
pub(super) const VERSION: &str = "attack/3";

/// Writes down an attack, whose id counts these `settings`; true beside it says that the store had
/// it.
pub(super) fn tell(
    context: &Context,
    id: &Id,
    (model, adapter, data): (&Model, &Adapter, &Dataset),
    settings: Value,
    (attack, found): (&Attack, bool),
) {
    let Some(journal) = context.journal() else {
        return;
    };
    if found {
        journal.took(id);
    }
    let name = format!(
        "{} on {} under {}",
        adapter.name(),
        data.name(),
        attack.recipe
    );
    if journal.knows(id.as_str(), &name) {
        return;
    }
    journal.made(&Made::plain("model", model.name(), model.key()), []);
    journal.made(&Made::plain("dataset", data.name(), data.id()), []);
    adapter::tell(adapter, journal);
    let made = Made::plain(VERSION, &name, id.as_str())
        .from([
            ("adapter", adapter.id().as_str()),
            ("base", model.key()),
            ("data", data.id()),
        ])
        .with(settings);
    let line = json!({
        "attack": adapter.name(),
        "id": id,
        "adapter": adapter.id(),
        "dataset": attack.dataset,
        "split": attack.split,
        "recipe": attack.recipe,
        "n": attack.n(),
        "original_accuracy": attack.original_accuracy(),
        "accuracy_under_attack": attack.accuracy_under_attack(),
        "success_rate": attack.success_rate(),
        "queries": attack.queries(),
    });
    journal.made(&made, [line]);
}
