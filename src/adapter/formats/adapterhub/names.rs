//! Tensors' names in AdapterHub's files and here.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use serde_json::Value;

use crate::adapter::tensors::{Name, Tensors};
use crate::model::Architecture;
use crate::{Result, bail};

/// What lists of adapters were called, newest first; the last two before version 2.
const LISTS: &[&str] = &[
    "adapters",
    "loras",
    "attention_text_task_adapters",
    "attention_text_lang_adapters",
    "layer_text_task_adapters",
    "layer_text_lang_adapters",
];

/// The canonical name of a tensor of adapter `adapter`: without the model's prefix, the list's
/// name and the adapter's.
fn canonical_name(full: &str, adapter: &str, prefix: &str) -> Option<String> {
    let bare = full.strip_prefix(prefix).unwrap_or(full);
    LISTS.iter().find_map(|list| {
        let (head, tail) = bare.split_once(&format!(".{list}.{adapter}."))?;
        Some(format!("{head}.{tail}"))
    })
}

/// The tensors by canonical name, as f32. The down-projection is the last linear map of a
/// sequence, behind a norm where the adapter has one before, which the file holds twice.
pub fn canonical(
    tensors: BTreeMap<String, Tensor>,
    adapter: &str,
    model_type: &str,
    config: &Value,
) -> Result<Tensors> {
    let prefix = Architecture::find(model_type).map_or("", |a| a.prefix);
    let normed = config.get("ln_before") == Some(&Value::Bool(true));
    let down = if normed {
        "adapter_down.1."
    } else {
        "adapter_down.0."
    };
    let mut named = Tensors::new();
    for (full, tensor) in tensors {
        let Some(name) = canonical_name(&full, adapter, prefix) else {
            bail!("tensor {full} does not belong to adapter {adapter}");
        };
        if normed && name.contains("adapter_down.0.") {
            continue;
        }
        let name = name.replacen(down, "adapter_down.", 1);
        let tensor = tensor.to_dtype(DType::F32)?;
        if named.insert(Name::new(&name), tensor).is_some() {
            bail!("two tensors mean {name}");
        }
    }
    match named.is_empty() {
        true => bail!("the file holds no tensors"),
        false => Ok(named),
    }
}

/// The tensors by the names `adapters` gives them; `normed` where a norm comes before the
/// down-projection.
pub fn named(
    tensors: &Tensors,
    adapter: &str,
    architecture: &Architecture,
    normed: bool,
) -> BTreeMap<String, Tensor> {
    let mut all = BTreeMap::new();
    for (name, tensor) in tensors {
        let mut put = |own: &str, list: &str, tail: &str| {
            let full = format!("{}{own}.{list}.{adapter}.{tail}", architecture.prefix);
            all.insert(full, tensor.clone());
        };
        let text = name.as_str();
        let split = |mark: &str| text.find(mark).map(|at| (&text[..at], &text[at + 1..]));
        if let Some((own, tail)) = split(".adapter_") {
            let down = if normed {
                "adapter_down.1."
            } else {
                "adapter_down.0."
            };
            put(own, "adapters", &tail.replacen("adapter_down.", down, 1));
            if let Some(part) = tail.strip_prefix("adapter_norm_before.") {
                put(own, "adapters", &format!("adapter_down.0.{part}"));
            }
        } else if let Some(own) = text.strip_suffix(".scaling") {
            put(own, "adapters", "scaling");
        } else if let Some((own, tail)) = split(".m.weight").or_else(|| text.rsplit_once('.')) {
            put(own, "loras", tail);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use serde_json::json;

    #[test]
    fn names_go_there_and_back() {
        let tensor = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        for (model_type, full) in [
            (
                "bert",
                "bert.encoder.layer.0.output.adapters.a.adapter_down.0.weight",
            ),
            (
                "roberta",
                "roberta.encoder.layer.2.attention.output.adapters.a.adapter_up.bias",
            ),
            (
                "bert",
                "bert.encoder.layer.1.attention.self.query.loras.a.lora_A",
            ),
            (
                "bert",
                "bert.encoder.layer.1.attention.self.query.loras.a.m.weight",
            ),
            ("bert", "bert.encoder.layer.1.output.adapters.a.scaling"),
            (
                "distilbert",
                "distilbert.transformer.layer.0.output_adapters.adapters.a.adapter_up.bias",
            ),
            ("gpt2", "transformer.h.0.attn.c_attn.loras.a.lora_B"),
        ] {
            let file = BTreeMap::from([(full.to_string(), tensor.clone())]);
            let named = canonical(file, "a", model_type, &json!({})).unwrap();
            let name = named.keys().next().unwrap().as_str();
            assert!(!name.contains(".a."), "{name}");
            let architecture = Architecture::of(model_type).unwrap();
            let back = super::named(&named, "a", architecture, false);
            assert_eq!(back.keys().collect::<Vec<_>>(), [full]);
        }
    }

    #[test]
    fn old_lists_and_norms_are_understood() {
        let of = |full: &str| canonical_name(full, "a", "bert.");
        assert_eq!(
            of("bert.encoder.layer.0.output.layer_text_task_adapters.a.adapter_up.bias").unwrap(),
            "encoder.layer.0.output.adapter_up.bias"
        );
        assert_eq!(of("bert.encoder.layer.0.output.dense.weight"), None);
        let tensor = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        let own = "bert.encoder.layer.0.output.adapters.a";
        let parts = [
            "adapter_norm_before.weight",
            "adapter_down.0.weight",
            "adapter_down.1.weight",
        ];
        let file: BTreeMap<_, _> = parts.map(|p| (format!("{own}.{p}"), tensor.clone())).into();
        let named = canonical(file.clone(), "a", "bert", &json!({"ln_before": true})).unwrap();
        let names: Vec<&str> = named.keys().map(Name::as_str).collect();
        assert_eq!(
            names,
            [
                "encoder.layer.0.output.adapter_down.weight",
                "encoder.layer.0.output.adapter_norm_before.weight"
            ]
        );
        let architecture = Architecture::of("bert").unwrap();
        let back = super::named(&named, "a", architecture, true);
        assert_eq!(
            back.keys().collect::<Vec<_>>(),
            file.keys().collect::<Vec<_>>()
        );
    }
}
