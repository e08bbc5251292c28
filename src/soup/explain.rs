//! What a soup is made of, as numbers.

use crate::Result;
use crate::adapter::{Adapter, factors_at};
use crate::study::Id;

use super::factors::products;
use super::form::stems;
use super::method::{At, Gram, Work};
use super::recipe::Soup;
use super::settings::Place;

/// An adapter that is no soup, and what it weighs in one.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The adapter.
    pub adapter: Adapter,
    /// What it weighs in the end, through all soups between; none where that is not one number
    /// (methods that are no fixed sums, weights that differ between tensors).
    pub weight: Option<f64>,
}

/// The adapters that a soup comes down to, each once, in the order of their first use.
pub fn leaves(adapter: &Adapter) -> Vec<Leaf> {
    let mut all: Vec<Leaf> = Vec::new();
    gather(adapter, Some(1.0), &mut all);
    all
}

fn gather(adapter: &Adapter, weight: Option<f64>, all: &mut Vec<Leaf>) {
    let Some(recipe) = adapter.recipe() else {
        let same = |l: &&mut Leaf| Id::eq(l.adapter.id(), adapter.id());
        match all.iter_mut().find(same) {
            Some(leaf) => leaf.weight = leaf.weight.zip(weight).map(|(a, b)| a + b),
            None => all.push(Leaf {
                adapter: adapter.clone(),
                weight,
            }),
        }
        return;
    };
    let shares = recipe
        .as_any()
        .downcast_ref::<Soup>()
        .and_then(Soup::coefficients);
    for (i, member) in recipe.members().iter().enumerate() {
        let share = shares.as_ref().and_then(|s| s.get(i).copied());
        gather(member, weight.zip(share).map(|(a, b)| a * b), all);
    }
}

impl Soup {
    /// What each member is multiplied by, where that is the same everywhere.
    fn coefficients(&self) -> Option<Vec<f64>> {
        let Work::Combination(method) = &self.work else {
            return None;
        };
        let weights = self.weights.constant(self.members.len())?;
        let constant = |s: &super::settings::Setting| s.constant().is_some();
        if method.needs_products() || !self.settings.numbers.values().flatten().all(constant) {
            return None;
        }
        let place = Place {
            name: "",
            depth: 0.0,
        };
        let at = At {
            place,
            weights: &weights,
            settings: &self.settings,
        };
        method.coefficients(&at, &Gram::new()).ok()
    }

    /// How far the change of a LoRA soup that was mixed factor by factor is from the weighted sum
    /// of its members' changes: the norm of the difference over that of the sum, over all maps.
    /// None for other soups.
    pub fn cross_terms(&self, mixture: &Adapter) -> Result<Option<f64>> {
        let by_factor = self.form.is_some_and(|f| f.by_factor());
        let Some(coefficients) = self.coefficients().filter(|_| by_factor) else {
            return Ok(None);
        };
        let (mut difference, mut whole) = (0.0, 0.0);
        for stem in stems(&self.members)? {
            let mut parts = vec![factors_at(mixture, stem.as_str())?];
            for member in &self.members {
                parts.push(factors_at(member, stem.as_str())?);
            }
            let products = products(&parts)?;
            let sum: Vec<f64> = std::iter::once(0.0)
                .chain(coefficients.iter().copied())
                .collect();
            let mut rest: Vec<f64> = sum.iter().map(|c| -c).collect();
            rest[0] = 1.0;
            difference += form(&products, &rest);
            whole += form(&products, &sum);
        }
        let ratio = difference.max(0.0).sqrt() / whole.max(0.0).sqrt();
        Ok(Some(if whole > 0.0 { ratio } else { 0.0 }))
    }
}

/// c^T G c.
fn form(products: &Gram, c: &[f64]) -> f64 {
    let rows = products.iter().zip(c);
    rows.map(|(row, x)| x * row.iter().zip(c).map(|(g, y)| g * y).sum::<f64>())
        .sum()
}
