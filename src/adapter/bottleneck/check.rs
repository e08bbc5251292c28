//! Whether the tensors of a bottleneck's files are those that its configuration means.

use std::collections::{BTreeMap, BTreeSet};

use crate::Result;
use crate::adapter::stored::Stored;
use crate::adapter::tensors::Name;

use super::{Bottleneck, Reduction, Scaling};

/// An error that names the first tensor that does not agree with the configuration.
pub(super) fn check(kind: &Bottleneck, stored: &Stored<'_>) -> Result<()> {
    let mut stems: BTreeMap<String, Name> = BTreeMap::new();
    for name in stored.shapes().keys() {
        let text = name.as_str();
        let at = text.find(".adapter_").or_else(|| text.find(".scaling"));
        let Some(at) = at else {
            return Err(stored.extra(name, "a bottleneck adapter has no such tensor"));
        };
        stems
            .entry(text[..at].to_string())
            .or_insert_with(|| name.clone());
    }
    let mut known = BTreeSet::new();
    for (stem, any) in &stems {
        for (part, shape, why) in parts(kind, stored, stem, any)? {
            let name = Name::new(format!("{stem}.{part}"));
            match stored.shape(&name) {
                None => return Err(stored.missing(&name, any)),
                Some(found) if found != shape => {
                    return Err(stored.misshapen(&name, &format!("{shape:?}"), &why));
                }
                Some(_) => {
                    known.insert(name);
                }
            }
        }
    }
    if let Some(extra) = stored.shapes().keys().find(|name| !known.contains(*name)) {
        return Err(stored.extra(extra, "the configuration has no such part"));
    }
    let Some(hub) = stored.architecture.and_then(|a| a.hub.as_ref()) else {
        return Ok(());
    };
    let used: Vec<&str> = kind.sites_used().map(|site| hub.sublayer(site)).collect();
    let expected =
        |layer: usize, path: &str| Ok(used.contains(&path) && !kind.leave_out.contains(&layer));
    stored.placed(&stems, &hub.sublayers, &expected, "the configuration")
}

/// The parts of the adapter at a place, with their shapes and why they have them.
fn parts(
    kind: &Bottleneck,
    stored: &Stored<'_>,
    stem: &str,
    any: &Name,
) -> Result<Vec<(&'static str, Vec<usize>, String)>> {
    let down = Name::new(format!("{stem}.adapter_down.weight"));
    let Some(found) = stored.shape(&down) else {
        return Err(stored.missing(&down, any));
    };
    let &[own_width, own_hidden] = found else {
        return Err(stored.misshapen(&down, "[width, hidden_size]", "it is a matrix"));
    };
    let hidden = match stored.hidden {
        0 => own_hidden,
        hidden => hidden,
    };
    // Bases that are not known here may count their layers in another way.
    let layer = match &kind.reduction {
        Reduction::All(_) => Some(0),
        Reduction::Layers { .. } => stored.architecture.and_then(|_| any.layer()),
    };
    let width = match layer {
        Some(layer) => kind.width(hidden, layer)?,
        None => own_width,
    };
    let why = format!(
        "hidden_size {hidden} and reduction_factor in the configuration give a bottleneck of width {width}"
    );
    let mut all = vec![
        ("adapter_down.weight", vec![width, hidden]),
        ("adapter_down.bias", vec![width]),
        ("adapter_up.weight", vec![hidden, width]),
        ("adapter_up.bias", vec![hidden]),
    ];
    if kind.ln_before {
        all.push(("adapter_norm_before.weight", vec![hidden]));
        all.push(("adapter_norm_before.bias", vec![hidden]));
    }
    if kind.ln_after {
        all.push(("adapter_norm_after.weight", vec![hidden]));
        all.push(("adapter_norm_after.bias", vec![hidden]));
    }
    match kind.scaling {
        Scaling::Fixed(_) => {}
        Scaling::Learned => all.push(("scaling", vec![1])),
        Scaling::Channel => all.push(("scaling", vec![hidden])),
    }
    let with_why = |(part, shape)| (part, shape, why.clone());
    Ok(all.into_iter().map(with_why).collect())
}
