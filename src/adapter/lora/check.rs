//! Whether the tensors of a LoRA's files are those that its configuration means.

use std::collections::BTreeMap;

use crate::adapter::factor::Factor;
use crate::adapter::modules::{Modules, Names};
use crate::adapter::stored::Stored;
use crate::adapter::tensors::Name;
use crate::{Error, Result};

use super::Lora;

/// An error that names the first tensor that does not agree with the configuration.
pub(super) fn check(lora: &Lora, stored: &Stored<'_>) -> Result<()> {
    let mut names = stored.shapes().keys();
    if let Some(error) = names.find_map(|name| with_adapters_name(name.as_str())) {
        return Err(error);
    }
    let mut changed = BTreeMap::new();
    for (name, shape) in stored.shapes() {
        if let Some(factor) = name.factor() {
            let other = match factor.is_a {
                true => factor.names.b(factor.stem),
                false => factor.names.a(factor.stem),
            };
            if stored.shape(&other).is_none() {
                return Err(stored.missing(&other, name));
            }
            changed.insert(factor.stem.to_string(), name.clone());
            match &lora.modules {
                Modules::Names(names) => of_names(lora, names, stored, (name, factor), shape)?,
                Modules::Sites { .. } => of_sites(lora, stored, (name, factor), shape)?,
            }
        }
    }
    for (name, shape) in stored.shapes() {
        beside(lora, stored, name, shape, &changed)?;
    }
    for (stem, name) in &changed {
        parts(lora, stored, stem, name)?;
    }
    lora.modules.check(stored, &changed)
}

/// PEFT's factors: A is [r, in] and B [out, r], whatever follows where the module is a convolution.
fn of_names(
    lora: &Lora,
    names: &Names,
    stored: &Stored<'_>,
    (name, factor): (&Name, Factor<'_>),
    shape: &[usize],
) -> Result<()> {
    let own = lora.modules.rank(factor.stem);
    let rank = own.unwrap_or(lora.r);
    let at = usize::from(!factor.is_a);
    if shape.len() >= 2 && shape[at] == rank {
        return Ok(());
    }
    let expected = match (shape.len(), factor.is_a) {
        (0 | 1, true) => format!("[{rank}, in]"),
        (0 | 1, false) => format!("[out, {rank}]"),
        _ => {
            let mut shape = shape.to_vec();
            shape[at] = rank;
            format!("{shape:?}")
        }
    };
    let why = match own {
        Some(rank) => format!("rank_pattern says rank {rank} there"),
        None if names.rank_pattern.is_empty() => format!("r is {rank} in the configuration"),
        None => {
            format!("r is {rank} in the configuration, and no rank_pattern says otherwise there")
        }
    };
    Err(stored.misshapen(name, &expected, &why))
}

/// AdapterHub's factors: A is [r, in] and B [out, r], and where one map computes several sites,
/// each has an A of its own, one below the other.
fn of_sites(
    lora: &Lora,
    stored: &Stored<'_>,
    (name, factor): (&Name, Factor<'_>),
    shape: &[usize],
) -> Result<()> {
    let Modules::Sites { sites, .. } = &lora.modules else {
        return Ok(());
    };
    let map = stored.architecture.and_then(|architecture| {
        let own = factor.stem.strip_prefix(architecture.layers)?;
        let (_, path) = own.strip_prefix('.')?.split_once('.')?;
        architecture.map_at(path)
    });
    let chosen = map.map(|map| map.sites.iter().filter(|s| sites.contains(s)).count());
    // Widths that follow from the feed-forward block's are not in the file.
    let (input, output) = match map.and_then(|map| map.sites.first()) {
        Some(site) => site.widths(stored.hidden, 0),
        None => (0, 0),
    };
    let output = output * chosen.unwrap_or(1);
    let groups = match (factor.is_a, chosen) {
        (true, Some(chosen)) => chosen.max(1),
        (true, None) => shape.first().map_or(1, |rows| (rows / lora.r).max(1)),
        (false, _) => 1,
    };
    let (rows, columns) = match factor.is_a {
        true => (groups * lora.r, input),
        false => (output, lora.r),
    };
    let fits = |found: usize, expected: usize| expected == 0 || found == expected;
    if let &[own_rows, own_columns] = shape
        && fits(own_rows, rows)
        && fits(own_columns, columns)
    {
        return Ok(());
    }
    let side = |expected: usize, at: usize, word: &str| match (expected, shape.get(at)) {
        (0, Some(found)) if shape.len() == 2 => found.to_string(),
        (0, _) => word.to_string(),
        (n, _) => n.to_string(),
    };
    let expected = format!("[{}, {}]", side(rows, 0, "out"), side(columns, 1, "in"));
    let why = match stored.hidden {
        0 => format!("r is {} in the configuration", lora.r),
        hidden => format!(
            "r is {} and hidden_size {hidden} in the configuration",
            lora.r
        ),
    };
    Err(stored.misshapen(name, &expected, &why))
}

/// What stands beside factors: a LoRA's other tensors where its configuration has them, and none
/// that only look like parts of one.
fn beside(
    lora: &Lora,
    stored: &Stored<'_>,
    name: &Name,
    shape: &[usize],
    changed: &BTreeMap<String, Name>,
) -> Result<()> {
    let text = name.as_str();
    if name.factor().is_some() {
        return Ok(());
    }
    let peft = lora.modules.is_peft();
    let magnitude = match peft {
        true => ".lora_magnitude_vector",
        false => ".m.weight",
    };
    let (stem, on, key) = if let Some(stem) = text.strip_suffix(magnitude) {
        (stem, lora.dora, "use_dora")
    } else if let (Some(stem), true) = (text.strip_suffix(".lora_B.bias"), peft) {
        (stem, lora.modules.lora_bias(), "lora_bias")
    } else if !peft || text.contains(".lora_") {
        return Err(stored.extra(name, "a LoRA has no such tensor"));
    } else {
        // A saved module, or a bias of the base.
        return Ok(());
    };
    if !changed.contains_key(stem) {
        return Err(stored.extra(name, "there are no factors beside it"));
    }
    if !on {
        return Err(stored.extra(name, &format!("{key} is false in the configuration")));
    }
    let linear = crate::adapter::FactorNames::Linear.b(stem);
    let Some(rows) = stored.shape(&linear).and_then(|b| b.first()) else {
        return Ok(());
    };
    if shape.iter().product::<usize>() != *rows {
        let expected = match peft {
            true => format!("[{rows}]"),
            false => format!("[{rows}, 1]"),
        };
        return Err(stored.misshapen(name, &expected, "B beside it has as many rows"));
    }
    Ok(())
}

/// The tensors that go with a module's factors.
fn parts(lora: &Lora, stored: &Stored<'_>, stem: &str, name: &Name) -> Result<()> {
    let magnitude = match lora.modules.is_peft() {
        true => "lora_magnitude_vector",
        false => "m.weight",
    };
    let wanted = [
        (lora.dora, magnitude),
        (lora.modules.lora_bias(), "lora_B.bias"),
    ];
    for (_, part) in wanted.into_iter().filter(|(on, _)| *on) {
        let own = Name::new(format!("{stem}.{part}"));
        if stored.shape(&own).is_none() {
            return Err(stored.missing(&own, name));
        }
    }
    Ok(())
}

/// The error of a tensor that is called as in a model in memory: PEFT leaves the adapter's name out
/// when it saves, and does not find such tensors.
pub(in crate::adapter) fn with_adapters_name(text: &str) -> Option<Error> {
    const PARTS: &[&str] = &[
        ".lora_A.",
        ".lora_B.",
        ".lora_embedding_A.",
        ".lora_embedding_B.",
        ".ia3_l.",
    ];
    let (at, part) = PARTS
        .iter()
        .find_map(|part| Some((text.find(part)?, *part)))?;
    let rest = &text[at + part.len()..];
    let name = rest
        .strip_suffix(".weight")
        .or_else(|| rest.strip_suffix(".bias"))
        .unwrap_or(rest);
    if name.is_empty() || matches!(rest, "weight" | "bias") {
        return None;
    }
    let bare = format!("{}{}", &text[..at], part.trim_end_matches('.'));
    let (own, without) = match rest == name {
        true => (text.to_string(), bare),
        false => (text.to_string(), format!("{bare}{}", &rest[name.len()..])),
    };
    Some(
        Error::new(format!(
            "tensor {own} has the adapter's name, {name}, inside: expected {without}"
        ))
        .hint("it is a model's state_dict: save the adapter by save_pretrained, or rename its tensors"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapters_name_within_a_tensors_is_found() {
        let message = |text: &str| with_adapters_name(text).map(|e| e.to_string());
        let found = message("layers.0.q.lora_A.default.weight").unwrap();
        assert!(found.contains("name, default, inside"), "{found}");
        assert!(
            found.contains("expected layers.0.q.lora_A.weight"),
            "{found}"
        );
        let found = message("embed.lora_embedding_A.my.name").unwrap();
        assert!(found.contains("name, my.name, inside"), "{found}");
        for fine in [
            "q.lora_A",
            "q.lora_B.bias",
            "q.lora_magnitude_vector",
            "q.weight",
        ] {
            assert_eq!(message(fine), None, "{fine}");
        }
    }
}
