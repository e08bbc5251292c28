//! Tensors' names in AdapterHub's files and here.

use serde_json::Value;

use super::super::prefix;
use crate::adapter::source::FileTensors;
use crate::adapter::tensors::Name;
use crate::model::Architecture;
use crate::tensorfile::{Planned, TensorFile};
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

/// The tensors by canonical name. The down-projection is the last linear map of a sequence, behind
/// a norm where the adapter has one before, which the file holds twice.
pub fn canonical(
    files: Vec<TensorFile>,
    adapter: &str,
    model_type: &str,
    config: &Value,
) -> Result<FileTensors> {
    let known = Architecture::find(model_type).map(|a| a.prefix);
    let prefix = |full: &str| known.unwrap_or_else(|| prefix::of_any(std::iter::once(full)));
    let normed = config.get("ln_before") == Some(&Value::Bool(true));
    FileTensors::new(files, |full| {
        match canonical_name(full, adapter, prefix(full)) {
            Some(name) => Ok(own_name(&name, normed)),
            None => bail!("tensor {full} does not belong to adapter {adapter}"),
        }
    })
}

/// The name without its place in a sequence; none of the copy of a norm.
fn own_name(name: &str, normed: bool) -> Option<Name> {
    if normed && name.contains("adapter_down.0.") {
        return None;
    }
    let down = down(normed);
    Some(Name::new(name.replacen(down, "adapter_down.", 1)))
}

/// The down-projection in its sequence.
fn down(normed: bool) -> &'static str {
    match normed {
        true => "adapter_down.1.",
        false => "adapter_down.0.",
    }
}

/// The tensors by the names `adapters` gives them; `normed` where a norm comes before the
/// down-projection.
pub fn named<'a>(
    plan: Vec<Planned<'a>>,
    adapter: &str,
    architecture: &Architecture,
    normed: bool,
) -> Vec<Planned<'a>> {
    let mut all = Vec::with_capacity(plan.len());
    for planned in plan {
        let full = |own: &str, list: &str, tail: &str| {
            format!("{}{own}.{list}.{adapter}.{tail}", architecture.prefix)
        };
        let text = planned.name.clone();
        let split = |mark: &str| text.find(mark).map(|at| (&text[..at], &text[at + 1..]));
        let name = if let Some((own, tail)) = split(".adapter_") {
            if let Some(part) = tail.strip_prefix("adapter_norm_before.")
                && let Ok(tensor) = (planned.make)()
            {
                let copy = full(own, "adapters", &format!("adapter_down.0.{part}"));
                all.push(Planned {
                    number: planned.number,
                    ..Planned::ready(copy, tensor)
                });
            }
            let tail = tail.replacen("adapter_down.", down(normed), 1);
            full(own, "adapters", &tail)
        } else if let Some(own) = text.strip_suffix(".scaling") {
            full(own, "adapters", "scaling")
        } else if let Some((own, tail)) = split(".m.weight").or_else(|| text.rsplit_once('.')) {
            full(own, "loras", tail)
        } else {
            text
        };
        all.push(Planned { name, ..planned });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    fn planned(name: &str) -> Planned<'static> {
        let tensor = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        Planned::ready(name.into(), tensor)
    }

    fn back(names: &[Name], model_type: &str, normed: bool) -> Vec<String> {
        let plan = names.iter().map(|n| planned(n.as_str())).collect();
        let architecture = Architecture::of(model_type).unwrap();
        let named = named(plan, "a", architecture, normed);
        named.into_iter().map(|p| p.name).collect()
    }

    #[test]
    fn names_go_there_and_back() {
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
            let prefix = Architecture::of(model_type).unwrap().prefix;
            let name = own_name(&canonical_name(full, "a", prefix).unwrap(), false).unwrap();
            assert!(!name.as_str().contains(".a."), "{name}");
            assert_eq!(back(&[name], model_type, false), [full]);
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
        let stem = "bert.encoder.layer.0.output.adapters.a";
        let parts = [
            "adapter_down.0.weight",
            "adapter_down.1.weight",
            "adapter_norm_before.weight",
        ];
        let files = parts.map(|p| format!("{stem}.{p}"));
        let own = |full: &String| own_name(&of(full).unwrap(), true);
        let names: Vec<Name> = files.iter().filter_map(own).collect();
        assert_eq!(names.len(), 2);
        let mut back = back(&names, "bert", true);
        back.sort();
        assert_eq!(back, files);
    }
}
