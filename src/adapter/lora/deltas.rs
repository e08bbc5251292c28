//! The changes that a LoRA makes to weight matrices, from its tensors alone.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::adapter::factor::FactorNames;
use crate::adapter::kind::Mixing;
use crate::adapter::tensors::{Name, Tensors};
use crate::adapter::value::Adapter;
use crate::{Result, bail};

/// The pair of factors of one map.
#[derive(Debug, Clone)]
pub struct Factors {
    /// [groups * rank, in]
    pub a: Tensor,
    /// [out, rank]
    pub b: Tensor,
    /// The factor before B A.
    pub scale: f64,
    /// How many A's lie on top of each other, each for its part of B's rows: more than 1 only
    /// where AdapterHub changes several sites that one map computes.
    pub groups: usize,
    /// How they are named.
    pub names: FactorNames,
}

impl Factors {
    /// The change of the module's weight: scale B A, [out, in]; of an embedding its transpose,
    /// [tokens, width], as its table lies.
    pub fn weight_change(&self) -> Result<Tensor> {
        let delta = self.delta()?;
        match self.names {
            FactorNames::Linear => Ok(delta),
            FactorNames::Embedding => Ok(delta.t()?.contiguous()?),
        }
    }

    /// scale B A, [out, in].
    pub fn delta(&self) -> Result<Tensor> {
        let (rank, out) = (self.b.dim(1)?, self.b.dim(0)? / self.groups.max(1));
        let part = |g: usize| -> Result<Tensor> {
            let a = self.a.narrow(0, g * rank, rank)?;
            let b = self.b.narrow(0, g * out, out)?;
            Ok((b.contiguous()?.matmul(&a.contiguous()?)? * self.scale)?)
        };
        let parts = (0..self.groups).map(part).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&parts, 0)?)
    }
}

/// What to do about members of different ranks.
pub const OTHER_RANKS: &str = "a LoRA soup's rank is the sum of its members': lora: \"svd\" with their rank, or lora: \"factors\", keeps it when soups are made; space: \"delta\" compares the signs of any ranks";

/// Whether two shapes of a tensor of this name differ in the rank of low-rank factors alone.
pub fn ranks_differ(name: &Name, own: &[usize], other: &[usize]) -> bool {
    match (name.factor().map(|f| f.is_a), own, other) {
        (Some(true), [r, width], [s, other]) => r != s && width == other,
        (Some(false), [width, r], [other, s]) => r != s && width == other,
        _ => false,
    }
}

/// Whether an adapter has low-rank factors, whatever else it has: LoRAs and DoRAs do.
pub fn has_factors(adapter: &Adapter) -> Result<bool> {
    let shapes = adapter.shapes()?;
    Ok(shapes.keys().any(|n| n.factor().is_some()))
}

/// An error unless what the adapter changes is scale B A at every map.
pub fn check_change(adapter: &Adapter) -> Result<()> {
    let (name, kind) = (adapter.name(), adapter.kind());
    if kind.mixing() == Mixing::Factors {
        return Ok(());
    }
    if !has_factors(adapter)? {
        bail!("{name} is {}, not a LoRA", kind.name());
    }
    if adapter.shapes()?.keys().any(|name| kind.scales(name)) {
        bail!(
            "{name} is a DoRA: its change is not B A, since it sets the lengths of the model's rows anew";
            hint: "space: \"factors\" compares A and B as they are"
        );
    }
    bail!(
        "{name} has biases beside its factors: its change is more than B A";
        hint: "space: \"factors\" compares A and B as they are"
    )
}

/// The factors of the map of this canonical name, without the others where that can be; none where
/// the adapter leaves the map as it is.
pub fn factors_at(adapter: &Adapter, stem: &str) -> Result<Option<Factors>> {
    let kind = adapter.kind();
    check_change(adapter)?;
    let mut found = None;
    for names in FactorNames::ALL {
        if adapter.shape(&names.a(stem))?.is_some() {
            found = Some(names);
            break;
        }
    }
    let Some(names) = found else {
        return Ok(None);
    };
    let (a, b) = (
        adapter.tensor(&names.a(stem))?,
        adapter.tensor(&names.b(stem))?,
    );
    let groups = kind
        .groups_at(&a, &b)
        .map_err(|e| e.within(format!("{}, {stem}", adapter.name())))?;
    let scale = kind.scale_at(stem);
    Ok(Some(Factors {
        a,
        b,
        scale,
        groups,
        names,
    }))
}

/// The factors of an adapter's maps by their canonical names; an error where it is no LoRA, or more
/// than one.
pub fn factors(adapter: &Adapter) -> Result<BTreeMap<String, Factors>> {
    check_change(adapter)?;
    let kind = adapter.kind();
    let tensors = adapter.tensors()?;
    let mut all = BTreeMap::new();
    for (name, a) in tensors.iter() {
        let Some(factor) = name.factor().filter(|f| f.is_a) else {
            continue;
        };
        let (stem, names) = (factor.stem, factor.names);
        let Some(b) = tensors.get(&names.b(stem)) else {
            bail!("{} has {name} but no {}", adapter.name(), names.b(stem));
        };
        let groups = kind
            .groups_at(a, b)
            .map_err(|e| e.within(format!("{}, {stem}", adapter.name())))?;
        let (a, b, scale) = (a.clone(), b.clone(), kind.scale_at(stem));
        let factors = Factors {
            a,
            b,
            scale,
            groups,
            names,
        };
        all.insert(stem.to_string(), factors);
    }
    Ok(all)
}

/// The change that a LoRA makes to each weight matrix, scale B A [out, in] and of an embedding its
/// transpose, under the map's path with `delta` for a last part.
pub fn deltas(adapter: &Adapter) -> Result<Tensors> {
    let of = |(stem, factors): (String, Factors)| {
        Ok((Name::new(format!("{stem}.delta")), factors.weight_change()?))
    };
    factors(adapter)?.into_iter().map(of).collect()
}
