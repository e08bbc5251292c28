//! Which adapters can be mixed.

use serde_json::Value;

use crate::adapter::kind::{Kind, Mixing};
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
        if let Some(field) = settings_difference(&**x, &**y) {
            bail!(
                "{} and {} cannot be mixed: they differ in {field}",
                first.name(),
                other.name()
            );
        }
    }
    Ok(())
}

/// What is known of both bases and differs.
fn base_difference(a: &Base, b: &Base) -> Option<String> {
    let known = !a.model_type.is_empty() && !b.model_type.is_empty();
    if known && a.model_type != b.model_type {
        return Some(format!("type ({} and {})", a.model_type, b.model_type));
    }
    // PEFT's files do not say how wide a base is.
    if a.hidden_size != b.hidden_size && a.hidden_size > 0 && b.hidden_size > 0 {
        return Some(format!("width ({} and {})", a.hidden_size, b.hidden_size));
    }
    match (&a.id, &b.id) {
        (Some(x), Some(y)) if x != y => Some(format!("weights ({} and {})", a.name, b.name)),
        _ => None,
    }
}

/// Settings that may differ wherever factors are joined: what each changes at each map adds up.
const FREE: &[&str] = &[
    "alpha",
    "alpha_pattern",
    "attn_matrices",
    "exclude_modules",
    "intermediate_lora",
    "layers_pattern",
    "layers_to_transform",
    "output_lora",
    "r",
    "rank_pattern",
    "selfattn_lora",
    "target_modules",
    "use_rslora",
];

/// Settings that change no number.
const IDLE: &[&str] = &[
    "dropout",
    "dtype",
    "init_weights",
    "init_weights_seed",
    "prefix",
    "reduction_factor",
];

/// The first setting that changes the maths and differs.
fn settings_difference(a: &dyn Kind, b: &dyn Kind) -> Option<String> {
    let joined = a.mixing() == Mixing::Factors && b.mixing() == Mixing::Factors;
    let by_name = |kind: &dyn Kind| kind.config().get("peft").is_some();
    if by_name(a) != by_name(b) {
        return Some(
            "layout (AdapterHub's and PEFT's); write one as the other: tureen convert".into(),
        );
    }
    difference(&a.config(), &b.config(), joined)
}

fn difference(a: &Value, b: &Value, joined: bool) -> Option<String> {
    let (a, b) = (a.as_object()?, b.as_object()?);
    let counts = |key: &str| !(IDLE.contains(&key) || joined && FREE.contains(&key));
    let mut counting = a.iter().filter(|(key, _)| counts(key));
    counting.find_map(|(key, value)| match b.get(key) {
        Some(other) if other == value => None,
        // Which maps PEFT's adapters change stands in an object of its own.
        Some(other) if value.is_object() && other.is_object() && key == "peft" => {
            difference(value, other, joined)
        }
        other => {
            let other = other.map_or("absent".to_string(), ToString::to_string);
            Some(format!("{key} ({value} and {other})"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::kind::from_config;
    use serde_json::json;

    fn found(more: Value, other: Value) -> Option<String> {
        let kind = |more: Value| {
            let mut config = json!({"architecture": "lora", "r": 4, "alpha": 8, "use_rslora": false,
                                    "peft": {"target_modules": ["query"], "bias": "none"}});
            for (key, value) in more.as_object().unwrap() {
                config[key] = value.clone();
            }
            config
                .as_object_mut()
                .unwrap()
                .retain(|_, value| !value.is_null());
            from_config(&config).unwrap()
        };
        settings_difference(&*kind(more), &*kind(other))
    }

    #[test]
    fn what_factors_carry_may_differ() {
        let other = json!({"r": 8, "use_rslora": true, "peft": {"target_modules": ["query", "value"],
                           "bias": "none", "prefix": "bert."}});
        assert_eq!(found(json!({}), other), None);
        let biases = json!({"peft": {"target_modules": ["query"], "bias": "lora_only"}});
        let message = found(json!({}), biases).unwrap();
        assert_eq!(message, r#"bias ("none" and "lora_only")"#);
        let sites = json!({"peft": null, "use_rslora": null});
        for message in [found(json!({}), sites.clone()), found(sites, json!({}))] {
            assert!(message.unwrap().starts_with("layout"));
        }
    }

    #[test]
    fn what_is_mixed_entry_by_entry_has_one_scale() {
        let dora = json!({"use_dora": true});
        assert_eq!(found(dora.clone(), dora.clone()), None);
        let other = json!({"use_dora": true, "alpha": 16});
        assert_eq!(found(dora, other).unwrap(), "alpha (8 and 16)");
    }
}
