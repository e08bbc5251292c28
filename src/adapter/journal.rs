//! How an adapter came about, for the journal of a run.

use std::path::Path;

use serde_json::{Value, json};

use super::Adapter;
use crate::study::{Journal, Made};

/// Writes down an adapter, after what went into it.
pub fn tell(adapter: &Adapter, journal: &Journal) {
    let (id, name) = (adapter.id().as_str(), adapter.name());
    if journal.knows(id, name) {
        return;
    }
    let mut made = match (adapter.recipe(), adapter.training()) {
        (Some(recipe), _) => {
            let inputs = recipe.inputs();
            for input in &inputs {
                tell(input, journal);
            }
            let mut described = recipe.describe();
            if let Value::Object(map) = &mut described {
                // The members come as what it is made of; how they were chosen is not its recipe.
                map.shift_remove("members");
                map.shift_remove("chosen");
            }
            let heads_of = described["heads_of"].as_array().map_or(0, Vec::len);
            if let Value::Object(map) = &mut described {
                map.shift_remove("heads_of");
            }
            let ids = |adapters: &[Adapter]| -> Vec<String> {
                let ids = adapters.iter().map(|a| a.id().to_string());
                ids.collect()
            };
            let members = recipe.members().len();
            let mut made = Made::plain("soup/1", name, id).with(described);
            let (members, others) = inputs.split_at(members.min(inputs.len()));
            made.from.insert("members".into(), json!(ids(members)));
            let (of_heads, others) = others.split_at(heads_of.min(others.len()));
            if !of_heads.is_empty() {
                made.from.insert("heads_of".into(), json!(ids(of_heads)));
            }
            if !others.is_empty() {
                made.from.insert("base".into(), json!(ids(others)));
            }
            made
        }
        (None, Some(training)) => {
            let made = match &adapter.parts().source {
                Some(source) => {
                    Made::plain("loaded", name, id).with(json!({"source": last(source)}))
                }
                None => Made::plain("changed", name, id),
            };
            made.from([("data", training.dataset_id.as_str())])
                .with(training.options.clone())
        }
        (None, None) => {
            let source = adapter.parts().source.as_deref().map(last);
            let kind = adapter.kind().name();
            Made::plain("loaded", name, id).with(json!({"source": source, "kind": kind}))
        }
    };
    if let Some(mask) = adapter.mask() {
        made = made.with(json!({"sparsity": mask.sparsity()}));
    }
    journal.made(&made, []);
}

/// A repository's name, or the last part of a folder's path: the rest is the machine's affair.
fn last(source: &str) -> &str {
    let path = Path::new(source);
    let name = path.file_name().and_then(|name| name.to_str());
    name.filter(|_| path.is_absolute()).unwrap_or(source)
}
