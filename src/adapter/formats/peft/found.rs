//! What PEFT's configuration says, and what only the tensors beside it do.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::adapter::modules::{Modules, Targets};
use crate::adapter::source::Shapes;
use crate::adapter::tensors::Name;
use crate::adapter::{Ia3, Kind, Lora};

/// What a configuration says.
pub struct Found {
    /// The kind.
    pub kind: FoundKind,
}

/// A kind whose modules' prefix is not known yet.
pub enum FoundKind {
    /// LoRA with its variants.
    Lora(Lora),
    /// IA3.
    Ia3(Ia3),
}

impl FoundKind {
    /// Says what stands before the modules' canonical names, and what the configuration leaves to
    /// PEFT's table of models: the modules are those that have tensors, and vectors that lie in a
    /// row scale inputs.
    pub fn complete(&mut self, prefix: &str, beside: BTreeSet<String>, shapes: &Shapes) {
        let (modules, scales) = match self {
            Self::Lora(lora) => (&mut lora.modules, false),
            Self::Ia3(ia3) => (&mut ia3.modules, true),
        };
        let Modules::Names(names) = modules else {
            return;
        };
        names.prefix = prefix.into();
        names.beside = beside;
        let own = names.clone();
        let with = |fits: fn(&[usize]) -> bool| {
            let stem = |(name, shape): (&Name, &Vec<usize>)| {
                let stem = match scales {
                    true => name.as_str().strip_suffix(".ia3_l")?,
                    false => name.factor().filter(|f| f.is_a)?.stem,
                };
                fits(shape).then(|| own.full(stem))
            };
            Targets::List(shapes.iter().filter_map(stem).collect())
        };
        if names.target_modules == Targets::default() {
            names.target_modules = with(|_| true);
        }
        if scales && names.feedforward_modules.is_none() {
            names.feedforward_modules = Some(with(|shape| shape.first() == Some(&1)));
        }
    }

    /// The kind.
    pub fn into_kind(self) -> Arc<dyn Kind> {
        match self {
            Self::Lora(lora) => Arc::new(lora),
            Self::Ia3(ia3) => Arc::new(ia3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::read;
    use super::*;
    use crate::adapter::modules::Names;
    use serde_json::json;

    #[test]
    fn what_a_configuration_leaves_out_follows_from_the_tensors() {
        let shapes = |names: &[(&str, [usize; 2])]| -> Shapes {
            let shape = |(name, shape): &(&str, [usize; 2])| (Name::new(name), shape.to_vec());
            names.iter().map(shape).collect()
        };
        let names = |kind: &FoundKind| -> Names {
            match kind {
                FoundKind::Lora(Lora { modules, .. }) | FoundKind::Ia3(Ia3 { modules, .. }) => {
                    match modules {
                        Modules::Names(names) => names.clone(),
                        Modules::Sites { .. } => panic!("no names"),
                    }
                }
            }
        };
        let list = |names: &[&str]| Targets::List(names.iter().map(|n| n.to_string()).collect());
        let mut kind =
            read(&json!({"peft_type": "LORA", "target_modules": null, "layers_to_transform": []}))
                .unwrap()
                .kind;
        kind.complete(
            "bert.",
            BTreeSet::new(),
            &shapes(&[("x.0.query.lora_A", [2, 4])]),
        );
        let own = names(&kind);
        assert_eq!(own.target_modules, list(&["bert.x.0.query"]));
        assert_eq!(own.layers_to_transform, None);
        assert!(own.selects("x.0.query", 0).unwrap());
        let mut kind = read(&json!({"peft_type": "IA3"})).unwrap().kind;
        let both = shapes(&[("x.0.key.ia3_l", [4, 1]), ("x.0.out.ia3_l", [1, 8])]);
        kind.complete("", BTreeSet::new(), &both);
        let own = names(&kind);
        assert_eq!(own.target_modules, list(&["x.0.key", "x.0.out"]));
        assert_eq!(own.feedforward_modules, Some(list(&["x.0.out"])));
    }
}
