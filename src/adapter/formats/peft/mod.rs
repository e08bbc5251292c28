//! PEFT folders, as `peft` 0.21 writes and reads them.
//!
//! `adapter_config.json`, `adapter_model.safetensors` or `adapter_model.bin`, with the head among
//! the tensors where there is one.

mod config;
mod heads;
mod names;

use std::path::Path;
use std::sync::Arc;

use candle_core::DType;
use serde_json::{Value, json};

use crate::adapter::head::Head;
use crate::adapter::modules::Modules;
use crate::adapter::tensors::{Name, Tensors};
use crate::adapter::value::{Adapter, Base, Parts, content, head_id};
use crate::adapter::{Ia3, Kind, Lora};
use crate::model::Architecture;
use crate::study::Id;
use crate::{Result, bail, tensorfile};

use super::convert;
use super::place::{Files, folder_name};

/// The weights' files, the first that is there.
const WEIGHTS: &[&str] = &["adapter_model.safetensors", "adapter_model.bin"];

/// What every name begins with.
const ROOT: &str = "base_model.model.";

/// Whether the adapter's kind is one that PEFT alone has words for.
pub fn is_home(adapter: &Adapter) -> bool {
    adapter.kind().config().get("peft").is_some()
}

/// Loads an adapter's folder, whose configuration is `json`.
pub fn load(folder: &Path, json: &Value) -> Result<Adapter> {
    let path = folder.join(super::CONFIG);
    let found = config::read(json).map_err(|e| e.within(path.display()))?;
    let (file, read) = tensorfile::read_folder(folder, WEIGHTS)?;
    let of_folder = |e: crate::Error| e.within(file.display());
    let mut named = Tensors::new();
    for (full, tensor) in read {
        let name = names::own(&full).map_err(of_folder)?;
        let tensor = tensor.to_dtype(DType::F32)?;
        if named.insert(Name::new(&name), tensor).is_some() {
            bail!("{}: two tensors mean {name}", file.display());
        }
    }
    let home = names::home(&named);
    let (mut tensors, mut rest) = names::split(named, &home);
    let head = heads::read(&mut rest, &home, found.task.as_deref()).map_err(of_folder)?;
    // Whatever else was trained belongs to the adapter under the name the base has for it.
    tensors.extend(rest);
    if tensors.is_empty() {
        bail!("{}: holds no adapter", folder.display());
    }
    let mut kind = found.kind;
    kind.set_prefix(&home.prefix);
    let name = folder_name(folder);
    let head = head.map(|head| Head {
        name: name.clone(),
        ..head
    });
    let kind: Arc<dyn Kind> = kind.into_kind();
    let mut bytes = serde_json::to_vec(&kind.config()).unwrap_or_default();
    bytes.extend(content(&tensors));
    if let Some(head) = &head {
        bytes.extend(head_id(head).as_bytes());
    }
    let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_string);
    let parts = Parts {
        name,
        kind,
        base: Base {
            name: text("base_model_name_or_path").unwrap_or_else(|| "unknown".into()),
            id: text("tureen_base_id"),
            model_type: home.model_type.clone(),
            hidden_size: 0,
        },
        id: Id::of_content("adapter", &bytes),
        heads: head.into_iter().collect(),
        mask: None,
        training: None,
        domain: None,
    };
    Adapter::new(parts, tensors).map_err(of_folder)
}

/// The configuration and the other files of an adapter, with one head or none. An error where
/// PEFT has no such kind.
pub fn files(adapter: &Adapter, head: Option<&Head>) -> Result<(Value, Files)> {
    let config = adapter.kind().config();
    let base = adapter.base();
    let (mut json, mut prefix, tensors) = if let Some(lora) = Lora::read(&config) {
        let (lora, tensors) = convert::to_names(adapter, &lora?)?;
        let prefix = prefix_of(&lora.modules);
        (config::write_lora(&lora, &tensors)?, prefix, tensors)
    } else if let Some(ia3) = Ia3::read(&config) {
        let ia3 = ia3?;
        if !ia3.modules.is_peft() {
            bail!(
                "AdapterHub's IA3 scales the output of the feed-forward block's first map, PEFT's the input of its second: neither can be written as the other"
            );
        }
        let prefix = prefix_of(&ia3.modules);
        (
            config::write_ia3(&ia3),
            prefix,
            adapter.tensors()?.as_ref().clone(),
        )
    } else {
        bail!(
            "PEFT has no adapters of kind {}, only LoRA, DoRA and IA3", adapter.kind().name();
            hint: "save it with format: \"adapterhub\""
        );
    };
    let architecture = Architecture::find(&base.model_type);
    // Task models have their base under a name.
    if let (Some(architecture), Some(_)) = (architecture, head) {
        prefix = architecture.prefix.to_string();
    }
    let mut named = names::full(&tensors, &prefix);
    let (task, saved) = match head {
        None => (None, Vec::new()),
        Some(head) => heads::write(head, architecture, &mut named)?,
    };
    json["base_model_name_or_path"] = json!(base.name);
    json["task_type"] = json!(task);
    json["modules_to_save"] = match saved.is_empty() {
        true => Value::Null,
        false => json!(saved),
    };
    json["tureen_id"] = json!(adapter.id().as_str());
    json["tureen_base_id"] = json!(base.id);
    // peft refuses keys it does not know with a warning only, as its own configurations grow.
    let bytes = tensorfile::encode(&named, Some(("format", "pt".into())))?;
    Ok((json, vec![(WEIGHTS[0], bytes)]))
}

fn prefix_of(modules: &Modules) -> String {
    match modules {
        Modules::Names(names) => names.prefix.clone(),
        Modules::Sites { .. } => String::new(),
    }
}
