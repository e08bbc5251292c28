//! A bottleneck's settings as AdapterHub's `config` object.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::compute::Activation;
use crate::{Error, Result, bail};

use super::{Bottleneck, Reduction, Residual, Scaling};

/// The fields that change nothing once the adapter is trained, or shape only what [`REFUSED`] would
/// turn on. All others of `BnConfig` of adapters 1.3.0 are read.
const IDLE: &[&str] = &[
    "architecture",
    "factorized_phm_W",
    "factorized_phm_rule",
    "hypercomplex_nonlinearity",
    "init_weights_seed",
    "inv_adapter_reduction_factor",
    "learn_phm",
    "phm_bias",
    "phm_c_init",
    "phm_dim",
    "phm_init_range",
    "phm_rank",
    "shared_W_phm",
    "shared_phm_rule",
];

/// The fields that are refused where they are on, with what they do.
const REFUSED: &[(&str, &str)] = &[
    ("cross_adapter", "a third adapter follows cross-attention"),
    (
        "inv_adapter",
        "an invertible adapter stands behind the embeddings",
    ),
    (
        "invertible_adapter",
        "an invertible adapter stands behind the embeddings",
    ),
    (
        "phm_layer",
        "the maps are sums of Kronecker products (Compacter)",
    ),
    ("use_gating", "a gate averages over tokens"),
];

/// Reads the `config` object. A field that is on and not known here is an error with its name.
pub fn read(config: &Value) -> Result<Bottleneck> {
    let Some(fields) = config.as_object() else {
        bail!("the adapter's config is not an object");
    };
    let mut kind = Bottleneck::pfeiffer();
    for (key, value) in fields {
        let wrong = || Error::new(format!("adapter config: {key} = {value} is not supported"));
        let flag = || value.as_bool().ok_or_else(wrong);
        let share = || {
            let known = |p: &f64| (0.0..1.0).contains(p);
            value.as_f64().filter(known).ok_or_else(wrong)
        };
        match key.as_str() {
            "mh_adapter" => kind.mh_adapter = flag()?,
            "output_adapter" => kind.output_adapter = flag()?,
            "original_ln_before" => kind.original_ln_before = flag()?,
            "original_ln_after" => kind.original_ln_after = flag()?,
            "ln_before" => kind.ln_before = flag()?,
            "ln_after" => kind.ln_after = flag()?,
            "adapter_residual_before_ln" => kind.adapter_residual_before_ln = flag()?,
            "is_parallel" => kind.is_parallel = flag()?,
            "dropout" => kind.dropout = share()?,
            "stochastic_depth" => kind.stochastic_depth = share()?,
            "residual_before_ln" => {
                kind.residual = match value {
                    Value::Bool(true) => Residual::BeforeNorm,
                    Value::Bool(false) => Residual::AfterNorm,
                    Value::String(s) if s == "post_add" => Residual::AfterSum,
                    _ => return Err(wrong()),
                }
            }
            "reduction_factor" => kind.reduction = reduction(value).ok_or_else(wrong)?,
            "scaling" => {
                kind.scaling = match value {
                    Value::String(s) if s == "learned" => Scaling::Learned,
                    Value::String(s) if s == "channel" => Scaling::Channel,
                    _ => {
                        Scaling::Fixed(value.as_f64().filter(|s| s.is_finite()).ok_or_else(wrong)?)
                    }
                }
            }
            "non_linearity" => {
                let name = value.as_str().ok_or_else(wrong)?;
                name.parse::<Activation>()?;
                kind.non_linearity = name.to_string();
            }
            "init_weights" => kind.init_weights = value.as_str().ok_or_else(wrong)?.to_string(),
            "leave_out" => {
                kind.leave_out = serde_json::from_value(value.clone()).map_err(|_| wrong())?;
            }
            k if IDLE.contains(&k) => {}
            // Anything else that is on changes the maths.
            _ if is_off(value) => {}
            k => {
                let what = REFUSED.iter().find(|(field, _)| *field == k);
                let what = what.map_or("the field is not known here", |(_, what)| what);
                return Err(Error::new(format!(
                    "adapter config: {key} = {value} is not supported: {what}"
                )));
            }
        }
    }
    if !kind.mh_adapter && !kind.output_adapter {
        bail!("adapter config: neither mh_adapter nor output_adapter is on");
    }
    if kind.residual == Residual::AfterSum && !kind.original_ln_before && !kind.is_parallel {
        bail!(
            "adapter config: residual_before_ln = \"post_add\" needs original_ln_before, which is off"
        );
    }
    Ok(kind)
}

fn reduction(value: &Value) -> Option<Reduction> {
    let factor = |v: &Value| v.as_f64().filter(|r| *r > 0.0 && r.is_finite());
    let Some(map) = value.as_object() else {
        return factor(value).map(Reduction::All);
    };
    let mut layers = BTreeMap::new();
    let mut default = None;
    for (key, value) in map {
        match key.as_str() {
            "default" => default = Some(factor(value)?),
            layer => {
                layers.insert(layer.parse().ok()?, factor(value)?);
            }
        }
    }
    Some(Reduction::Layers { layers, default })
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        Value::Bool(true) => false,
    }
}

/// Whole numbers are written as such, as AdapterHub does.
fn plain(factor: f64) -> Value {
    match factor.fract() == 0.0 && factor < 1e15 {
        true => json!(factor as u64),
        false => json!(factor),
    }
}

/// The `config` object.
pub fn write(kind: &Bottleneck) -> Value {
    let reduction = match &kind.reduction {
        Reduction::All(factor) => plain(*factor),
        Reduction::Layers { layers, default } => {
            let layers = layers.iter().map(|(l, f)| (l.to_string(), plain(*f)));
            let default = default.iter().map(|f| ("default".to_string(), plain(*f)));
            Value::Object(layers.chain(default).collect::<Map<_, _>>())
        }
    };
    json!({
        "adapter_residual_before_ln": kind.adapter_residual_before_ln,
        "cross_adapter": false,
        "dropout": kind.dropout,
        "factorized_phm_W": true,
        "factorized_phm_rule": false,
        "hypercomplex_nonlinearity": "glorot-uniform",
        "init_weights": kind.init_weights,
        "init_weights_seed": null,
        "inv_adapter": null,
        "inv_adapter_reduction_factor": null,
        "is_parallel": kind.is_parallel,
        "learn_phm": true,
        "leave_out": kind.leave_out,
        "ln_after": kind.ln_after,
        "ln_before": kind.ln_before,
        "mh_adapter": kind.mh_adapter,
        "non_linearity": kind.non_linearity,
        "original_ln_after": kind.original_ln_after,
        "original_ln_before": kind.original_ln_before,
        "output_adapter": kind.output_adapter,
        "phm_bias": true,
        "phm_c_init": "normal",
        "phm_dim": 4,
        "phm_init_range": 0.0001,
        "phm_layer": false,
        "phm_rank": 1,
        "reduction_factor": reduction,
        "residual_before_ln": match kind.residual {
            Residual::BeforeNorm => json!(true),
            Residual::AfterNorm => json!(false),
            Residual::AfterSum => json!("post_add"),
        },
        "scaling": match kind.scaling {
            Scaling::Fixed(s) => json!(s),
            Scaling::Learned => json!("learned"),
            Scaling::Channel => json!("channel"),
        },
        "shared_W_phm": false,
        "shared_phm_rule": true,
        "stochastic_depth": kind.stochastic_depth,
        "use_gating": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_read_and_written_again() {
        let mut config = write(&Bottleneck::pfeiffer());
        let changes = json!({
            "reduction_factor": {"1": 8, "default": 16.5}, "residual_before_ln": "post_add",
            "scaling": "channel", "ln_before": true, "ln_after": true,
            "adapter_residual_before_ln": true, "dropout": 0.1, "leave_out": [0, 2],
            "non_linearity": "leakyrelu", "stochastic_depth": 0.2, "init_weights": "houlsby",
        });
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        assert_eq!(write(&read(&config).unwrap()), config);
    }

    /// The fields of `BnConfig` of adapters 1.3.0.
    const FIELDS: &str = "mh_adapter output_adapter reduction_factor non_linearity \
        original_ln_before original_ln_after ln_before ln_after init_weights init_weights_seed \
        is_parallel scaling use_gating residual_before_ln adapter_residual_before_ln inv_adapter \
        inv_adapter_reduction_factor cross_adapter leave_out dropout phm_layer phm_dim \
        factorized_phm_W shared_W_phm shared_phm_rule factorized_phm_rule phm_c_init \
        phm_init_range learn_phm hypercomplex_nonlinearity phm_rank phm_bias stochastic_depth";

    #[test]
    fn every_field_of_the_library_is_decided_on() {
        for field in FIELDS.split_whitespace() {
            let refused = REFUSED.iter().any(|(name, _)| *name == field);
            // A value that no field has.
            let mut config = write(&Bottleneck::pfeiffer());
            config[field] = json!({"x": [1]});
            let read = read(&config).is_ok();
            assert_ne!(read, refused || !IDLE.contains(&field), "{field}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (key, value) in [
            ("use_gating", json!(true)),
            ("phm_layer", json!(true)),
            ("inv_adapter", json!("nice")),
            ("cross_adapter", json!(true)),
            ("something_new", json!(3)),
        ] {
            let mut config = write(&Bottleneck::pfeiffer());
            config[key] = value;
            let message = read(&config).unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        }
    }
}
