//! The soup: which adapters go in, by which method, with which weights. Its tensors are made when
//! they are needed, one by one where that is asked for.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::adapter::{
    Adapter, FactorNames, Factors, Kind, Name, Recipe, Shapes, Tensors, check_aligned, factors_at,
    with_values,
};
use crate::{Result, bail};

use super::base::Base;
use super::factors::{joined, of_change, products, stacked, truncated};
use super::form::{LoraMixing, sizes_at, stems};
use super::heads::Heads;
use super::method::{At, Gram, Group, On, Spec, Work};
use super::mixture::{Mixture, add};
use super::saved::Saved;
use super::settings::{Place, Setting, Settings};

/// The recipe of a soup.
#[derive(Debug)]
pub struct Soup {
    pub(super) spec: &'static Spec,
    pub(super) work: Work,
    pub(super) settings: Settings,
    pub(super) members: Vec<Adapter>,
    pub(super) weights: Weights,
    /// The form in which LoRAs are mixed; none for kinds that are mixed tensor by tensor.
    pub(super) form: Option<LoraMixing>,
    pub(super) base: Base,
    /// How often the base is added to a linear soup: `a + 0.5 * b.delta()` takes away half of it.
    pub(super) offset: f64,
    pub(super) heads: Heads,
    /// Adapters that are no members whose heads the soup has, too.
    pub(super) heads_of: Vec<Adapter>,
    pub(super) saved: Saved,
    /// How the members were chosen, where they were.
    pub(super) chosen: Option<Value>,
    pub(super) prepared: Prepared,
}

/// What each member weighs.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// The same for all.
    Equal(f64),
    /// One a member.
    Each(Vec<Setting>),
}

impl Weights {
    /// The weights of `n` members at a tensor.
    pub fn at(&self, n: usize, place: Place<'_>) -> Result<Vec<f64>> {
        match self {
            Self::Equal(weight) => Ok(vec![*weight; n]),
            Self::Each(all) => all.iter().map(|w| w.at(place)).collect(),
        }
    }

    /// The weights of `n` members, where each is the same everywhere.
    pub fn constant(&self, n: usize) -> Option<Vec<f64>> {
        match self {
            Self::Equal(weight) => Some(vec![*weight; n]),
            Self::Each(all) => all.iter().map(Setting::constant).collect(),
        }
    }

    fn describe(&self, n: usize) -> Value {
        match self {
            Self::Equal(weight) => json!(vec![weight; n]),
            Self::Each(all) => all.iter().map(Setting::describe).collect(),
        }
    }
}

/// What is found out once about all members.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    layers: OnceLock<usize>,
    cuts: OnceLock<Vec<f32>>,
    saved: OnceLock<Shapes>,
}

impl Soup {
    /// Whether the result is a sum of members.
    pub(super) fn combined(&self) -> bool {
        matches!(self.work, Work::Combination(_))
    }

    /// The kind of the mixture.
    pub(super) fn kind(&self) -> Result<std::sync::Arc<dyn Kind>> {
        let kind = match self.form {
            None => self.members[0].kind().clone(),
            Some(form) => form.kind(&self.members, self.combined())?,
        };
        let beyond = |m: &Adapter| {
            let names = m.kind().peft_names();
            names.is_some_and(|n| !n.beside.is_empty() || n.trainable_token_indices.is_some())
        };
        match self.members.iter().any(beyond) {
            true => self.saved.fitted(kind, &self.members, &self.shapes()?),
            false => Ok(kind),
        }
    }

    /// The number of layers that the members reach.
    fn layers(&self) -> Result<usize> {
        if let Some(layers) = self.prepared.layers.get() {
            return Ok(*layers);
        }
        let mut layers = 1;
        for member in &self.members {
            let own = member.shapes()?;
            layers = layers.max(
                own.keys()
                    .filter_map(Name::layer)
                    .max()
                    .map_or(1, |l| l + 1),
            );
        }
        Ok(*self.prepared.layers.get_or_init(|| layers))
    }

    fn place<'a>(&self, name: &'a Name) -> Result<Place<'a>> {
        let layer = name.layer().unwrap_or(0) as f64;
        let last = (self.layers()? - 1).max(1) as f64;
        let (name, depth) = (name.as_str(), layer / last);
        Ok(Place { name, depth })
    }

    /// The members' shapes, which must be the same; an error that lists what differs.
    fn checked(&self) -> Result<Shapes> {
        let first = self.members[0].own_shapes()?;
        for member in &self.members[1..] {
            let other = member.own_shapes()?;
            let (own, theirs) = (self.members[0].name(), member.name());
            check_aligned((own, &first), (theirs, &other), Vec::as_slice)?;
        }
        Ok(first)
    }

    /// The names of what is mixed: tensors, or maps where changes are.
    fn units(&self) -> Result<Vec<Name>> {
        Ok(match self.form {
            None => self.checked()?.into_keys().collect(),
            Some(form) if form.by_factor() => {
                form.shapes(&self.members, true)?.into_keys().collect()
            }
            Some(_) => stems(&self.members)?.into_iter().collect(),
        })
    }

    /// The tensors that a unit gives.
    fn unit(&self, name: &Name) -> Result<Vec<(Name, Tensor)>> {
        match self.form {
            Some(form) if !form.by_factor() => {
                let (names, a, b) = self.change(form, name).map_err(|e| e.within(name))?;
                Ok(vec![
                    (names.a(name.as_str()), a),
                    (names.b(name.as_str()), b),
                ])
            }
            _ => Ok(vec![(name.clone(), self.entry(name)?)]),
        }
    }

    /// The mixture of the members' tensors of one name.
    fn entry(&self, name: &Name) -> Result<Tensor> {
        let (mut members, mut indices) = (Vec::new(), Vec::<usize>::new());
        let mut shape: Vec<usize> = Vec::new();
        for (i, member) in self.members.iter().enumerate() {
            // Factor by factor, a map that some members leave as it is is mixed of the others'.
            if self.form.is_some() && member.shape(name)?.is_none() {
                continue;
            }
            let tensor = member.tensor(name)?;
            match indices.first() {
                None => shape = tensor.dims().to_vec(),
                Some(first) if tensor.dims() != shape => bail!(
                    "{name} is {shape:?} in {} and {:?} in {}",
                    self.members[*first].name(),
                    tensor.dims(),
                    member.name()
                ),
                Some(_) => {}
            }
            members.push(with_values(&tensor, <[f32]>::to_vec)?);
            indices.push(i);
        }
        if members.is_empty() {
            bail!("the mixture has no tensor {name}");
        }
        let measured = self.spec.on != On::Values || self.offset != 0.0;
        let base = match measured {
            true => self.base.tensor(&**self.members[0].kind(), name, &shape)?,
            false => None,
        };
        let place = self.place(name)?;
        let weights = self.weights_of(name, place, &indices)?;
        let at = At {
            place,
            weights: &weights,
            settings: &self.settings,
        };
        let keys = self.keys(&indices);
        let cuts = self.cuts_of(&indices)?;
        let mixed = Mixture {
            work: &self.work,
            on: self.spec.on,
            offset: self.offset,
            base: base.as_deref(),
            group: Group {
                at,
                shape: &shape,
                members,
                keys: &keys,
                cuts: &cuts,
            },
        };
        let mixed = mixed.values().map_err(|e| e.within(name))?;
        Ok(Tensor::from_vec(mixed, shape, &Device::Cpu)?)
    }

    /// The factors of the mixture of the changes to one map.
    fn change(&self, form: LoraMixing, stem: &Name) -> Result<(FactorNames, Tensor, Tensor)> {
        let rank = form.rank(&self.members, self.combined())?;
        let sizes = sizes_at(&self.members, stem)?;
        let first = sizes.iter().flatten().next();
        let names = first.map_or(FactorNames::Linear, |s| s.names);
        let parts = self
            .members
            .iter()
            .map(|m| factors_at(m, stem.as_str()))
            .collect::<Result<Vec<_>>>()?;
        let place = self.place(stem)?;
        let (a, b) = match &self.work {
            Work::Combination(method) => {
                let weights = self.weights.at(self.members.len(), place)?;
                let at = At {
                    place,
                    weights: &weights,
                    settings: &self.settings,
                };
                let gram = match method.needs_products() {
                    true => products(&parts)?,
                    false => Gram::new(),
                };
                let coefficients = method.coefficients(&at, &gram)?;
                let parts: Vec<(&Factors, f64)> = parts
                    .iter()
                    .zip(coefficients)
                    .filter_map(|(p, c)| Some((p.as_ref()?, c)))
                    .collect();
                let used = parts.iter().map(|(p, _)| Ok(p.b.dim(1)?));
                let used: usize = used.sum::<Result<usize>>()?;
                match form {
                    // More columns than the full rank are not needed.
                    LoraMixing::Svd { .. } => truncated(&parts, rank),
                    _ if used > rank => truncated(&parts, rank),
                    _ => joined(&parts, rank),
                }
            }
            Work::Entrywise(method) => {
                let indices: Vec<usize> = (0..parts.len()).collect();
                let Some(size) = sizes.iter().flatten().next() else {
                    bail!("no member changes the map");
                };
                // A member that leaves the map as it is changes it by zero.
                let members = parts
                    .iter()
                    .map(|part| match part {
                        Some(part) => with_values(&part.delta()?, <[f32]>::to_vec),
                        None => Ok(vec![0.0; size.output * size.input]),
                    })
                    .collect::<Result<Vec<_>>>()?;
                drop(parts);
                let weights = self.weights.at(self.members.len(), place)?;
                let at = At {
                    place,
                    weights: &weights,
                    settings: &self.settings,
                };
                let shape = [size.output, size.input];
                let (keys, cuts) = (self.keys(&indices), self.cuts_of(&indices)?);
                let group = Group {
                    at,
                    shape: &shape,
                    members,
                    keys: &keys,
                    cuts: &cuts,
                };
                let mixed = method.mix(group)?;
                let out = size.output / size.groups;
                let exact = form == LoraMixing::Delta;
                let groups = mixed
                    .chunks(out * size.input)
                    .map(|part| of_change(part, (out, size.input), rank, exact))
                    .collect::<Result<Vec<_>>>()?;
                stacked(&groups, rank)
            }
        }?;
        Ok((names, a, b))
    }

    /// The saved modules' tensors.
    fn saved_shapes(&self) -> Result<&Shapes> {
        match self.prepared.saved.get() {
            Some(shapes) => Ok(shapes),
            None => {
                let shapes = self.saved.shapes(&self.members)?;
                Ok(self.prepared.saved.get_or_init(|| shapes))
            }
        }
    }

    /// A tensor of a saved module; none where the soup has none of that name.
    fn kept(&self, name: &Name) -> Result<Option<Tensor>> {
        if !self.saved_shapes()?.contains_key(name) {
            return Ok(None);
        }
        let weights = || self.weights.at(self.members.len(), self.place(name)?);
        self.saved.tensor(&self.members, weights, name)
    }

    /// What the members of these numbers weigh at a tensor.
    fn weights_of(&self, name: &Name, place: Place<'_>, indices: &[usize]) -> Result<Vec<f64>> {
        let all = self.weights.at(self.members.len(), place)?;
        let own = indices.iter().map(|&i| match (self.form, name.factor()) {
            (Some(form), Some(factor)) => {
                let scale = self.members[i].kind().scale_at(factor.stem);
                form.weight(factor.is_a, all[i], scale)
            }
            _ => all[i],
        });
        Ok(own.collect())
    }

    fn keys(&self, indices: &[usize]) -> Vec<String> {
        let id = |i: &usize| self.members[*i].id().to_string();
        indices.iter().map(id).collect()
    }

    /// Where each member is trimmed, where members are trimmed as wholes.
    fn cuts_of(&self, indices: &[usize]) -> Result<Vec<f32>> {
        match &self.work {
            Work::Entrywise(method) if method.trims_whole() => {}
            _ => return Ok(Vec::new()),
        }
        let cuts = match self.prepared.cuts.get() {
            Some(cuts) => cuts,
            None => {
                let cuts = self.cuts()?;
                self.prepared.cuts.get_or_init(|| cuts)
            }
        };
        Ok(indices.iter().map(|i| cuts[*i]).collect())
    }

    /// The least magnitude that stays of each member at the setting `density`.
    fn cuts(&self) -> Result<Vec<f32>> {
        let units = self.units()?;
        (0..self.members.len())
            .map(|i| {
                let constant = self.settings.numbers.get("density").and_then(|all| {
                    let own = if all.len() == 1 { &all[0] } else { all.get(i)? };
                    own.constant()
                });
                let Some(density) = constant else {
                    bail!(
                        "the rule of the paper trims over the whole adapter: density must be the same everywhere";
                        hint: "rule: \"peft\" or \"mergekit\" trims tensor by tensor"
                    );
                };
                if density >= 1.0 {
                    return Ok(0.0);
                }
                let by_change = self.form.is_some_and(|f| !f.by_factor());
                let each = |sink: &mut dyn FnMut(&[f32])| -> Result<()> {
                    for name in &units {
                        let member = &self.members[i];
                        match by_change {
                            true => {
                                if let Some(factors) = factors_at(member, name.as_str())? {
                                    with_values(&factors.delta()?, &mut *sink)?;
                                }
                            }
                            _ if self.form.is_some() && member.shape(name)?.is_none() => {}
                            _ => {
                                let tensor = member.tensor(name)?;
                                let shape = tensor.dims().to_vec();
                                let mut values = with_values(&tensor, <[f32]>::to_vec)?;
                                if let Some(base) = self.base.tensor(&**member.kind(), name, &shape)? {
                                    add(&mut values, &base, -1.0);
                                }
                                sink(&values);
                            }
                        }
                    }
                    Ok(())
                };
                super::threshold::largest(density, each)
            })
            .collect()
    }
}

impl Recipe for Soup {
    fn tensors(&self) -> Result<Tensors> {
        let units = self.units()?;
        // Found before threads ask for it.
        if let Some(first) = units.first() {
            self.place(first)?;
        }
        self.cuts_of(&[])?;
        let made: Vec<Result<Vec<(Name, Tensor)>>> =
            units.par_iter().map(|name| self.unit(name)).collect();
        let mut all = BTreeMap::new();
        for made in made {
            all.extend(made?);
        }
        for name in self.saved_shapes()?.keys() {
            all.extend(self.kept(name)?.map(|tensor| (name.clone(), tensor)));
        }
        Ok(all)
    }

    fn shapes(&self) -> Result<Shapes> {
        let mut shapes = match self.form {
            None => self.checked()?,
            Some(form) => form.shapes(&self.members, self.combined())?,
        };
        shapes.extend(self.saved_shapes()?.clone());
        Ok(shapes)
    }

    fn tensor(&self, name: &Name) -> Result<Tensor> {
        if let Some(kept) = self.kept(name)? {
            return Ok(kept);
        }
        let form = match self.form {
            Some(form) if !form.by_factor() => form,
            _ => return self.entry(name),
        };
        let Some(factor) = name.factor() else {
            bail!("the mixture has no tensor {name}");
        };
        let (_, a, b) = self
            .change(form, &Name::new(factor.stem))
            .map_err(|e| e.within(factor.stem))?;
        Ok(if factor.is_a { a } else { b })
    }

    fn members(&self) -> &[Adapter] {
        &self.members
    }

    fn inputs(&self) -> Vec<Adapter> {
        let base = match &self.base {
            Base::Adapter(base) => Some(base.clone()),
            Base::Zero | Base::Initial(_) => None,
        };
        let members = self.members.iter().chain(&self.heads_of);
        members.cloned().chain(base).collect()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn describe(&self) -> Value {
        let mut recipe = self.essence();
        if let Value::Object(all) = &mut recipe {
            for name in self.spec.idle(&self.settings) {
                all.shift_remove(name);
            }
        }
        if let Some(chosen) = &self.chosen {
            recipe["chosen"] = chosen.clone();
        }
        recipe
    }

    fn parameter_count(&self) -> Result<usize> {
        let shapes = self.shapes()?;
        Ok(shapes.values().map(|s| s.iter().product::<usize>()).sum())
    }
}

impl Soup {
    /// What decides the numbers: the id is made of it.
    pub(super) fn essence(&self) -> Value {
        let n = self.members.len();
        let members: Vec<&str> = self.members.iter().map(|m| m.id().as_str()).collect();
        let mut recipe = json!({"method": self.spec.name});
        if self.spec.weighted {
            recipe["weights"] = self.weights.describe(n);
        }
        recipe["members"] = json!(members);
        if let Some(form) = self.form {
            recipe["lora"] = form.describe();
        }
        for (name, value) in self.settings.describe() {
            // What a method did before it had the setting.
            let old = self.spec.name == "linear" && name == "normalize" && value == json!(false);
            if !old {
                recipe[name] = value;
            }
        }
        if self.spec.on != On::Values || self.offset != 0.0 {
            recipe["base"] = self.base.describe();
        }
        if self.offset != 0.0 {
            recipe["base_weight"] = json!(self.offset);
        }
        if self.heads != Heads::Keep {
            recipe["heads"] = self.heads.name().into();
        }
        if !self.heads_of.is_empty() {
            let ids: Vec<&str> = self.heads_of.iter().map(|a| a.id().as_str()).collect();
            recipe["heads_of"] = json!(ids);
        }
        if let Some(word) = self.saved.describe(&self.members) {
            recipe["saved"] = word.into();
        }
        recipe
    }
}
