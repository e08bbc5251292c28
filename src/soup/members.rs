//! Which adapters can be mixed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::adapter::kind::Mixing;
use crate::adapter::{Adapter, Base};
use crate::{Result, bail};

/// An error that lists what differs unless all adapters belong to one base and are of one kind
/// with the same settings.
pub fn compatible(members: &[Adapter]) -> Result<()> {
    let Some(first) = members.first() else {
        return Err(crate::Error::new("a soup of no adapters").hint("give at least one"));
    };
    for other in &members[1..] {
        let differences = differences(first, other);
        if !differences.is_empty() {
            bail!(
                "{} and {} cannot be mixed: they differ in {}",
                first.name(),
                other.name(),
                differences.join(", ")
            );
        }
    }
    Ok(())
}

fn differences(a: &Adapter, b: &Adapter) -> Vec<String> {
    let mut all = base_differences(a.base(), b.base());
    let (x, y) = (a.kind(), b.kind());
    match x.name() == y.name() {
        // A sum of low-rank changes may have any ranks, scales and targets.
        true => all.extend(settings_differences(
            &x.config(),
            &y.config(),
            x.mixing() == Mixing::Factors && y.mixing() == Mixing::Factors,
        )),
        false => all.push(format!("kind ({} and {})", x.name(), y.name())),
    }
    all
}

fn base_differences(a: &Base, b: &Base) -> Vec<String> {
    let mut all = Vec::new();
    if a.model_type != b.model_type {
        all.push(format!(
            "the base's type ({} and {})",
            a.model_type, b.model_type
        ));
    }
    if a.hidden_size != b.hidden_size {
        all.push(format!(
            "the base's width ({} and {})",
            a.hidden_size, b.hidden_size
        ));
    }
    if let (Some(x), Some(y)) = (&a.id, &b.id)
        && x != y
    {
        all.push(format!("the base's weights ({} and {})", a.name, b.name));
    }
    all
}

/// What a LoRA may have of its own where changes add up: rank, scale and maps.
const OF_LORAS: &[&str] = &[
    "r",
    "alpha",
    "use_rslora",
    "attn_matrices",
    "selfattn_lora",
    "intermediate_lora",
    "output_lora",
    "leave_out",
    "peft",
];

/// What changes nothing, or shows in the tensors' shapes.
const IDLE: &[&str] = &[
    "init_weights",
    "init_weights_seed",
    "dropout",
    "dtype",
    "reduction_factor",
];

/// The settings that change the maths and differ.
fn settings_differences(a: &Value, b: &Value, low_rank: bool) -> Vec<String> {
    let (a, b) = (fields(a), fields(b));
    let counts = |key: &&String| {
        let top = key.split('.').next().unwrap_or_default();
        !(IDLE.contains(&top) || low_rank && OF_LORAS.contains(&top))
    };
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).filter(counts).collect();
    let text = |value: Option<&Value>| value.map_or("absent".to_string(), Value::to_string);
    keys.into_iter()
        .filter(|key| a.get(*key) != b.get(*key))
        .map(|key| format!("{key} ({} and {})", text(a.get(key)), text(b.get(key))))
        .collect()
}

/// The fields of an object by their paths.
fn fields(value: &Value) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        match value.is_object() {
            true => all.extend(
                fields(value)
                    .into_iter()
                    .map(|(inner, v)| (format!("{key}.{inner}"), v)),
            ),
            false => {
                all.insert(key.clone(), value.clone());
            }
        }
    }
    all
}
