//! Mixtures that are made at once: by what is measured on data, or by a rule of a script's own.

use std::any::Any;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::adapter::kind::Mixing;
use crate::adapter::{Adapter, Kind, Lora, Name, Parts, Recipe, Shapes, Tensors};
use crate::study::Id;
use crate::{Context, Result, bail};

use super::form::LoraMixing;
use super::heads::Heads;
use super::members::compatible;
use super::saved::Saved;

/// A mixture whose tensors are there.
#[derive(Debug)]
struct Ready {
    description: Value,
    members: Vec<Adapter>,
    tensors: Tensors,
}

impl Recipe for Ready {
    fn tensors(&self) -> Result<Tensors> {
        Ok(self.tensors.clone())
    }

    fn members(&self) -> &[Adapter] {
        &self.members
    }

    fn describe(&self) -> Value {
        self.description.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn parameter_count(&self) -> Result<usize> {
        Ok(self
            .tensors
            .values()
            .map(candle_core::Tensor::elem_count)
            .sum())
    }

    fn shapes(&self) -> Result<Shapes> {
        let own = self.tensors.iter();
        Ok(own.map(|(n, t)| (n.clone(), t.dims().to_vec())).collect())
    }
}

/// The mixture by method `method` of `members`, whose tensors `mix` makes one by one from theirs.
/// `details` is what else decides the numbers; saved modules are weighed equally. LoRAs are mixed factor by factor and must share
/// rank and scale.
pub fn ready(
    method: &str,
    members: &[Adapter],
    details: &Value,
    (heads, saved): (Heads, Saved),
    context: &Context,
    mut mix: impl FnMut(&Name, &[candle_core::Tensor]) -> Result<candle_core::Tensor>,
) -> Result<Adapter> {
    compatible(members, context)?;
    saved.check(members, context)?;
    let kind = kind(members)?;
    let shapes = members[0].own_shapes()?;
    for member in &members[1..] {
        let (own, theirs) = (members[0].name(), member.name());
        let other = member.own_shapes()?;
        crate::adapter::check_aligned((own, &shapes), (theirs, &other), Vec::as_slice)?;
    }
    let mut tensors = Tensors::new();
    for (name, shape) in &shapes {
        let own = members
            .iter()
            .map(|m| m.tensor(name))
            .collect::<Result<Vec<_>>>()?;
        let mixed = mix(name, &own).map_err(|e| e.within(name))?;
        if mixed.dims() != shape {
            bail!(
                "{name}: the mixture is {:?}, expected {shape:?}",
                mixed.dims()
            );
        }
        tensors.insert(name.clone(), mixed);
    }
    for name in saved.shapes(members)?.keys() {
        let kept = saved.tensor(members, || Ok(vec![1.0; members.len()]), name)?;
        tensors.extend(kept.map(|tensor| (name.clone(), tensor)));
    }
    let mut description = json!({"method": method});
    for (key, value) in details.as_object().into_iter().flatten() {
        description[key] = value.clone();
    }
    description["members"] = members.iter().map(|m| m.id().as_str()).collect();
    if heads != Heads::Keep {
        description["heads"] = heads.name().into();
    }
    if let Some(word) = saved.describe(members) {
        description["saved"] = word.into();
    }
    let own = tensors.iter();
    let shapes = own.map(|(n, t)| (n.clone(), t.dims().to_vec())).collect();
    let kind = saved.fitted(kind, members, &shapes)?;
    let names: Vec<&str> = members.iter().map(Adapter::name).collect();
    let parts = Parts {
        name: names.join("+"),
        kind,
        base: members[0].base().clone(),
        id: Id::of_recipe("soup/1", &description),
        heads: heads.of_soup(members, None)?,
        mask: None,
        training: None,
        init_seed: None,
        domain: None,
        source: None,
        metadata: crate::adapter::metadata::Source::of(members),
    };
    Ok(made_of(parts, description, members, tensors))
}

/// An adapter of these tensors, made of `members` as `description` says.
pub(super) fn made_of(
    parts: Parts,
    description: Value,
    members: &[Adapter],
    tensors: Tensors,
) -> Adapter {
    let recipe = Ready {
        description,
        members: members.to_vec(),
        tensors,
    };
    Adapter::from_recipe(parts, Arc::new(recipe))
}

/// The kind of a mixture entry by entry.
fn kind(members: &[Adapter]) -> Result<Arc<dyn Kind>> {
    let first = members[0].kind();
    let low_rank = first.mixing() == Mixing::Factors && Lora::read(&first.config()).is_some();
    match low_rank {
        true => LoraMixing::Factors.kind(members, true),
        false => Ok(first.clone()),
    }
}
