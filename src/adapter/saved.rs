//! Saved modules: whole weights that lie beside an adapter's own tensors.
//!
//! PEFT saves modules that were trained as a whole (`modules_to_save`: embeddings, language-model
//! heads, classifiers, norms), the base's own weights under an embedding's factors, and rows of
//! embeddings that were trained by themselves. They are weights, not changes: pruning and counts of
//! signs leave them out unless a pattern names them, and a soup has an option for them.

use candle_core::Tensor;

use super::selection::Selection;
use super::source::Shapes;
use super::tensors::{Name, Tensors};
use super::value::Adapter;
use crate::Result;

/// What PEFT calls rows of an embedding that are trained by themselves.
pub const TOKEN_ROWS: &str = ".trainable_tokens_delta";

/// What PEFT puts between a module that has factors and its own weights.
pub const BASE_LAYER: &str = ".base_layer.";

impl Adapter {
    /// The names and shapes of its saved modules' tensors.
    pub fn saved_shapes(&self) -> Result<Shapes> {
        self.divided(true)
    }

    /// The names and shapes of its own tensors: all but those of saved modules.
    pub fn own_shapes(&self) -> Result<Shapes> {
        self.divided(false)
    }

    fn divided(&self, saved: bool) -> Result<Shapes> {
        let Some(names) = self.kind().peft_names() else {
            return if saved {
                Ok(Shapes::new())
            } else {
                self.shapes()
            };
        };
        let shapes = self.shapes()?;
        let has = |name: &Name| shapes.contains_key(name);
        let all = shapes.iter();
        let part = all.filter(|(name, _)| names.is_saved(name, &has) == saved);
        Ok(part.map(|(n, s)| (n.clone(), s.clone())).collect())
    }

    /// The tensors that a selection may look at: its own, and those of saved modules that the
    /// selection names.
    pub fn reached(&self, selection: &Selection) -> Result<Tensors> {
        let shapes = selection.reach(self)?;
        let tensors = self.tensors()?;
        let reached = tensors
            .iter()
            .filter(|(name, _)| shapes.contains_key(*name));
        let own = |(name, tensor): (&Name, &Tensor)| (name.clone(), tensor.clone());
        Ok(reached.map(own).collect())
    }
}

impl Selection {
    /// The names and shapes of the tensors that this may select from: the adapter's own, and those
    /// of saved modules that the pattern names.
    pub fn reach(&self, adapter: &Adapter) -> Result<Shapes> {
        let mut reach = adapter.own_shapes()?;
        if let Self::Pattern(pattern) = self {
            let saved = adapter.saved_shapes()?;
            let named = |(name, _): &(Name, Vec<usize>)| {
                let mut patterns = pattern.split('|').map(str::trim);
                self.matches(name) && patterns.any(|pattern| names_module(pattern, name))
            };
            reach.extend(saved.into_iter().filter(named));
        }
        Ok(reach)
    }
}

/// Whether a pattern contains the name of the saved module that a tensor belongs to: that of the
/// module itself, or outside of the layers that of any module around it. `*lm_head*` does, `*` and
/// `*.weight` do not.
fn names_module(pattern: &str, name: &Name) -> bool {
    let text = name.as_str().replace(BASE_LAYER, ".");
    let Some((module, _)) = text.rsplit_once('.') else {
        return pattern.contains(name.as_str());
    };
    let mut parts: Vec<&str> = module.split('.').collect();
    if name.layer().is_some() {
        parts = parts.split_off(parts.len() - 1);
    }
    let mut words = pattern.split(['.', '*']);
    words.any(|word| parts.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_reaches_a_saved_module_by_its_name() {
        let named = |pattern: &str, name: &str| names_module(pattern, &Name::new(name));
        assert!(named("*lm_head*", "lm_head.weight"));
        assert!(named(
            "embed_tokens.base_layer.weight",
            "embed_tokens.base_layer.weight"
        ));
        assert!(named("classifier*", "classifier.out_proj.weight"));
        assert!(named(
            "*LayerNorm*",
            "encoder.layer.0.output.LayerNorm.weight"
        ));
        for pattern in ["*", "*.weight", "*layer*", "encoder.layer.0.*", "*output*"] {
            assert!(
                !named(pattern, "encoder.layer.0.output.LayerNorm.weight"),
                "{pattern}"
            );
        }
    }
}
