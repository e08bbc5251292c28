//! Which linear maps of a model an adapter changes: by site, as AdapterHub says, or by module
//! name, as PEFT says.

use std::collections::{BTreeMap, BTreeSet};

use fancy_regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::factor::FactorNames;
use super::stored::Stored;
use super::tensors::Name;
use crate::model::{Config, LinearSite};
use crate::{Error, Result, bail};

/// Which linear maps of a model an adapter changes.
// An adapter has one of them: its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq)]
pub enum Modules {
    /// AdapterHub's choice.
    Sites {
        /// The sites. Where one map computes several, each has factors of its own.
        sites: Vec<LinearSite>,
        /// Layers without any.
        leave_out: Vec<usize>,
    },
    /// PEFT's choice.
    Names(Names),
}

/// The last parts of what PEFT's adapters add to a model beside low-rank factors.
const OWN_PARTS: &[&str] = &[".lora_B.bias", ".lora_magnitude_vector", ".ia3_l"];

/// PEFT's choice of modules, in the names of its `adapter_config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Names {
    /// What stands before a module's canonical name in the model it was made for: `bert.`,
    /// `model.`, or nothing.
    pub prefix: String,
    /// Names, a regular expression, or `all-linear`.
    pub target_modules: Targets,
    /// Modules that are left out though they match.
    pub exclude_modules: Option<Targets>,
    /// The layers it is limited to.
    pub layers_to_transform: Option<Vec<usize>>,
    /// The name of the list of layers, where it is not one of the usual ones.
    pub layers_pattern: Option<Vec<String>>,
    /// Ranks of modules that have another, by the end of their name or a regular expression.
    pub rank_pattern: BTreeMap<String, usize>,
    /// The same of alphas.
    pub alpha_pattern: BTreeMap<String, f64>,
    /// IA3: the modules whose input is scaled, not their output.
    pub feedforward_modules: Option<Targets>,
    /// Whether B has a bias.
    pub lora_bias: bool,
    /// The base's biases that are trained too: `none`, `all` or `lora_only`.
    pub bias: String,
    /// The modules of a task model that stand beside its base, such as `lm_head`: no prefix stands
    /// before their names.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub beside: BTreeSet<String>,
    /// The tokens whose rows of an embedding are trained by themselves, as PEFT's configuration
    /// says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trainable_token_indices: Option<Value>,
}

/// Names of modules, a regular expression, or `all-linear`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Targets {
    /// A regular expression that a whole name matches, or `all-linear`.
    Pattern(String),
    /// Whole names, or their last parts.
    List(Vec<String>),
}

impl Default for Targets {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// A linear map of a model that is changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its canonical name.
    pub stem: String,
    /// The number of its layer.
    pub layer: usize,
    /// The sites that are changed, among those the map computes.
    pub sites: Vec<LinearSite>,
    /// Whether each of several sites has factors of its own.
    pub grouped: bool,
    /// Width of its input.
    pub input: usize,
    /// Width of the outputs that are changed.
    pub output: usize,
}

impl Place {
    /// How many factors A hold side by side.
    pub fn groups(&self) -> usize {
        if self.grouped { self.sites.len() } else { 1 }
    }
}

impl Modules {
    /// These sites, in any order, in every layer.
    pub fn of_sites(mut sites: Vec<LinearSite>) -> Self {
        sites.sort_unstable();
        sites.dedup();
        Self::Sites {
            sites,
            leave_out: Vec::new(),
        }
    }

    /// Whether PEFT's names count.
    pub fn is_peft(&self) -> bool {
        matches!(self, Self::Names(_))
    }

    /// The rank of the map of this canonical name, where it has one of its own.
    pub fn rank(&self, stem: &str) -> Option<usize> {
        match self {
            Self::Sites { .. } => None,
            Self::Names(names) => names.own(&names.rank_pattern, stem),
        }
    }

    /// The alpha of the map of this canonical name, where it has one of its own.
    pub fn alpha(&self, stem: &str) -> Option<f64> {
        match self {
            Self::Sites { .. } => None,
            Self::Names(names) => names.own(&names.alpha_pattern, stem),
        }
    }

    /// Whether B has a bias.
    pub fn lora_bias(&self) -> bool {
        matches!(self, Self::Names(names) if names.lora_bias)
    }

    /// Whether the base's biases of the changed maps are the adapter's own.
    pub fn own_biases(&self) -> bool {
        matches!(self, Self::Names(names) if names.bias == "lora_only" || names.bias == "all")
    }

    /// The maps of a model of this configuration that are changed, in order.
    pub fn places(&self, base: &Config) -> Result<Vec<Place>> {
        let architecture = base.architecture()?;
        let mut all = Vec::new();
        for layer in 0..base.num_hidden_layers {
            for map in architecture.maps {
                let stem = architecture.path(layer, map.path);
                let (input, output) = map.widths(base);
                let place = |sites: Vec<LinearSite>, grouped, output| Place {
                    stem: stem.clone(),
                    layer,
                    sites,
                    grouped,
                    input,
                    output,
                };
                match self {
                    Self::Sites { leave_out, .. } if leave_out.contains(&layer) => {}
                    Self::Sites { sites, .. } => {
                        let own: Vec<LinearSite> = map
                            .sites
                            .iter()
                            .copied()
                            .filter(|s| sites.contains(s))
                            .collect();
                        if !own.is_empty() {
                            let output = output / map.sites.len() * own.len();
                            all.push(place(own, map.sites.len() > 1, output));
                        }
                    }
                    Self::Names(names) => {
                        if names.selects(&stem, layer)? {
                            all.push(place(map.sites.to_vec(), false, output));
                        }
                    }
                }
            }
        }
        if all.is_empty() {
            bail!(
                "none of the adapter's target modules is in a {} model",
                base.model_type
            );
        }
        Ok(all)
    }

    /// An error unless the modules that are changed, each with one of its tensors, are those that
    /// are chosen.
    pub fn check(&self, stored: &Stored<'_>, changed: &BTreeMap<String, Name>) -> Result<()> {
        match (self, stored.architecture) {
            (Self::Names(names), _) => names.check(stored, changed),
            (Self::Sites { .. }, None) => Ok(()),
            (Self::Sites { sites, leave_out }, Some(architecture)) => {
                let paths: Vec<&str> = architecture.maps.iter().map(|map| map.path).collect();
                let chosen = |layer: usize, path: &str| {
                    let map = architecture.map_at(path);
                    let has = map.is_some_and(|map| map.sites.iter().any(|s| sites.contains(s)));
                    Ok(has && !leave_out.contains(&layer))
                };
                stored.placed(changed, &paths, &chosen, "the configuration")
            }
        }
    }

    /// The same without ranks and alphas of single maps.
    #[must_use]
    pub fn plain(&self) -> Self {
        match self {
            Self::Names(names) => Self::Names(Names {
                rank_pattern: BTreeMap::new(),
                alpha_pattern: BTreeMap::new(),
                ..names.clone()
            }),
            sites => sites.clone(),
        }
    }

    /// The maps that either of the two changes. Where no choice of either kind says them, they are
    /// named one by one: `stems` gives their canonical names. An error where AdapterHub has no
    /// words for them.
    pub fn union(&self, other: &Self, stems: impl FnOnce() -> Result<Vec<Name>>) -> Result<Self> {
        match (self, other) {
            _ if self == other => Ok(self.clone()),
            (
                Self::Sites { sites, leave_out },
                Self::Sites {
                    sites: more,
                    leave_out: less,
                },
            ) => {
                let both = |l: &&usize| less.contains(l);
                let joined = Self::of_sites([&sites[..], &more[..]].concat());
                match joined {
                    Self::Sites { sites: all, .. } if leave_out == less || sites == more => {
                        Ok(Self::Sites {
                            sites: all,
                            leave_out: leave_out.iter().filter(both).copied().collect(),
                        })
                    }
                    _ => Err(
                        Error::new("they change different maps in different layers, which AdapterHub has no words for")
                            .hint("convert them first: tureen convert --format peft"),
                    ),
                }
            }
            (Self::Names(a), Self::Names(b)) => Ok(Self::Names(a.union(b, stems)?)),
            _ => Err(
                Error::new("one chooses its maps as AdapterHub does, the other as PEFT does")
                    .hint("convert one of them first: tureen convert"),
            ),
        }
    }
}

impl Names {
    /// The full name, in the model it was made for, of the module or tensor of this canonical name.
    pub fn full(&self, name: &str) -> String {
        let first = name.split('.').next().unwrap_or(name);
        match self.beside.contains(first) {
            true => name.to_string(),
            false => format!("{}{name}", self.prefix),
        }
    }

    /// Whether the tensor of this name belongs to a module that was saved as a whole, and not to
    /// what the adapter adds to a model. `has` tells which tensors there are.
    pub fn is_saved(&self, name: &Name, has: &dyn Fn(&Name) -> bool) -> bool {
        let text = name.as_str();
        if name.factor().is_some() || OWN_PARTS.iter().any(|part| text.ends_with(part)) {
            return false;
        }
        let bias = text.strip_suffix(".bias");
        match (bias, self.bias.as_str()) {
            (Some(_), "all") => false,
            (Some(stem), "lora_only") => FactorNames::at(stem, has).is_none(),
            _ => true,
        }
    }

    /// An error unless the modules that are changed, each with one of its tensors, are those that
    /// the configuration names, and its patterns are regular expressions.
    fn check(&self, stored: &Stored<'_>, changed: &BTreeMap<String, Name>) -> Result<()> {
        for (stem, name) in changed {
            let full = self.full(stem);
            for key in self.rank_pattern.keys().chain(self.alpha_pattern.keys()) {
                fits_pattern(&full, key)?;
            }
            let layer = name.layer().unwrap_or(usize::MAX);
            if !self.selects(stem, layer)? {
                return Err(stored.extra(
                    name,
                    "its module is not among those that target_modules names",
                ));
            }
        }
        let Some(architecture) = stored.architecture else {
            return Ok(());
        };
        let paths: Vec<&str> = architecture.maps.iter().map(|map| map.path).collect();
        let chosen =
            |layer: usize, path: &str| self.selects(&architecture.path(layer, path), layer);
        stored.placed(changed, &paths, &chosen, "target_modules")
    }

    /// Whether the module of this canonical name is changed.
    pub fn selects(&self, stem: &str, layer: usize) -> Result<bool> {
        let full = self.full(stem);
        if let Some(excluded) = &self.exclude_modules
            && excluded.matches(&full)?
        {
            return Ok(false);
        }
        if !self.target_modules.matches(&full)? {
            return Ok(false);
        }
        // A whole name means its module, whichever layer that is in.
        if matches!(&self.target_modules, Targets::List(list) if list.contains(&full)) {
            return Ok(true);
        }
        // PEFT limits layers only where the targets are a list.
        Ok(match (&self.layers_to_transform, &self.target_modules) {
            (Some(layers), Targets::List(_)) => layers.contains(&layer),
            _ => true,
        })
    }

    /// The value of the first pattern that this name matches.
    fn own<V: Copy>(&self, patterns: &BTreeMap<String, V>, stem: &str) -> Option<V> {
        let full = self.full(stem);
        let fits = |key: &str| fits_pattern(&full, key).unwrap_or(false);
        patterns.iter().find(|(key, _)| fits(key)).map(|(_, v)| *v)
    }

    fn union(&self, other: &Self, stems: impl FnOnce() -> Result<Vec<Name>>) -> Result<Self> {
        let (a, b) = (&self.target_modules, &other.target_modules);
        let (own, theirs) = (&self.layers_to_transform, &other.layers_to_transform);
        let alike = self.exclude_modules == other.exclude_modules
            && self.layers_pattern == other.layers_pattern;
        let mut joined = self.clone();
        // An adapter of modules beside the base alone has no prefix.
        match (self.prefix.as_str(), other.prefix.as_str()) {
            ("", theirs) => joined.prefix = theirs.into(),
            (own, theirs) if theirs.is_empty() || own == theirs => {}
            (own, theirs) => bail!(
                "one names its base's modules {own}*, the other {theirs}*, so they were made for different kinds of models"
            ),
        }
        joined.beside.extend(other.beside.iter().cloned());
        match (a, b) {
            (Targets::List(a), Targets::List(b)) if alike && own == theirs => {
                joined.target_modules = Targets::List(sorted(a, b));
            }
            _ if alike && a == b => {
                joined.layers_to_transform =
                    own.as_ref().zip(theirs.as_ref()).map(|(a, b)| sorted(a, b));
            }
            _ => {
                let all = stems()?;
                let full = |stem: &Name| joined.full(stem.as_str());
                joined.target_modules = Targets::List(all.iter().map(full).collect());
                (joined.exclude_modules, joined.layers_to_transform) = (None, None);
                joined.layers_pattern = None;
            }
        }
        Ok(joined)
    }
}

/// What is in either list, each once.
fn sorted<T: Ord + Clone>(a: &[T], b: &[T]) -> Vec<T> {
    let mut all = [a, b].concat();
    all.sort();
    all.dedup();
    all
}

impl Targets {
    /// Whether the module of this full name is meant.
    pub fn matches(&self, full: &str) -> Result<bool> {
        match self {
            Self::List(names) => Ok(names.iter().any(|name| is_end(full, name))),
            Self::Pattern(all) if all == "all-linear" => Ok(true),
            Self::Pattern(pattern) => {
                let bad = |e: fancy_regex::Error| {
                    Error::new(format!(
                        "target_modules {pattern:?} is not a regular expression: {e}"
                    ))
                };
                let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(bad)?;
                regex.is_match(full).map_err(bad)
            }
        }
    }
}

/// Whether the module of this full name is one that a key of PEFT's patterns means.
fn fits_pattern(full: &str, key: &str) -> Result<bool> {
    if is_end(full, key) {
        return Ok(true);
    }
    let bad = |e: fancy_regex::Error| {
        Error::new(format!(
            "{key:?}, a key of rank_pattern or alpha_pattern, cannot be matched: {e}"
        ))
    };
    // Patterns that go back and forth are for people who mean harm.
    let regex = RegexBuilder::new(&format!("^(?:.*\\.)?(?:{key})$"))
        .backtrack_limit(10_000)
        .build()
        .map_err(bad)?;
    regex.is_match(full).map_err(bad)
}

/// Whether `end` is the whole name or its last parts.
fn is_end(full: &str, end: &str) -> bool {
    full == end
        || full
            .strip_suffix(end)
            .is_some_and(|head| head.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(targets: Targets) -> Names {
        Names {
            prefix: "bert.".into(),
            target_modules: targets,
            ..Names::default()
        }
    }

    #[test]
    fn names_are_matched_as_peft_does() {
        let list = names(Targets::List(vec!["query".into(), "output.dense".into()]));
        let selects = |names: &Names, stem: &str| names.selects(stem, 0).unwrap();
        assert!(selects(&list, "encoder.layer.0.attention.self.query"));
        assert!(selects(&list, "encoder.layer.0.attention.output.dense"));
        assert!(!selects(&list, "encoder.layer.0.intermediate.dense"));
        assert!(!selects(&list, "encoder.layer.0.attention.self.xquery"));
        let regex = names(Targets::Pattern(
            r"bert\.encoder\.layer\.[01]\..*\.(query|key)".into(),
        ));
        assert!(selects(&regex, "encoder.layer.1.attention.self.key"));
        assert!(!selects(&regex, "encoder.layer.2.attention.self.key"));
        assert!(selects(&names(Targets::Pattern("all-linear".into())), "x"));
        let limited = Names {
            layers_to_transform: Some(vec![1]),
            ..list
        };
        assert!(
            !limited
                .selects("encoder.layer.0.attention.self.query", 0)
                .unwrap()
        );
        assert!(
            limited
                .selects("encoder.layer.1.attention.self.query", 1)
                .unwrap()
        );
        let bad = names(Targets::Pattern("(".into()))
            .selects("x", 0)
            .unwrap_err();
        assert!(bad.to_string().contains("is not a regular expression"));
    }

    #[test]
    fn patterns_give_ranks_and_alphas() {
        let mut names = names(Targets::default());
        names
            .rank_pattern
            .insert("layer.0.attention.self.query".into(), 4);
        names.rank_pattern.insert(r".*\.value".into(), 2);
        let rank = |stem: &str| names.own(&names.rank_pattern, stem);
        assert_eq!(rank("encoder.layer.0.attention.self.query"), Some(4));
        assert_eq!(rank("encoder.layer.10.attention.self.query"), None);
        assert_eq!(rank("encoder.layer.3.attention.self.value"), Some(2));
    }
}
