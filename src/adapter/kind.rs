//! What a kind of adapter must tell.

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::Tensor;
use serde_json::Value;

use crate::compute::random::Stream;
use crate::model::{Config, Sites};
use crate::{Result, bail};

use super::bottleneck::Bottleneck;
use super::lora::Lora;
use super::tensors::{Name, Tensors};

/// How a fresh tensor is filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Zeros.
    Zeros,
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Uniform in plus or minus this bound.
    Uniform(f64),
}

impl Init {
    /// Kaiming's uniform with a = sqrt(5), as torch fills a linear map: U(-1/sqrt(in), 1/sqrt(in)).
    pub fn kaiming(input: usize) -> Self {
        Self::Uniform(1.0 / libm::sqrt(input.max(1) as f64))
    }

    /// Draws `shape` from the stream of `name` under `seed`.
    pub fn draw(self, seed: u64, name: &Name, shape: &[usize]) -> Result<Tensor> {
        let n: usize = shape.iter().product();
        let mut stream = Stream::new(seed, "init", name.as_str());
        let values: Vec<f32> = match self {
            Self::Zeros => vec![0.0; n],
            Self::Normal(sd) => (0..n).map(|_| (sd * stream.normal()) as f32).collect(),
            Self::Uniform(b) => (0..n)
                .map(|_| (b * (2.0 * stream.uniform() - 1.0)) as f32)
                .collect(),
        };
        Ok(Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?)
    }
}

/// One tensor that a kind needs on a base model.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Canonical name.
    pub name: Name,
    /// Shape.
    pub shape: Vec<usize>,
    /// Initialisation.
    pub init: Init,
}

/// A kind of adapter with its settings: which tensors it has and what they do at a model's sites.
pub trait Kind: Debug + Send + Sync {
    /// The short name users type: `pfeiffer`, `houlsby`, `lora`...
    fn name(&self) -> &'static str;

    /// Its settings as AdapterHub's `config` object; equal kinds give equal objects.
    fn config(&self) -> Value;

    /// The tensors it has on a model of this configuration, in canonical order.
    fn parameters(&self, base: &Config) -> Result<Vec<Parameter>>;

    /// What these tensors do at the model's sites. In training the tensors are tracked ones and
    /// `dropout` is the pass's noise for the adapter's own dropout.
    fn sites(&self, tensors: &Tensors) -> Result<Box<dyn Sites>>;

    /// The kind that linear combinations of such adapters have, and `tensors` scaled by
    /// `weight` and joined accordingly, where it is not a plain sum of tensors.
    fn mixing(&self) -> Mixing;
}

/// How adapters of a kind add up to an adapter that computes the sum of their changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mixing {
    /// Tensor by tensor.
    Entries,
    /// Low-rank factors are joined: A's rows scaled by `scale` times the weight, B's columns as
    /// they are. Exact, at the price of rank.
    Factors {
        /// The factor before B A.
        scale: f64,
    },
}

/// The kinds, each by its names and from an AdapterHub `config` object. A new kind is one line.
type Reader = fn(&Value) -> Option<Result<Arc<dyn Kind>>>;
const READERS: &[Reader] = &[
    |v| Lora::read(v).map(|k| k.map(|k| Arc::new(k) as Arc<dyn Kind>)),
    |v| Bottleneck::read(v).map(|k| k.map(|k| Arc::new(k) as Arc<dyn Kind>)),
];

/// The kind that AdapterHub's `config` object describes.
pub fn from_config(config: &Value) -> Result<Arc<dyn Kind>> {
    for read in READERS {
        if let Some(kind) = read(config) {
            return kind;
        }
    }
    bail!(
        "adapter architecture {} is not supported; known: bottleneck adapters, lora",
        config.get("architecture").cloned().unwrap_or(Value::Null)
    )
}
