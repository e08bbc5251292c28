//! The linear soup: the sum of the members' tensors, each times its weight.
//!
//! Formula: T = sum_i w_i T_i over every tensor, biases included. LoRA adds up in delta space,
//! exactly: the factors are joined, A's rows scaled by w_i alpha_i / r_i, so ranks add up (as
//! PEFT 0.21's `cat`). Weights are used as given; they default to 1/N (adapters 1.3.0's
//! `average_adapter` normalises instead).

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Value, json};

use crate::adapter::kind::Mixing;
use crate::adapter::{Adapter, Kind, Name, Parts, Recipe, Shapes, Tensors};
use crate::study::Id;
use crate::{Result, bail};

use super::lora::LoraMixing;
use super::members::{compatible, heads};

/// The recipe of a linear soup.
#[derive(Debug)]
pub struct Linear {
    members: Vec<Adapter>,
    weights: Vec<f64>,
    lora: LoraMixing,
}

/// The linear soup of `members` with these weights, by default 1/N each. Heads are kept, by
/// dataset. Errors on incompatible members, a wrong number of weights, and weights that are all
/// zero or not finite. `lora` says how low-rank factors are mixed, and is an error for other kinds
/// unless it is the default.
pub fn soup(members: &[Adapter], weights: Option<&[f64]>, lora: LoraMixing) -> Result<Adapter> {
    compatible(members)?;
    let n = members.len();
    let weights = match weights {
        None => vec![1.0 / n as f64; n],
        Some(w) if w.len() == n => w.to_vec(),
        Some(w) => bail!(
            "{} weights for {n} adapters; give one weight an adapter",
            w.len()
        ),
    };
    if let Some(w) = weights.iter().find(|w| !w.is_finite()) {
        bail!("a soup's weight is {w}, expected a finite number");
    }
    if weights.iter().all(|w| *w == 0.0) {
        return Err(crate::Error::new("all weights of the soup are zero")
            .hint("1/3 is 0 in integers: write 1.0/3"));
    }
    if lora != LoraMixing::Delta && members[0].kind().mixing() == Mixing::Entries {
        bail!(
            "{} is {}, which has no low-rank factors to mix",
            members[0].name(),
            members[0].kind().name()
        );
    }
    let recipe = Linear {
        members: members.to_vec(),
        weights,
        lora,
    };
    let base = members
        .iter()
        .map(Adapter::base)
        .find(|b| b.id.is_some())
        .unwrap_or_else(|| members[0].base());
    let parts = Parts {
        name: members
            .iter()
            .map(Adapter::name)
            .collect::<Vec<_>>()
            .join("+"),
        kind: recipe.kind()?,
        base: base.clone(),
        id: Id::of_recipe("soup/1", &recipe.describe()),
        heads: heads(members),
        mask: None,
        training: None,
        domain: None,
    };
    Ok(Adapter::from_recipe(parts, Arc::new(recipe)))
}

/// The linear soup that `terms` of operators make, such as `0.7 * a + 0.3 * b`: terms that are
/// themselves linear soups by operator are opened, so the result is the soup of all members.
pub fn combine(terms: &[(f64, Adapter)]) -> Result<Adapter> {
    let mut members = Vec::new();
    let mut weights = Vec::new();
    for (weight, adapter) in terms {
        let opened = adapter.recipe().and_then(|r| linear_weights(r.as_ref()));
        match opened {
            Some(inner) => {
                members.extend(adapter.members().iter().cloned());
                weights.extend(inner.iter().map(|w| w * weight));
            }
            None => {
                members.push(adapter.clone());
                weights.push(*weight);
            }
        }
    }
    soup(&members, Some(&weights), LoraMixing::Delta)
}

fn linear_weights(recipe: &dyn Recipe) -> Option<Vec<f64>> {
    let description = recipe.describe();
    let exact = description.get("lora").is_none_or(|l| l == "delta");
    (exact && description.get("method").and_then(Value::as_str) == Some("linear"))
        .then(|| {
            description
                .get("weights")?
                .as_array()?
                .iter()
                .map(Value::as_f64)
                .collect()
        })
        .flatten()
}

impl Linear {
    fn kind(&self) -> Result<Arc<dyn Kind>> {
        let first = self.members[0].kind();
        if first.mixing() == Mixing::Entries {
            return Ok(first.clone());
        }
        self.lora.kind(&self.members)
    }

    fn entries(&self) -> Result<Tensors> {
        let members = self
            .members
            .iter()
            .map(Adapter::tensors)
            .collect::<Result<Vec<_>>>()?;
        let one = |name: &Name| {
            let tensor = self.entry(members.iter().map(|m| match m.get(name) {
                Some(tensor) => Ok(tensor.clone()),
                None => bail!("there is no tensor {name}"),
            }))?;
            Ok((name.clone(), tensor))
        };
        self.checked()?.keys().map(one).collect()
    }

    /// The weighted sum of the members' tensors of one name.
    fn entry(&self, tensors: impl Iterator<Item = Result<Tensor>>) -> Result<Tensor> {
        // The sum of equally weighted members is scaled once, however the soup was made.
        let common = self
            .weights
            .iter()
            .all(|w| *w == self.weights[0])
            .then_some(self.weights[0]);
        let mut sum: Option<Tensor> = None;
        for (tensor, weight) in tensors.zip(&self.weights) {
            let term = match common {
                Some(_) => tensor?,
                None => (tensor? * *weight)?,
            };
            sum = Some(match sum {
                None => term,
                Some(s) => (s + term)?,
            });
        }
        match (sum, common) {
            (Some(sum), Some(w)) if w != 1.0 => Ok((sum * w)?),
            (Some(sum), _) => Ok(sum),
            (None, _) => bail!("a soup of nothing"),
        }
    }

    /// The members' shapes, which must be the same.
    fn checked(&self) -> Result<Shapes> {
        let first = self.members[0].shapes()?;
        for member in &self.members[1..] {
            let other = member.shapes()?;
            let (own, theirs) = (self.members[0].name(), member.name());
            for (name, shape) in &first {
                match other.get(name) {
                    Some(s) if s == shape => {}
                    Some(s) => {
                        bail!("tensor {name} has shape {shape:?} in {own} and {s:?} in {theirs}")
                    }
                    None => bail!("{theirs} has no tensor {name}"),
                }
            }
            if let Some(name) = other.keys().find(|n| !first.contains_key(*n)) {
                bail!("{theirs} has tensor {name}, {own} has not");
            }
        }
        Ok(first)
    }
}

impl Recipe for Linear {
    fn tensors(&self) -> Result<Tensors> {
        match self.members[0].kind().mixing() {
            Mixing::Entries => self.entries(),
            Mixing::Factors => self.lora.mix(&self.members, &self.weights),
        }
    }

    fn shapes(&self) -> Result<Shapes> {
        match self.members[0].kind().mixing() {
            Mixing::Entries => self.checked(),
            Mixing::Factors => self.lora.shapes(&self.members),
        }
    }

    fn tensor(&self, name: &Name) -> Result<Tensor> {
        match self.members[0].kind().mixing() {
            Mixing::Entries => self.entry(self.members.iter().map(|m| m.tensor(name))),
            Mixing::Factors => self.lora.tensor(&self.members, &self.weights, name),
        }
    }

    fn members(&self) -> &[Adapter] {
        &self.members
    }

    fn describe(&self) -> Value {
        let members: Vec<&str> = self.members.iter().map(|m| m.id().as_str()).collect();
        let mut recipe = json!({"method": "linear", "weights": self.weights, "members": members});
        if self.members[0].kind().mixing() != Mixing::Entries {
            recipe["lora"] = self.lora.describe();
        }
        recipe
    }

    fn parameter_count(&self) -> Result<usize> {
        match self.members[0].kind().mixing() {
            Mixing::Entries => self.members[0].parameter_count(),
            Mixing::Factors => self.lora.parameter_count(&self.members),
        }
    }
}
