//! Which tensors the result of a merge has, and what each is made of.

use std::collections::BTreeMap;

use crate::{Result, bail};

use super::super::settings::Place;
use super::checkpoint::{Checkpoint, layer_of};
use super::config::Blend;
use super::names::{Names, is_buffer};

/// The models of a merge by the name that its recipe gives them.
pub type Models = BTreeMap<String, Checkpoint>;

/// A tensor of the result.
#[derive(Debug)]
pub struct Output<'a> {
    /// Its name.
    pub name: String,
    /// Its name as the first model has it, which filters look at.
    pub own: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// 0 for the first layer, 1 for the last (and for an only one); of what is in no layer, 0 for
    /// what comes before the layers and 1 for what comes after them, as mergekit has it.
    pub depth: f64,
    /// How it is mixed.
    pub blend: &'a Blend,
    /// Where each member's tensor is, in order.
    pub members: Vec<(&'a Checkpoint, String)>,
    /// Where the base's is.
    pub base: Option<(&'a Checkpoint, String)>,
    /// Whether it is taken as it is from the one member there is then.
    pub copied: bool,
}

/// What a merge makes.
#[derive(Debug)]
pub struct Layout<'a> {
    /// The tensors of the result by name.
    pub outputs: Vec<Output<'a>>,
    /// What is left out of it, in words.
    pub notices: Vec<String>,
}

impl Output<'_> {
    /// Its place, for settings.
    pub fn place(&self) -> Place<'_> {
        Place {
            name: &self.own,
            depth: self.depth,
        }
    }

    /// The model whose tensor stands for those that are not mixed: the base, else the first.
    pub fn leader(&self) -> &(&Checkpoint, String) {
        self.base.as_ref().unwrap_or(&self.members[0])
    }

    /// The number of its entries.
    pub fn entries(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The tensors of the result, under the names that the first model has. Errors that list what
/// differs where models do not fit.
pub fn outputs<'a>(blends: &'a [Blend], models: &'a Models) -> Result<Layout<'a>> {
    let (mut all, mut notices) = (Vec::new(), Vec::new());
    let sliced = blends.iter().any(|b| b.layers.is_some());
    let mut offset = 0;
    for (i, blend) in blends.iter().enumerate() {
        let (first, last) = (i == 0, i + 1 == blends.len());
        let lead = &models[&blend.members[0].0];
        let start = blend.members[0].1;
        let counts = counts(lead);
        if sliced && counts.len() > 1 {
            bail!(
                "{} has several stacks of layers ({}); slices are for one",
                lead.name,
                counts.keys().copied().collect::<Vec<_>>().join(", ")
            );
        }
        check_layers(blend, models)?;
        let used = blend.members.iter().chain(&blend.base);
        let others: BTreeMap<&String, Names<'_>> = used
            .map(|(name, _)| (name, Names::between(lead, &models[name])))
            .collect();
        let mut differs = Vec::new();
        for own in lead.names() {
            let (depth, layer) = match layer_of(own) {
                Some((prefix, layer, _)) => {
                    let count = blend.layers.unwrap_or(counts[prefix]);
                    if layer < start || layer >= start + count {
                        continue;
                    }
                    let depth = match count {
                        1 => 1.0,
                        _ => (layer - start) as f64 / (count - 1) as f64,
                    };
                    (depth, Some(layer - start))
                }
                None if comes_before(own) => {
                    if !first {
                        continue;
                    }
                    (0.0, None)
                }
                None if !last => continue,
                None => (1.0, None),
            };
            let copied = is_buffer(lead, own);
            let mut place = |(name, start): &(String, usize)| -> Result<_> {
                let (model, own) = (&models[name], renamed(own, layer.map(|l| l + start)));
                let found = others[name].find(&own)?;
                if found.is_none() {
                    differs.push(format!("{} has no {own}", model.name));
                }
                Ok(found.map(|found| (model, found)))
            };
            let (members, base) = match copied {
                true => (vec![(lead, own.clone())], None),
                false => {
                    let members = blend.members.iter().map(&mut place);
                    let members = members.collect::<Result<Option<Vec<_>>>>()?;
                    let base = blend.base.as_ref().map(place).transpose()?;
                    let (Some(members), Some(base)) =
                        (members, base.map_or(Some(None), |b| b.map(Some)))
                    else {
                        continue;
                    };
                    (members, base)
                }
            };
            let shape = lead.shape(own).unwrap_or_default().to_vec();
            for (model, name) in members.iter().chain(&base) {
                let other = model.shape(name).unwrap_or_default();
                if other != shape {
                    differs.push(format!(
                        "{name} is {shape:?} in {} and {other:?} in {}",
                        lead.name, model.name
                    ));
                }
            }
            check_numbers(&members, &base)?;
            all.push(Output {
                name: renamed(own, layer.map(|l| l + offset)),
                own: own.clone(),
                shape,
                depth,
                blend,
                members,
                base,
                copied,
            });
        }
        if !sliced {
            for (other, names) in others {
                let further = names.further()?;
                let lacks = |name: &String| format!("{} has no {name}", lead.name);
                differs.extend(further.needed.iter().map(lacks));
                if !further.heads.is_empty() {
                    notices.push(format!(
                        "the result is without tensors of {other} that {} lacks: {}",
                        lead.name,
                        listed(&further.heads)
                    ));
                }
            }
        }
        if !differs.is_empty() {
            bail!("the models differ: {}", listed(&differs));
        }
        offset += blend.layers.unwrap_or(0);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = all.windows(2).find(|p| p[0].name == p[1].name) {
        bail!("two tensors are called {}", pair[0].name);
    }
    Ok(Layout {
        outputs: all,
        notices,
    })
}

/// An error where tensors of whole numbers differ, since they cannot be mixed.
fn check_numbers(
    members: &[(&Checkpoint, String)],
    base: &Option<(&Checkpoint, String)>,
) -> Result<()> {
    let Some((first, own)) = members.first() else {
        return Ok(());
    };
    let number = first.number(own)?;
    for (model, name) in members[1..].iter().chain(base) {
        let other = model.number(name)?;
        if number.is_float() && other.is_float() {
            continue;
        }
        if number != other {
            bail!(
                "tensor {own} is {} in {} and {} in {}, which cannot be mixed",
                number.name(),
                first.name,
                other.name(),
                model.name
            );
        }
        if first.raw(own)? != model.raw(name)? {
            bail!(
                "tensor {own} holds whole numbers ({}) that differ in {} and {}, which cannot be mixed",
                number.name(),
                first.name,
                model.name
            );
        }
    }
    Ok(())
}

fn check_layers(blend: &Blend, models: &Models) -> Result<()> {
    let Some(layers) = blend.layers else {
        return Ok(());
    };
    for (name, start) in blend.members.iter().chain(&blend.base) {
        let has = counts(&models[name]).values().copied().max().unwrap_or(0);
        if start + layers > has {
            bail!(
                "{name} has {has} layers; layer_range asks for [{start}, {}]",
                start + layers
            );
        }
    }
    Ok(())
}

/// How many layers each stack has, by what stands before the number.
fn counts(model: &Checkpoint) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for (prefix, layer, _) in model.names().filter_map(|n| layer_of(n)) {
        let count = counts.entry(prefix).or_insert(0);
        *count = (layer + 1).max(*count);
    }
    counts
}

fn renamed(name: &str, layer: Option<usize>) -> String {
    match (layer, layer_of(name)) {
        (Some(layer), Some((prefix, _, suffix))) => format!("{prefix}{layer}{suffix}"),
        _ => name.to_string(),
    }
}

/// Whether a tensor outside the layers is used before them, as embeddings are.
fn comes_before(name: &str) -> bool {
    let parts = ["embed", "wte", "wpe"];
    parts.iter().any(|part| name.contains(part))
}

/// The first few of what differs.
fn listed(all: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = all
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    match all.len() > SHOWN {
        true => format!("{shown}; and {} more", all.len() - SHOWN),
        false => shown,
    }
}
