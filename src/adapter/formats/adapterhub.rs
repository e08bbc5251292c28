//! AdapterHub folders, as `adapters` 1.3.0 writes and reads them.
//!
//! `adapter_config.json`, `adapter.safetensors`, and with a head `head_config.json` and
//! `model_head.safetensors`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use serde_json::{Map, Value, json};

use crate::adapter::{Adapter, Base, Head, Labels, Name, Parts, Tensors, content, head_id, kind};
use crate::model::read_safetensors;
use crate::study::Id;
use crate::study::files::write_atomic;
use crate::{Error, Result, bail};

use super::tensorfile;

/// The prefixes that models put before their tensors' names.
const PREFIXES: &[&str] = &[
    "bert.",
    "roberta.",
    "distilbert.",
    "electra.",
    "transformer.",
];

/// Loads an adapter folder. Needs no base model.
pub fn load(folder: &Path) -> Result<Adapter> {
    if !folder.is_dir() {
        let what = if folder.exists() {
            "not a folder"
        } else {
            "no such folder"
        };
        return Err(Error::at_path(folder, what)
            .hint("expected an adapter's folder with adapter_config.json"));
    }
    let path = folder.join("adapter_config.json");
    let json = read_json(&path)?;
    let Some(config) = json.get("config") else {
        bail!(
            "{}: no \"config\", so this is not an AdapterHub adapter",
            path.display()
        );
    };
    let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_string);
    let kind = kind::from_config(config).map_err(|e| e.within(path.display()))?;
    let hidden_size = json.get("hidden_size").and_then(Value::as_u64).unwrap_or(0) as usize;
    let base = Base {
        name: text("model_name").unwrap_or_else(|| "unknown".into()),
        id: text("tureen_base_id"),
        model_type: text("model_type").unwrap_or_else(|| "bert".into()),
        hidden_size,
    };
    let name = text("name").unwrap_or_else(|| folder_name(folder));
    let weights = folder.join("adapter.safetensors");
    if !weights.is_file() {
        return Err(Error::at_path(&weights, "no such file"));
    }
    let tensors = canonical(read_safetensors(&weights)?, &name, &weights)?;
    let head = load_head(folder, &name)?;
    let mut bytes = serde_json::to_vec(&kind.config()).map_err(|e| Error::at_path(&path, e))?;
    bytes.extend(content(&tensors));
    if let Some(head) = &head {
        bytes.extend(head_id(head).as_bytes());
    }
    let parts = Parts {
        name,
        kind,
        base,
        id: Id::of_content("adapter", &bytes),
        heads: head.into_iter().collect(),
        mask: None,
        training: None,
        domain: None,
    };
    Adapter::new(parts, tensors).map_err(|e| e.within(weights.display()))
}

fn load_head(folder: &Path, adapter: &str) -> Result<Option<Head>> {
    let path = folder.join("head_config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let json = read_json(&path)?;
    let config = json.get("config").cloned().unwrap_or(Value::Null);
    let kind = config
        .get("head_type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let layers = config.get("layers").and_then(Value::as_u64);
    let activation = config.get("activation_function").and_then(Value::as_str);
    let bias = config.get("bias").and_then(Value::as_bool).unwrap_or(true);
    let pooler = config
        .get("use_pooler")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    if kind != "classification"
        || layers != Some(2)
        || activation != Some("tanh")
        || !bias
        || pooler
    {
        bail!(
            "{}: only classification heads of two layers with tanh and biases on the first token are supported, this one is {kind} with layers {layers:?}, activation {activation:?}, bias {bias}, pooler {pooler}",
            path.display()
        );
    }
    let name = json
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or(adapter)
        .to_string();
    let labels = read_labels(&config, &path)?;
    let weights = folder.join("model_head.safetensors");
    let mut tensors = Tensors::new();
    for (full, tensor) in read_safetensors(&weights)? {
        let prefix = format!("heads.{name}.");
        let Some(own) = full.strip_prefix(&prefix) else {
            bail!("{}: tensor {full} is not under {prefix}", weights.display());
        };
        tensors.insert(Name::new(format!("heads.{own}")), to_f32(tensor)?);
    }
    let dataset = json
        .get("tureen_dataset_id")
        .and_then(Value::as_str)
        .map(str::to_string);
    let head = Head {
        name,
        dataset,
        labels,
        tensors,
    };
    head.validate().map_err(|e| e.within(weights.display()))?;
    Ok(Some(head))
}

fn read_labels(config: &Value, path: &Path) -> Result<Labels> {
    let count = config
        .get("num_labels")
        .and_then(Value::as_u64)
        .map(|n| n as usize);
    let Some(map) = config.get("label2id").and_then(Value::as_object) else {
        return match count {
            Some(1) => Ok(Labels::Number),
            Some(n) => Ok(Labels::Counted(n)),
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

/// The canonical name of a tensor of adapter `adapter`: without the model's prefix, the adapter's
/// name and the position in the down-projection's sequence.
fn canonical_name(full: &str, adapter: &str) -> Option<String> {
    let bare = PREFIXES
        .iter()
        .find_map(|p| full.strip_prefix(p))
        .unwrap_or(full);
    for list in ["adapters", "loras"] {
        let part = format!(".{list}.{adapter}.");
        if let Some((head, tail)) = bare.split_once(&part) {
            let tail = tail.replacen("adapter_down.0.", "adapter_down.", 1);
            return Some(format!("{head}.{tail}"));
        }
    }
    None
}

/// The name `adapters` gives the tensor of canonical name `name`.
fn hub_name(name: &Name, adapter: &str, model_type: &str) -> String {
    let text = name.as_str();
    let full = if let Some(at) = text.find(".adapter_") {
        let tail = text[at + 1..].replacen("adapter_down.", "adapter_down.0.", 1);
        format!("{}.adapters.{adapter}.{tail}", &text[..at])
    } else if let Some((head, tail)) = text.rsplit_once('.') {
        format!("{head}.loras.{adapter}.{tail}")
    } else {
        text.to_string()
    };
    format!("{model_type}.{full}")
}

fn canonical(tensors: BTreeMap<String, Tensor>, adapter: &str, path: &Path) -> Result<Tensors> {
    let mut named = Tensors::new();
    for (full, tensor) in tensors {
        let Some(name) = canonical_name(&full, adapter) else {
            bail!(
                "{}: tensor {full} does not belong to adapter {adapter}",
                path.display()
            );
        };
        if named.insert(Name::new(&name), to_f32(tensor)?).is_some() {
            bail!("{}: two tensors mean {name}", path.display());
        }
    }
    if named.is_empty() {
        bail!("{}: holds no tensors", path.display());
    }
    Ok(named)
}

fn to_f32(tensor: Tensor) -> Result<Tensor> {
    Ok(tensor.to_dtype(DType::F32)?)
}

fn folder_name(folder: &Path) -> String {
    folder
        .file_name()
        .map_or("adapter".into(), |n| n.to_string_lossy().into_owned())
}

/// A name that is neither a path nor, by its dots, a step in a tensor's name.
fn plain(name: &str) -> String {
    let safe = |c: char| {
        if c.is_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    match name.is_empty() {
        true => "adapter".into(),
        false => name.chars().map(safe).collect(),
    }
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::at_path(path, e))?;
    serde_json::from_str(&text).map_err(|e| Error::at_path(path, format!("not valid JSON: {e}")))
}

/// Saves an adapter to `folder` with its head; with several heads, to one sub-folder a head. The
/// adapter is named after the folder, so that `adapters` loads it under that name. Returns the
/// folders written.
pub fn save(adapter: &Adapter, folder: &Path) -> Result<Vec<PathBuf>> {
    match adapter.heads() {
        [] => save_one(adapter, None, folder).map(|()| vec![folder.to_path_buf()]),
        [head] => save_one(adapter, Some(head), folder).map(|()| vec![folder.to_path_buf()]),
        several => {
            let mut folders: Vec<PathBuf> = Vec::new();
            for head in several {
                // A head's name comes from a file or a script and must stay within the folder.
                let mut own = folder.join(plain(&head.name));
                while folders.contains(&own) {
                    own.as_mut_os_string().push("_");
                }
                save_one(adapter, Some(head), &own)?;
                folders.push(own);
            }
            Ok(folders)
        }
    }
}

fn save_one(adapter: &Adapter, head: Option<&Head>, folder: &Path) -> Result<()> {
    let name = plain(&folder_name(folder));
    let base = adapter.base();
    let class = model_class(&base.model_type);
    let tensors = adapter.tensors()?;
    let named = tensors
        .iter()
        .map(|(n, t)| (hub_name(n, &name, &base.model_type), t.clone()))
        .collect();
    let weights = tensorfile::encode(&named, Some(("format", "pt".into())))?;
    let mut config = common(base, &class, &name);
    config.insert("config".into(), adapter.kind().config());
    config.insert("tureen_id".into(), json!(adapter.id().as_str()));
    config.insert("tureen_base_id".into(), json!(base.id));
    let mut files = vec![("adapter.safetensors", weights)];
    if let Some(head) = head {
        let named = head
            .tensors
            .iter()
            .map(|(n, t)| {
                (
                    n.as_str().replacen("heads.", &format!("heads.{name}."), 1),
                    t.clone(),
                )
            })
            .collect();
        files.push((
            "model_head.safetensors",
            tensorfile::encode(&named, Some(("format", "pt".into())))?,
        ));
        let mut json = common(base, &class, &name);
        json.insert("config".into(), head_config(&head.labels));
        json.insert("tureen_dataset_id".into(), json!(head.dataset));
        files.push(("head_config.json", pretty(&Value::Object(json))));
    }
    // The configuration comes last: a folder without it is no adapter.
    files.push(("adapter_config.json", pretty(&Value::Object(config))));
    for (file, bytes) in files {
        write_atomic(&folder.join(file), &bytes)?;
    }
    Ok(())
}

fn common(base: &Base, class: &str, name: &str) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("hidden_size".into(), json!(base.hidden_size));
    map.insert("model_class".into(), json!(class));
    map.insert("model_name".into(), json!(base.name));
    map.insert("model_type".into(), json!(base.model_type));
    map.insert("name".into(), json!(name));
    map.insert("version".into(), json!("adapters.1.3.0"));
    map
}

fn head_config(labels: &Labels) -> Value {
    let ids: Map<String, Value> = labels
        .names()
        .into_iter()
        .enumerate()
        .map(|(i, n)| (n, json!(i)))
        .collect();
    json!({
        "activation_function": "tanh",
        "bias": true,
        "dropout_prob": null,
        "head_type": "classification",
        "label2id": ids,
        "layers": 2,
        "num_labels": labels.outputs(),
        "use_pooler": false,
    })
}

fn model_class(model_type: &str) -> String {
    match model_type {
        "bert" => "BertAdapterModel".into(),
        other => format!("{other}AdapterModel"),
    }
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for full in [
            "bert.encoder.layer.0.output.adapters.a.adapter_down.0.weight",
            "bert.encoder.layer.2.attention.output.adapters.a.adapter_up.bias",
            "bert.encoder.layer.1.attention.self.query.loras.a.lora_A",
        ] {
            let name = canonical_name(full, "a").unwrap();
            assert!(!name.contains(".a."), "{name}");
            assert_eq!(hub_name(&Name::new(&name), "a", "bert"), full);
        }
        assert_eq!(
            canonical_name("bert.encoder.layer.0.output.dense.weight", "a"),
            None
        );
    }
}
