//! What a head's outputs mean.

use serde::{Deserialize, Serialize};

/// What a head tells apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Labels {
    /// Classes by name, in the order of the outputs.
    Named(Vec<String>),
    /// Classes of which only the number is known (LABEL_0, LABEL_1...).
    Counted(usize),
    /// One number.
    Number,
    /// The tokens of a vocabulary of this size, at every position.
    Tokens(usize),
}

impl Labels {
    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Named(names) => names.len(),
            Self::Counted(n) | Self::Tokens(n) => *n,
            Self::Number => 1,
        }
    }

    /// From names as a head's configuration gives them; LABEL_0, LABEL_1... are no names.
    pub fn from_names(names: Vec<String>) -> Self {
        let anonymous = names
            .iter()
            .enumerate()
            .all(|(i, n)| *n == format!("LABEL_{i}"));
        if anonymous {
            Self::Counted(names.len())
        } else {
            Self::Named(names)
        }
    }

    /// The names, made up where unknown; none of tokens.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Named(names) => names.clone(),
            Self::Counted(n) => (0..*n).map(|i| format!("LABEL_{i}")).collect(),
            Self::Tokens(_) => Vec::new(),
            Self::Number => vec!["value".into()],
        }
    }
}
