//! Which adapters can be mixed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::adapter::kind::Mixing;
use crate::adapter::{Adapter, of_one_model};
use crate::{Context, Result, bail};

/// An error that lists what differs unless all adapters belong to one base and are of one kind
/// with the same settings.
pub fn compatible(members: &[Adapter], context: &Context) -> Result<()> {
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
    for notice in of_one_model(members)? {
        context.notice_once(notice);
    }
    Ok(())
}

fn differences(a: &Adapter, b: &Adapter) -> Vec<String> {
    let mut all = a.base().differences(b.base());
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

/// What a LoRA may have of its own where changes add up: rank, scale and maps.
const OF_LORAS: &[&str] = &[
    "alpha",
    "alpha_pattern",
    "attn_matrices",
    "exclude_modules",
    "intermediate_lora",
    "layers_pattern",
    "layers_to_transform",
    "leave_out",
    "output_lora",
    "r",
    "rank_pattern",
    "selfattn_lora",
    "target_modules",
    "use_rslora",
];

/// What changes nothing, or shows in the tensors' shapes.
const IDLE: &[&str] = &[
    "beside",
    "dropout",
    "dtype",
    "init_weights",
    "init_weights_seed",
    "prefix",
    "reduction_factor",
    "trainable_token_indices",
];

/// The settings that change the maths and differ.
fn settings_differences(a: &Value, b: &Value, low_rank: bool) -> Vec<String> {
    if a.get("peft").is_some() != b.get("peft").is_some() {
        return vec![
            "layout (AdapterHub's and PEFT's); write one as the other: tureen convert".into(),
        ];
    }
    let (a, b) = (fields(a), fields(b));
    let counts = |key: &&String| {
        // Which maps PEFT's adapters change stands in an object of its own.
        let own = key.strip_prefix("peft.").unwrap_or(key);
        let field = own.split('.').next().unwrap_or_default();
        !(IDLE.contains(&field) || low_rank && OF_LORAS.contains(&field))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::kind::from_config;
    use serde_json::json;

    fn found(more: Value, other: Value) -> Vec<String> {
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
        let (a, b) = (kind(more), kind(other));
        let joined = a.mixing() == Mixing::Factors && b.mixing() == Mixing::Factors;
        settings_differences(&a.config(), &b.config(), joined)
    }

    #[test]
    fn what_factors_carry_may_differ() {
        let other = json!({"r": 8, "use_rslora": true, "peft": {"target_modules": ["query", "value"],
                           "bias": "none", "prefix": "bert."}});
        assert!(found(json!({}), other).is_empty());
        let biases = json!({"peft": {"target_modules": ["query"], "bias": "lora_only"}});
        assert_eq!(
            found(json!({}), biases),
            [r#"peft.bias ("none" and "lora_only")"#]
        );
        let sites = json!({"peft": null, "use_rslora": null});
        for differences in [found(json!({}), sites.clone()), found(sites, json!({}))] {
            assert!(differences[0].starts_with("layout"), "{differences:?}");
        }
    }

    #[test]
    fn what_is_mixed_entry_by_entry_has_one_scale() {
        let dora = json!({"use_dora": true});
        assert!(found(dora.clone(), dora.clone()).is_empty());
        let other = json!({"use_dora": true, "alpha": 16});
        assert_eq!(found(dora, other), ["alpha (8 and 16)"]);
    }
}
