//! Tensors' names in PEFT's files and here.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::adapter::modules::Names;
use crate::adapter::saved::{BASE_LAYER, TOKEN_ROWS};
use crate::adapter::tensors::Name;
use crate::model::Architecture;
use crate::tensorfile::Planned;
use crate::{Result, bail};

use super::super::prefix;
use super::ROOT;

/// What an adapter's tensors are called after their module's name: in the file, and here.
const PARTS: &[(&str, &str)] = &[
    (".lora_A.weight", ".lora_A"),
    (".lora_B.weight", ".lora_B"),
    (".lora_B.bias", ".lora_B.bias"),
    (".lora_embedding_A", ".lora_embedding_A"),
    (".lora_embedding_B", ".lora_embedding_B"),
    (".lora_magnitude_vector", ".lora_magnitude_vector"),
    (".ia3_l", ".ia3_l"),
];

/// What a changed map's own bias is called; older versions say `.bias`.
const BIAS: &str = ".base_layer.bias";

/// Modules that stand beside the base in task models of transformers.
const BESIDE: &[&str] = &[
    "classification_head",
    "classifier",
    "cls",
    "embed_out",
    "lm_head",
    "logits_proj",
    "pre_classifier",
    "qa_outputs",
    "score",
];

/// Where the adapter's modules are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// What stands before canonical names: `bert.`, or nothing.
    pub prefix: String,
    /// The architecture that has such names, where one can be told; several share some names.
    pub model_type: String,
}

/// The name here, still with the model's prefix; none of a copy that PEFT keeps beside a trained
/// module.
pub fn own(full: &str) -> Result<Option<String>> {
    let Some(bare) = full.strip_prefix(ROOT) else {
        bail!("tensor {full} does not begin with {ROOT}");
    };
    if bare.contains(".original_module.") || bare.ends_with(".modules_to_save.bias") {
        return Ok(None);
    }
    // Trained modules were saved inside a wrapper by some versions.
    let bare = bare.replace(".modules_to_save.default.", ".");
    let bare = bare.replace(BIAS, ".bias");
    let bare = bare.replace(
        ".lora_magnitude_vector.default.weight",
        ".lora_magnitude_vector",
    );
    let bare = bare.replace(".lora_magnitude_vector.weight", ".lora_magnitude_vector");
    for (theirs, ours) in PARTS {
        if let Some(stem) = bare.strip_suffix(theirs) {
            return Ok(Some(format!("{stem}{ours}")));
        }
    }
    Ok(Some(bare))
}

/// The canonical name of a tensor: the name within the base, or, of what stands beside the base in a
/// task model, such as `lm_head`, the whole name.
pub fn within(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_string()
}

/// Where the tensors of these names belong, in a folder of this configuration.
///
/// What stands before the names of the base's modules follows from the type of model, which the
/// configuration's base and class and the path within a layer tell, or else is one of the names
/// that transformers has for the base. Of architectures whose tensors are named alike the type is that which the base's own name
/// contains, else the first.
pub fn home<'a>(names: impl Iterator<Item = &'a Name>, base: &str, json: &Value) -> Home {
    let stems: Vec<&str> = names.map(Name::as_str).filter(|n| is_adapter(n)).collect();
    let (prefix, model_type) = place(&stems, base, json);
    Home {
        prefix: prefix.into(),
        model_type,
    }
}

/// The modules, among those of these full names, that stand beside a base with this prefix.
pub fn beside<'a>(names: impl Iterator<Item = &'a Name>, prefix: &str) -> BTreeSet<String> {
    let beside = |name: &&Name| match prefix {
        "" => BESIDE.contains(&first(name)),
        prefix => !name.as_str().starts_with(prefix),
    };
    let all = names.filter(beside).map(|name| first(name).to_string());
    all.collect()
}

/// The first part of a name.
fn first(name: &Name) -> &str {
    let name = name.as_str();
    name.split_once('.').map_or(name, |(first, _)| first)
}

/// The prefix and, where it can be told, the type of model.
fn place(stems: &[&str], base: &str, json: &Value) -> (&'static str, String) {
    // The path within a layer tells an architecture from a foreign one with such a prefix.
    let known = |a: &Architecture, prefix: &str, n: &str| {
        let own = n
            .strip_prefix(prefix)
            .and_then(|n| n.strip_prefix(a.layers));
        let path = own.and_then(|n| n.strip_prefix('.')?.split_once('.'));
        let within = |path: &str, map: &str| {
            path.strip_prefix(map)
                .is_some_and(|tail| tail.starts_with('.'))
        };
        path.is_some_and(|(_, path)| a.maps.iter().any(|m| within(path, m.path)))
    };
    let architectures = crate::model::ARCHITECTURES;
    let declared = declared_type(json);
    let fitting = || {
        let all = architectures.iter();
        all.filter(|a| stems.iter().any(|n| known(a, a.prefix, n)))
    };
    let said = fitting().find(|a| a.model_type == declared);
    let named = || {
        let named = fitting().filter(|a| base.contains(a.model_type));
        named.max_by_key(|a| a.model_type.len())
    };
    if let Some(found) = said.or_else(named).or_else(|| fitting().next()) {
        return (found.prefix, found.model_type.into());
    }
    // Bare models: several have the same names, so that nothing is said of which.
    let bare = architectures.iter().copied();
    let bare = bare.filter(|a| stems.iter().any(|n| known(a, "", n)));
    let bare: Vec<&Architecture> = bare.collect();
    if !bare.is_empty() {
        let model_type = match &bare[..] {
            [only] => only.model_type,
            several => match several.iter().find(|a| a.model_type == declared) {
                Some(said) => said.model_type,
                None => "",
            },
        };
        return ("", model_type.into());
    }
    let prefix = prefix::of_any(stems.iter().copied());
    (prefix, declared)
}

/// The type of model that the class in a configuration is of; empty where none is written.
fn declared_type(json: &Value) -> String {
    let library = json["auto_mapping"]["parent_library"].as_str();
    let of = |library: &str| {
        let own = library.strip_prefix("transformers.models.")?;
        Some(own.split('.').next()?.replace('_', "-"))
    };
    library.and_then(of).unwrap_or_default()
}

fn is_adapter(name: &str) -> bool {
    PARTS.iter().any(|(_, own)| name.ends_with(own))
}

/// The modules that were trained as a whole, `biases` not counted: PEFT passes over their tensors
/// unless its configuration names them. It saves the weights under a module's factors and single
/// rows of embeddings without naming them.
pub fn others(plan: &[Planned<'_>], names: &Names, biases: bool) -> Vec<String> {
    let maps = maps(plan);
    let module = |planned: &Planned<'_>| {
        let (module, part) = planned.name.rsplit_once('.')?;
        let own = PARTS.iter().any(|(_, part)| planned.name.ends_with(part))
            || planned.name.contains(BASE_LAYER)
            || planned.name.ends_with(TOKEN_ROWS);
        let bias = part == "bias" && (biases || maps.contains(module));
        (!own && !bias).then(|| names.full(module))
    };
    let modules: BTreeSet<String> = plan.iter().filter_map(module).collect();
    modules.into_iter().collect()
}

/// The modules that have factors.
fn maps(plan: &[Planned<'_>]) -> BTreeSet<String> {
    plan.iter()
        .filter_map(|p| Some(Name::new(&p.name).factor()?.stem.to_string()))
        .collect()
}

/// The tensors under the names PEFT gives them.
pub fn full<'a>(plan: Vec<Planned<'a>>, names: &Names) -> Vec<Planned<'a>> {
    let maps = maps(&plan);
    let name = |text: &str| {
        if let Some(stem) = text.strip_suffix(".bias")
            && maps.contains(stem)
        {
            return format!("{ROOT}{}{BIAS}", names.full(stem));
        }
        for (theirs, ours) in PARTS {
            if let Some(stem) = text.strip_suffix(ours) {
                return format!("{ROOT}{}{theirs}", names.full(stem));
            }
        }
        format!("{ROOT}{}", names.full(text))
    };
    plan.into_iter()
        .map(|planned| Planned {
            name: name(&planned.name),
            ..planned
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use serde_json::json;

    fn home_of(names: &[&str], base: &str) -> Home {
        let names: Vec<Name> = names.iter().map(Name::new).collect();
        home(names.iter(), base, &json!({}))
    }

    fn named(prefix: &str, beside: &[&str]) -> Names {
        Names {
            prefix: prefix.into(),
            beside: beside.iter().map(|b| (*b).to_string()).collect(),
            bias: "none".into(),
            ..Names::default()
        }
    }

    #[test]
    fn names_go_there_and_back() {
        let stem = "base_model.model.bert.encoder.layer.0.attention.self.query";
        let parts = [
            "base_layer.bias",
            "lora_A.weight",
            "lora_B.bias",
            "lora_magnitude_vector",
        ];
        let mut files: Vec<String> = parts.iter().map(|p| format!("{stem}.{p}")).collect();
        let table = "base_model.model.bert.embeddings.word_embeddings";
        files.push(format!("{table}.lora_embedding_A"));
        files.push(format!("{table}.base_layer.weight"));
        files.push("base_model.model.classifier.weight".into());
        let tensor = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        let bare = |full: &String| {
            let own = own(full).unwrap().unwrap();
            Planned::ready(within(&own, "bert."), tensor.clone())
        };
        let names = named("bert.", &["classifier"]);
        let back = full(files.iter().map(bare).collect(), &names);
        let back: Vec<&String> = back.iter().map(|p| &p.name).collect();
        assert_eq!(back, files.iter().collect::<Vec<_>>());
        assert!(own("bert.x").is_err());
        let copy = "base_model.model.classifier.original_module.bias";
        assert_eq!(own(copy).unwrap(), None);
    }

    #[test]
    fn modules_trained_as_a_whole_are_named() {
        let tensor = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        let names = [
            "q.lora_A",
            "q.lora_B",
            "q.bias",
            "k.bias",
            "embed.weight",
            "table.base_layer.weight",
            "table.lora_embedding_A",
            "table.trainable_tokens_delta",
            "lm_head.weight",
        ];
        let plan = || names.map(|n| Planned::ready(n.into(), tensor.clone()));
        let (model, bare) = (named("model.", &["lm_head"]), named("", &[]));
        assert_eq!(others(&plan(), &model, true), ["lm_head", "model.embed"]);
        assert_eq!(others(&plan(), &bare, false), ["embed", "k", "lm_head"]);
        assert_eq!(within("model.embed.weight", "model."), "embed.weight");
        assert_eq!(within("lm_head.weight", "model."), "lm_head.weight");
    }

    #[test]
    fn canonical_names_do_not_follow_from_what_a_file_happens_to_hold() {
        let q = "model.layers.0.self_attn.q_proj.lora_A";
        for names in [
            &[q][..],
            &[q, "lm_head.lora_A"],
            &[q, "model.embed_tokens.lora_embedding_A"],
        ] {
            assert_eq!(
                home_of(names, "someone/llama").prefix,
                "model.",
                "{names:?}"
            );
        }
        let all = [q, "lm_head.lora_A"].map(Name::new);
        for (names, prefix) in [(&all[..], "model."), (&all[1..], "")] {
            assert_eq!(
                home(names.iter(), "someone/llama", &json!({})).prefix,
                prefix
            );
            let beside = beside(names.iter(), prefix);
            assert_eq!(beside, ["lm_head".to_string()].into());
        }
        let vit = "vit.encoder.layer.0.attention.attention.query.lora_A";
        let class = json!({"auto_mapping": {"base_model_class": "ViTForImageClassification",
                           "parent_library": "transformers.models.vit.modeling_vit"}});
        let names = [Name::new(vit), Name::new("classifier.weight")];
        let found = home(names.iter(), "someone/vit", &class);
        assert_eq!(
            (found.prefix.as_str(), found.model_type.as_str()),
            ("vit.", "vit")
        );
        // DistilBERT alone: its own list of layers is called as others call their base.
        let bare = home_of(&["transformer.layer.0.attention.q_lin.lora_A"], "x");
        assert_eq!(
            (bare.prefix.as_str(), bare.model_type.as_str()),
            ("", "distilbert")
        );
    }

    #[test]
    fn the_model_is_told_by_its_names() {
        let home = |name: &str| {
            let found = home_of(&[name, "classifier.bias"], "base");
            (found.prefix, found.model_type)
        };
        let of = |prefix: &str, model_type: &str| (prefix.to_string(), model_type.to_string());
        assert_eq!(
            home("bert.encoder.layer.0.attention.self.query.lora_A"),
            of("bert.", "bert")
        );
        assert_eq!(
            home("encoder.layer.0.attention.self.query.lora_A"),
            of("", "")
        );
        assert_eq!(home("h.0.attn.c_attn.lora_A"), of("", "gpt2"));
        let roberta = ["roberta.encoder.layer.0.attention.self.query.lora_A"];
        assert_eq!(home_of(&roberta, "x/roberta-base").model_type, "roberta");
        assert_eq!(
            home_of(&roberta, "xlm-roberta-base").model_type,
            "xlm-roberta"
        );
        assert_eq!(
            home("distilbert.transformer.layer.0.attention.q_lin.lora_A"),
            of("distilbert.", "distilbert")
        );
        assert_eq!(
            home("model.layers.0.self_attn.q_proj.lora_A"),
            of("model.", "")
        );
    }
}
