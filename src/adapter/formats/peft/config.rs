//! PEFT's `adapter_config.json`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::adapter::modules::{Modules, Names, Targets};
use crate::adapter::{Ia3, Lora, Name};
use crate::tensorfile::Planned;
use crate::{Error, Result, bail};

use super::fields::{self, is_off};
use super::found::{Found, FoundKind};

/// Reads a configuration. A key that is on and not known here is an error with its name.
pub fn read(json: &Value) -> Result<Found> {
    let kind = match json["peft_type"].as_str() {
        Some("LORA") => FoundKind::Lora(read_lora(json)?),
        Some("IA3") => FoundKind::Ia3(read_ia3(json)?),
        other => bail!(
            "peft_type {} is not supported; known: LORA (with DoRA and rsLoRA), IA3",
            other.unwrap_or("null")
        ),
    };
    Ok(Found { kind })
}

fn read_lora(json: &Value) -> Result<Lora> {
    const KIND: &str = "LORA";
    let mut lora = Lora::default();
    let mut names = Names {
        bias: "none".into(),
        ..Names::default()
    };
    for (key, value) in json.as_object().into_iter().flatten() {
        let wrong = || Error::new(format!("{key} = {value} is not supported"));
        let flag = || value.as_bool().ok_or_else(wrong);
        let number = || value.as_f64().filter(|a| a.is_finite()).ok_or_else(wrong);
        match key.as_str() {
            "r" => {
                let known = |r: &u64| (1..1 << 20).contains(r);
                lora.r = value.as_u64().filter(known).ok_or_else(wrong)? as usize;
            }
            "lora_alpha" => lora.alpha = number()?,
            "lora_dropout" => lora.dropout = number()?,
            "use_rslora" => lora.stabilised = flag()?,
            "use_dora" => lora.dora = flag()?,
            "lora_bias" => names.lora_bias = flag()?,
            "init_lora_weights" => check_init(value)?,
            "rank_pattern" => names.rank_pattern = read_as(value).ok_or_else(wrong)?,
            "alpha_pattern" => names.alpha_pattern = read_as(value).ok_or_else(wrong)?,
            _ => common(KIND, key, value, &mut names)?,
        }
    }
    if names.rank_pattern.values().any(|r| *r == 0) {
        bail!("rank_pattern has a rank of 0");
    }
    Ok(Lora {
        modules: Modules::Names(names),
        ..lora
    })
}

fn read_ia3(json: &Value) -> Result<Ia3> {
    const KIND: &str = "IA3";
    let mut names = Names {
        bias: "none".into(),
        ..Names::default()
    };
    for (key, value) in json.as_object().into_iter().flatten() {
        let wrong = || Error::new(format!("{key} = {value} is not supported"));
        match key.as_str() {
            "feedforward_modules" => {
                names.feedforward_modules = read_as(value).ok_or_else(wrong)?
            }
            _ => common(KIND, key, value, &mut names)?,
        }
    }
    Ok(Ia3 {
        alpha: 1.0,
        modules: Modules::Names(names),
    })
}

/// The keys that both kinds have.
fn common(kind: &str, key: &str, value: &Value, names: &mut Names) -> Result<()> {
    let wrong = || Error::new(format!("{key} = {value} is not supported"));
    match key {
        "target_modules" if value.is_null() => {}
        "target_modules" => names.target_modules = read_as(value).ok_or_else(wrong)?,
        "exclude_modules" => {
            names.exclude_modules = read_as::<Option<Targets>>(value).ok_or_else(wrong)?;
            // An empty list excludes nothing.
            let empty = |t: &Targets| matches!(t, Targets::List(l) if l.is_empty());
            names.exclude_modules = names.exclude_modules.take().filter(|t| !empty(t));
        }
        "layers_to_transform" => {
            names.layers_to_transform = match value {
                Value::Null => None,
                Value::Number(n) => Some(vec![n.as_u64().ok_or_else(wrong)? as usize]),
                // An empty list limits nothing.
                list => {
                    let list: Vec<usize> = read_as(list).ok_or_else(wrong)?;
                    (!list.is_empty()).then_some(list)
                }
            }
        }
        "layers_pattern" => {
            names.layers_pattern = match value {
                Value::Null => None,
                Value::String(one) if one.is_empty() => None,
                Value::String(one) => Some(vec![one.clone()]),
                list => read_as::<Option<Vec<String>>>(list)
                    .ok_or_else(wrong)?
                    .filter(|l| !l.is_empty()),
            }
        }
        "trainable_token_indices" => {
            names.trainable_token_indices = Some(value.clone()).filter(|v| !is_off(v));
        }
        "bias" => match value.as_str() {
            Some(bias @ ("none" | "all" | "lora_only")) => names.bias = bias.into(),
            _ => return Err(wrong()),
        },
        key => return fields::check(kind, key, value),
    }
    Ok(())
}

fn read_as<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

/// Some initialisations of A and B change the base's weights with them, so that the adapter alone
/// says too little.
fn check_init(value: &Value) -> Result<()> {
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        // EVA and MiCA choose A, or B, by the base or its inputs, and leave the base as it is.
        Value::String(s) if ["gaussian", "orthogonal", "eva", "mica"].contains(&&s[..]) => Ok(()),
        _ => Err(Error::new(format!(
            "init_lora_weights = {value} is not supported: it changes the base's weights, which the adapter's file does not hold"
        ))
        .hint("save it in peft with path_initial_model_for_weight_conversion")),
    }
}

/// The configuration of a LoRA; ranks that differ from the most common one become patterns.
pub fn write_lora(lora: &Lora, plan: &[Planned<'_>]) -> Result<Value> {
    let Modules::Names(names) = &lora.modules else {
        bail!("a LoRA of sites has no names for PEFT");
    };
    let mut ranks: BTreeMap<String, usize> = BTreeMap::new();
    for planned in plan {
        let name = Name::new(&planned.name);
        if let Some(factor) = name.factor().filter(|f| f.is_a) {
            let rank = planned.shape.first().copied().unwrap_or(0);
            ranks.insert(factor.stem.to_string(), rank);
        }
    }
    // A scale is what counts: alpha follows from it and from the rank that the tensors have.
    let alpha_of = |stem: &str, rank: usize| {
        let scale = lora.scale(stem);
        match lora.stabilised {
            true => scale * (rank as f64).sqrt(),
            false => scale * rank as f64,
        }
    };
    let mut counts: BTreeMap<(usize, u64), usize> = BTreeMap::new();
    for (stem, rank) in &ranks {
        *counts
            .entry((*rank, alpha_of(stem, *rank).to_bits()))
            .or_default() += 1;
    }
    let common = counts.iter().max_by_key(|(_, n)| **n).map(|(key, _)| *key);
    let (r, alpha) = match common {
        Some((r, bits)) => (r, f64::from_bits(bits)),
        None => (lora.r, lora.alpha),
    };
    let (mut rank_pattern, mut alpha_pattern) = (BTreeMap::new(), BTreeMap::new());
    for (stem, rank) in &ranks {
        if *rank != r {
            rank_pattern.insert(stem.to_string(), *rank);
        }
        let own = alpha_of(stem, *rank);
        if own != alpha {
            alpha_pattern.insert(stem.to_string(), plain(own));
        }
    }
    let mut json = base("LORA", names);
    extend(
        &mut json,
        json!({
            "alpha_pattern": alpha_pattern,
            "bias": if names.bias.is_empty() { "none" } else { &names.bias },
            "init_lora_weights": true,
            "layers_pattern": names.layers_pattern,
            "layers_to_transform": names.layers_to_transform,
            "lora_alpha": plain(alpha),
            "lora_dropout": lora.dropout,
            "r": r,
            "rank_pattern": rank_pattern,
        }),
    );
    // Fields of later versions, at which earlier ones stop, where they say something.
    let later = json!({
        "exclude_modules": names.exclude_modules,
        "lora_bias": names.lora_bias,
        "trainable_token_indices": names.trainable_token_indices,
        "use_dora": lora.dora,
        "use_rslora": lora.stabilised,
    });
    extend_on(&mut json, later);
    Ok(json)
}

/// Adds the fields that are on.
fn extend_on(json: &mut Value, mut fields: Value) {
    if let Some(fields) = fields.as_object_mut() {
        fields.retain(|_, value| !is_off(value));
    }
    extend(json, fields);
}

/// The configuration of an IA3.
pub fn write_ia3(ia3: &Ia3) -> Value {
    let fallback = Names::default();
    let names = match &ia3.modules {
        Modules::Names(names) => names,
        Modules::Sites { .. } => &fallback,
    };
    let mut json = base("IA3", names);
    let feedforward = match &names.feedforward_modules {
        Some(targets) => json!(targets),
        None => json!([]),
    };
    extend(
        &mut json,
        json!({"feedforward_modules": feedforward, "init_ia3_weights": true}),
    );
    extend_on(&mut json, json!({"exclude_modules": names.exclude_modules}));
    json
}

/// What both kinds have; what comes from elsewhere is filled in by [`super::files`].
fn base(kind: &str, names: &Names) -> Value {
    json!({
        "auto_mapping": null,
        "base_model_name_or_path": null,
        // A is [r, in] and B [out, r] whichever way the base stores its weights.
        "fan_in_fan_out": false,
        "inference_mode": true,
        "modules_to_save": null,
        "peft_type": kind,
        "revision": null,
        "target_modules": names.target_modules,
        "task_type": null,
    })
}

fn extend(json: &mut Value, fields: Value) {
    if let (Some(json), Value::Object(fields)) = (json.as_object_mut(), fields) {
        json.extend(fields);
        json.sort_keys();
    }
}

/// Whole numbers are written as such.
fn plain(x: f64) -> Value {
    match x.fract() == 0.0 && x.abs() < 1e15 {
        true => json!(x as i64),
        false => json!(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lora(also: Value) -> Result<Found> {
        let mut json = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8,
                              "target_modules": ["query"], "megatron_core": "megatron.core",
                              "loftq_config": {}, "init_lora_weights": true});
        extend(&mut json, also);
        read(&json)
    }

    #[test]
    fn what_changes_the_maths_is_refused_by_name() {
        assert!(lora(json!({})).is_ok());
        assert!(lora(json!({"eva_config": null, "use_qalora": false, "x": {}})).is_ok());
        for (key, value) in [
            ("init_lora_weights", json!("pissa")),
            ("init_lora_weights", json!("loftq")),
            ("init_lora_weights", json!("lora_ga")),
            ("use_qalora", json!(true)),
            ("layer_replication", json!([[0, 4]])),
            ("something_new", json!(3)),
        ] {
            let message = lora(json!({key: value})).err().unwrap().to_string();
            assert!(message.contains(key), "{message}");
        }
        let message = read(&json!({"peft_type": "VERA"}))
            .err()
            .unwrap()
            .to_string();
        assert!(message.contains("VERA"), "{message}");
    }

    #[test]
    fn scales_follow_from_alphas_ranks_and_patterns() {
        let found = lora(
            json!({"rank_pattern": {"layer.1.query": 2}, "alpha_pattern": {"value": 6},
                                "target_modules": ["query", "value"]}),
        );
        let FoundKind::Lora(lora) = found.unwrap().kind else {
            panic!("not a LoRA");
        };
        assert_eq!(lora.scale("layer.0.query"), 2.0);
        assert_eq!(lora.scale("layer.1.query"), 4.0);
        assert_eq!(lora.scale("layer.1.value"), 1.5);
        let stabilised = Lora {
            stabilised: true,
            ..lora
        };
        assert_eq!(stabilised.scale("layer.0.query"), 4.0);
    }
}
