//! LoRA (Hu et al. 2022): W x + b + scale B A x at chosen linear maps.

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde_json::{Value, json};

use crate::compute::{Parts, lora};
use crate::model::{Config, LinearSite, Sites};
use crate::{Result, bail};

use super::kind::{Init, Kind, Mixing, Parameter};
use super::tensors::{Name, Tensors};
use super::value::Adapter;

/// The settings of a LoRA.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    /// Rank of a fresh one; a mixture's ranks are those of its tensors.
    pub r: usize,
    /// The change is scaled by alpha / r.
    pub alpha: f64,
    /// The linear maps it acts on, in order.
    pub targets: Vec<LinearSite>,
}

impl Default for Lora {
    /// r 8, alpha 8, query and value.
    fn default() -> Self {
        Self {
            r: 8,
            alpha: 8.0,
            targets: vec![LinearSite::Query, LinearSite::Value],
        }
    }
}

impl Lora {
    /// A LoRA of rank `r` on these linear maps, in any order. Errors without a target or rank.
    pub fn new(r: usize, alpha: f64, mut targets: Vec<LinearSite>) -> Result<Self> {
        if r == 0 || targets.is_empty() {
            bail!("a LoRA needs a rank and at least one target");
        }
        targets.sort_unstable();
        targets.dedup();
        Ok(Self { r, alpha, targets })
    }

    /// Reads AdapterHub's `config` object; none where it describes another architecture.
    pub fn read(config: &Value) -> Option<Result<Self>> {
        (config.get("architecture").and_then(Value::as_str) == Some("lora"))
            .then(|| Self::from_fields(config))
    }

    fn from_fields(config: &Value) -> Result<Self> {
        let Some(fields) = config.as_object() else {
            bail!("the adapter's config is not an object");
        };
        let (mut r, mut alpha) = (8, 8.0);
        let (mut matrices, mut attention) = (vec!["q".to_string(), "v".to_string()], true);
        let (mut intermediate, mut output) = (false, false);
        for (key, value) in fields {
            let wrong =
                || crate::Error::new(format!("adapter config: {key} = {value} is not supported"));
            let flag = || value.as_bool().ok_or_else(wrong);
            match key.as_str() {
                "architecture" | "init_weights" | "init_weights_seed" => {}
                "r" => {
                    r = value
                        .as_u64()
                        .filter(|r| (1..1 << 20).contains(r))
                        .ok_or_else(wrong)? as usize
                }
                "alpha" => alpha = value.as_f64().filter(|a| a.is_finite()).ok_or_else(wrong)?,
                "attn_matrices" => {
                    matrices = serde_json::from_value(value.clone()).map_err(|_| wrong())?;
                }
                "selfattn_lora" => attention = flag()?,
                "intermediate_lora" => intermediate = flag()?,
                "output_lora" => output = flag()?,
                "composition_mode" if value == "add" => {}
                // A number type is for storage; the dropout is a training setting.
                "dtype" | "dropout" => {}
                _ if matches!(value, Value::Null | Value::Bool(false)) => {}
                _ if value.as_array().is_some_and(Vec::is_empty) => {}
                _ => return Err(wrong()),
            }
        }
        let mut targets = Vec::new();
        if attention {
            for name in &matrices {
                targets.push(match name.as_str() {
                    "q" => LinearSite::Query,
                    "k" => LinearSite::Key,
                    "v" => LinearSite::Value,
                    other => bail!("adapter config: attn_matrices has {other:?}; known: q, k, v"),
                });
            }
        }
        if intermediate {
            targets.push(LinearSite::Intermediate);
        }
        if output {
            targets.push(LinearSite::Output);
        }
        Self::new(r, alpha, targets).map_err(|e| e.within("adapter config"))
    }

    /// The factor before B A.
    pub fn scale(&self) -> f64 {
        self.alpha / self.r as f64
    }
}

impl Kind for Lora {
    fn name(&self) -> &'static str {
        "lora"
    }

    fn config(&self) -> Value {
        let attention: Vec<&str> = self
            .targets
            .iter()
            .filter_map(|t| match t {
                LinearSite::Query => Some("q"),
                LinearSite::Key => Some("k"),
                LinearSite::Value => Some("v"),
                _ => None,
            })
            .collect();
        let alpha = if self.alpha.fract() == 0.0 {
            json!(self.alpha as i64)
        } else {
            json!(self.alpha)
        };
        json!({
            "alpha": alpha,
            "architecture": "lora",
            "attn_matrices": attention,
            "composition_mode": "add",
            "dropout": 0.0,
            "dtype": null,
            "init_weights": "lora",
            "init_weights_seed": null,
            "intermediate_lora": self.targets.contains(&LinearSite::Intermediate),
            "leave_out": [],
            "output_lora": self.targets.contains(&LinearSite::Output),
            "r": self.r,
            "selfattn_lora": !attention.is_empty(),
            "use_dora": false,
            "use_gating": false,
            "vera_b": null,
            "vera_d": null,
        })
    }

    fn parameters(&self, base: &Config) -> Result<Vec<Parameter>> {
        let mut all = Vec::new();
        for layer in 0..base.num_hidden_layers {
            for site in &self.targets {
                let (input, output) = site.widths(base.hidden_size, base.intermediate_size);
                let name =
                    |part: &str| Name::new(format!("encoder.layer.{layer}.{}.{part}", site.path()));
                all.push(Parameter {
                    name: name("lora_A"),
                    shape: vec![self.r, input],
                    init: Init::kaiming(input),
                });
                all.push(Parameter {
                    name: name("lora_B"),
                    shape: vec![output, self.r],
                    init: Init::Zeros,
                });
            }
        }
        all.sort_by(|x, y| x.name.cmp(&y.name));
        Ok(all)
    }

    fn sites(&self, tensors: &Tensors) -> Result<Box<dyn Sites>> {
        let mut factors = BTreeMap::new();
        for (name, a) in tensors {
            let Some(stem) = name.as_str().strip_suffix(".lora_A") else {
                continue;
            };
            let Some(layer) = name.layer() else { continue };
            let Some(site) = LinearSite::ALL
                .into_iter()
                .find(|s| s.path() == name.site())
            else {
                bail!("adapter tensor {name} is at no site of the model");
            };
            let Some(b) = tensors.get(&Name::new(format!("{stem}.lora_B"))) else {
                bail!("the adapter has {name} but no {stem}.lora_B");
            };
            factors.insert((layer, site), (a.clone(), b.clone()));
        }
        Ok(Box::new(LoraSites {
            factors,
            scale: self.scale(),
        }))
    }

    fn mixing(&self) -> Mixing {
        Mixing::Factors {
            scale: self.scale(),
        }
    }
}

/// The change that a LoRA makes to each weight matrix, scale B A [out, in], under the site's path
/// with `delta` for a last part.
pub fn deltas(adapter: &Adapter) -> Result<Tensors> {
    let Mixing::Factors { scale } = adapter.kind().mixing() else {
        bail!(
            "{} is {}, not a LoRA",
            adapter.name(),
            adapter.kind().name()
        );
    };
    let tensors = adapter.tensors()?;
    let mut all = Tensors::new();
    for (name, a) in tensors.iter() {
        let Some(stem) = name.as_str().strip_suffix(".lora_A") else {
            continue;
        };
        let Some(b) = tensors.get(&Name::new(format!("{stem}.lora_B"))) else {
            bail!("the adapter has {name} but no {stem}.lora_B");
        };
        all.insert(Name::new(format!("{stem}.delta")), (b.matmul(a)? * scale)?);
    }
    Ok(all)
}

struct LoraSites {
    factors: BTreeMap<(usize, LinearSite), (Tensor, Tensor)>,
    scale: f64,
}

impl Sites for LoraSites {
    fn parts(&self) -> Option<Parts> {
        let mut parts = Parts::default();
        for ((layer, site), (a, b)) in &self.factors {
            parts.low_rank(*layer, *site, a, b, self.scale).ok()?;
        }
        Some(parts)
    }

    fn linear(&self, layer: usize, sites: &[LinearSite], x: &Tensor, y: Tensor) -> Result<Tensor> {
        let here: Vec<(usize, &(Tensor, Tensor))> = sites
            .iter()
            .enumerate()
            .filter_map(|(at, site)| self.factors.get(&(layer, *site)).map(|f| (at, f)))
            .collect();
        let Some((_, (first, _))) = here.first() else {
            return Ok(y);
        };
        if let ([(_, (a, b))], 1) = (&here[..], sites.len()) {
            return lora(x, &y, a, b, self.scale);
        }
        // One pair of products for all maps that share x: the A's on top of each other, the B's
        // as blocks, each in the rows of its map and the columns of its A.
        let width = y.dim(candle_core::D::Minus1)? / sites.len();
        let rank: usize = here.iter().map(|(_, (a, _))| a.dims()[0]).sum();
        let stacked = Tensor::cat(&here.iter().map(|(_, (a, _))| a).collect::<Vec<_>>(), 0)?;
        let mut rows = Vec::with_capacity(sites.len());
        let mut column = 0;
        for at in 0..sites.len() {
            match here.iter().find(|(i, _)| *i == at) {
                None => rows.push(Tensor::zeros((width, rank), first.dtype(), first.device())?),
                Some((_, (a, b))) => {
                    let r = a.dim(0)?;
                    rows.push(b.pad_with_zeros(1, column, rank - column - r)?);
                    column += r;
                }
            }
        }
        let blocks = Tensor::cat(&rows, 0)?;
        lora(x, &y, &stacked, &blocks, self.scale)
    }
}
