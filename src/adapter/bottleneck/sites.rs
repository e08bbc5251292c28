//! What a bottleneck does in a model's forward pass.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::adapter::Watch;
use crate::adapter::tensors::{Name, Tensors};
use crate::compute::{Activation, Join, Parts, layer_norm, linear};
use crate::model::{Config, Norm, Sites, SublayerSite, join};
use crate::{Result, bail};

use super::{Bottleneck, Residual, Scaling};

/// The epsilon of torch's LayerNorm, which the adapter's own norms have.
const EPS: f64 = 1e-5;

struct Maps {
    stem: String,
    down: (Tensor, Tensor),
    up: (Tensor, Tensor),
    norm_before: Option<(Tensor, Tensor)>,
    norm_after: Option<(Tensor, Tensor)>,
    scaling: Option<Tensor>,
}

struct BottleneckSites {
    maps: BTreeMap<(usize, SublayerSite), Maps>,
    activation: Activation,
    kind: Bottleneck,
    watch: Option<Watch>,
}

pub(super) fn sites(
    kind: &Bottleneck,
    tensors: &Tensors,
    base: &Config,
    watch: Option<&Watch>,
) -> Result<Box<dyn Sites>> {
    let hub = base.architecture()?.hub()?;
    let mut maps = BTreeMap::new();
    for (name, weight) in tensors {
        let Some(stem) = name.as_str().strip_suffix(".adapter_down.weight") else {
            continue;
        };
        let Some(layer) = name.layer() else { continue };
        let Some(site) = hub.sublayer_at(name.site()) else {
            bail!(
                "adapter tensor {name} is at no site of a {} model",
                base.model_type
            );
        };
        let get = |part: &str| -> Result<Tensor> {
            let full = Name::new(format!("{stem}.{part}"));
            match tensors.get(&full) {
                Some(t) => Ok(t.clone()),
                None => bail!("the adapter has {name} but no {full}"),
            }
        };
        let norm = |on: bool, part: &str| -> Result<Option<(Tensor, Tensor)>> {
            match on {
                false => Ok(None),
                true => Ok(Some((
                    get(&format!("{part}.weight"))?,
                    get(&format!("{part}.bias"))?,
                ))),
            }
        };
        let own = Maps {
            stem: stem.to_string(),
            down: (weight.clone(), get("adapter_down.bias")?),
            up: (get("adapter_up.weight")?, get("adapter_up.bias")?),
            norm_before: norm(kind.ln_before, "adapter_norm_before")?,
            norm_after: norm(kind.ln_after, "adapter_norm_after")?,
            scaling: match kind.scaling {
                Scaling::Fixed(_) => None,
                Scaling::Learned | Scaling::Channel => Some(get("scaling")?),
            },
        };
        maps.insert((layer, site), own);
    }
    Ok(Box::new(BottleneckSites {
        maps,
        activation: kind.non_linearity.parse()?,
        kind: kind.clone(),
        watch: watch.cloned(),
    }))
}

impl BottleneckSites {
    /// scaling * (W_up act(W_down z + b_d) + b_u), z normed first where the adapter says so.
    fn apply(&self, maps: &Maps, z: &Tensor) -> Result<Tensor> {
        let normed;
        let z = match &maps.norm_before {
            Some((weight, bias)) => {
                normed = layer_norm(z, weight, bias, EPS)?;
                &normed
            }
            None => z,
        };
        self.show(maps, "adapter_down", z)?;
        let inner = linear(z, &maps.down.0, Some(&maps.down.1))?;
        let inner = self.activation.apply(&inner)?;
        self.show(maps, "adapter_up", &inner)?;
        let up = linear(&inner, &maps.up.0, Some(&maps.up.1))?;
        Ok(match (&maps.scaling, self.kind.scaling) {
            (Some(scale), _) => up.broadcast_mul(scale)?,
            (None, Scaling::Fixed(scale)) if scale != 1.0 => (up * scale)?,
            _ => up,
        })
    }

    fn show(&self, maps: &Maps, part: &str, x: &Tensor) -> Result<()> {
        match &self.watch {
            Some(watch) => watch.see(Name::new(format!("{}.{part}.weight", maps.stem)), x),
            None => Ok(()),
        }
    }

    fn norm_after(&self, maps: &Maps, x: Tensor) -> Result<Tensor> {
        match &maps.norm_after {
            Some((weight, bias)) => layer_norm(&x, weight, bias, EPS),
            None => Ok(x),
        }
    }
}

impl Sites for BottleneckSites {
    fn parts(&self) -> Option<Parts> {
        let kind = &self.kind;
        let Scaling::Fixed(scaling) = kind.scaling else {
            return None;
        };
        let plain = !kind.ln_before && !kind.ln_after;
        // The one operation shows nobody what flows in it.
        if !plain || kind.residual == Residual::AfterSum || self.watch.is_some() {
            return None;
        }
        let join = Join {
            activation: self.activation,
            norm_before: kind.original_ln_before,
            norm_after: kind.original_ln_after,
            residual_before_norm: kind.residual == Residual::BeforeNorm,
            parallel: kind.is_parallel,
            scaling,
        };
        let mut parts = Parts::default();
        for ((layer, site), maps) in &self.maps {
            let down = (&maps.down.0, &maps.down.1);
            let up = (&maps.up.0, &maps.up.1);
            parts.bottleneck(*layer, *site, down, up, join).ok()?;
        }
        Some(parts)
    }

    fn sublayer(
        &self,
        layer: usize,
        site: SublayerSite,
        f: &Tensor,
        x: &Tensor,
        norm: Option<&Norm>,
    ) -> Result<Tensor> {
        let Some(maps) = self.maps.get(&(layer, site)) else {
            return join(norm, f, x);
        };
        let kind = &self.kind;
        let o = if kind.is_parallel {
            (self.norm_after(maps, self.apply(maps, x)?)? + f)?
        } else {
            let h = match kind.original_ln_before {
                true => join(norm, f, x)?,
                false => f.clone(),
            };
            let residual = match kind.residual {
                Residual::BeforeNorm => f.clone(),
                Residual::AfterSum => (f + x)?,
                Residual::AfterNorm => h.clone(),
            };
            let up = self.apply(maps, &h)?;
            match kind.adapter_residual_before_ln {
                true => self.norm_after(maps, (up + residual)?)?,
                false => (self.norm_after(maps, up)? + residual)?,
            }
        };
        match (kind.original_ln_after, kind.is_parallel) {
            (true, _) => join(norm, &o, x),
            (false, true) => Ok((o + x)?),
            (false, false) => Ok(o),
        }
    }
}
