//! Which adapters can be mixed.

use crate::adapter::{Adapter, Base};
use crate::{Result, bail};

/// An error that says what differs unless all adapters belong to one base and are of one kind
/// with the same settings.
pub fn compatible(members: &[Adapter]) -> Result<()> {
    let Some(first) = members.first() else {
        return Err(crate::Error::new("a soup of no adapters").hint("give at least one"));
    };
    for other in &members[1..] {
        let (a, b) = (first.base(), other.base());
        if let Some(what) = base_difference(a, b) {
            bail!(
                "{} and {} cannot be mixed: their bases differ in {what}",
                first.name(),
                other.name()
            );
        }
        let (x, y) = (first.kind(), other.kind());
        if x.name() != y.name() {
            bail!(
                "{} and {} cannot be mixed: one is {}, the other {}",
                first.name(),
                other.name(),
                x.name(),
                y.name()
            );
        }
        if let Some(field) = settings_difference(&x.config(), &y.config()) {
            bail!(
                "{} and {} cannot be mixed: they differ in {field}",
                first.name(),
                other.name()
            );
        }
    }
    Ok(())
}

fn base_difference(a: &Base, b: &Base) -> Option<String> {
    if a.model_type != b.model_type {
        return Some(format!("type ({} and {})", a.model_type, b.model_type));
    }
    if a.hidden_size != b.hidden_size {
        return Some(format!("width ({} and {})", a.hidden_size, b.hidden_size));
    }
    match (&a.id, &b.id) {
        (Some(x), Some(y)) if x != y => Some(format!("weights ({} and {})", a.name, b.name)),
        _ => None,
    }
}

/// The first setting that changes the maths and differs. A LoRA's rank, alpha and targets may
/// differ: its changes add up all the same.
fn settings_difference(a: &serde_json::Value, b: &serde_json::Value) -> Option<String> {
    let free = [
        "r",
        "alpha",
        "attn_matrices",
        "selfattn_lora",
        "intermediate_lora",
        "output_lora",
    ];
    let idle = [
        "init_weights",
        "init_weights_seed",
        "dropout",
        "dtype",
        "reduction_factor",
    ];
    let (a, b) = (a.as_object()?, b.as_object()?);
    a.iter()
        .filter(|(key, _)| !free.contains(&key.as_str()) && !idle.contains(&key.as_str()))
        .find(|(key, value)| b.get(*key) != Some(*value))
        .map(|(key, value)| {
            let other = b.get(key).map_or("absent".to_string(), ToString::to_string);
            format!("{key} ({value} and {other})")
        })
}
