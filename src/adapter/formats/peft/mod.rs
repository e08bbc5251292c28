//! PEFT folders, as `peft` 0.21 writes and reads them.
//!
//! `adapter_config.json`, `adapter_model.safetensors` or `adapter_model.bin`, with the head among
//! the tensors where there is one.

mod config;
mod fields;
mod found;
mod heads;
mod names;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::adapter::head::{Head, Task};
use crate::adapter::metadata::{HEADS, Metadata, Precision, Version};
use crate::adapter::modules::{Modules, Names};
use crate::adapter::source::{FileTensors, Source};
use crate::adapter::tensors::Name;
use crate::adapter::value::{Adapter, Base, Parts, head_id};
use crate::adapter::{Ia3, Kind, Lora, Stored};
use crate::model::Architecture;
use crate::study::Id;
use crate::{Result, bail, tensorfile};

use super::place::{Content, Files, folder_name};
use super::{Types, convert};

pub use heads::{
    form_of as classifier_form, of_model as classifier_of, of_tensors as classifier_of_tensors,
};

/// The weights' files, the first that is there.
const WEIGHTS: &[&str] = &["adapter_model.safetensors", "adapter_model.bin"];

/// What every name begins with.
const ROOT: &str = "base_model.model.";

/// Whether the adapter's kind is one that PEFT alone has words for.
pub fn is_home(adapter: &Adapter) -> bool {
    adapter.kind().config().get("peft").is_some()
}

/// The kind that a configuration describes, before it is known what model it is for.
pub fn read_kind(json: &Value) -> Result<Arc<dyn Kind>> {
    Ok(config::read(json)?.kind.into_kind())
}

/// Loads an adapter's folder, whose configuration is `json`.
pub fn load(folder: &Path, json: &Value) -> Result<Adapter> {
    let path = folder.join(super::CONFIG);
    let found = config::read(json).map_err(|e| e.within(path.display()))?;
    let (file, files) = tensorfile::open_folder(folder, WEIGHTS)?;
    let of_folder = |e: crate::Error| e.within(file.display());
    let mut tensors = FileTensors::new(files, |full| Ok(names::own(full)?.map(Name::new)))?;
    let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_string);
    let base = text("base_model_name_or_path").unwrap_or_else(|| "unknown".into());
    let home = names::home(tensors.names(), &base, json);
    let before = tensors.types();
    let head = heads::read(&mut tensors, &home, json).map_err(of_folder)?;
    // What was taken for the head.
    let taken = tensors.types();
    let of_head = before.iter().filter(|(name, _)| !taken.contains_key(*name));
    let of_head: BTreeSet<Precision> = of_head.map(|(_, own)| *own).collect();
    // Whatever else was trained belongs to the adapter under the name the base has for it.
    let beside = names::beside(tensors.names(), &home.prefix);
    tensors.rename(|name| Name::new(names::within(name.as_str(), &home.prefix)))?;
    if tensors.names().next().is_none() {
        bail!("{}: holds no adapter", file.display());
    }
    let mut kind = found.kind;
    kind.complete(&home.prefix, beside, tensors.shapes());
    let kind: Arc<dyn Kind> = kind.into_kind();
    let base = Base {
        name: base,
        // Written by earlier versions.
        id: text("tureen_base_id"),
        model_type: home.model_type.clone(),
        hidden_size: 0,
    };
    kind.check(&Stored::new(&tensors, &base))
        .map_err(of_folder)?;
    let mut types = tensors.types();
    if let (Some(only), 1) = (of_head.first(), of_head.len()) {
        types.insert(HEADS.into(), *only);
    }
    let metadata = Metadata {
        task_type: text("task_type"),
        auto_mapping: json.get("auto_mapping").filter(|v| v.is_object()).cloned(),
        revision: text("revision"),
        fan_in_fan_out: json["fan_in_fan_out"].as_bool(),
        peft: Some(Version(text("peft_version"))),
        headed: head.is_some(),
        types: Precision::all(types),
        ..Metadata::default()
    };
    let source = Source::of(tensors)?;
    let name = folder_name(folder);
    let head = head.map(|head| Head {
        name: name.clone(),
        ..head
    });
    let config = serde_json::to_vec(&kind.config()).unwrap_or_default();
    let id = Id::of_pieces("adapter", |sink| {
        sink(&config);
        source.content(&mut *sink)?;
        if let Some(head) = &head {
            sink(head_id(head).as_bytes());
        }
        Ok(())
    })?;
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
    Adapter::from_source(parts, source).map_err(of_folder)
}

/// The configuration and the other files of an adapter, with one head or none. An error where
/// PEFT has no such kind.
pub fn files<'a>(
    adapter: &'a Adapter,
    head: Option<&Head>,
    types: Types,
) -> Result<(Value, Files<'a>)> {
    let config = adapter.kind().config();
    let base = adapter.base();
    let (mut json, mut names, plan) = if let Some(lora) = Lora::read(&config) {
        let (lora, plan) = convert::to_names(adapter, &lora?)?;
        let names = names_of(&lora.modules);
        (config::write_lora(&lora, &plan)?, names, plan)
    } else if let Some(ia3) = Ia3::read(&config) {
        let ia3 = ia3?;
        if !ia3.modules.is_peft() {
            bail!(
                "AdapterHub's IA3 scales the output of the feed-forward block's first map, PEFT's the input of its second: neither can be written as the other"
            );
        }
        let names = names_of(&ia3.modules);
        (
            config::write_ia3(&ia3),
            names,
            convert::as_they_are(adapter)?,
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
        names.prefix = architecture.prefix.to_string();
    }
    let mut saved = names::others(&plan, &names, json["bias"] == "all");
    let mut planned = names::full(convert::typed(adapter, plan, types), &names);
    let metadata = adapter.parts().metadata.get();
    let task = match head {
        None => task_without_head(&metadata),
        Some(head) => {
            let before = planned.len();
            let (task, own) = heads::write(head, architecture, &mut planned)?;
            saved.extend(own.into_iter().map(str::to_string));
            let number = convert::type_of_heads(adapter, types);
            for planned in &mut planned[before..] {
                planned.number = number;
            }
            task.map(str::to_string)
        }
    };
    json["base_model_name_or_path"] = json!(base.name);
    json["task_type"] = json!(task);
    json["auto_mapping"] = json!(metadata.auto_mapping);
    json["revision"] = json!(metadata.revision);
    // PEFT warns where it does not agree with how the base stores its maps.
    let transposed = architecture.is_some_and(|a| a.model_type == "gpt2");
    json["fan_in_fan_out"] = json!(transposed || metadata.fan_in_fan_out == Some(true));
    match &metadata.peft {
        // The fields that are written are those of every version, and those that this one read.
        Some(Version(Some(version))) => json["peft_version"] = json!(version),
        Some(Version(None)) => {}
        None => json["peft_version"] = json!(VERSION),
    }
    if let Some(fields) = json.as_object_mut() {
        fields.sort_keys();
    }
    json["modules_to_save"] = match saved.is_empty() {
        true => Value::Null,
        false => json!(saved),
    };
    Ok((json, vec![(WEIGHTS[0], Content::Tensors(planned))]))
}

/// The version whose layout is written.
const VERSION: &str = "0.21.2";

/// The task of an adapter that is saved without a head: its own, unless the head went.
fn task_without_head(metadata: &Metadata) -> Option<String> {
    let task = metadata.task_type.clone()?;
    let has_head = matches!(
        Task::of_peft(&task),
        Some(Task::Texts | Task::Tokens | Task::Spans)
    );
    (!has_head || !metadata.headed).then_some(task)
}

fn names_of(modules: &Modules) -> Names {
    match modules {
        Modules::Names(names) => names.clone(),
        Modules::Sites { .. } => Names::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use candle_core::{Device, Tensor};

    use super::super::{Format, save};
    use super::*;
    use crate::Context;
    use crate::soup::{Options, soup};

    /// A LoRA of a model that is not known here, with these tensors beside it.
    fn adapter(folder: &Path, more: &[(&str, [usize; 2])], task: &str) -> Adapter {
        let map = "base_model.model.model.layers.0.self_attn.q_proj";
        let mut shapes = BTreeMap::from([
            (format!("{map}.lora_A.weight"), [2, 4]),
            (format!("{map}.lora_B.weight"), [4, 2]),
        ]);
        shapes.extend(more.iter().map(|(name, shape)| (name.to_string(), *shape)));
        let tensor = |shape| Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        let tensors = shapes.into_iter().map(|(n, [a, b])| (n, tensor((a, b))));
        let bytes = tensorfile::encode(&tensors.collect(), None).unwrap();
        std::fs::write(folder.join(WEIGHTS[0]), bytes).unwrap();
        let json = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 2, "task_type": task,
                          "target_modules": ["q_proj"]});
        std::fs::write(folder.join(super::super::CONFIG), json.to_string()).unwrap();
        load(folder, &json).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let all = tensorfile::read(&folder.join(WEIGHTS[0])).unwrap();
        all.into_keys().collect()
    }

    #[test]
    fn modules_trained_as_a_whole_come_back_where_they_were() {
        let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let more = [
            ("base_model.model.lm_head.weight", [5, 4]),
            ("base_model.model.model.embed_tokens.weight", [5, 4]),
        ];
        let a = adapter(theirs.path(), &more, "CAUSAL_LM");
        let out = ours.path().join("a");
        save(&a, &out, Some(Format::Peft)).unwrap();
        assert_eq!(names(&out), names(theirs.path()));
        let json = super::super::read_json(&out.join(super::super::CONFIG)).unwrap();
        assert_eq!(
            json["modules_to_save"],
            json!(["lm_head", "model.embed_tokens"])
        );
        // They stay beside a mixture of factors.
        let mixed = soup(&[a.clone(), a], &Options::default(), &Context::silent()).unwrap();
        let out = ours.path().join("mixed");
        save(&mixed, &out, Some(Format::Peft)).unwrap();
        assert_eq!(names(&out), names(theirs.path()));
    }

    #[test]
    fn classifiers_of_unknown_models_are_kept() {
        let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let more = [("base_model.model.score.weight", [3, 4])];
        let a = adapter(theirs.path(), &more, "SEQ_CLS");
        assert_eq!(a.heads().len(), 1);
        let out = ours.path().join("a");
        save(&a, &out, Some(Format::Peft)).unwrap();
        assert_eq!(names(&out), names(theirs.path()));
    }
}
