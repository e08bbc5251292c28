//! What a LoRA does in a model's forward pass.

use std::collections::BTreeMap;

use candle_core::{D, Tensor};

use crate::adapter::Watch;
use crate::adapter::modules::Place;
use crate::adapter::tensors::{Name, Tensors};
use crate::compute::{FrozenLinear, Parts, linear, lora};
use crate::model::{Config, LinearSite, Sites};
use crate::{Result, bail};

use super::Lora;

/// The change of one site.
struct Change {
    stem: String,
    a: Tensor,
    b: Tensor,
    scale: f64,
    /// What else there is; most have nothing.
    more: Option<More>,
}

/// What variants add to the low-rank product.
struct More {
    /// DoRA's lengths of rows, [out].
    magnitude: Option<Tensor>,
    /// Whether they scale the bias, too: adapters 1.3.0 does, the paper and PEFT do not.
    scales_bias: bool,
    /// B's bias, [out].
    b_bias: Option<Tensor>,
    /// The map's bias instead of the base's, [out].
    bias: Option<Tensor>,
}

pub(super) fn sites(
    lora: &Lora,
    tensors: &Tensors,
    base: &Config,
    watch: Option<&Watch>,
) -> Result<Box<dyn Sites>> {
    let mut changes = BTreeMap::new();
    let mut used = 0;
    for place in lora.modules.places(base)? {
        used += gather(lora, tensors, &place, &mut changes)?;
    }
    if used != tensors.len() {
        let known = |name: &&Name| {
            let stems = lora.modules.places(base).unwrap_or_default();
            stems.iter().any(|p| {
                let own = name.as_str().strip_prefix(&format!("{}.", p.stem));
                own.is_some_and(|own| PARTS.contains(&own))
            })
        };
        if let Some(name) = tensors.keys().find(|n| !known(n)) {
            bail!(
                "adapter tensor {name} is at no linear map that this adapter may change in a {} model",
                base.model_type
            );
        }
    }
    let watch = watch.cloned();
    Ok(Box::new(LoraSites { changes, watch }))
}

/// The last parts of the tensors' names.
const PARTS: &[&str] = &[
    "lora_A",
    "lora_B",
    "lora_B.bias",
    "lora_magnitude_vector",
    "m.weight",
    "bias",
];

/// Takes the tensors of one map; how many there were.
fn gather(
    lora: &Lora,
    tensors: &Tensors,
    place: &Place,
    changes: &mut BTreeMap<(usize, LinearSite), Change>,
) -> Result<usize> {
    let find = |part: &str| tensors.get(&Name::new(format!("{}.{part}", place.stem)));
    let (Some(a), Some(b)) = (find("lora_A"), find("lora_B")) else {
        bail!("the adapter has no {0}.lora_A and {0}.lora_B", place.stem);
    };
    let magnitude = find("lora_magnitude_vector").or_else(|| find("m.weight"));
    let (b_bias, bias) = (find("lora_B.bias"), find("bias"));
    if lora.dora && magnitude.is_none() {
        bail!("the adapter has no lengths of the rows of {}", place.stem);
    }
    let (rank, width) = (b.dim(1)?, b.dim(0)? / place.sites.len().max(1));
    let rows = if place.grouped {
        place.sites.len() * rank
    } else {
        rank
    };
    if a.dim(0)? != rows {
        bail!(
            "{}: A {:?} does not fit B {:?}",
            place.stem,
            a.dims(),
            b.dims()
        );
    }
    for (i, site) in place.sites.iter().enumerate() {
        let part = |t: &Tensor| -> Result<Tensor> {
            let flat = if t.dims().len() == 2 && t.dim(1)? == 1 {
                t.squeeze(1)?
            } else {
                t.clone()
            };
            Ok(flat.narrow(0, i * width, width)?)
        };
        let some = |t: Option<&Tensor>| t.map(part).transpose();
        let own_a = match place.grouped {
            true => a.narrow(0, i * rank, rank)?,
            false => a.clone(),
        };
        let own_b = match place.sites.len() {
            1 => b.clone(),
            _ => b.narrow(0, i * width, width)?,
        };
        let plain = magnitude.is_none() && b_bias.is_none() && bias.is_none();
        let more = More {
            magnitude: some(magnitude)?,
            scales_bias: !lora.modules.is_peft(),
            b_bias: some(b_bias)?,
            bias: some(bias)?,
        };
        changes.insert(
            (place.layer, *site),
            Change {
                stem: place.stem.clone(),
                a: own_a,
                b: own_b,
                scale: lora.scale(&place.stem),
                more: (!plain).then_some(more),
            },
        );
    }
    Ok(2 + [magnitude, b_bias, bias].iter().flatten().count())
}

struct LoraSites {
    changes: BTreeMap<(usize, LinearSite), Change>,
    watch: Option<Watch>,
}

impl Sites for LoraSites {
    fn parts(&self) -> Option<Parts> {
        let mut parts = Parts::default();
        for ((layer, site), change) in &self.changes {
            // The one operation shows nobody what flows in it.
            if change.more.is_some() || self.watch.is_some() {
                return None;
            }
            parts
                .low_rank(*layer, *site, &change.a, &change.b, change.scale)
                .ok()?;
        }
        Some(parts)
    }

    fn linear(
        &self,
        layer: usize,
        sites: &[LinearSite],
        map: &FrozenLinear,
        x: &Tensor,
    ) -> Result<Tensor> {
        let y = map.forward(x)?;
        let here: Vec<(usize, &Change)> = sites
            .iter()
            .enumerate()
            .filter_map(|(at, site)| self.changes.get(&(layer, *site)).map(|c| (at, c)))
            .collect();
        let Some((_, first)) = here.first() else {
            return Ok(y);
        };
        if let Some(watch) = &self.watch {
            for (_, change) in &here {
                let name = |part: &str| Name::new(format!("{}.{part}", change.stem));
                watch.see(name("lora_A"), x)?;
                watch.see(name("lora_B"), &linear(x, &change.a, None)?)?;
            }
        }
        if here
            .iter()
            .any(|(_, c)| c.more.is_some() || c.scale != first.scale)
        {
            return self.each(&here, sites.len(), map, x, y);
        }
        if let ([(_, c)], 1) = (&here[..], sites.len()) {
            return lora(x, &y, &c.a, &c.b, c.scale);
        }
        // One pair of products for all maps that share x: the A's on top of each other, the B's
        // as blocks, each in the rows of its map and the columns of its A.
        let width = y.dim(D::Minus1)? / sites.len();
        let mut rank = 0;
        for (_, change) in &here {
            rank += change.a.dim(0)?;
        }
        let stacked = Tensor::cat(&here.iter().map(|(_, c)| &c.a).collect::<Vec<_>>(), 0)?;
        let mut rows = Vec::with_capacity(sites.len());
        let mut column = 0;
        for at in 0..sites.len() {
            match here.iter().find(|(i, _)| *i == at) {
                None => rows.push(Tensor::zeros(
                    (width, rank),
                    first.a.dtype(),
                    first.a.device(),
                )?),
                Some((_, c)) => {
                    let r = c.a.dim(0)?;
                    rows.push(c.b.pad_with_zeros(1, column, rank - column - r)?);
                    column += r;
                }
            }
        }
        let blocks = Tensor::cat(&rows, 0)?;
        lora(x, &y, &stacked, &blocks, first.scale)
    }
}

impl LoraSites {
    /// Each site's part of the map's output by itself.
    fn each(
        &self,
        here: &[(usize, &Change)],
        sites: usize,
        map: &FrozenLinear,
        x: &Tensor,
        y: Tensor,
    ) -> Result<Tensor> {
        let width = y.dim(D::Minus1)? / sites;
        let mut parts = Vec::with_capacity(sites);
        for at in 0..sites {
            let own = y.narrow(D::Minus1, at * width, width)?.contiguous()?;
            parts.push(match here.iter().find(|(i, _)| *i == at) {
                None => own,
                Some((_, change)) => {
                    let bias = map.bias().map(|b| b.narrow(0, at * width, width));
                    let weight = || Ok(map.weight().kept()?.narrow(0, at * width, width)?);
                    change.apply(x, own, weight, bias.transpose()?.as_ref())?
                }
            });
        }
        Ok(Tensor::cat(&parts, D::Minus1)?)
    }
}

impl Change {
    /// The changed output of a map of this bias that gives `y` for `x`, and of this weight, which is
    /// asked for only where it is needed.
    fn apply(
        &self,
        x: &Tensor,
        y: Tensor,
        weight: impl FnOnce() -> Result<Tensor>,
        base: Option<&Tensor>,
    ) -> Result<Tensor> {
        let Some(more) = &self.more else {
            return lora(x, &y, &self.a, &self.b, self.scale);
        };
        let bias = match (&more.bias, base) {
            (Some(own), _) => Some(own.clone()),
            (None, base) => base.cloned(),
        };
        let y = match base {
            Some(base) => y.broadcast_sub(base)?,
            None => y,
        };
        let mut out = lora(x, &y, &self.a, &self.b, self.scale)?;
        if let Some(b_bias) = &more.b_bias {
            out = out.broadcast_add(&(b_bias * self.scale)?)?;
        }
        let add = |out: Tensor| match &bias {
            Some(bias) => out.broadcast_add(bias),
            None => Ok(out),
        };
        let Some(magnitude) = &more.magnitude else {
            return Ok(add(out)?);
        };
        let change = (self.b.detach().matmul(&self.a.detach())? * self.scale)?;
        let norm = (weight()? + change)?.sqr()?.sum(1)?.sqrt()?;
        let lengths = (magnitude / norm)?;
        Ok(match more.scales_bias {
            true => add(out)?.broadcast_mul(&lengths)?,
            false => add(out.broadcast_mul(&lengths)?)?,
        })
    }
}
