//! In which form LoRAs are mixed: as the changes they make, or factor by factor.
//!
//! With u_i = w_i alpha_i / r_i, the mixture's change ought to be sum u_i B_i A_i.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::adapter::kind::Mixing;
use crate::adapter::{Adapter, FactorNames, Kind, Lora, Modules, Name, Shapes};
use crate::{Error, Result, bail};

/// A form for mixing LoRA's A and B.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum LoraMixing {
    /// Exact. A sum of members has their factors side by side, A's rows u_i A_i, B's columns B_i,
    /// so ranks add up (PEFT 0.21's `cat`), to the full rank at most; what a method makes entry by
    /// entry of the changes has full rank.
    #[default]
    Delta,
    /// The exact change cut to this rank by its largest singular values: A = V^T, B = U S. PEFT
    /// 0.21's `svd`, `ties_svd` and their like, adapters 1.3.0's `lora_delta_w_svd`.
    Svd {
        /// The rank kept.
        rank: usize,
    },
    /// Each factor by itself with weights w_i: has cross terms. adapters 1.3.0's `linear`.
    Factors,
    /// A with weights sgn(u_i) sqrt|u_i|, B with sqrt|u_i|: has cross terms. PEFT's `linear`,
    /// `ties`, `dare_linear`, `dare_ties`, `magnitude_prune`.
    SqrtFactors,
    /// A with weights |w_i|, B with w_i: has cross terms. adapters 1.3.0's
    /// `lora_linear_only_negate_b`.
    NegateB,
}

impl LoraMixing {
    /// How the recipe names it.
    pub fn describe(self) -> Value {
        match self {
            Self::Delta => json!("delta"),
            Self::Svd { rank } => json!({"svd": rank}),
            Self::Factors => json!("factors"),
            Self::SqrtFactors => json!("sqrt_factors"),
            Self::NegateB => json!("negate_b"),
        }
    }

    /// What [`Self::describe`] describes.
    pub fn read(value: &Value) -> Result<Self> {
        if let Some(rank) = value.get("svd").and_then(Value::as_u64) {
            let rank = rank as usize;
            return Ok(Self::Svd { rank });
        }
        Ok(match value.as_str() {
            Some("delta") => Self::Delta,
            Some("factors") => Self::Factors,
            Some("sqrt_factors") => Self::SqrtFactors,
            Some("negate_b") => Self::NegateB,
            _ => bail!("{value} is no form of mixing LoRAs"),
        })
    }

    /// Whether factors are mixed by themselves.
    pub(super) fn by_factor(self) -> bool {
        matches!(self, Self::Factors | Self::SqrtFactors | Self::NegateB)
    }

    /// What a member's A, or B, weighs.
    pub(super) fn weight(self, is_a: bool, weight: f64, scale: f64) -> f64 {
        let share = weight * scale;
        match (self, is_a) {
            (Self::Factors, _) | (Self::NegateB, false) => weight,
            (Self::NegateB, true) => weight.abs(),
            (Self::SqrtFactors, true) => share.signum() * share.abs().sqrt(),
            (Self::SqrtFactors, false) => share.abs().sqrt(),
            (Self::Delta | Self::Svd { .. }, true) => share,
            (Self::Delta | Self::Svd { .. }, false) => 1.0,
        }
    }

    /// The kind of the mixture. `combined`: a sum of members, whose factors stand side by side.
    pub(super) fn kind(self, members: &[Adapter], combined: bool) -> Result<Arc<dyn Kind>> {
        let mut loras = Vec::with_capacity(members.len());
        for member in members {
            match Lora::read(&member.kind().config()) {
                Some(lora) if member.kind().mixing() == Mixing::Factors => loras.push(lora?),
                _ => bail!("{} has no low-rank factors to mix", member.name()),
            }
        }
        let first = &loras[0];
        let (r, alpha) = match self {
            // The factors carry their scales, so alpha = r.
            Self::Delta | Self::Svd { .. } => {
                let r = self.rank(members, combined)?;
                (r, r as f64)
            }
            Self::SqrtFactors => (first.r, first.r as f64),
            Self::Factors | Self::NegateB => (first.r, first.alpha),
        };
        if self.by_factor()
            && let Some(other) = loras.iter().find(|l| l.r != first.r)
        {
            bail!("ranks {} and {} cannot be mixed factor by factor", first.r, other.r; hint: "lora: \"delta\" takes any ranks");
        }
        let rescaled = matches!(self, Self::Factors | Self::NegateB);
        let patterns = |l: &Lora| match &l.modules {
            Modules::Names(n) => Some((n.rank_pattern.clone(), n.alpha_pattern.clone())),
            Modules::Sites { .. } => None,
        };
        let own = patterns(first);
        let same = |l: &&Lora| l.scale("") == first.scale("") && patterns(l) == own;
        if rescaled && let Some(other) = loras.iter().find(|l| !same(l)) {
            bail!(
                "scales {} and {} cannot be mixed factor by factor", first.scale(""), other.scale("");
                hint: "lora: \"delta\" takes any scales"
            );
        }
        only_factors(members)?;
        let mut modules = first.modules.clone();
        for (lora, member) in loras.iter().zip(members).skip(1) {
            let of =
                |e: crate::Error| e.within(format!("{} and {}", members[0].name(), member.name()));
            let all = || Ok(stems(members)?.into_iter().collect());
            modules = modules.union(&lora.modules, all).map_err(of)?;
        }
        Ok(Arc::new(Lora {
            r,
            alpha,
            // What the factors carry is the whole scale.
            stabilised: first.stabilised && rescaled,
            modules: if rescaled { modules } else { modules.plain() },
            ..first.clone()
        }))
    }

    /// The rank of every map of the mixture.
    pub(super) fn rank(self, members: &[Adapter], combined: bool) -> Result<usize> {
        match self {
            Self::Svd { rank } => match full_rank(members)? {
                Some(full) if rank > full => Err(Error::new(format!(
                    "rank {rank} is above the full rank of the changes, which is {full}"
                ))
                .hint(format!("give a rank of at most {full}"))),
                _ => Ok(rank),
            },
            Self::Delta => {
                let (sum, full) = ranks(members)?;
                Ok(if combined { sum.min(full) } else { full })
            }
            _ => bail!("factors have ranks of their own"),
        }
    }

    /// The shapes of the mixture's tensors.
    pub(super) fn shapes(self, members: &[Adapter], combined: bool) -> Result<Shapes> {
        let mut shapes = Shapes::new();
        let uniform = match self.by_factor() {
            true => None,
            false => Some(self.rank(members, combined)?),
        };
        for stem in stems(members)? {
            let all = sizes_at(members, &stem)?;
            let Some(first) = all.iter().flatten().next() else {
                continue;
            };
            let rank = uniform.unwrap_or(first.rank);
            let names = first.names;
            let a = vec![first.groups * rank, first.input];
            shapes.insert(names.a(stem.as_str()), a);
            let b = vec![first.output, rank];
            shapes.insert(names.b(stem.as_str()), b);
        }
        Ok(shapes)
    }
}

/// An error where a member has something of its own beside its factors.
fn only_factors(members: &[Adapter]) -> Result<()> {
    for member in members {
        let own = member.own_shapes()?;
        if let Some(other) = own.keys().find(|name| name.factor().is_none()) {
            bail!(
                "{} holds {other} beside its low-rank factors, which has no place in their mixture",
                member.name();
                hint: "mix adapters without biases"
            );
        }
    }
    Ok(())
}

/// The largest ranks of all members, added up, and the highest rank that a change to any of their
/// maps can have.
fn ranks(members: &[Adapter]) -> Result<(usize, usize)> {
    let (mut sum, mut full) = (0, 1);
    for member in members {
        let shapes = member.shapes()?;
        let mut largest = 0;
        for (name, b) in &shapes {
            let Some(factor) = name.factor().filter(|f| !f.is_a) else {
                continue;
            };
            let a = shapes.get(&factor.names.a(factor.stem));
            if let (Some(&[rows, input]), &[output, rank]) = (a.map(|a| &a[..]), &b[..]) {
                largest = largest.max(rank);
                full = full.max(input.min(output * rank.max(1) / rows.max(1)));
            }
        }
        sum += largest;
    }
    Ok((sum, full))
}

/// The highest rank that a change to any of the members' maps can have; none where they have no
/// low-rank factors.
pub fn full_rank(members: &[Adapter]) -> Result<Option<usize>> {
    let (sum, full) = ranks(members)?;
    Ok((sum > 0).then_some(full))
}

/// The largest rank of the members' maps, at most the full one; 1 where they have none.
pub fn largest_rank(members: &[Adapter]) -> Result<usize> {
    let mut largest = 1;
    for member in members {
        for (name, shape) in member.shapes()? {
            let is_b = name.factor().is_some_and(|f| !f.is_a);
            if let (true, Some(rank)) = (is_b, shape.get(1)) {
                largest = largest.max(*rank);
            }
        }
    }
    Ok(largest.min(ranks(members)?.1))
}

/// The canonical names of the maps that members change.
pub(super) fn stems(members: &[Adapter]) -> Result<BTreeSet<Name>> {
    let mut stems = BTreeSet::new();
    for member in members {
        let shapes = member.shapes()?;
        let own = shapes
            .keys()
            .filter_map(|n| Some(n.factor().filter(|f| f.is_a)?.stem));
        stems.extend(own.map(Name::new));
    }
    Ok(stems)
}

/// The sizes of a map's factors.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    pub names: FactorNames,
    pub rank: usize,
    pub groups: usize,
    pub input: usize,
    pub output: usize,
}

/// The sizes of each member's factors at a map; none where it leaves the map as it is. An error
/// unless all change the same map.
pub(super) fn sizes_at(members: &[Adapter], stem: &Name) -> Result<Vec<Option<Sizes>>> {
    let mut all: Vec<Option<Sizes>> = Vec::with_capacity(members.len());
    for member in members {
        let (mut names, mut a, mut b) = (FactorNames::Linear, None, None);
        for own in FactorNames::ALL {
            a = member.shape(&own.a(stem.as_str()))?;
            b = member.shape(&own.b(stem.as_str()))?;
            if a.is_some() || b.is_some() {
                names = own;
                break;
            }
        }
        let own = match (a.as_deref(), b.as_deref()) {
            (Some(&[rows, input]), Some(&[output, rank])) if rank > 0 && rows % rank == 0 => {
                let groups = rows / rank;
                Some(Sizes {
                    names,
                    rank,
                    groups,
                    input,
                    output,
                })
            }
            (None, None) => None,
            (found, other) => {
                let told = |shape: Option<&[usize]>| {
                    shape.map_or("is missing".to_string(), |shape| {
                        format!("has shape {shape:?}")
                    })
                };
                bail!(
                    "{stem}: A {} and B {} in {}: they are no pair",
                    told(found),
                    told(other),
                    member.name()
                )
            }
        };
        if let Some(own) = &own
            && let Some((i, first)) = all
                .iter()
                .enumerate()
                .find_map(|(i, s)| Some((i, s.as_ref()?)))
            && (own.input, own.output, own.groups, own.names)
                != (first.input, first.output, first.groups, first.names)
        {
            let map = |s: &Sizes| match s.groups {
                _ if s.names == FactorNames::Embedding => {
                    format!("an embedding [{}, {}]", s.input, s.output)
                }
                1 => format!("[{}, {}]", s.output, s.input),
                n => format!("[{}, {}] in {n} parts", s.output, s.input),
            };
            bail!(
                "{stem} is {} in {} and {} in {}",
                map(first),
                members[i].name(),
                map(own),
                member.name()
            );
        }
        all.push(own);
    }
    Ok(all)
}
