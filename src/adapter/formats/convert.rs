//! LoRAs from one library's way of choosing maps to the other's. Both compute the same.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;

use crate::adapter::lora::Lora;
use crate::adapter::modules::{Modules, Names, Targets};
use crate::adapter::tensors::{Name, Tensors};
use crate::adapter::value::Adapter;
use crate::model::{Architecture, LinearSite};
use crate::{Error, Result, bail};

/// The tensors of one map.
struct At {
    layer: usize,
    path: String,
    a: Tensor,
    b: Tensor,
    scale: f64,
    magnitude: Option<Tensor>,
}

/// The LoRA as AdapterHub has it: by sites, with one rank and scale for all maps. An error where
/// layers differ in their maps, or where it has what AdapterHub has not.
pub fn to_sites(adapter: &Adapter, lora: &Lora) -> Result<(Lora, Tensors)> {
    let tensors = adapter.tensors()?;
    if let Modules::Sites { .. } = lora.modules {
        let ranks: BTreeSet<usize> = tensors
            .iter()
            .filter(|(n, _)| n.as_str().ends_with("lora_B"))
            .map(|(_, t)| t.dims()[1])
            .collect();
        if ranks.len() == 1 && ranks.contains(&lora.r) {
            return Ok((lora.clone(), tensors.as_ref().clone()));
        }
    }
    let refuse = |what: &str| {
        Err(Error::new(format!(
            "{what}, so {} cannot be written in its layout",
            adapter.name()
        ))
        .hint("save it with format: \"peft\""))
    };
    if lora.dora && lora.modules.is_peft() {
        return refuse("AdapterHub's DoRA scales biases, too, PEFT's does not");
    }
    let architecture = Architecture::of(&adapter.base().model_type)?;
    let maps = gather(&tensors, lora, architecture)?;
    let mut by_layer: BTreeMap<usize, BTreeSet<LinearSite>> = BTreeMap::new();
    for at in &maps {
        let Some(map) = architecture.map_at(&at.path) else {
            return refuse(&format!("AdapterHub has no LoRA at {}", at.path));
        };
        if map.sites.contains(&LinearSite::AttentionOutput) {
            return refuse("AdapterHub has no LoRA at attention's output");
        }
        by_layer.entry(at.layer).or_default().extend(map.sites);
    }
    let Some(sites) = by_layer.values().next().cloned() else {
        return refuse("there are no factors");
    };
    if by_layer.values().any(|own| *own != sites) {
        return refuse("AdapterHub has the same maps in every layer");
    }
    let layers = by_layer.keys().max().map_or(0, |l| l + 1);
    let leave_out = (0..layers).filter(|l| !by_layer.contains_key(l)).collect();
    let rank = maps.iter().map(|at| at.b.dims()[1]).max().unwrap_or(lora.r);
    let scale = maps.first().map_or(1.0, |at| at.scale);
    let mut own = Tensors::new();
    for at in &maps {
        let stem = architecture.path(at.layer, &at.path);
        let fused = architecture.map_at(&at.path).map_or(1, |m| m.sites.len());
        let width = at.b.dim(1)?;
        let groups = at.a.dim(0)? / width;
        // One scale counts for all maps: what is left of a map's own goes into its B.
        let b = match at.scale == scale {
            true => at.b.clone(),
            false => (&at.b * (at.scale / scale))?,
        };
        let b = b.pad_with_zeros(1, 0, rank - width)?;
        let each = (0..groups)
            .map(|g| {
                at.a.narrow(0, g * width, width)?
                    .pad_with_zeros(0, 0, rank - width)
            })
            .collect::<candle_core::Result<Vec<_>>>()?;
        // Where one map computes several sites, each has factors of its own.
        let copies = if groups == 1 { fused } else { 1 };
        let stacked: Vec<Tensor> = (0..copies).flat_map(|_| each.clone()).collect();
        own.insert(
            Name::new(format!("{stem}.lora_A")),
            Tensor::cat(&stacked, 0)?,
        );
        own.insert(Name::new(format!("{stem}.lora_B")), b);
        if let Some(magnitude) = &at.magnitude {
            own.insert(
                Name::new(format!("{stem}.m.weight")),
                magnitude.reshape(((), 1))?,
            );
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
    Ok((kind, own))
}

/// The LoRA as PEFT has it: by names of modules.
pub fn to_names(adapter: &Adapter, lora: &Lora) -> Result<(Lora, Tensors)> {
    let tensors = adapter.tensors()?;
    if lora.modules.is_peft() {
        return Ok((lora.clone(), tensors.as_ref().clone()));
    }
    if lora.dora {
        return Err(Error::new("AdapterHub's DoRA scales biases, too, PEFT's does not: neither can be written as the other")
            .hint("save it with format: \"adapterhub\""));
    }
    let architecture = Architecture::of(&adapter.base().model_type)?;
    let maps = gather(&tensors, lora, architecture)?;
    let mut own = Tensors::new();
    let (mut paths, mut layers) = (BTreeSet::new(), BTreeSet::new());
    let mut rank = lora.r;
    for at in &maps {
        let Some(map) = architecture.map_at(&at.path) else {
            bail!("{} has no map {}", architecture.model_type, at.path);
        };
        paths.insert(at.path.clone());
        layers.insert(at.layer);
        let stem = architecture.path(at.layer, &at.path);
        let b = match map.sites.len() {
            1 => at.b.clone(),
            _ => blocks(at, map.sites, &lora.modules)?,
        };
        rank = rank.max(b.dim(1)?);
        own.insert(Name::new(format!("{stem}.lora_A")), at.a.clone());
        own.insert(Name::new(format!("{stem}.lora_B")), b);
    }
    let last = layers.iter().max().map_or(0, |l| l + 1);
    let every = layers.len() == last;
    // A name also means every module that ends with it.
    let ambiguous = architecture.maps.iter().any(|m| {
        !paths.contains(m.path) && paths.iter().any(|p| m.path.ends_with(&format!(".{p}")))
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
    Ok((kind, own))
}

/// B of a map that computes several sites, from one for each of some of them: their rows, each in
/// the columns of its own A.
fn blocks(at: &At, all: &[LinearSite], modules: &Modules) -> Result<Tensor> {
    let Modules::Sites { sites, .. } = modules else {
        return Ok(at.b.clone());
    };
    let chosen: Vec<LinearSite> = all.iter().copied().filter(|s| sites.contains(s)).collect();
    let (rank, n) = (at.b.dim(1)?, chosen.len());
    let width = at.b.dim(0)? / n.max(1);
    let mut rows = Vec::with_capacity(all.len());
    for site in all {
        rows.push(match chosen.iter().position(|s| s == site) {
            None => Tensor::zeros((width, n * rank), at.b.dtype(), at.b.device())?,
            Some(g) => {
                let own = at.b.narrow(0, g * width, width)?;
                own.pad_with_zeros(1, g * rank, (n - 1 - g) * rank)?
            }
        });
    }
    Ok(Tensor::cat(&rows, 0)?)
}

/// The adapter's factors by map; an error where it has other tensors, too.
fn gather(tensors: &Tensors, lora: &Lora, architecture: &Architecture) -> Result<Vec<At>> {
    let mut maps = Vec::new();
    let mut used = 0;
    for (name, a) in tensors {
        let Some(stem) = name.as_str().strip_suffix(".lora_A") else {
            continue;
        };
        let find = |part: &str| tensors.get(&Name::new(format!("{stem}.{part}")));
        let own = stem
            .strip_prefix(architecture.layers)
            .and_then(|s| s.strip_prefix('.'))
            .and_then(|s| s.split_once('.'));
        let (Some((layer, path)), Some(b)) = (own, find("lora_B")) else {
            bail!(
                "tensor {name} is at no map of a {} model",
                architecture.model_type
            );
        };
        let magnitude = find("lora_magnitude_vector").or_else(|| find("m.weight"));
        used += 2 + usize::from(magnitude.is_some());
        maps.push(At {
            layer: layer
                .parse()
                .map_err(|_| Error::new(format!("tensor {name} is in no layer")))?,
            path: path.to_string(),
            a: a.clone(),
            b: b.clone(),
            scale: lora.scale(stem),
            magnitude: magnitude.cloned(),
        });
    }
    if used != tensors.len() {
        bail!(
            "it has biases or other trained modules beside its factors, which only PEFT's layout holds"
        );
    }
    Ok(maps)
}
