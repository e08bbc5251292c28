//! Which tensors of an adapter an operation is about.

use crate::Result;
use crate::bail;

use super::tensors::{Name, Tensors};

/// A choice of tensors by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selection {
    /// Weight matrices: no biases, norms or scales.
    #[default]
    Matrices,
    /// Every tensor.
    All,
    /// Names that match a pattern, in which `*` stands for any run of characters.
    Pattern(String),
}

impl Selection {
    /// `weights` (or `matrices`), `all`, or a pattern.
    pub fn parse(text: &str) -> Self {
        match text {
            "weights" | "matrices" => Self::Matrices,
            "all" => Self::All,
            pattern => Self::Pattern(pattern.to_string()),
        }
    }

    /// Whether it takes in this tensor.
    pub fn matches(&self, name: &Name) -> bool {
        match self {
            Self::Matrices => name.is_matrix(),
            Self::All => true,
            Self::Pattern(pattern) => glob(pattern.as_bytes(), name.as_str().as_bytes()),
        }
    }

    /// The chosen tensors; an error that shows some names where there are none.
    pub fn of(&self, tensors: &Tensors) -> Result<Tensors> {
        let chosen: Tensors = tensors
            .iter()
            .filter(|(name, _)| self.matches(name))
            .map(|(name, tensor)| (name.clone(), tensor.clone()))
            .collect();
        if chosen.is_empty() {
            let some: Vec<&str> = tensors.keys().take(2).map(Name::as_str).collect();
            let what = match self {
                Self::Matrices => "is a weight matrix".to_string(),
                Self::All => "is there".to_string(),
                Self::Pattern(pattern) => format!("matches {pattern:?}"),
            };
            bail!(
                "no tensor {what}; there are {} tensors, such as {}",
                tensors.len(),
                some.join(", ")
            );
        }
        Ok(chosen)
    }
}

/// Whether `text` is of the form `pattern`, in which `*` stands for any run of characters.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        Some((c, rest)) => text.first() == Some(c) && glob(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let name = Name::new("encoder.layer.0.output.adapter_down.weight");
        let matches = |text: &str| Selection::parse(text).matches(&name);
        assert!(matches("*adapter_down*") && matches("encoder.*.weight") && matches("weights"));
        assert!(!matches("adapter_down") && !matches("*.bias"));
    }
}
