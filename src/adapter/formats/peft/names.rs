//! Tensors' names in PEFT's files and here.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::adapter::tensors::{Name, Tensors};
use crate::model::Architecture;
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

/// Prefixes of models that are not among the architectures here.
const FOREIGN: &[&str] = &["model."];

/// Where the adapter's modules are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// What stands before canonical names: `bert.`, or nothing.
    pub prefix: String,
    /// The architecture that has such names, where one can be told; several share some names.
    pub model_type: String,
}

/// The name here, still with the model's prefix.
pub fn own(full: &str) -> Result<String> {
    let Some(bare) = full.strip_prefix(ROOT) else {
        bail!("tensor {full} does not begin with {ROOT}");
    };
    // Trained modules were saved inside a wrapper by some versions.
    let bare = bare.replace(".modules_to_save.default.", ".");
    let bare = bare.replace(
        ".lora_magnitude_vector.default.weight",
        ".lora_magnitude_vector",
    );
    let bare = bare.replace(".lora_magnitude_vector.weight", ".lora_magnitude_vector");
    for (theirs, ours) in PARTS {
        if let Some(stem) = bare.strip_suffix(theirs) {
            return Ok(format!("{stem}{ours}"));
        }
    }
    Ok(bare)
}

/// Where the tensors of these names belong.
pub fn home(named: &Tensors) -> Home {
    let stems = || named.keys().filter(|n| is_adapter(n)).map(Name::as_str);
    for architecture in crate::model::ARCHITECTURES {
        let own = format!("{}{}.", architecture.prefix, architecture.layers);
        if stems().next().is_some() && stems().all(|n| n.starts_with(&own)) {
            return Home {
                prefix: architecture.prefix.into(),
                model_type: architecture.model_type.into(),
            };
        }
    }
    // Bare models: several have the same names, so that nothing is said of which.
    let prefix = FOREIGN
        .iter()
        .find(|prefix| stems().all(|n| n.starts_with(*prefix)));
    let bare = |a: &&&Architecture| stems().all(|n| n.starts_with(&format!("{}.", a.layers)));
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

/// The adapter's own tensors and the others, all without the model's prefix; biases of changed
/// maps are the adapter's.
pub fn split(named: Tensors, home: &Home) -> (Tensors, Tensors) {
    let stems: Vec<String> = named
        .keys()
        .filter_map(|n| n.as_str().strip_suffix(".lora_A").map(str::to_string))
        .collect();
    let (mut own, mut rest) = (Tensors::new(), Tensors::new());
    for (name, tensor) in named {
        let stem = name.as_str().strip_suffix(".bias");
        let bias = stem.is_some_and(|stem| stems.iter().any(|s| s == stem));
        let bare = name.as_str().strip_prefix(home.prefix.as_str());
        match (is_adapter(&name) || bias, bare) {
            (true, Some(bare)) => own.insert(Name::new(bare), tensor),
            _ => rest.insert(name, tensor),
        };
    }
    (own, rest)
}

/// The tensors by the names PEFT gives them.
pub fn full(tensors: &Tensors, prefix: &str) -> BTreeMap<String, Tensor> {
    let name = |name: &Name| {
        let text = name.as_str();
        for (theirs, ours) in PARTS {
            if let Some(stem) = text.strip_suffix(ours) {
                return format!("{ROOT}{prefix}{stem}{theirs}");
            }
        }
        format!("{ROOT}{prefix}{text}")
    };
    tensors.iter().map(|(n, t)| (name(n), t.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn home_of(names: &[&str]) -> Home {
        let tensor = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        home(
            &names
                .iter()
                .map(|n| (Name::new(n), tensor.clone()))
                .collect(),
        )
    }

    #[test]
    fn names_go_there_and_back() {
        for full_name in [
            "base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight",
            "base_model.model.bert.encoder.layer.0.attention.self.query.lora_magnitude_vector",
            "base_model.model.bert.encoder.layer.0.attention.self.query.bias",
        ] {
            let own = own(full_name).unwrap();
            let bare = own.strip_prefix("bert.").unwrap();
            let tensor = Tensor::new(&[1f32], &Device::Cpu).unwrap();
            let back = full(&[(Name::new(bare), tensor)].into(), "bert.");
            assert_eq!(back.keys().collect::<Vec<_>>(), [full_name]);
        }
        assert!(own("bert.x").is_err());
    }

    #[test]
    fn the_model_is_told_by_its_names() {
        let home = |name: &str| home_of(&[name, "classifier.bias"]);
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
