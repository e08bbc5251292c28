//! Pruning: which of an adapter's weights are set to zero, and the masks that say so.
//!
//! A criterion is one file here and one line in [`CRITERIA`].

mod amount;
mod bits;
mod conflict;
mod criterion;
mod cut;
mod erdos_renyi;
mod file;
mod fisher;
mod grasp;
mod magnitude;
mod mask;
mod movement;
mod random;
mod snip;
mod synflow;
#[cfg(test)]
mod tests;
mod units;

use std::borrow::Cow;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::adapter::{Kind, Name, Selection, Tensors, with_values};
use crate::{Context, Result, bail};

pub use amount::{Amount, Scope};
pub use conflict::{Conflict, conflicts};
pub use criterion::{CRITERIA, Criterion, Need, Target, criterion};
pub use erdos_renyi::ErdosRenyi;
pub use fisher::Fisher;
pub use grasp::Grasp;
pub use magnitude::Magnitude;
pub use mask::{Mask, MaskRow};
pub use movement::Movement;
pub use random::Random;
pub use snip::Snip;
pub use synflow::{SynFlow, flow};

use amount::Quota;
use bits::Bits;
use cut::{Cut, ranks};

/// What is set to zero together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Grain {
    /// Single entries.
    #[default]
    Entries,
    /// Whole units of bottlenecks and ranks of LoRAs: their weights in both matrices and the bias
    /// between. A unit's score is the sum of its weights' ([`Criterion::share`]).
    Units,
}

/// How much to prune, and where.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// How much.
    pub amount: Amount,
    /// What is ranked together.
    pub scope: Scope,
    /// What goes together.
    pub grain: Grain,
    /// The tensors that are pruned.
    pub include: Selection,
    /// What was pruned before: it goes first.
    pub before: Option<&'a Mask>,
}

impl Plan<'_> {
    /// Prunes this share of each weight matrix.
    pub fn of(sparsity: f64) -> Self {
        Self {
            amount: Amount::Sparsity(sparsity),
            scope: Scope::default(),
            grain: Grain::default(),
            include: Selection::default(),
            before: None,
        }
    }
}

/// What scoring may need beside the weights.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// What the criterion [`Criterion::needs`], by tensor name, in the weights' shapes.
    pub evidence: Option<&'a Tensors>,
    /// The seed of random criteria; 0 by default.
    pub seed: u64,
}

/// The mask that prunes the lowest scored entries.
///
/// The number pruned is the plan's share of the entries (of each tensor, or of all in
/// [`Scope::Global`]), rounded half to even as torch.nn.utils.prune does, or its count, shared out
/// by size. Among equal scores the lowest index goes first; across tensors, the first in name
/// order. Only tensors in `include` are under the mask, and in [`Grain::Units`] the biases between
/// them.
pub fn prune(
    tensors: &Tensors,
    criterion: &dyn Criterion,
    inputs: &Inputs<'_>,
    plan: &Plan<'_>,
    context: &Context,
) -> Result<Mask> {
    let sizes = plan.include.pick(tensors)?;
    let entries: usize = sizes.iter().map(|(_, t)| t.elem_count()).sum();
    plan.amount.check(entries)?;
    let total = match plan.grain {
        Grain::Entries => entries,
        Grain::Units => units::total(tensors)?,
    };
    let rounds = criterion.rounds();
    let scope = criterion.scope().unwrap_or(plan.scope);
    let mut found = match plan.before {
        Some(before) => {
            let tensors = before.apply(tensors)?;
            let found = unchecked_scores(&tensors, criterion, inputs, &plan.include)?;
            check_ranked(criterion, &tensors, &found, Some(before))?;
            found
        }
        None => scores(tensors, criterion, inputs, &plan.include)?,
    };
    let mut mask = plan.before.map(Cow::Borrowed);
    for round in 1..=rounds {
        context.check()?;
        let part = Plan {
            amount: plan.amount.at_round(round, rounds, total),
            scope,
            before: mask.as_deref(),
            ..plan.clone()
        };
        let left = cut(tensors, &found, criterion, &part)?;
        if round == rounds {
            return Ok(left);
        }
        // What lies outside the plan's tensors stays pruned from round to round.
        let left = match &mask {
            Some(before) => before.joined(&left)?,
            None => left,
        };
        let tensors = left.apply(tensors)?;
        found = unchecked_scores(&tensors, criterion, inputs, &plan.include)?;
        mask = Some(Cow::Owned(left));
    }
    Ok(Mask::from_bits([]))
}

fn cut(
    tensors: &Tensors,
    scores: &Tensors,
    criterion: &dyn Criterion,
    plan: &Plan<'_>,
) -> Result<Mask> {
    match plan.grain {
        Grain::Entries => prune_by_scores(scores, plan.amount, plan.scope, plan.before),
        Grain::Units => units::cut_units(tensors, scores, criterion, plan),
    }
}

/// [`prune`] by scores made elsewhere: all their tensors are under the mask, in their shapes. What
/// `before` does not keep goes first.
pub fn prune_by_scores(
    scores: &Tensors,
    amount: Amount,
    scope: Scope,
    before: Option<&Mask>,
) -> Result<Mask> {
    amount.check(scores.values().map(Tensor::elem_count).sum())?;
    let ranked: Vec<(&Name, &Tensor, Vec<u32>)> =
        in_parallel(scores.iter().collect(), |(name, scores)| {
            let mut ranked = with_values(scores, |scores| ranks(name, scores))??;
            if let Some(bits) = before.and_then(|m| m.bits().get(name)) {
                let pruned = ranked.iter_mut().zip(bits.iter()).filter(|(_, kept)| !kept);
                pruned.for_each(|(rank, _)| *rank = 0);
            }
            Ok((name, scores, ranked))
        })?;
    let bits = |tensor: &Tensor, ranks: &[u32], cut: &mut Cut| {
        Bits::new(tensor.dims(), ranks, |rank| cut.keeps(rank))
    };
    let shapes: Vec<&[usize]> = ranked.iter().map(|(_, t, _)| t.dims()).collect();
    Ok(match amount.quota(scope, &shapes) {
        Quota::Each(each) => {
            let work = ranked.into_iter().zip(each).collect();
            Mask::from_bits(in_parallel(work, |((name, tensor, ranks), count)| {
                let mut cut = Cut::new(&mut ranks.clone(), count);
                Ok((name.clone(), bits(tensor, &ranks, &mut cut)))
            })?)
        }
        Quota::All(count) => {
            let mut all: Vec<u32> = ranked
                .iter()
                .flat_map(|(_, _, ranks)| ranks)
                .copied()
                .collect();
            let mut cut = Cut::new(&mut all, count);
            Mask::from_bits(
                ranked
                    .iter()
                    .map(|(name, tensor, ranks)| ((*name).clone(), bits(tensor, ranks, &mut cut))),
            )
        }
    })
}

/// The criterion's score of every entry of the tensors in `include`, in the tensors' shapes.
///
/// Matrices whose entries the criterion cannot tell apart because their pair is as it was before
/// training (LoRA's B and the up-projection of some bottlenecks start at zero) are an error with
/// the reason.
pub fn scores(
    tensors: &Tensors,
    criterion: &dyn Criterion,
    inputs: &Inputs<'_>,
    include: &Selection,
) -> Result<Tensors> {
    let found = unchecked_scores(tensors, criterion, inputs, include)?;
    check_ranked(criterion, tensors, &found, None)?;
    Ok(found)
}

fn unchecked_scores(
    tensors: &Tensors,
    criterion: &dyn Criterion,
    inputs: &Inputs<'_>,
    include: &Selection,
) -> Result<Tensors> {
    let targets = include.pick(tensors)?;
    let flow = match criterion.needs() {
        Need::Flow => Some(flow(tensors)?),
        _ => None,
    };
    let inputs = Inputs {
        evidence: flow.as_ref().or(inputs.evidence),
        ..*inputs
    };
    let score = |(name, weights): (&Name, &Tensor)| -> Result<(Name, Tensor)> {
        let values = |evidence: &[f32]| {
            with_values(weights, |weights| {
                criterion.scores(&Target {
                    name,
                    weights,
                    evidence,
                    seed: inputs.seed,
                })
            })
        };
        let values = match criterion.needs() {
            Need::Nothing => values(&[])?,
            _ => with_values(evidence(criterion, &inputs, name, weights)?, values)??,
        };
        Ok((
            name.clone(),
            Tensor::from_vec(values, weights.dims(), &Device::Cpu)?,
        ))
    };
    Ok(in_parallel(targets, score)?.into_iter().collect())
}

/// An error where one of these tensors scales what is there rather than adding to it (the vectors of
/// an IA3, the lengths of a DoRA): it lies near 1, and a zero takes a whole channel away.
pub fn check_prunable<'a>(
    kind: &dyn Kind,
    mut names: impl Iterator<Item = &'a Name>,
) -> Result<()> {
    match names.find(|name| kind.scales(name)) {
        Some(name) => bail!(
            "`{name}` of {} lies near 1, not near 0: a zero there removes a whole channel, so it is not pruned",
            kind.name();
            hint: "what adds to the model can be pruned: the matrices of bottlenecks, of LoRAs and of DoRAs"
        ),
        None => Ok(()),
    }
}

fn evidence<'a>(
    criterion: &dyn Criterion,
    inputs: &Inputs<'a>,
    name: &Name,
    weights: &Tensor,
) -> Result<&'a Tensor> {
    let (by, what) = (criterion.name(), criterion.needs());
    let Some(evidence) = inputs.evidence else {
        let hint = match what {
            Need::Conflict => "give the adapters that the conflict is with",
            Need::Start => "give the weights that training began from",
            _ => "give the model and the data to take them on",
        };
        bail!("pruning by {by} needs the {} of every tensor", what.name(); hint: "{hint}");
    };
    let Some(found) = evidence.get(name) else {
        bail!(
            "pruning by {by} needs the {} of `{name}`, and there is none",
            what.name()
        );
    };
    if found.dims() != weights.dims() {
        bail!(
            "the {} of `{name}` is {:?}, the tensor {:?}",
            what.name(),
            found.dims(),
            weights.dims()
        );
    }
    Ok(found)
}

/// An error if all first or all second matrices of an adapter score the same because of how they
/// are before training, of what `before` keeps.
fn check_ranked(
    criterion: &dyn Criterion,
    tensors: &Tensors,
    scores: &Tensors,
    before: Option<&Mask>,
) -> Result<()> {
    let named = |is_first: bool, end: &str| -> Vec<&Name> {
        let own = |name: &&Name| match name.factor() {
            Some(factor) => factor.is_a == is_first,
            None => name.as_str().ends_with(end),
        };
        scores.keys().filter(own).collect()
    };
    let first = named(true, "adapter_down.weight");
    let second = named(false, "adapter_up.weight");
    let by = criterion.name();
    let hint = "take the scores after some steps of training (warmup), or prune by random or er";
    let zero = |v: f32| v == 0.0;
    if let Some(name) = second.first()
        && every(&second, tensors, before, |_, v| zero(v))?
        && every(&second, scores, before, |first, v| v == first)?
    {
        bail!(
            "`{name}` and all like it are zero, as before training: {by} cannot rank their entries";
            hint: "{hint}"
        );
    }
    if let Some(name) = first.first()
        && every(&first, scores, before, |_, v| zero(v))?
        && !every(&first, tensors, before, |_, v| zero(v))?
    {
        if criterion.needs() == Need::Start {
            bail!(
                "`{name}` and all like it are where they started: {by} cannot rank their entries";
                hint: "{hint}"
            );
        }
        bail!(
            "`{name}` and all like it score zero, as they do before training, while the matrix behind each is zero: {by} cannot rank their entries";
            hint: "{hint}"
        );
    }
    Ok(())
}

/// Whether something holds of every value that `before` keeps of these tensors, beside the first of
/// them all.
fn every(
    names: &[&Name],
    of: &Tensors,
    before: Option<&Mask>,
    holds: impl Fn(f32, f32) -> bool,
) -> Result<bool> {
    let mut first = None;
    let mut held = |value: &f32| holds(*first.get_or_insert(*value), *value);
    for name in names {
        let Some(tensor) = of.get(*name) else {
            continue;
        };
        let bits = before.and_then(|mask| mask.bits().get(*name));
        let all = with_values(tensor, |values| match bits {
            Some(bits) => {
                let mut kept = values.iter().zip(bits.iter()).filter(|(_, kept)| *kept);
                kept.all(|(value, _)| held(value))
            }
            None => values.iter().all(&mut held),
        })?;
        if !all {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `f` of each item, in their order; of several errors the first.
fn in_parallel<T: Send, R: Send>(
    items: Vec<T>,
    f: impl Fn(T) -> Result<R> + Sync + Send,
) -> Result<Vec<R>> {
    let results: Vec<Result<R>> = items.into_par_iter().map(f).collect();
    results.into_iter().collect()
}
