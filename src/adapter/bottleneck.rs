//! Bottleneck adapters: Houlsby et al. 2019, Pfeiffer et al. 2020, parallel (He et al. 2021),
//! with the settings and the forward pass of AdapterHub's `adapters` 1.3.0.

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde_json::{Value, json};

use crate::compute::{Activation, Join, Parts, linear};
use crate::model::{Config, Norm, Sites, SublayerSite};
use crate::{Result, bail};

use super::kind::{Init, Kind, Mixing, Parameter};
use super::tensors::{Name, Tensors};

/// Fields that shape only what other fields, refused here, would turn on.
const IDLE: &[&str] = &[
    "architecture",
    "factorized_phm_W",
    "factorized_phm_rule",
    "hypercomplex_nonlinearity",
    "init_weights_seed",
    "inv_adapter_reduction_factor",
    "learn_phm",
    "phm_bias",
    "phm_c_init",
    "phm_dim",
    "phm_init_range",
    "phm_rank",
    "shared_W_phm",
    "shared_phm_rule",
];

/// The settings of a bottleneck adapter, in AdapterHub's field names.
#[derive(Debug, Clone, PartialEq)]
pub struct Bottleneck {
    /// An adapter after self-attention.
    pub mh_adapter: bool,
    /// An adapter after the feed-forward block.
    pub output_adapter: bool,
    /// Bottleneck width = max(1, hidden / this).
    pub reduction_factor: f64,
    /// Activation inside, by AdapterHub's name.
    pub non_linearity: String,
    /// The block's layer norm is applied before the adapter.
    pub original_ln_before: bool,
    /// The block's layer norm is applied after the adapter.
    pub original_ln_after: bool,
    /// The inner residual is the sublayer's output before the layer norm.
    pub residual_before_ln: bool,
    /// The adapter reads the sublayer's input instead of its output.
    pub is_parallel: bool,
    /// Factor on the adapter's output.
    pub scaling: f64,
    /// `bert` (normal, sd 0.02) or `mam_adapter` (kaiming uniform down, zeros up).
    pub init_weights: String,
    /// Layers without an adapter.
    pub leave_out: Vec<usize>,
}

impl Bottleneck {
    /// Pfeiffer (`seq_bn`): one adapter a layer, after the feed-forward block; ReLU.
    pub fn pfeiffer() -> Self {
        Self {
            mh_adapter: false,
            output_adapter: true,
            reduction_factor: 16.0,
            non_linearity: "relu".into(),
            original_ln_before: true,
            original_ln_after: true,
            residual_before_ln: true,
            is_parallel: false,
            scaling: 1.0,
            init_weights: "bert".into(),
            leave_out: Vec::new(),
        }
    }

    /// Houlsby (`double_seq_bn`): two adapters a layer, before the residual sum; SiLU.
    pub fn houlsby() -> Self {
        Self {
            mh_adapter: true,
            non_linearity: "swish".into(),
            original_ln_before: false,
            ..Self::pfeiffer()
        }
    }

    /// Parallel (`par_bn`): beside the feed-forward block; ReLU, reduction 2, scaling 4.
    pub fn parallel() -> Self {
        Self {
            reduction_factor: 2.0,
            original_ln_before: false,
            is_parallel: true,
            scaling: 4.0,
            init_weights: "mam_adapter".into(),
            ..Self::pfeiffer()
        }
    }

    /// Reads AdapterHub's `config` object; none where it describes another architecture.
    pub fn read(config: &Value) -> Option<Result<Self>> {
        match config.get("architecture") {
            None | Some(Value::Null) => Some(Self::from_fields(config)),
            Some(_) => None,
        }
    }

    fn from_fields(config: &Value) -> Result<Self> {
        let Some(fields) = config.as_object() else {
            bail!("the adapter's config is not an object");
        };
        let mut kind = Self::pfeiffer();
        for (key, value) in fields {
            let wrong =
                || crate::Error::new(format!("adapter config: {key} = {value} is not supported"));
            let flag = || value.as_bool().ok_or_else(wrong);
            match key.as_str() {
                "mh_adapter" => kind.mh_adapter = flag()?,
                "output_adapter" => kind.output_adapter = flag()?,
                "original_ln_before" => kind.original_ln_before = flag()?,
                "original_ln_after" => kind.original_ln_after = flag()?,
                "residual_before_ln" => kind.residual_before_ln = flag()?,
                "is_parallel" => kind.is_parallel = flag()?,
                "reduction_factor" => {
                    kind.reduction_factor = value
                        .as_f64()
                        .filter(|r| *r > 0.0 && r.is_finite())
                        .ok_or_else(wrong)?;
                }
                "scaling" => {
                    kind.scaling = value.as_f64().filter(|s| s.is_finite()).ok_or_else(wrong)?
                }
                "non_linearity" => {
                    let name = value.as_str().ok_or_else(wrong)?;
                    name.parse::<Activation>()?;
                    kind.non_linearity = name.to_string();
                }
                "init_weights" => {
                    let name = value.as_str().ok_or_else(wrong)?;
                    kind.init_weights = name.to_string();
                }
                "leave_out" => {
                    kind.leave_out = serde_json::from_value(value.clone()).map_err(|_| wrong())?;
                }
                k if IDLE.contains(&k) => {}
                // Anything else that is on changes the maths.
                _ if is_off(value) => {}
                _ => return Err(wrong()),
            }
        }
        if !kind.mh_adapter && !kind.output_adapter {
            bail!("adapter config: neither mh_adapter nor output_adapter is on");
        }
        Ok(kind)
    }

    fn width(&self, hidden: usize) -> usize {
        ((hidden as f64 / self.reduction_factor).floor() as usize).max(1)
    }

    fn sites_used(&self) -> impl Iterator<Item = SublayerSite> {
        let (mh, output) = (self.mh_adapter, self.output_adapter);
        SublayerSite::ALL
            .into_iter()
            .filter(move |site| match site {
                SublayerSite::Attention => mh,
                SublayerSite::FeedForward => output,
            })
    }
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        Value::Bool(true) => false,
    }
}

impl Kind for Bottleneck {
    fn name(&self) -> &'static str {
        if *self
            == (Self {
                reduction_factor: self.reduction_factor,
                ..Self::pfeiffer()
            })
        {
            "pfeiffer"
        } else if *self
            == (Self {
                reduction_factor: self.reduction_factor,
                ..Self::houlsby()
            })
        {
            "houlsby"
        } else if *self
            == (Self {
                reduction_factor: self.reduction_factor,
                ..Self::parallel()
            })
        {
            "parallel"
        } else {
            "bottleneck"
        }
    }

    fn config(&self) -> Value {
        // Whole numbers are written as such, as AdapterHub does.
        let reduction = if self.reduction_factor.fract() == 0.0 {
            json!(self.reduction_factor as u64)
        } else {
            json!(self.reduction_factor)
        };
        json!({
            "adapter_residual_before_ln": false,
            "cross_adapter": false,
            "dropout": 0.0,
            "factorized_phm_W": true,
            "factorized_phm_rule": false,
            "hypercomplex_nonlinearity": "glorot-uniform",
            "init_weights": self.init_weights,
            "init_weights_seed": null,
            "inv_adapter": null,
            "inv_adapter_reduction_factor": null,
            "is_parallel": self.is_parallel,
            "learn_phm": true,
            "leave_out": self.leave_out,
            "ln_after": false,
            "ln_before": false,
            "mh_adapter": self.mh_adapter,
            "non_linearity": self.non_linearity,
            "original_ln_after": self.original_ln_after,
            "original_ln_before": self.original_ln_before,
            "output_adapter": self.output_adapter,
            "phm_bias": true,
            "phm_c_init": "normal",
            "phm_dim": 4,
            "phm_init_range": 0.0001,
            "phm_layer": false,
            "phm_rank": 1,
            "reduction_factor": reduction,
            "residual_before_ln": self.residual_before_ln,
            "scaling": self.scaling,
            "shared_W_phm": false,
            "shared_phm_rule": true,
            "stochastic_depth": 0.0,
            "use_gating": false,
        })
    }

    fn parameters(&self, base: &Config) -> Result<Vec<Parameter>> {
        let (d, b) = (base.hidden_size, self.width(base.hidden_size));
        let (down, up) = match self.init_weights.as_str() {
            "bert" => (Init::Normal(0.02), Init::Normal(0.02)),
            "mam_adapter" => (Init::kaiming(d), Init::Zeros),
            other => bail!("init_weights {other:?} is not supported; known: bert, mam_adapter"),
        };
        let mut all = Vec::new();
        for layer in (0..base.num_hidden_layers).filter(|l| !self.leave_out.contains(l)) {
            for site in self.sites_used() {
                let mut push = |part: &str, shape: Vec<usize>, init| {
                    all.push(Parameter {
                        name: Name::new(format!("encoder.layer.{layer}.{}.{part}", site.path())),
                        shape,
                        init,
                    });
                };
                push("adapter_down.bias", vec![b], Init::Zeros);
                push("adapter_down.weight", vec![b, d], down);
                push("adapter_up.bias", vec![d], Init::Zeros);
                push("adapter_up.weight", vec![d, b], up);
            }
        }
        all.sort_by(|x, y| x.name.cmp(&y.name));
        Ok(all)
    }

    fn sites(&self, tensors: &Tensors) -> Result<Box<dyn Sites>> {
        let mut maps = BTreeMap::new();
        for (name, weight) in tensors {
            let Some(stem) = name.as_str().strip_suffix(".adapter_down.weight") else {
                continue;
            };
            let Some(layer) = name.layer() else { continue };
            let Some(site) = SublayerSite::ALL
                .into_iter()
                .find(|s| s.path() == name.site())
            else {
                bail!("adapter tensor {name} is at no site of the model");
            };
            let get = |part: &str| -> Result<Tensor> {
                let full = Name::new(format!("{stem}.{part}"));
                match tensors.get(&full) {
                    Some(t) => Ok(t.clone()),
                    None => bail!("the adapter has {name} but no {full}"),
                }
            };
            maps.insert(
                (layer, site),
                Maps {
                    down: (weight.clone(), get("adapter_down.bias")?),
                    up: (get("adapter_up.weight")?, get("adapter_up.bias")?),
                },
            );
        }
        Ok(Box::new(BottleneckSites {
            maps,
            activation: self.non_linearity.parse()?,
            kind: self.clone(),
        }))
    }

    fn mixing(&self) -> Mixing {
        Mixing::Entries
    }
}

struct Maps {
    down: (Tensor, Tensor),
    up: (Tensor, Tensor),
}

struct BottleneckSites {
    maps: BTreeMap<(usize, SublayerSite), Maps>,
    activation: Activation,
    kind: Bottleneck,
}

impl BottleneckSites {
    /// scaling * (W_up act(W_down z + b_d) + b_u)
    fn apply(&self, maps: &Maps, z: &Tensor) -> Result<Tensor> {
        let inner = linear(z, &maps.down.0, Some(&maps.down.1))?;
        let up = linear(
            &self.activation.apply(&inner)?,
            &maps.up.0,
            Some(&maps.up.1),
        )?;
        if self.kind.scaling == 1.0 {
            Ok(up)
        } else {
            Ok((up * self.kind.scaling)?)
        }
    }
}

impl Sites for BottleneckSites {
    fn parts(&self) -> Option<Parts> {
        let join = Join {
            activation: self.activation,
            norm_before: self.kind.original_ln_before,
            norm_after: self.kind.original_ln_after,
            residual_before_norm: self.kind.residual_before_ln,
            parallel: self.kind.is_parallel,
            scaling: self.kind.scaling,
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
        norm: &Norm,
    ) -> Result<Tensor> {
        let Some(maps) = self.maps.get(&(layer, site)) else {
            return norm.add(f, x);
        };
        if self.kind.is_parallel {
            let o = (self.apply(maps, x)? + f)?;
            return if self.kind.original_ln_after {
                norm.add(&o, x)
            } else {
                Ok((o + x)?)
            };
        }
        let h = if self.kind.original_ln_before {
            norm.add(f, x)?
        } else {
            f.clone()
        };
        let residual = if self.kind.residual_before_ln { f } else { &h };
        let o = (self.apply(maps, &h)? + residual)?;
        if self.kind.original_ln_after {
            norm.add(&o, x)
        } else {
            Ok(o)
        }
    }
}
