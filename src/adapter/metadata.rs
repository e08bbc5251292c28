//! What an adapter's folder says beside the weights and what they compute: the task, the types of
//! numbers, files that go with it, its card.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::DType;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::value::Adapter;
use crate::tensorfile::Number;

/// Under which name the types of tensors hold that of the heads'.
pub const HEADS: &str = "heads";

/// What an adapter's folder says beside its weights and what they compute. It decides no number,
/// and goes with the adapter when it is converted, pruned, mixed and saved.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// PEFT's `task_type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// The class of the model it was trained in, as PEFT says it where there is no `task_type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_mapping: Option<Value>,
    /// The base's revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Whether the base stores its maps as [in, out].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fan_in_fan_out: Option<bool>,
    /// The version of PEFT whose file it was; none of other layouts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peft: Option<Version>,
    /// The name it has in AdapterHub's layout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub_name: Option<String>,
    /// Whether it had a head.
    #[serde(skip)]
    pub headed: bool,
    /// The types of its tensors' numbers, by canonical name; empty where all are in single
    /// precision.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, Precision>,
    /// Files that go with it, such as a tokenizer's, by their names: where they are.
    #[serde(skip)]
    pub files: BTreeMap<String, PathBuf>,
    /// What the card's header says.
    #[serde(skip)]
    pub front: Map<String, Value>,
    /// The card's text, each under a title of its own.
    #[serde(skip)]
    pub cards: Vec<(String, String)>,
}

impl Metadata {
    /// Takes from `other` what is not known here.
    pub fn complete(&mut self, other: Self) {
        self.task_type = self.task_type.take().or(other.task_type);
        self.auto_mapping = self.auto_mapping.take().or(other.auto_mapping);
        self.revision = self.revision.take().or(other.revision);
        self.fan_in_fan_out = self.fan_in_fan_out.or(other.fan_in_fan_out);
        self.peft = self.peft.take().or(other.peft);
        self.hub_name = self.hub_name.take().or(other.hub_name);
    }

    /// What a file beside the adapter's says of it: nothing that its tensors or the other files say.
    pub fn portable(&self) -> Self {
        Self {
            headed: false,
            types: BTreeMap::new(),
            files: BTreeMap::new(),
            front: Map::new(),
            cards: Vec::new(),
            ..self.clone()
        }
    }
}

/// A version of PEFT, where the file says one: those before 0.18 do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version(pub Option<String>);

/// The types of numbers that adapters are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// The upper half of a single.
    Bf16,
}

impl Precision {
    /// The type of such numbers; single precision stands for what is neither.
    pub fn of(number: Number) -> Self {
        match number {
            Number::F16 => Self::F16,
            Number::BF16 => Self::Bf16,
            _ => Self::F32,
        }
    }

    /// The same of a tensor in memory.
    pub fn of_dtype(dtype: DType) -> Self {
        match dtype {
            DType::F16 => Self::F16,
            DType::BF16 => Self::Bf16,
            _ => Self::F32,
        }
    }

    /// The type of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "f32" => Some(Self::F32),
            "f16" => Some(Self::F16),
            "bf16" => Some(Self::Bf16),
            _ => None,
        }
    }

    /// The types that all of these are; empty where all are in single precision.
    pub fn all(types: BTreeMap<String, Self>) -> BTreeMap<String, Self> {
        match types.values().all(|own| *own == Self::F32) {
            true => BTreeMap::new(),
            false => types,
        }
    }

    /// As files name it.
    pub fn number(self) -> Number {
        match self {
            Self::F32 => Number::F32,
            Self::F16 => Number::F16,
            Self::Bf16 => Number::BF16,
        }
    }
}

/// An adapter's metadata: its own, or what follows from its members' when it is asked for.
#[derive(Debug, Clone)]
pub enum Source {
    /// Its own.
    Own(Arc<Metadata>),
    /// That of a mixture of these.
    Members(Arc<[Adapter]>),
}

impl Default for Source {
    fn default() -> Self {
        Self::Own(Arc::default())
    }
}

impl From<Metadata> for Source {
    fn from(own: Metadata) -> Self {
        Self::Own(own.into())
    }
}

impl Source {
    /// That of a mixture.
    pub fn of(members: &[Adapter]) -> Self {
        Self::Members(members.into())
    }

    /// The metadata.
    pub fn get(&self) -> Arc<Metadata> {
        let members = match self {
            Self::Own(own) => return own.clone(),
            Self::Members(members) => members,
        };
        let mut all: Vec<(String, Arc<Metadata>)> = Vec::new();
        let mut seen = BTreeSet::new();
        for member in members.iter().filter(|m| seen.insert(m.id().clone())) {
            all.push((member.name().to_string(), member.parts().metadata.get()));
        }
        match &all[..] {
            [(_, only)] => only.clone(),
            _ => Arc::new(mixed(&all)),
        }
    }
}

/// What is the same in all.
fn agreed<T: PartialEq + Clone>(all: &[T]) -> Option<T> {
    let (first, rest) = all.split_first()?;
    rest.iter()
        .all(|other| other == first)
        .then(|| first.clone())
}

/// The metadata of a mixture of members of these names: what all agree on.
fn mixed(all: &[(String, Arc<Metadata>)]) -> Metadata {
    fn of<T: PartialEq + Clone>(
        all: &[(String, Arc<Metadata>)],
        field: impl Fn(&Metadata) -> Option<T>,
    ) -> Option<T> {
        let fields: Vec<Option<T>> = all.iter().map(|(_, own)| field(own)).collect();
        agreed(&fields).flatten()
    }
    let mut types = BTreeMap::new();
    let names: BTreeSet<&String> = all.iter().flat_map(|(_, own)| own.types.keys()).collect();
    for name in names {
        // One without types is in single precision.
        let full = |own: &Metadata| own.types.is_empty().then_some(Precision::F32);
        let own = all.iter();
        let own: Vec<Precision> = own
            .filter_map(|(_, own)| own.types.get(name).copied().or_else(|| full(own)))
            .collect();
        if let Some(half) = agreed(&own) {
            types.insert(name.clone(), half);
        }
    }
    let mut front = Map::new();
    let fronts: Vec<&Map<String, Value>> = all.iter().map(|(_, own)| &own.front).collect();
    for (key, value) in fronts.first().into_iter().flat_map(|front| front.iter()) {
        if fronts.iter().all(|front| front.get(key) == Some(value)) {
            front.insert(key.clone(), value.clone());
        }
    }
    let mut cards = Vec::new();
    for card in all.iter().flat_map(|(_, own)| &own.cards) {
        if !cards.contains(card) {
            cards.push(card.clone());
        }
    }
    let auto_mapping = of(all, |own| own.auto_mapping.clone());
    Metadata {
        task_type: of(all, |own| own.task_type.clone()),
        auto_mapping,
        revision: of(all, |own| own.revision.clone()),
        fan_in_fan_out: of(all, |own| own.fan_in_fan_out),
        peft: of(all, |own| own.peft.clone()),
        hub_name: of(all, |own| own.hub_name.clone()),
        headed: all.iter().any(|(_, own)| own.headed),
        types: Precision::all(types),
        files: files(all),
        front,
        cards,
    }
}

/// The files of a mixture: one of each name where all members that have it have the same; licences
/// that differ are kept beside each other.
fn files(all: &[(String, Arc<Metadata>)]) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let names: BTreeSet<&String> = all.iter().flat_map(|(_, own)| own.files.keys()).collect();
    for name in names {
        let own: Vec<(&String, &PathBuf)> = all
            .iter()
            .filter_map(|(member, own)| Some((member, own.files.get(name)?)))
            .collect();
        let contents: Vec<_> = own
            .iter()
            .map(|(_, path)| std::fs::read(path).ok())
            .collect();
        if agreed(&contents).is_some() {
            if let Some((_, path)) = own.first() {
                found.insert(name.clone(), (*path).clone());
            }
            continue;
        }
        if !is_licence(name) {
            continue;
        }
        for (member, path) in own {
            let member = super::formats::plain(member);
            found.insert(format!("{member}-{name}"), path.clone());
        }
    }
    found
}

/// Whether a file of this name says under which terms an adapter may be used.
pub fn is_licence(name: &str) -> bool {
    let name = name.to_lowercase();
    let stem = name
        .strip_suffix(".md")
        .or_else(|| name.strip_suffix(".txt"))
        .unwrap_or(&name);
    ["license", "licence", "copying", "notice", "use_policy"]
        .iter()
        .any(|word| stem == *word || stem.ends_with(&format!("-{word}")))
}

/// Files of tokenizers and what else says how texts are made ready.
const OF_TOKENIZERS: &[&str] = &[
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
];

/// Whether a file of this name goes with an adapter beside which it lies.
pub fn goes_with(name: &str) -> bool {
    OF_TOKENIZERS.contains(&name) || is_licence(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_keeps_what_its_members_agree_on() {
        let member = |task: &str, half: Precision, name: &str| {
            let metadata = Metadata {
                task_type: Some(task.into()),
                types: BTreeMap::from([(name.to_string(), half), ("both".into(), half)]),
                ..Metadata::default()
            };
            (name.to_string(), Arc::new(metadata))
        };
        let (a, b) = (
            member("CAUSAL_LM", Precision::Bf16, "a"),
            member("CAUSAL_LM", Precision::Bf16, "b"),
        );
        let both = mixed(&[a.clone(), b]);
        assert_eq!(both.task_type.as_deref(), Some("CAUSAL_LM"));
        let all = ["a", "b", "both"].map(|name| (name.to_string(), Precision::Bf16));
        assert_eq!(both.types, BTreeMap::from(all));
        let other = mixed(&[a.clone(), member("SEQ_CLS", Precision::F16, "c")]);
        assert_eq!(other.task_type, None);
        assert!(!other.types.contains_key("both"));
        let full = ("d".to_string(), Arc::new(Metadata::default()));
        assert_eq!(mixed(&[a, full]).types, BTreeMap::new());
    }

    #[test]
    fn files_that_go_with_an_adapter_are_told_by_name() {
        for name in [
            "LICENSE",
            "license.txt",
            "NOTICE.md",
            "tokenizer.json",
            "chat_template.jinja",
        ] {
            assert!(goes_with(name), "{name}");
        }
        for name in [
            "README.md",
            "optimizer.pt",
            "training_args.bin",
            "adapter_config.json",
        ] {
            assert!(!goes_with(name), "{name}");
        }
    }
}
