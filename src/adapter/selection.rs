//! Which of an adapter's tensors an operation looks at.

use std::collections::BTreeMap;
use std::fmt;

use super::Name;
use super::alignment::shortened;
use crate::{Error, Result};

/// Which of an adapter's tensors an operation looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    /// The weight matrices: no biases, norms or scales.
    #[default]
    Matrices,
    /// Every tensor. Of an adapter, saved modules are left out here and above.
    All,
    /// The tensors whose whole name matches; `*` stands for any text, dots included, and `|`
    /// stands between patterns of which one must match.
    Pattern(String),
}

impl Selection {
    /// Whether the tensor of this name is selected.
    pub fn matches(&self, name: &Name) -> bool {
        match self {
            Self::Matrices => name.is_matrix(),
            Self::All => true,
            Self::Pattern(pattern) => pattern
                .split('|')
                .any(|pattern| glob(pattern.trim().as_bytes(), name.as_str().as_bytes())),
        }
    }

    /// The selected tensors in name order; an error that lists some names if there are none.
    pub fn pick<'a, V>(&self, tensors: &'a BTreeMap<Name, V>) -> Result<Vec<(&'a Name, &'a V)>> {
        let picked: Vec<_> = tensors
            .iter()
            .filter(|(name, _)| self.matches(name))
            .collect();
        if !picked.is_empty() {
            return Ok(picked);
        }
        if tensors.is_empty() {
            return Err(Error::new("there are no tensors to select from"));
        }
        let names: Vec<String> = tensors.keys().map(Name::to_string).collect();
        let error = Error::new(format!(
            "`{self}` selects none of the {} tensors: {}",
            names.len(),
            shortened(&names)
        ));
        Err(error.hint("use \"weights\", \"all\" or a pattern such as \"*layer.0.*\""))
    }
}

/// `weights` or `matrices`, `all`, or else a pattern.
impl From<&str> for Selection {
    fn from(text: &str) -> Self {
        match text {
            "weights" | "matrices" => Self::Matrices,
            "all" => Self::All,
            pattern => Self::Pattern(pattern.to_string()),
        }
    }
}

/// The text that reads back as this selection.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Matrices => "weights",
            Self::All => "all",
            Self::Pattern(pattern) => pattern,
        })
    }
}

/// Whether `text` matches `pattern` from end to end, without backtracking past the last star.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // After a mismatch only the last star needs to take one byte more: an earlier one could
    // reach no match that this one cannot.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((after, taken)) = star {
            (p, t) = (after, taken + 1);
            star = Some((after, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Selection {
        text.into()
    }

    #[test]
    fn texts_parse_and_print_back() {
        assert_eq!(parse("weights"), Selection::Matrices);
        assert_eq!(parse("matrices"), Selection::default());
        assert_eq!(parse("all"), Selection::All);
        assert_eq!(parse("*.bias").to_string(), "*.bias");
    }

    #[test]
    fn a_pattern_matches_the_whole_name() {
        let name = Name::new("encoder.layer.1.output.adapter_down.weight");
        for yes in [
            "*",
            "*weight",
            "encoder*",
            "*.1.*down*",
            "**layer*t",
            name.as_str(),
        ] {
            assert!(parse(yes).matches(&name), "{yes}");
        }
        for no in ["", "layer", "*layer", "encoder.*.bias", "*.2.*", "*weight?"] {
            assert!(!parse(no).matches(&name), "{no}");
        }
        assert!(parse("*ab").matches(&Name::new("aab")));
    }

    #[test]
    fn selecting_nothing_lists_what_there_is() {
        let tensors: BTreeMap<Name, ()> = ["layer.0.weight", "layer.0.bias"]
            .map(|name| (Name::new(name), ()))
            .into();
        assert_eq!(parse("weights").pick(&tensors).unwrap().len(), 1);
        assert_eq!(parse("all").pick(&tensors).unwrap().len(), 2);
        let error = parse("*down*").pick(&tensors).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "`*down*` selects none of the 2 tensors: layer.0.bias, layer.0.weight;"
            ),
            "{error}"
        );
    }
}
