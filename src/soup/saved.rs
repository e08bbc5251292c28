//! What becomes of the members' saved modules in a soup.

use std::collections::BTreeSet;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::adapter::kind::Kind;
use crate::adapter::saved::TOKEN_ROWS;
use crate::adapter::{Adapter, Ia3, Lora, Modules, Name, Shapes, with_values};
use crate::{Context, Result, bail};

use super::mixture::weighted_sum;

/// What becomes of the members' saved modules: embeddings, heads of language models and other
/// weights that lie whole beside what the adapters add to a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Saved {
    /// Each is kept as it is; an error where two members have it with different weights.
    #[default]
    Keep,
    /// The mean by the members' weights, which are made to sum up to one; an error unless all
    /// members have them. What is equal in all stays as it is.
    Average,
    /// None is kept.
    Drop,
}

impl Saved {
    /// By its name.
    pub fn of(word: &str) -> Self {
        match word {
            "average" => Self::Average,
            "drop" => Self::Drop,
            _ => Self::Keep,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Average => "average",
            Self::Drop => "drop",
        }
    }

    /// How the recipe names it; none where no member has saved modules.
    pub(super) fn describe(self, members: &[Adapter]) -> Option<&'static str> {
        let has = |m: &Adapter| m.saved_shapes().is_ok_and(|s| !s.is_empty());
        members.iter().any(has).then(|| self.name())
    }

    /// The names and shapes of the saved modules' tensors in a soup of `members`.
    pub(super) fn shapes(self, members: &[Adapter]) -> Result<Shapes> {
        let mut all = Shapes::new();
        if self != Self::Drop {
            for member in members {
                all.extend(member.saved_shapes()?);
            }
        }
        Ok(all)
    }

    /// An error unless the members' saved modules can go into one soup in this way.
    pub(super) fn check(self, members: &[Adapter], context: &Context) -> Result<()> {
        if self == Self::Drop {
            return Ok(());
        }
        let all = members
            .iter()
            .map(Adapter::saved_shapes)
            .collect::<Result<Vec<_>>>()?;
        let names: BTreeSet<&Name> = all.iter().flat_map(Shapes::keys).collect();
        for name in names {
            context.check()?;
            self.check_one(members, &all, name, context)?;
        }
        Ok(())
    }

    fn check_one(
        self,
        members: &[Adapter],
        all: &[Shapes],
        name: &Name,
        context: &Context,
    ) -> Result<()> {
        let holders = || {
            members
                .iter()
                .zip(all)
                .filter(|(_, s)| s.contains_key(name))
        };
        let Some((first, own)) = holders().next() else {
            return Ok(());
        };
        let lacking = members.iter().zip(all).find(|(_, s)| !s.contains_key(name));
        for (other, theirs) in holders().skip(1) {
            if own[name] != theirs[name] {
                bail!(
                    "the saved module {name} is {:?} in {} and {:?} in {}: they were made for bases of different vocabularies or tasks",
                    own[name], first.name(), theirs[name], other.name();
                    hint: "saved: \"drop\" mixes what lies beside it"
                );
            }
            let rows = name.as_str().ends_with(TOKEN_ROWS);
            if rows && token_rows(first) != token_rows(other) {
                bail!(
                    "{name} holds rows of other tokens in {} than in {} (trainable_token_indices)",
                    first.name(), other.name();
                    hint: "saved: \"drop\" mixes what lies beside it"
                );
            }
        }
        match (self, lacking) {
            (Self::Average, Some((lacking, _))) => bail!(
                "the saved module {name} of {} has nothing to be averaged with in {}",
                first.name(), lacking.name();
                hint: "saved: \"keep\" or \"drop\""
            ),
            (Self::Average, None) => return Ok(()),
            // The base's own weights are those of any member.
            (_, Some((lacking, _)))
                if !name.as_str().contains(crate::adapter::saved::BASE_LAYER) =>
            {
                context.notice_once(format!(
                    "{} has the saved module {name}, {} has not: the soup keeps it as it is",
                    first.name(),
                    lacking.name()
                ));
            }
            _ => {}
        }
        let first_values = first.tensor(name)?;
        for (other, _) in holders().skip(1) {
            if other.id() != first.id() && !equal(&first_values, &other.tensor(name)?)? {
                bail!(
                    "the saved module {name} differs between {} and {}, and a soup cannot keep both",
                    first.name(), other.name();
                    hint: "saved: \"average\" takes their mean, \"drop\" leaves it out"
                );
            }
        }
        Ok(())
    }

    /// A tensor of a saved module in a soup of `members` that weigh so much; none where the soup has
    /// no such tensor.
    pub(super) fn tensor(
        self,
        members: &[Adapter],
        weights: impl FnOnce() -> Result<Vec<f64>>,
        name: &Name,
    ) -> Result<Option<Tensor>> {
        if self == Self::Drop {
            return Ok(None);
        }
        let mut holders = Vec::new();
        for (i, member) in members.iter().enumerate() {
            if member.saved_shapes()?.contains_key(name) {
                holders.push((i, member));
            }
        }
        let Some((_, first)) = holders.first() else {
            return Ok(None);
        };
        let first = first.tensor(name)?;
        if self == Self::Keep {
            return Ok(Some(first));
        }
        let (mut values, mut equal) = (Vec::with_capacity(holders.len()), true);
        for (_, member) in &holders {
            let tensor = member.tensor(name)?;
            equal &= self::equal(&first, &tensor)?;
            values.push(with_values(&tensor, <[f32]>::to_vec)?);
        }
        if equal {
            return Ok(Some(first));
        }
        let all = weights()?;
        let own: Vec<f64> = holders.iter().map(|(i, _)| all[*i]).collect();
        let mean = weighted_sum(&values, &shares(&own));
        Ok(Some(Tensor::from_vec(mean, first.dims(), &Device::Cpu)?))
    }

    /// The kind of a soup with these tensors: what a configuration says of saved modules follows
    /// from all members, and from what is left of them.
    pub(super) fn fitted(
        self,
        kind: Arc<dyn Kind>,
        members: &[Adapter],
        shapes: &Shapes,
    ) -> Result<Arc<dyn Kind>> {
        let mut beside = BTreeSet::new();
        let mut rows = None;
        for member in members {
            if let Some(names) = member.kind().peft_names() {
                beside.extend(names.beside.iter().cloned());
                rows = rows.or_else(|| names.trainable_token_indices.clone());
            }
        }
        let first = |name: &Name| {
            name.as_str()
                .split('.')
                .next()
                .unwrap_or_default()
                .to_string()
        };
        let left: BTreeSet<String> = shapes.keys().map(first).collect();
        beside.retain(|module| left.contains(module));
        if !shapes.keys().any(|n| n.as_str().ends_with(TOKEN_ROWS)) {
            rows = None;
        }
        let config = kind.config();
        if let Some(lora) = Lora::read(&config) {
            let mut lora = lora?;
            if let Modules::Names(names) = &mut lora.modules {
                (names.beside, names.trainable_token_indices) = (beside, rows);
                return Ok(Arc::new(lora));
            }
        } else if let Some(ia3) = Ia3::read(&config) {
            let mut ia3 = ia3?;
            if let Modules::Names(names) = &mut ia3.modules {
                (names.beside, names.trainable_token_indices) = (beside, rows);
                return Ok(Arc::new(ia3));
            }
        }
        Ok(kind)
    }
}

fn token_rows(adapter: &Adapter) -> Option<&serde_json::Value> {
    adapter
        .kind()
        .peft_names()?
        .trainable_token_indices
        .as_ref()
}

/// Weights that sum up to one; equal ones where they sum up to zero.
fn shares(weights: &[f64]) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    match total.abs() > 1e-8 {
        true => weights.iter().map(|w| w / total).collect(),
        false => vec![1.0 / weights.len() as f64; weights.len()],
    }
}

/// Whether two tensors of one shape have the same bits.
fn equal(a: &Tensor, b: &Tensor) -> Result<bool> {
    let bits = |(x, y): (&f32, &f32)| x.to_bits() == y.to_bits();
    with_values(a, |a| with_values(b, |b| a.iter().zip(b).all(bits)))?
}
