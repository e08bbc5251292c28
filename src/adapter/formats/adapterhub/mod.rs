//! AdapterHub folders, as `adapters` 1.3.0 writes and reads them, and its predecessors.
//!
//! `adapter_config.json`, `adapter.safetensors` or `pytorch_adapter.bin`, and with a head
//! `head_config.json` and `model_head.safetensors` or `pytorch_model_head.bin`.

mod names;

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{DType, Tensor};
use serde_json::{Map, Value, json};

use crate::adapter::head::{Form, Head, Labels};
use crate::adapter::metadata::{HEADS, Metadata, Precision};
use crate::adapter::source::Source;
use crate::adapter::tensors::{Name, Tensors};
use crate::adapter::value::{Adapter, Base, Parts, head_id};
use crate::adapter::{Bottleneck, Ia3, Kind, Lora, Stored, kind};
use crate::model::{Architecture, Hub};
use crate::study::Id;
use crate::tensorfile::{self, Planned};
use crate::{Error, Result, bail};

use super::Types;
use super::peft::classifier_of_tensors;
use super::place::{Content, Files, folder_name, pretty};
use super::{convert, read_json};

/// The weights' files, the first that is there.
const WEIGHTS: &[&str] = &["adapter.safetensors", "pytorch_adapter.bin"];
const HEAD_WEIGHTS: &[&str] = &["model_head.safetensors", "pytorch_model_head.bin"];

/// Whether `adapters` has a class for the model of this adapter, or that is not known.
pub fn knows(adapter: &Adapter) -> bool {
    Architecture::find(&adapter.base().model_type).is_none_or(|a| a.hub.is_some())
}

/// Loads an adapter's folder, whose configuration is `json`.
pub fn load(folder: &Path, json: &Value) -> Result<Adapter> {
    let path = folder.join(super::CONFIG);
    let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_string);
    let config = of_version(&json["config"], json.get("version"));
    let kind = kind::from_config(&config).map_err(|e| e.within(path.display()))?;
    let base = Base {
        name: text("model_name").unwrap_or_else(|| "unknown".into()),
        // Written by earlier versions.
        id: text("tureen_base_id"),
        model_type: text("model_type").unwrap_or_else(|| "bert".into()),
        hidden_size: json.get("hidden_size").and_then(Value::as_u64).unwrap_or(0) as usize,
    };
    let name = text("name").unwrap_or_else(|| folder_name(folder));
    let (file, files) = tensorfile::open_folder(folder, WEIGHTS)?;
    let tensors = names::canonical(files, &name, &base.model_type, &config)?;
    if tensors.names().next().is_none() {
        bail!("{}: holds no tensors", file.display());
    }
    kind.check(&Stored::new(&tensors, &base))
        .map_err(|e| e.within(file.display()))?;
    let mut types = tensors.types();
    let source = Source::of(tensors)?;
    let (head, of_head) = load_head(folder, &name)?;
    types.extend(of_head.map(|precision| (HEADS.to_string(), precision)));
    let config = serde_json::to_vec(&kind.config()).map_err(|e| Error::at_path(&path, e))?;
    let id = Id::of_pieces("adapter", |sink| {
        sink(&config);
        source.content(&mut *sink)?;
        if let Some(head) = &head {
            sink(head_id(head).as_bytes());
        }
        Ok(())
    })?;
    let metadata = Metadata {
        // What the name of a module may be.
        hub_name: Some(name.clone()).filter(|name| !name.is_empty() && !name.contains('.')),
        headed: head.is_some(),
        types: Precision::all(types),
        ..Metadata::default()
    };
    let parts = Parts {
        name,
        kind,
        base,
        id,
        heads: head.into_iter().map(Into::into).collect(),
        mask: None,
        training: None,
        init_seed: None,
        domain: None,
        source: None,
        metadata: metadata.into(),
    };
    Adapter::from_source(parts, source).map_err(|e| e.within(file.display()))
}

/// The configuration as it counted in the version that trained the adapter.
fn of_version(config: &Value, version: Option<&Value>) -> Value {
    let mut config = config.clone();
    let version = version.and_then(Value::as_str);
    if version.is_none()
        && let Some(name) = config.get("non_linearity").and_then(Value::as_str)
    {
        // Before versions were written, "gelu" was the approximation.
        let name = match name {
            "gelu" => "gelu_new",
            "gelu_orig" => "gelu",
            other => other,
        };
        config["non_linearity"] = json!(name);
    }
    let numbers = version.and_then(|v| v.strip_prefix("adapters."));
    let number = |i: usize| numbers?.split('.').nth(i)?.parse::<u32>().ok();
    let ignored_alpha = matches!(
        (number(0), number(1), number(2)),
        (Some(0), Some(1..), _) | (Some(1), Some(0), Some(0 | 1))
    );
    let is_lora = config["architecture"] == "lora" && config["composition_mode"] != "scale";
    if ignored_alpha && is_lora {
        config["alpha"] = config["r"].clone();
    }
    config
}

/// The head, and the type of its numbers.
fn load_head(folder: &Path, adapter: &str) -> Result<(Option<Head>, Option<Precision>)> {
    let path = folder.join("head_config.json");
    if !path.is_file() {
        return Ok((None, None));
    }
    let json = read_json(&path)?;
    let config = &json["config"];
    if config.is_null() {
        let head = own_head(folder, &path, &json, adapter)?;
        return Ok((Some(head), None));
    }
    let form = Form::read(config).map_err(|e| e.within(path.display()))?;
    let name = json.get("name").and_then(Value::as_str).unwrap_or(adapter);
    let labels = match &form {
        Form::NextToken(_) => Labels::Tokens(config["vocab_size"].as_u64().unwrap_or(0) as usize),
        Form::Classifier(_) => read_labels(config, &path)?,
        Form::Other(_) => read_labels(config, &path).unwrap_or(Labels::Counted(0)),
    };
    let (mut tensors, mut types) = (Tensors::new(), BTreeSet::new());
    let (file, named) = tensorfile::read_folder(folder, HEAD_WEIGHTS)?;
    for (full, tensor) in named {
        let prefix = format!("heads.{name}.");
        let Some(own) = full.strip_prefix(&prefix) else {
            bail!("{}: tensor {full} is not under {prefix}", file.display());
        };
        types.insert(Precision::of_dtype(tensor.dtype()));
        let tensor = tensor.to_dtype(DType::F32)?;
        tensors.insert(Name::new(format!("heads.{own}")), tensor);
    }
    let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_string);
    let head = Head {
        name: name.to_string(),
        // Written by earlier versions.
        dataset: text("tureen_dataset_id"),
        labels,
        form,
        tensors,
    };
    head.validate().map_err(|e| e.within(file.display()))?;
    let only = types.pop_first().filter(|_| types.is_empty());
    Ok((Some(head), only))
}

/// The head of a transformers model, which `adapters` saves without a configuration.
fn own_head(folder: &Path, path: &Path, json: &Value, adapter: &str) -> Result<Head> {
    let text = |key: &str| json[key].as_str().unwrap_or_default();
    let (file, tensors) = tensorfile::read_folder(folder, HEAD_WEIGHTS)?;
    let f32 = |(name, t): (String, Tensor)| Ok((name, t.to_dtype(DType::F32)?));
    let tensors = tensors.into_iter().map(f32).collect::<Result<_>>()?;
    let labels = read_labels(json, path)?;
    let class = json["model_class"].as_str();
    let found = classifier_of_tensors(text("model_type"), class, &tensors, Some(labels.names()))
        .map_err(|e| e.within(file.display()))?;
    let Some(head) = found else {
        bail!(
            "{}: the head of a {} is not supported", path.display(), text("model_class");
            hint: "remove the file to load the adapter without its head"
        );
    };
    let name = adapter.to_string();
    Ok(Head {
        name,
        labels,
        ..head
    })
}

fn read_labels(config: &Value, path: &Path) -> Result<Labels> {
    let count = config.get("num_labels").and_then(Value::as_u64);
    let Some(map) = config.get("label2id").and_then(Value::as_object) else {
        return match count {
            Some(1) => Ok(Labels::Number),
            Some(n) => Ok(Labels::Counted(n as usize)),
            None => bail!("{}: neither label2id nor num_labels", path.display()),
        };
    };
    let mut names: Vec<Option<String>> = vec![None; map.len()];
    for (name, id) in map {
        match id.as_u64().and_then(|i| names.get_mut(i as usize)) {
            Some(slot @ None) => *slot = Some(name.clone()),
            _ => bail!(
                "{}: label2id is not a numbering of its labels from 0",
                path.display()
            ),
        }
    }
    let names: Vec<String> = names.into_iter().flatten().collect();
    if names.len() == 1 && count == Some(1) {
        return Ok(Labels::Number);
    }
    Ok(Labels::from_names(names))
}

/// The configuration and the other files of an adapter under `name`, with one head or none. An
/// error where AdapterHub has no such kind.
pub fn files<'a>(
    adapter: &'a Adapter,
    head: Option<&Head>,
    name: &str,
    types: Types,
) -> Result<(Value, Files<'a>)> {
    let base = adapter.base();
    let Some(architecture) = Architecture::find(&base.model_type) else {
        let kind = match base.model_type.is_empty() {
            true => format!("the model {}", base.name),
            false => format!("a {} model", base.model_type),
        };
        bail!(
            "{} is for {kind}, whose names in AdapterHub are not known here",
            adapter.name();
            hint: "save it with format: \"peft\""
        );
    };
    let Some(hub) = &architecture.hub else {
        bail!(
            "{} is for a {} model, which AdapterHub's library has no class for", adapter.name(), base.model_type;
            hint: "save it with format: \"peft\""
        );
    };
    let config = adapter.kind().config();
    let (kind, plan) = match Lora::read(&config) {
        Some(lora) => {
            let (lora, plan) = convert::to_sites(adapter, &lora?)?;
            (lora.config(), plan)
        }
        None => {
            if let Some(ia3) = Ia3::read(&config)
                && ia3?.modules.is_peft()
            {
                bail!(
                    "PEFT's IA3 scales the input of the feed-forward block's second map, AdapterHub's the output of its first: neither can be written as the other"
                );
            }
            (config.clone(), convert::as_they_are(adapter)?)
        }
    };
    let norms = Bottleneck::read(&config).is_some_and(|b| b.is_ok_and(|b| b.ln_before));
    let plan = convert::typed(adapter, plan, types);
    let plan = names::named(plan, name, architecture, norms);
    let mut json = common(base, hub, name);
    json.insert("config".into(), kind);
    let mut files = vec![(WEIGHTS[0], Content::Tensors(plan))];
    if let Some(head) = head {
        if let Form::Classifier(own) = &head.form
            && (own.norm || !own.inner_bias)
        {
            bail!(
                "AdapterHub's classifiers have biases and no norms, so that the head has no place in its layout";
                hint: "save it with format: \"peft\""
            );
        }
        let pooled = head.form.layers().is_ok_and(|own| own.pooler);
        if pooled && !hub.pooler {
            bail!(
                "the head reads the base's pooler, which {} has none of", hub.class;
                hint: "save it with format: \"peft\""
            );
        }
        let own = |n: &Name| n.as_str().replacen("heads.", &format!("heads.{name}."), 1);
        let tensors = head.tensors.iter();
        let number = convert::type_of_heads(adapter, types);
        let plan = tensors.map(|(n, t)| Planned {
            number,
            ..Planned::ready(own(n), t.clone())
        });
        files.push((HEAD_WEIGHTS[0], Content::Tensors(plan.collect())));
        let mut json = common(base, hub, name);
        let mut config = head.form.config(&head.labels, base.hidden_size);
        if let Value::Object(fields) = &mut config {
            fields.shift_remove("module");
        }
        json.insert("config".into(), config);
        let json = pretty(&Value::Object(json));
        files.push(("head_config.json", Content::Bytes(json)));
    }
    Ok((Value::Object(json), files))
}

fn common(base: &Base, hub: &Hub, name: &str) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("hidden_size".into(), json!(base.hidden_size));
    map.insert("model_class".into(), json!(hub.class));
    map.insert("model_name".into(), json!(base.name));
    map.insert("model_type".into(), json!(base.model_type));
    map.insert("name".into(), json!(name));
    map.insert("version".into(), json!("adapters.1.3.0"));
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_change_what_a_configuration_means() {
        let lora = json!({"architecture": "lora", "r": 8, "alpha": 16});
        let alpha = |version: Option<&str>| {
            of_version(&lora, version.map(|v| json!(v)).as_ref())["alpha"].clone()
        };
        for old in [
            "adapters.0.1.0",
            "adapters.0.2.1",
            "adapters.1.0.0",
            "adapters.1.0.1",
        ] {
            assert_eq!(alpha(Some(old)), 8, "{old}");
        }
        for new in [
            Some("adapters.1.1.0"),
            Some("adapters.1.3.0"),
            Some("3.0.1"),
            None,
        ] {
            assert_eq!(alpha(new), 16, "{new:?}");
        }
        let ia3 = json!({"architecture": "lora", "composition_mode": "scale", "r": 1, "alpha": 2});
        assert_eq!(of_version(&ia3, Some(&json!("adapters.1.0.0")))["alpha"], 2);
        let act = |name: &str, version: Option<&Value>| {
            of_version(&json!({"non_linearity": name}), version)["non_linearity"].clone()
        };
        assert_eq!(act("gelu", None), "gelu_new");
        assert_eq!(act("gelu_orig", None), "gelu");
        assert_eq!(act("gelu", Some(&json!("3.0.1"))), "gelu");
    }
    /// A head of transformers beside an adapter: no configuration, the model's own names.
    #[test]
    fn heads_of_transformers_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, tensors: &[(&str, &[usize])]| {
            let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &candle_core::Device::Cpu);
            let all = tensors
                .iter()
                .map(|(n, shape)| (n.to_string(), ones(shape).unwrap()));
            let bytes = tensorfile::encode(&all.collect(), None).unwrap();
            std::fs::write(folder.path().join(file), bytes).unwrap();
        };
        let stem = "bert.encoder.layer.0.output.adapters.a.adapter";
        let parts: [(&str, &[usize]); 4] = [
            ("down.0.weight", &[1, 4]),
            ("down.0.bias", &[1]),
            ("up.weight", &[4, 1]),
            ("up.bias", &[4]),
        ];
        let own = parts.map(|(part, shape)| (format!("{stem}_{part}"), shape));
        let own: Vec<(&str, &[usize])> = own.iter().map(|(n, shape)| (&n[..], *shape)).collect();
        write(WEIGHTS[0], &own);
        let config = json!({"config": {"reduction_factor": 4}, "model_type": "bert", "name": "a",
                            "hidden_size": 4, "version": "adapters.1.3.0"});
        let head = json!({"model_type": "bert", "model_class": "BertForSequenceClassification",
                          "name": null, "num_labels": 2, "label2id": {"yes": 1, "no": 0}});
        std::fs::write(folder.path().join("head_config.json"), head.to_string()).unwrap();
        write(
            HEAD_WEIGHTS[0],
            &[("classifier.weight", &[2, 4]), ("classifier.bias", &[2])],
        );
        let a = load(folder.path(), &config).unwrap();
        let head = &a.heads()[0];
        assert!(head.form.layers().unwrap().pooler);
        assert_eq!(head.labels.names(), ["no", "yes"]);
        write(HEAD_WEIGHTS[0], &[("cls.predictions.bias", &[9])]);
        let message = load(folder.path(), &config).unwrap_err().to_string();
        assert!(
            message.contains("head of a BertForSequenceClassification"),
            "{message}"
        );
    }
}
