//! Tensors' names in PEFT's files and here.

use std::collections::BTreeSet;

use crate::adapter::tensors::Name;
use crate::model::Architecture;
use crate::tensorfile::Planned;
use crate::{Result, bail};

use super::ROOT;

/// What an adapter's tensors are called after their module's name: in the file, and here.
const PARTS: &[(&str, &str)] = &[
    (".lora_A.weight", ".lora_A"),
    (".lora_B.weight", ".lora_B"),
    (".lora_B.bias", ".lora_B.bias"),
    (".lora_magnitude_vector", ".lora_magnitude_vector"),
    (".ia3_l", ".ia3_l"),
];

/// What a changed map's own bias is called; older versions say `.bias`.
const BIAS: &str = ".base_layer.bias";

/// Prefixes of models that are not among the architectures here.
const FOREIGN: &[&str] = &["model.", "transformer."];

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

/// The name of a tensor within the base; one of what stands beside the base in a task model, such
/// as `lm_head`, begins with a dot.
pub fn within(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix) {
        Some(bare) => bare.to_string(),
        None => format!(".{name}"),
    }
}

/// The name in a task model whose base has this prefix.
fn whole(name: &str, prefix: &str) -> String {
    match name.strip_prefix('.') {
        Some(beside) => beside.to_string(),
        None => format!("{prefix}{name}"),
    }
}

/// Where the tensors of these names belong. Of architectures whose tensors are named alike it is
/// the one that the base's own name contains, else the first.
pub fn home<'a>(names: impl Iterator<Item = &'a Name>, base: &str) -> Home {
    let stems: Vec<&str> = names.filter(|n| is_adapter(n)).map(Name::as_str).collect();
    let stems = || stems.iter().copied();
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
    let fitting = || {
        let all = crate::model::ARCHITECTURES.iter();
        all.filter(|a| stems().any(|n| known(a, a.prefix, n)))
    };
    let named = fitting().filter(|a| base.contains(a.model_type));
    let best = named.max_by_key(|a| a.model_type.len());
    if let Some(architecture) = best.or_else(|| fitting().next()) {
        return Home {
            prefix: architecture.prefix.into(),
            model_type: architecture.model_type.into(),
        };
    }
    // Bare models: several have the same names, so that nothing is said of which.
    let prefix = FOREIGN
        .iter()
        .find(|prefix| stems().all(|n| n.starts_with(*prefix)));
    let bare = |a: &&&Architecture| stems().all(|n| known(a, "", n));
    let fitting: Vec<_> = crate::model::ARCHITECTURES.iter().filter(bare).collect();
    let model_type = match &fitting[..] {
        [only] => only.model_type,
        _ => "",
    };
    Home {
        prefix: prefix.map_or_else(String::new, |p| (*p).into()),
        model_type: model_type.into(),
    }
}

fn is_adapter(name: &Name) -> bool {
    PARTS.iter().any(|(_, own)| name.as_str().ends_with(own))
}

/// The modules that are trained as a whole beside the adapter's own tensors, `biases` not counted:
/// PEFT passes over their tensors unless its configuration names them.
pub fn others(plan: &[Planned<'_>], prefix: &str, biases: bool) -> Vec<String> {
    let maps = maps(plan);
    let module = |planned: &Planned<'_>| {
        let (module, part) = planned.name.rsplit_once('.')?;
        let own = PARTS.iter().any(|(_, part)| planned.name.ends_with(part));
        let bias = part == "bias" && (biases || maps.contains(module));
        (!own && !bias).then(|| whole(module, prefix))
    };
    let modules: BTreeSet<String> = plan.iter().filter_map(module).collect();
    modules.into_iter().collect()
}

/// The maps that have factors.
fn maps(plan: &[Planned<'_>]) -> BTreeSet<String> {
    plan.iter()
        .filter_map(|p| p.name.strip_suffix(".lora_A").map(str::to_string))
        .collect()
}

/// The tensors under the names PEFT gives them.
pub fn full<'a>(plan: Vec<Planned<'a>>, prefix: &str) -> Vec<Planned<'a>> {
    let maps = maps(&plan);
    let name = |text: &str| {
        if let Some(stem) = text.strip_suffix(".bias")
            && maps.contains(stem)
        {
            return format!("{ROOT}{}{BIAS}", whole(stem, prefix));
        }
        for (theirs, ours) in PARTS {
            if let Some(stem) = text.strip_suffix(ours) {
                return format!("{ROOT}{}{theirs}", whole(stem, prefix));
            }
        }
        format!("{ROOT}{}", whole(text, prefix))
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

    fn home_of(names: &[&str], base: &str) -> Home {
        let names: Vec<Name> = names.iter().map(Name::new).collect();
        home(names.iter(), base)
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
        let files: Vec<String> = parts.iter().map(|p| format!("{stem}.{p}")).collect();
        let tensor = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        let bare = |full: &String| {
            let own = own(full).unwrap().unwrap();
            let name = own.strip_prefix("bert.").unwrap().to_string();
            Planned::ready(name, tensor.clone())
        };
        let back = full(files.iter().map(bare).collect(), "bert.");
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
            ".lm_head.weight",
        ];
        let plan = || names.map(|n| Planned::ready(n.into(), tensor.clone()));
        assert_eq!(others(&plan(), "model.", true), ["lm_head", "model.embed"]);
        assert_eq!(others(&plan(), "", false), ["embed", "k", "lm_head"]);
        assert_eq!(within("model.embed.weight", "model."), "embed.weight");
        assert_eq!(within("lm_head.weight", "model."), ".lm_head.weight");
    }

    #[test]
    fn the_model_is_told_by_its_names() {
        let home = |name: &str| home_of(&[name, "classifier.bias"], "base");
        let of = |prefix: &str, model_type: &str| Home {
            prefix: prefix.into(),
            model_type: model_type.into(),
        };
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
