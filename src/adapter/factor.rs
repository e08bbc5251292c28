//! The names of low-rank factors: those of linear maps, and those of embeddings, which PEFT names
//! apart.

use super::tensors::Name;

/// How the two factors at a module are named.
///
/// The change of a linear map is B A, [out, in]. An embedding's table has a row a token, so its
/// change is the transpose: B A is [width, tokens], the table's change [tokens, width].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactorNames {
    /// `lora_A` and `lora_B`.
    Linear,
    /// `lora_embedding_A` and `lora_embedding_B`.
    Embedding,
}

/// A low-rank factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor<'a> {
    /// The canonical name of its module.
    pub stem: &'a str,
    /// How the module's factors are named.
    pub names: FactorNames,
    /// Whether it is A, not B.
    pub is_a: bool,
}

impl FactorNames {
    /// Both ways.
    pub const ALL: [Self; 2] = [Self::Linear, Self::Embedding];

    fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Linear => ("lora_A", "lora_B"),
            Self::Embedding => ("lora_embedding_A", "lora_embedding_B"),
        }
    }

    /// The name of A at the module of this canonical name.
    pub fn a(self, stem: &str) -> Name {
        Name::new(format!("{stem}.{}", self.parts().0))
    }

    /// The name of B at the module of this canonical name.
    pub fn b(self, stem: &str) -> Name {
        Name::new(format!("{stem}.{}", self.parts().1))
    }

    /// How the factors at a module are named, where `has` finds one of them.
    pub fn at(stem: &str, has: impl Fn(&Name) -> bool) -> Option<Self> {
        let own = |names: &Self| has(&names.a(stem)) || has(&names.b(stem));
        Self::ALL.into_iter().find(own)
    }
}

impl Name {
    /// The factor that a tensor of this name is; none of other tensors.
    pub fn factor(&self) -> Option<Factor<'_>> {
        let (stem, part) = self.as_str().rsplit_once('.')?;
        FactorNames::ALL.into_iter().find_map(|names| {
            let (a, b) = names.parts();
            let is_a = part == a;
            (is_a || part == b).then_some(Factor { stem, names, is_a })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_recognised_by_their_last_part() {
        let a = Name::new("embed_tokens.lora_embedding_A");
        let factor = a.factor().unwrap();
        assert_eq!((factor.stem, factor.is_a), ("embed_tokens", true));
        assert_eq!(factor.names.a(factor.stem), a);
        let b = Name::new("layers.0.q_proj.lora_B");
        let factor = b.factor().unwrap();
        assert_eq!(factor.names, FactorNames::Linear);
        assert!(!factor.is_a);
        assert_eq!(factor.names.b(factor.stem), b);
        assert_eq!(Name::new("q_proj.lora_B.bias").factor(), None);
        assert_eq!(Name::new("lm_head.weight").factor(), None);
    }
}
