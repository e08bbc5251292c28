//! DoRA's change to the weights of its base, as a LoRA of full rank.
//!
//! D = m (W + s B A) / |W + s B A| - W, row by row, with m the lengths that the adapter holds. It is
//! no product of small factors and needs W. Source: Liu et al. 2024; PEFT 0.21.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde_json::json;

use crate::adapter::{Adapter, FactorNames, Factors, Kind, Lora, Name, Tensors, with_values};
use crate::model::Model;
use crate::study::Id;
use crate::{Result, bail};

use super::factors::{of_change, stacked};
use super::form::stems;
use super::ready::made_of;

/// The LoRA, of full rank, that changes `model` as the DoRA `adapter` does. Errors where it is none,
/// does not fit the model, or changes biases too.
pub fn dense(adapter: &Adapter, model: &Model) -> Result<Adapter> {
    let lora = match Lora::read(&adapter.kind().config()) {
        Some(lora) => lora?,
        None => bail!("{} is no DoRA", adapter.name()),
    };
    if !lora.dora || lora.modules.lora_bias() || lora.modules.own_biases() {
        bail!("{} is no DoRA without biases", adapter.name());
    }
    adapter.fits(model)?;
    let (mut all, mut full) = (Vec::new(), 1);
    for stem in stems(std::slice::from_ref(adapter))? {
        let (change, sizes) = change(adapter, &lora, &stem, model)
            .map_err(|e| e.within(format!("{}, {stem}", adapter.name())))?;
        full = full.max(sizes.0.min(sizes.1));
        all.push((stem, change, sizes));
    }
    let mut tensors = Tensors::new();
    for (stem, change, sizes) in all {
        let parts = with_values(&change, |values| of_change(values, sizes, full, true))??;
        let (a, b) = stacked(&[parts], full)?;
        tensors.insert(Name::new(format!("{stem}.lora_A")), a);
        tensors.insert(Name::new(format!("{stem}.lora_B")), b);
    }
    let description = json!({
        "method": "dense", "model": model.key(), "members": [adapter.id().as_str()],
    });
    let mut parts = adapter.parts().clone();
    parts.id = Id::of_recipe("soup/1", &description);
    parts.mask = None;
    parts.kind = Arc::new(Lora {
        r: full,
        alpha: full as f64,
        stabilised: false,
        dora: false,
        modules: lora.modules.plain(),
        ..lora
    }) as Arc<dyn Kind>;
    Ok(made_of(
        parts,
        description,
        std::slice::from_ref(adapter),
        tensors,
    ))
}

/// The change to one map, [output, input], and its sizes.
fn change(
    adapter: &Adapter,
    lora: &Lora,
    stem: &Name,
    model: &Model,
) -> Result<(Tensor, (usize, usize))> {
    let part = |part: &str| Name::new(format!("{stem}.{part}"));
    let own = part("lora_magnitude_vector");
    let lengths = match adapter.shape(&own)? {
        Some(_) => adapter.tensor(&own)?,
        None => adapter.tensor(&part("m.weight"))?,
    };
    let (a, b) = (
        adapter.tensor(&part("lora_A"))?,
        adapter.tensor(&part("lora_B"))?,
    );
    let Some(map) = model.map(stem.as_str())? else {
        bail!("{} has no such map", model.name());
    };
    if !lora.modules.is_peft() && map.bias().is_some() {
        bail!(
            "AdapterHub's DoRA scales the map's bias too, which no change of a weight can say";
            hint: "lora: \"factors\" without a model mixes its tensors one by one"
        );
    }
    let weight = map
        .weight()
        .read()?
        .to_device(&Device::Cpu)?
        .to_dtype(DType::F32)?;
    let (output, input) = weight.dims2()?;
    let groups = lora.groups_at(&a, &b)?;
    let scale = lora.scale(stem.as_str());
    let factors = Factors {
        a,
        b,
        scale,
        groups,
        names: FactorNames::Linear,
    };
    let raw = (&weight + factors.delta()?)?;
    let lengths = lengths.reshape((output, 1))?;
    let turned = raw.broadcast_mul(&(lengths / raw.sqr()?.sum_keepdim(1)?.sqrt()?)?)?;
    Ok(((turned - weight)?, (output, input)))
}
