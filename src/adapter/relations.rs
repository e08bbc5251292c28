//! Whether adapters can act in one model, and whether an adapter was made for the model it acts in.
//!
//! The libraries' files name a base and say little of it: PEFT's not even how wide it is. What they
//! hold is compared: the type of model, the base's name and hash, the widths of the modules that
//! are changed, how many layers there are, and which modules the adapters share.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::modules::Targets;
use super::tensors::Name;
use super::value::{Adapter, Base};
use crate::model::Model;
use crate::{Context, Result, bail};

impl Base {
    /// What tells that two bases are not the same model, where both say it.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut all = Vec::new();
        let known = !self.model_type.is_empty() && !other.model_type.is_empty();
        if known && self.model_type != other.model_type {
            all.push(format!(
                "the base's type ({} and {})",
                self.model_type, other.model_type
            ));
        }
        // PEFT's files do not say how wide a base is.
        let (own, theirs) = (self.hidden_size, other.hidden_size);
        if own != theirs && own > 0 && theirs > 0 {
            all.push(format!("the base's width ({own} and {theirs})"));
        }
        if let (Some(x), Some(y)) = (&self.id, &other.id)
            && crate::model::differ(x, y, false)
        {
            all.push(format!(
                "the base's weights ({} and {})",
                self.name, other.name
            ));
        }
        all
    }

    /// Whether two names may mean one base: by the last part of a path or of a repository's name,
    /// and by the organisation and the revision where both give one. A name that is not known may
    /// mean any.
    pub fn may_be(&self, other: &str) -> bool {
        let (Some(own), Some(other)) = (PlainName::of(&self.name), PlainName::of(other)) else {
            return true;
        };
        let agree = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
        own.name == other.name
            && agree(&own.owner, &other.owner)
            && agree(&own.revision, &other.revision)
    }

    fn is_named(&self) -> bool {
        PlainName::of(&self.name).is_some()
    }
}

/// A base's name without the place it lies at.
#[derive(Debug, PartialEq, Eq)]
struct PlainName {
    /// The user or the organisation of a repository.
    owner: Option<String>,
    name: String,
    revision: Option<String>,
}

impl PlainName {
    /// None where nothing is named.
    fn of(name: &str) -> Option<Self> {
        let text = name.trim().replace('\\', "/").to_lowercase();
        let text = text.trim_end_matches('/');
        let text = text.strip_prefix("hub:").unwrap_or(text);
        // The hub's cache: models--OWNER--NAME/snapshots/COMMIT.
        if let Some((_, cached)) = text.split_once("models--") {
            let cached = cached.split('/').next().unwrap_or_default();
            let (owner, name) = match cached.split_once("--") {
                Some((owner, name)) => (Some(owner.to_string()), name),
                None => (None, cached),
            };
            return Some(Self {
                owner,
                name: name.into(),
                revision: None,
            });
        }
        let (text, revision) = match text.rsplit_once('@') {
            Some((text, revision)) if !revision.contains('/') => (text, Some(revision.to_string())),
            _ => (text, None),
        };
        let place = text.starts_with(['/', '.', '~']);
        let parts: Vec<&str> = text
            .split('/')
            .filter(|p| !p.is_empty() && *p != ".")
            .collect();
        let last = *parts.last()?;
        if last == "unknown" {
            return None;
        }
        let owner = match parts[..] {
            [owner, _] if !place => Some(owner.to_string()),
            _ => None,
        };
        Some(Self {
            owner,
            name: last.into(),
            revision,
        })
    }
}

/// An error where the adapters cannot act in one model; else what the user should know of their
/// bases, one line each.
pub fn of_one_model(members: &[Adapter]) -> Result<Vec<String>> {
    let Some((first, rest)) = members.split_first() else {
        return Ok(Vec::new());
    };
    let base = first.base();
    let told = base.id.is_some() || base.is_named();
    if rest.is_empty() || told && rest.iter().all(|m| m.base() == base) {
        return Ok(Vec::new());
    }
    let mut bases: Vec<(&Adapter, Reach)> = Vec::new();
    let mut seen: BTreeMap<Name, (usize, &Adapter)> = BTreeMap::new();
    for member in members {
        let reach = Reach::of(member)?;
        for (name, width) in &reach.widths {
            match seen.get(name) {
                Some((other, first)) if other != width => bail!(
                    "{} and {} cannot act in one model: {name} belongs to a module that is {other} wide in the one and {width} wide in the other",
                    first.name(),
                    member.name()
                ),
                Some(_) => {}
                None => {
                    seen.insert(name.clone(), (*width, member));
                }
            }
        }
        if !bases.iter().any(|(known, _)| known.base() == member.base()) {
            bases.push((member, reach));
        }
    }
    let mut notices = Vec::new();
    for (i, (b, reach)) in bases.iter().enumerate() {
        for (a, before) in &bases[..i] {
            notices.extend(compared((a, before), (b, reach))?);
        }
    }
    Ok(notices)
}

/// An error where two adapters cannot act in one model; else what is not known of their bases.
fn compared((a, x): (&Adapter, &Reach), (b, y): (&Adapter, &Reach)) -> Result<Option<String>> {
    let (own, theirs) = (a.base(), b.base());
    let differences = own.differences(theirs);
    if !differences.is_empty() {
        bail!(
            "{} and {} cannot act in one model: they differ in {}",
            a.name(),
            b.name(),
            differences.join(", ")
        );
    }
    if own.id.is_some() && own.id == theirs.id
        || own.may_be(&theirs.name) && own.is_named() && theirs.is_named()
    {
        return Ok(None);
    }
    let shared = x.modules.intersection(&y.modules).next().is_some();
    if !own.is_named() || !theirs.is_named() {
        return Ok((!shared).then(|| {
            format!(
                "{} and {} change no module in common, and nothing says that they were made for one base",
                a.name(),
                b.name()
            )
        }));
    }
    if !shared {
        bail!(
            "{} and {} cannot act in one model: they change no module in common ({} and {}) and were made for {} and {}",
            a.name(),
            b.name(),
            x.modules.first().map_or("none", String::as_str),
            y.modules.first().map_or("none", String::as_str),
            own.name,
            theirs.name
        );
    }
    if let (Some(layers), Some(others)) = (x.layers, y.layers)
        && layers != others
    {
        bail!(
            "{} and {} cannot act in one model: they change all {layers} layers of {} and all {others} layers of {}",
            a.name(),
            b.name(),
            own.name,
            theirs.name
        );
    }
    Ok(Some(format!(
        "{} was made for {}, {} for {}: the shapes agree, but a mixture or a comparison has a meaning only if these are the same model",
        a.name(),
        own.name,
        b.name(),
        theirs.name
    )))
}

/// Which modules of a model an adapter changes.
struct Reach {
    /// Widths of inputs or outputs, by the tensor that has them for a side.
    widths: BTreeMap<Name, usize>,
    /// The canonical names of the modules.
    modules: BTreeSet<String>,
    /// The number of layers, where all of a model's are changed as far as that can be told.
    layers: Option<usize>,
}

impl Reach {
    fn of(adapter: &Adapter) -> Result<Self> {
        let peft = adapter.kind().peft_names();
        let (mut widths, mut modules) = (BTreeMap::new(), BTreeSet::new());
        let mut layers = BTreeSet::new();
        for (name, shape) in adapter.own_shapes()? {
            layers.extend(name.layer());
            modules.insert(module(&name).to_string());
            let text = name.as_str();
            let width = match name.factor() {
                Some(factor) if factor.is_a => shape.get(1).copied(),
                // AdapterHub's has rows for some of the sites that one map computes.
                Some(_) => shape.first().copied().filter(|_| peft.is_some()),
                None if text.ends_with("adapter_down.weight") => shape.get(1).copied(),
                None if text.contains("adapter_up.") => shape.first().copied(),
                None if text.ends_with(".ia3_l") || text.ends_with(".lora_magnitude_vector") => {
                    Some(shape.iter().product())
                }
                None => None,
            };
            widths.extend(width.map(|width| (name, width)));
        }
        let limited = match peft {
            Some(names) => {
                let numbered = match &names.target_modules {
                    Targets::Pattern(pattern) => pattern != "all-linear",
                    Targets::List(list) => list.iter().any(|t| Name::new(t).layer().is_some()),
                };
                names.layers_to_transform.is_some() || names.exclude_modules.is_some() || numbered
            }
            None => match &adapter.kind().config()["leave_out"] {
                Value::Array(left) => !left.is_empty(),
                _ => false,
            },
        };
        let all = (0..layers.len()).eq(layers.iter().copied());
        Ok(Self {
            widths,
            modules,
            layers: (all && !limited && !layers.is_empty()).then_some(layers.len()),
        })
    }
}

/// The module that a tensor of an adapter changes.
fn module(name: &Name) -> &str {
    let text = name.as_str();
    if let Some(factor) = name.factor() {
        return factor.stem;
    }
    match text.find(".adapter_") {
        Some(at) => &text[..at],
        None => text.rsplit_once('.').map_or(text, |(module, _)| module),
    }
}

/// An error where an adapter is not for such a base; a notice, once a pair, where it acts in a
/// model of another name than the one it was made for. No notice is given where the base's hash is
/// known and of the present scheme: another one is an error.
pub fn check_base(adapter: &Adapter, model: &Model, context: &Context) -> Result<()> {
    adapter.suits(model)?;
    for member in adapter.members() {
        let base = member.base();
        let known = base.id.as_deref();
        let compared = known.is_some_and(|id| crate::model::comparable(id, model.id()));
        if !compared && !base.may_be(model.name()) {
            context.notice_once(format!(
                "{} was made for {} and acts here in {}: the shapes agree, but the weights may be another model's",
                member.name(),
                base.name,
                model.name()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_be(a: &str, b: &str) -> bool {
        let base = Base {
            name: a.into(),
            id: None,
            model_type: String::new(),
            hidden_size: 0,
        };
        base.may_be(b)
    }

    #[test]
    fn a_base_is_known_by_its_name_wherever_it_lies() {
        for (a, b) in [
            ("bert-base-uncased", "google-bert/bert-base-uncased"),
            (
                "google-bert/bert-base-uncased",
                "/data/models/bert-base-uncased/",
            ),
            ("someone/Llama", "someone/llama@main"),
            ("./llama", "someone/llama"),
            (
                "/root/.cache/huggingface/hub/models--someone--llama/snapshots/0abc",
                "someone/llama",
            ),
            ("C:\\models\\llama", "llama"),
            ("unknown", "anything"),
            ("", "anything"),
        ] {
            assert!(may_be(a, b) && may_be(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("someone/llama", "someone/qwen2"),
            ("someone/llama", "another/llama"),
            ("base", "../other"),
            ("x/llama@one", "x/llama@two"),
            ("bert-base-multilingual-cased", "bert-base-uncased"),
        ] {
            assert!(!may_be(a, b) && !may_be(b, a), "{a} {b}");
        }
    }
}
