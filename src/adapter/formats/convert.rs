//! LoRAs from one library's way of choosing maps to the other's. Both compute the same.
//!
//! What comes out is a plan: names and shapes, and how each tensor is made when it is written, so
//! that an adapter need not fit in memory.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;

use crate::adapter::lora::Lora;
use crate::adapter::metadata::HEADS;
use crate::adapter::modules::{Modules, Names, Targets};
use crate::adapter::tensors::Name;
use crate::adapter::value::Adapter;
use crate::model::{Architecture, LinearSite};
use crate::tensorfile::{Number, Planned};
use crate::{Error, Result, bail};

use super::Types;

/// Tensors to be written, under canonical names.
pub type Plan<'a> = Vec<Planned<'a>>;

/// The factors of one map.
struct At {
    layer: usize,
    path: String,
    /// Names of A, B and of the lengths of rows.
    a: Name,
    b: Name,
    magnitude: Option<Name>,
    /// Rank, and width of A.
    rank: usize,
    input: usize,
    /// Rows of A and of B.
    a_rows: usize,
    b_rows: usize,
    scale: f64,
}

/// The tensors as numbers of these types: those that the adapter's files had, or one for all.
pub fn typed<'a>(adapter: &Adapter, plan: Plan<'a>, types: Types) -> Plan<'a> {
    let own = adapter.parts().metadata.get();
    let typed = |planned: Planned<'a>| Planned {
        number: match types {
            Types::Keep => own
                .types
                .get(&planned.name)
                .map_or(Number::F32, |t| t.number()),
            Types::All(precision) => precision.number(),
        },
        ..planned
    };
    plan.into_iter().map(typed).collect()
}

/// The type that the numbers of heads are written in.
pub fn type_of_heads(adapter: &Adapter, types: Types) -> Number {
    let own = adapter.parts().metadata.get();
    match types {
        Types::Keep => own.types.get(HEADS).map_or(Number::F32, |t| t.number()),
        Types::All(precision) => precision.number(),
    }
}

/// The adapter's own tensors.
pub fn as_they_are(adapter: &Adapter) -> Result<Plan<'_>> {
    let one = |(name, shape): (Name, Vec<usize>)| planned(adapter, &name, &name.clone(), shape);
    Ok(adapter.shapes()?.into_iter().map(one).collect())
}

fn planned<'a>(adapter: &'a Adapter, new: &Name, old: &Name, shape: Vec<usize>) -> Planned<'a> {
    let old = old.clone();
    Planned::new(new.as_str().to_string(), shape, move || {
        adapter.tensor(&old)
    })
}

/// The LoRA as AdapterHub has it: by sites, with one rank and scale for all maps. An error where
/// layers differ in their maps, or where it has what AdapterHub has not.
pub fn to_sites<'a>(adapter: &'a Adapter, lora: &Lora) -> Result<(Lora, Plan<'a>)> {
    if let Modules::Sites { .. } = lora.modules {
        let shapes = adapter.shapes()?;
        let rank = |(name, shape): (&Name, &Vec<usize>)| {
            name.as_str()
                .ends_with("lora_B")
                .then(|| shape.get(1).copied())
        };
        if shapes.iter().filter_map(rank).all(|r| r == Some(lora.r)) {
            return Ok((lora.clone(), as_they_are(adapter)?));
        }
    }
    let refuse = |what: &str| {
        let name = adapter.name();
        let error = format!("{what}, so {name} cannot be written in its layout");
        Err(Error::new(error).hint("save it with format: \"peft\""))
    };
    if lora.dora && lora.modules.is_peft() {
        return refuse("AdapterHub's DoRA scales biases, too, PEFT's does not");
    }
    let architecture = Architecture::of(&adapter.base().model_type)?;
    let maps = gather(adapter, lora, architecture)?;
    let mut by_layer: BTreeMap<usize, BTreeSet<LinearSite>> = BTreeMap::new();
    for at in &maps {
        let Some(map) = architecture.map_at(&at.path) else {
            return refuse(&format!("AdapterHub has no LoRA at {}", at.path));
        };
        if map.sites.contains(&LinearSite::AttentionOutput) {
            return refuse("AdapterHub has no LoRA at attention's output");
        }
        by_layer
            .entry(at.layer)
            .or_default()
            .extend(own_sites(at, map.sites, &lora.modules));
    }
    let Some(sites) = by_layer.values().next().cloned() else {
        return refuse("there are no factors");
    };
    if by_layer.values().any(|own| *own != sites) {
        return refuse("AdapterHub has the same maps in every layer");
    }
    let layers = by_layer.keys().max().map_or(0, |l| l + 1);
    let leave_out = (0..layers).filter(|l| !by_layer.contains_key(l)).collect();
    let rank = maps.iter().map(|at| at.rank).max().unwrap_or(lora.r);
    let scale = maps.first().map_or(1.0, |at| at.scale);
    let mut plan = Plan::new();
    for at in maps {
        let stem = architecture.path(at.layer, &at.path);
        let fused = architecture.map_at(&at.path).map_or(1, |m| m.sites.len());
        let groups = at.a_rows / at.rank.max(1);
        // Where one map computes several sites, each has factors of its own.
        let copies = if groups == 1 { fused } else { 1 };
        let (own, a, b) = (at.rank, at.a.clone(), at.b.clone());
        plan.push(Planned::new(
            format!("{stem}.lora_A"),
            vec![groups * copies * rank, at.input],
            move || {
                let a = adapter.tensor(&a)?;
                let each = (0..groups)
                    .map(|g| a.narrow(0, g * own, own)?.pad_with_zeros(0, 0, rank - own))
                    .collect::<candle_core::Result<Vec<_>>>()?;
                let stacked: Vec<&Tensor> = (0..copies).flat_map(|_| &each).collect();
                Ok(Tensor::cat(&stacked, 0)?)
            },
        ));
        plan.push(Planned::new(
            format!("{stem}.lora_B"),
            vec![at.b_rows, rank],
            move || {
                // One scale counts for all maps: what is left of a map's own goes into its B.
                let b = adapter.tensor(&b)?;
                let b = match at.scale == scale {
                    true => b,
                    false => (b * (at.scale / scale))?,
                };
                Ok(b.pad_with_zeros(1, 0, rank - own)?)
            },
        ));
        if let Some(magnitude) = at.magnitude {
            plan.push(Planned::new(
                format!("{stem}.m.weight"),
                vec![at.b_rows, 1],
                move || Ok(adapter.tensor(&magnitude)?.reshape(((), 1))?),
            ));
        }
    }
    let kind = Lora {
        r: rank,
        alpha: scale * rank as f64,
        stabilised: false,
        modules: Modules::Sites {
            sites: sites.into_iter().collect(),
            leave_out,
        },
        ..lora.clone()
    };
    Ok((kind, plan))
}

/// The sites that the factors of a map change.
fn own_sites(at: &At, all: &[LinearSite], modules: &Modules) -> Vec<LinearSite> {
    let chosen = |site: &&LinearSite| match modules {
        Modules::Sites { sites, .. } => sites.contains(site),
        Modules::Names(_) => at.rank > 0,
    };
    all.iter().filter(chosen).copied().collect()
}

/// The LoRA as PEFT has it: by names of modules.
pub fn to_names<'a>(adapter: &'a Adapter, lora: &Lora) -> Result<(Lora, Plan<'a>)> {
    if lora.modules.is_peft() {
        return Ok((lora.clone(), as_they_are(adapter)?));
    }
    if lora.dora {
        return Err(Error::new(
            "AdapterHub's DoRA scales biases, too, PEFT's does not: neither can be written as the other",
        )
        .hint("save it with format: \"adapterhub\""));
    }
    let architecture = Architecture::of(&adapter.base().model_type)?;
    let maps = gather(adapter, lora, architecture)?;
    let mut plan = Plan::new();
    let (mut paths, mut layers) = (BTreeSet::new(), BTreeSet::new());
    let mut rank = lora.r;
    for at in maps {
        let Some(map) = architecture.map_at(&at.path) else {
            bail!("{} has no map {}", architecture.model_type, at.path);
        };
        let stem = architecture.path(at.layer, &at.path);
        let a = Name::new(format!("{stem}.lora_A"));
        let b = Name::new(format!("{stem}.lora_B"));
        plan.push(planned(adapter, &a, &at.a, vec![at.a_rows, at.input]));
        rank = rank.max(at.a_rows);
        paths.insert(at.path.clone());
        layers.insert(at.layer);
        if map.sites.len() == 1 {
            plan.push(planned(adapter, &b, &at.b, vec![at.b_rows, at.rank]));
            continue;
        }
        let chosen = own_sites(&at, map.sites, &lora.modules);
        let width = at.b_rows / chosen.len().max(1);
        let shape = vec![width * map.sites.len(), at.a_rows];
        let old = at.b.clone();
        plan.push(Planned::new(b.as_str().to_string(), shape, move || {
            blocks(&adapter.tensor(&old)?, map.sites, &chosen)
        }));
    }
    let last = layers.iter().max().map_or(0, |l| l + 1);
    let every = layers.len() == last;
    // A name also means every module that ends with it.
    let ambiguous = architecture.maps.iter().any(|m| {
        let ends = |p: &String| m.path.ends_with(&format!(".{p}"));
        !paths.contains(m.path) && paths.iter().any(ends)
    });
    let target_modules = if every && !ambiguous {
        Targets::List(paths.into_iter().collect())
    } else {
        let escape = |p: &String| p.replace('.', r"\.");
        let paths: Vec<String> = paths.iter().map(escape).collect();
        let layers: Vec<String> = layers.iter().map(usize::to_string).collect();
        let list = architecture.layers.replace('.', r"\.");
        Targets::Pattern(format!(
            r"(?:.*\.)?{list}\.(?:{})\.(?:{})",
            layers.join("|"),
            paths.join("|")
        ))
    };
    let kind = Lora {
        r: rank,
        alpha: lora.scale("") * rank as f64,
        modules: Modules::Names(Names {
            prefix: architecture.prefix.into(),
            target_modules,
            bias: "none".into(),
            ..Names::default()
        }),
        ..lora.clone()
    };
    Ok((kind, plan))
}

/// B of a map that computes several sites, from one for each of some of them: their rows, each in
/// the columns of its own A.
fn blocks(b: &Tensor, all: &[LinearSite], chosen: &[LinearSite]) -> Result<Tensor> {
    let (rank, n) = (b.dim(1)?, chosen.len());
    let width = b.dim(0)? / n.max(1);
    let mut rows = Vec::with_capacity(all.len());
    for site in all {
        rows.push(match chosen.iter().position(|s| s == site) {
            None => Tensor::zeros((width, n * rank), b.dtype(), b.device())?,
            Some(g) => {
                let own = b.narrow(0, g * width, width)?;
                own.pad_with_zeros(1, g * rank, (n - 1 - g) * rank)?
            }
        });
    }
    Ok(Tensor::cat(&rows, 0)?)
}

/// The adapter's factors by map; an error where it has other tensors, too.
fn gather(adapter: &Adapter, lora: &Lora, architecture: &Architecture) -> Result<Vec<At>> {
    let shapes = adapter.shapes()?;
    let mut maps = Vec::new();
    let mut used = 0;
    for (name, a) in &shapes {
        let Some(stem) = name.as_str().strip_suffix(".lora_A") else {
            continue;
        };
        let find = |part: &str| shapes.get_key_value(&Name::new(format!("{stem}.{part}")));
        let own = stem
            .strip_prefix(architecture.layers)
            .and_then(|s| s.strip_prefix('.'))
            .and_then(|s| s.split_once('.'));
        let layer = own.and_then(|(layer, path)| Some((layer.parse().ok()?, path)));
        let b = find("lora_B");
        let (Some((layer, path)), Some((b, &[b_rows, rank])), &[a_rows, input]) =
            (layer, b.map(|(n, s)| (n, &s[..])), &a[..])
        else {
            bail!(
                "tensor {name} is at no map of a {} model",
                architecture.model_type
            );
        };
        let magnitude = find("lora_magnitude_vector").or_else(|| find("m.weight"));
        used += 2 + usize::from(magnitude.is_some());
        maps.push(At {
            layer,
            path: path.to_string(),
            a: name.clone(),
            b: b.clone(),
            magnitude: magnitude.map(|(name, _)| name.clone()),
            rank,
            input,
            a_rows,
            b_rows,
            scale: lora.scale(stem),
        });
    }
    if used != shapes.len() {
        bail!(
            "it has biases or other trained modules beside its factors, which only PEFT's layout holds"
        );
    }
    Ok(maps)
}
