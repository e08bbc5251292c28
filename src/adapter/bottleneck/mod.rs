//! Bottleneck adapters: Houlsby et al. 2019, Pfeiffer et al. 2020, parallel (He et al. 2021),
//! with the settings and the forward pass of AdapterHub's `adapters` 1.3.0.

mod check;
mod config;
mod sites;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::{Config, Sites, SublayerSite};
use crate::{Result, bail};

use super::kind::{Init, Kind, Mixing, Parameter};
use super::stored::Stored;
use super::tensors::{Name, Tensors};
use super::watch::Watch;

/// The settings of a bottleneck adapter, in AdapterHub's field names.
#[derive(Debug, Clone, PartialEq)]
pub struct Bottleneck {
    /// An adapter after self-attention.
    pub mh_adapter: bool,
    /// An adapter after the feed-forward block.
    pub output_adapter: bool,
    /// Bottleneck width = max(1, hidden / this).
    pub reduction: Reduction,
    /// Activation inside, by AdapterHub's name.
    pub non_linearity: String,
    /// The block's layer norm is applied before the adapter.
    pub original_ln_before: bool,
    /// The block's layer norm is applied after the adapter.
    pub original_ln_after: bool,
    /// The adapter's own layer norm comes first.
    pub ln_before: bool,
    /// The adapter's own layer norm comes last.
    pub ln_after: bool,
    /// What the adapter's output is added to.
    pub residual: Residual,
    /// That sum comes before `ln_after`.
    pub adapter_residual_before_ln: bool,
    /// The adapter reads the sublayer's input instead of its output.
    pub is_parallel: bool,
    /// Factor on the adapter's output.
    pub scaling: Scaling,
    /// Dropout of the adapter's output in training, as a file says; kept for files.
    pub dropout: f64,
    /// The share of rows in training that pass the adapter by, as a file says; kept for files.
    pub stochastic_depth: f64,
    /// `bert` (normal, sd 0.02), `mam_adapter` (kaiming uniform down, zeros up) or `houlsby`
    /// (normal, sd 0.01, cut at two).
    pub init_weights: String,
    /// Layers without an adapter.
    pub leave_out: Vec<usize>,
}

/// By what the width of the hidden states is divided.
#[derive(Debug, Clone, PartialEq)]
pub enum Reduction {
    /// The same in every layer.
    All(f64),
    /// By layer, with what counts for the others.
    Layers {
        /// By number of the layer.
        layers: BTreeMap<usize, f64>,
        /// For all others; without it a layer that is not listed is an error.
        default: Option<f64>,
    },
}

/// What a bottleneck's output is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// The sublayer's output: `residual_before_ln: true`.
    BeforeNorm,
    /// The sum of the sublayer's output and input: `"post_add"`.
    AfterSum,
    /// What the adapter reads: `false`.
    AfterNorm,
}

/// The factor on a bottleneck's output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scaling {
    /// A number.
    Fixed(f64),
    /// One learned number.
    Learned,
    /// A learned number a channel.
    Channel,
}

impl Bottleneck {
    /// Pfeiffer (`seq_bn`): one adapter a layer, after the feed-forward block; ReLU.
    pub fn pfeiffer() -> Self {
        Self {
            mh_adapter: false,
            output_adapter: true,
            reduction: Reduction::All(16.0),
            non_linearity: "relu".into(),
            original_ln_before: true,
            original_ln_after: true,
            ln_before: false,
            ln_after: false,
            residual: Residual::BeforeNorm,
            adapter_residual_before_ln: false,
            is_parallel: false,
            scaling: Scaling::Fixed(1.0),
            dropout: 0.0,
            stochastic_depth: 0.0,
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
            reduction: Reduction::All(2.0),
            original_ln_before: false,
            is_parallel: true,
            scaling: Scaling::Fixed(4.0),
            init_weights: "mam_adapter".into(),
            ..Self::pfeiffer()
        }
    }

    /// Reads AdapterHub's `config` object; none where it describes another architecture.
    pub fn read(config: &Value) -> Option<Result<Self>> {
        match config.get("architecture") {
            None | Some(Value::Null) => Some(config::read(config)),
            Some(_) => None,
        }
    }

    /// The width of the bottleneck in a layer.
    fn width(&self, hidden: usize, layer: usize) -> Result<usize> {
        let factor = match &self.reduction {
            Reduction::All(factor) => *factor,
            Reduction::Layers { layers, default } => {
                match layers.get(&layer).or(default.as_ref()) {
                    Some(factor) => *factor,
                    None => bail!(
                        "reduction_factor says nothing of layer {layer} and has no \"default\""
                    ),
                }
            }
        };
        Ok(((hidden as f64 / factor).floor() as usize).max(1))
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

impl Kind for Bottleneck {
    fn name(&self) -> &'static str {
        let known = [
            ("pfeiffer", Self::pfeiffer()),
            ("houlsby", Self::houlsby()),
            ("parallel", Self::parallel()),
        ];
        let same = |known: Self| {
            *self
                == Self {
                    reduction: self.reduction.clone(),
                    ..known
                }
        };
        let found = known.into_iter().find(|(_, known)| same(known.clone()));
        found.map_or("bottleneck", |(name, _)| name)
    }

    fn config(&self) -> Value {
        config::write(self)
    }

    fn parameters(&self, base: &Config) -> Result<Vec<Parameter>> {
        let d = base.hidden_size;
        let architecture = base.architecture()?;
        let hub = architecture.hub()?;
        let mut all = Vec::new();
        for layer in (0..base.num_hidden_layers).filter(|l| !self.leave_out.contains(l)) {
            let b = self.width(d, layer)?;
            for site in self.sites_used() {
                let stem = architecture.path(layer, hub.sublayer(site));
                let mut push = |part: &str, shape: Vec<usize>| -> Result<()> {
                    let name = Name::new(format!("{stem}.{part}"));
                    let init = self.initial(&name, &shape)?;
                    all.push(Parameter { name, shape, init });
                    Ok(())
                };
                push("adapter_down.bias", vec![b])?;
                push("adapter_down.weight", vec![b, d])?;
                push("adapter_up.bias", vec![d])?;
                push("adapter_up.weight", vec![d, b])?;
                let norms = [
                    ("adapter_norm_before", self.ln_before),
                    ("adapter_norm_after", self.ln_after),
                ];
                for (norm, _) in norms.into_iter().filter(|(_, on)| *on) {
                    push(&format!("{norm}.bias"), vec![d])?;
                    push(&format!("{norm}.weight"), vec![d])?;
                }
                match self.scaling {
                    Scaling::Fixed(_) => {}
                    Scaling::Learned => push("scaling", vec![1])?,
                    Scaling::Channel => push("scaling", vec![d])?,
                }
            }
        }
        all.sort_by(|x, y| x.name.cmp(&y.name));
        Ok(all)
    }

    fn initial(&self, name: &Name, shape: &[usize]) -> Result<Init> {
        let input = shape.get(1).copied().unwrap_or(1);
        let (down, up) = match self.init_weights.as_str() {
            "bert" => (Init::Normal(0.02), Init::Normal(0.02)),
            "mam_adapter" => (Init::kaiming(input), Init::Zeros),
            "houlsby" => (Init::Truncated(0.01), Init::Truncated(0.01)),
            other => {
                bail!("init_weights {other:?} is not supported; known: bert, mam_adapter, houlsby")
            }
        };
        let name = name.as_str();
        Ok(match name.rsplit_once('.') {
            Some((_, "bias")) => Init::Zeros,
            Some((_, "scaling")) => Init::Ones,
            Some((stem, "weight")) if stem.ends_with("adapter_down") => down,
            Some((stem, "weight")) if stem.ends_with("adapter_up") => up,
            Some((stem, "weight")) if stem.contains("adapter_norm") => Init::Ones,
            _ => bail!("a bottleneck adapter has no tensor {name}"),
        })
    }

    fn watched(&self, tensors: &Tensors, base: &Config, watch: &Watch) -> Result<Box<dyn Sites>> {
        sites::sites(self, tensors, base, Some(watch))
    }

    fn sites(&self, tensors: &Tensors, base: &Config) -> Result<Box<dyn Sites>> {
        sites::sites(self, tensors, base, None)
    }

    fn unapplied(&self) -> Option<String> {
        (self.dropout > 0.0 || self.stochastic_depth > 0.0).then(|| {
            format!(
                "its dropout {} and stochastic_depth {}",
                self.dropout, self.stochastic_depth
            )
        })
    }

    fn check(&self, stored: &Stored<'_>) -> Result<()> {
        check::check(self, stored)
    }

    fn mixing(&self) -> Mixing {
        Mixing::Entries
    }
}
