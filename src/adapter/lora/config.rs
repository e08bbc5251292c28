//! A LoRA's settings as AdapterHub's `config` object. PEFT's choice of modules, which AdapterHub
//! has no words for, stands under `peft`.

use serde_json::{Value, json};

use crate::adapter::modules::Modules;
use crate::model::LinearSite;
use crate::{Error, Result, bail};

use super::Lora;

/// The sites of self-attention, by AdapterHub's letters.
pub const LETTERS: &[(&str, LinearSite)] = &[
    ("q", LinearSite::Query),
    ("k", LinearSite::Key),
    ("v", LinearSite::Value),
];

/// The fields that change nothing once the adapter is trained.
const IDLE: &[&str] = &["architecture", "dtype", "init_weights", "init_weights_seed"];

/// The fields that are refused where they are on, with what they do. All others of `LoRAConfig` of
/// adapters 1.3.0 are read.
const REFUSED: &[(&str, &str)] = &[
    ("use_gating", "a gate takes the place of the scale"),
    (
        "vera_b",
        "the factors are drawn, and vectors scale them (VeRA)",
    ),
    (
        "vera_d",
        "the factors are drawn, and vectors scale them (VeRA)",
    ),
];

/// What a `config` object with `architecture: "lora"` says of where it acts.
#[derive(Debug, Clone, PartialEq)]
pub struct Common {
    /// The rank.
    pub r: usize,
    /// The scale's numerator.
    pub alpha: f64,
    /// Whether outputs are scaled instead of changed by a sum: IA3.
    pub scales: bool,
    /// Whether rows have lengths of their own.
    pub dora: bool,
    /// Dropout in training.
    pub dropout: f64,
    /// Where it acts.
    pub modules: Modules,
    /// rsLoRA.
    pub stabilised: bool,
}

/// Reads a `config` object of architecture `lora` with `composition_mode: "add"`.
pub fn read(config: &Value) -> Option<Result<Lora>> {
    match read_common(config)? {
        Ok(common) if common.scales => None,
        Ok(common) => Some(Ok(Lora {
            r: common.r,
            alpha: common.alpha,
            stabilised: common.stabilised,
            dora: common.dora,
            modules: common.modules,
            dropout: common.dropout,
        })),
        Err(e) => Some(Err(e.within("adapter config"))),
    }
}

/// Reads a `config` object of architecture `lora`; none where it is of another.
pub fn read_common(config: &Value) -> Option<Result<Common>> {
    (config.get("architecture").and_then(Value::as_str) == Some("lora"))
        .then(|| from_fields(config))
}

fn from_fields(config: &Value) -> Result<Common> {
    let Some(fields) = config.as_object() else {
        bail!("not an object");
    };
    let (mut r, mut alpha, mut dropout) = (8, 8.0, 0.0);
    let (mut scales, mut dora, mut stabilised) = (false, false, false);
    let (mut matrices, mut attention) = (vec!["q".to_string(), "v".to_string()], true);
    let (mut intermediate, mut output) = (false, false);
    let (mut leave_out, mut names) = (Vec::new(), None);
    for (key, value) in fields {
        let wrong = || Error::new(format!("{key} = {value} is not supported"));
        let flag = || value.as_bool().ok_or_else(wrong);
        let number = || value.as_f64().filter(|a| a.is_finite()).ok_or_else(wrong);
        match key.as_str() {
            k if IDLE.contains(&k) => {}
            "r" => {
                let known = |r: &u64| (1..1 << 20).contains(r);
                r = value.as_u64().filter(known).ok_or_else(wrong)? as usize;
            }
            "alpha" => alpha = number()?,
            "dropout" => dropout = number()?,
            "attn_matrices" => {
                matrices = serde_json::from_value(value.clone()).map_err(|_| wrong())?;
            }
            "selfattn_lora" => attention = flag()?,
            "intermediate_lora" => intermediate = flag()?,
            "output_lora" => output = flag()?,
            "use_dora" => dora = flag()?,
            "use_rslora" => stabilised = flag()?,
            "composition_mode" => {
                scales = match value.as_str() {
                    Some("add") => false,
                    Some("scale") => true,
                    _ => return Err(wrong()),
                }
            }
            "leave_out" => {
                leave_out = serde_json::from_value(value.clone()).map_err(|_| wrong())?;
            }
            "peft" => {
                names = Some(serde_json::from_value(value.clone()).map_err(|_| wrong())?);
            }
            _ if matches!(value, Value::Null | Value::Bool(false)) => {}
            _ if value.as_array().is_some_and(Vec::is_empty) => {}
            k => {
                let what = REFUSED.iter().find(|(field, _)| *field == k);
                let what = what.map_or("the field is not known here", |(_, what)| what);
                return Err(Error::new(format!(
                    "{key} = {value} is not supported: {what}"
                )));
            }
        }
    }
    let modules = match names {
        Some(names) => Modules::Names(names),
        None => {
            let mut sites = Vec::new();
            for name in attention.then_some(&matrices).into_iter().flatten() {
                match LETTERS.iter().find(|(letter, _)| letter == name) {
                    Some((_, site)) => sites.push(*site),
                    None => bail!("attn_matrices has {name:?}; known: q, k, v"),
                }
            }
            if intermediate {
                sites.push(LinearSite::Intermediate);
            }
            if output {
                sites.push(LinearSite::Output);
            }
            if sites.is_empty() {
                bail!("a LoRA needs at least one target");
            }
            let mut modules = Modules::of_sites(sites);
            if let Modules::Sites { leave_out: own, .. } = &mut modules {
                *own = leave_out;
            }
            modules
        }
    };
    Ok(Common {
        r,
        alpha,
        scales,
        dora,
        dropout,
        modules,
        stabilised,
    })
}

/// The `config` object of a LoRA.
pub fn write(lora: &Lora) -> Value {
    let common = Common {
        r: lora.r,
        alpha: lora.alpha,
        scales: false,
        dora: lora.dora,
        dropout: lora.dropout,
        modules: lora.modules.clone(),
        stabilised: lora.stabilised,
    };
    write_common(&common)
}

/// The `config` object.
pub fn write_common(own: &Common) -> Value {
    let (sites, leave_out) = match &own.modules {
        Modules::Sites { sites, leave_out } => (&sites[..], &leave_out[..]),
        Modules::Names(_) => (&[][..], &[][..]),
    };
    let has = |site| sites.contains(&site);
    let letters = LETTERS.iter().filter(|(_, site)| has(*site));
    let letters: Vec<&str> = letters.map(|(letter, _)| *letter).collect();
    // Whole numbers are written as such, as AdapterHub does.
    let alpha = match own.alpha.fract() == 0.0 && own.alpha.abs() < 1e15 {
        true => json!(own.alpha as i64),
        false => json!(own.alpha),
    };
    let mut config = json!({
        "alpha": alpha,
        "architecture": "lora",
        "attn_matrices": letters,
        "composition_mode": if own.scales { "scale" } else { "add" },
        "dropout": own.dropout,
        "dtype": null,
        "init_weights": if own.scales { "ia3" } else { "lora" },
        "init_weights_seed": null,
        "intermediate_lora": has(LinearSite::Intermediate),
        "leave_out": leave_out,
        "output_lora": has(LinearSite::Output),
        "r": own.r,
        "selfattn_lora": !letters.is_empty(),
        "use_dora": own.dora,
        "use_gating": false,
        "vera_b": null,
        "vera_d": null,
    });
    if let Modules::Names(names) = &own.modules {
        config["peft"] = json!(names);
        config["use_rslora"] = json!(own.stabilised);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of `LoRAConfig` of adapters 1.3.0.
    const FIELDS: &str = "architecture selfattn_lora intermediate_lora output_lora leave_out r \
        alpha dropout attn_matrices composition_mode init_weights init_weights_seed use_gating \
        use_dora vera_d vera_b dtype";

    #[test]
    fn every_field_of_the_library_is_decided_on() {
        for field in FIELDS.split_whitespace().skip(1) {
            let refused = REFUSED.iter().any(|(name, _)| *name == field);
            // A value that no field has.
            let mut config = write(&Lora::default());
            config[field] = json!({"x": [1]});
            let error = read(&config).and_then(Result::err).map(|e| e.to_string());
            let unknown = error.is_some_and(|e| e.contains("not known here"));
            assert!(!unknown, "{field}");
            assert_eq!(
                from_fields(&config).is_ok(),
                IDLE.contains(&field) && !refused,
                "{field}"
            );
        }
    }
}
