//! What a kind of adapter must tell.

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::Tensor;
use serde_json::Value;

use crate::compute::random::Stream;
use crate::model::{Config, Model, Sites};
use crate::{Result, bail};

use super::bottleneck::Bottleneck;
use super::ia3::Ia3;
use super::lora::Lora;
use super::modules::Names;
use super::stored::Stored;
use super::tensors::{Name, Tensors};
use super::watch::Watch;

/// How a fresh tensor is filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Zeros.
    Zeros,
    /// Ones.
    Ones,
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Normal with mean 0 and this standard deviation, cut at two of them.
    Truncated(f64),
    /// Uniform in plus or minus this bound.
    Uniform(f64),
    /// The lengths of the rows of the base's own weight there.
    RowNorms,
    /// The base's own bias there.
    Bias,
}

impl Init {
    /// Kaiming's uniform with a = sqrt(5), as torch fills a linear map: U(-1/sqrt(in), 1/sqrt(in)).
    pub fn kaiming(input: usize) -> Self {
        Self::Uniform(1.0 / libm::sqrt(input.max(1) as f64))
    }

    /// Draws `shape` from the stream of `name` under `seed`, or takes what `model` has there.
    pub fn draw(self, seed: u64, name: &Name, shape: &[usize], model: &Model) -> Result<Tensor> {
        match self.drawn(seed, name, shape)? {
            Some(tensor) => Ok(tensor),
            None => self.of_base(name, shape, model),
        }
    }

    /// The same without a model; none where only the model knows.
    pub fn drawn(self, seed: u64, name: &Name, shape: &[usize]) -> Result<Option<Tensor>> {
        let n: usize = shape.iter().product();
        let mut stream = Stream::new(seed, "init", name.as_str());
        let values: Vec<f32> = match self {
            Self::RowNorms | Self::Bias => return Ok(None),
            Self::Zeros => vec![0.0; n],
            Self::Ones => vec![1.0; n],
            Self::Normal(sd) => (0..n).map(|_| (sd * stream.normal()) as f32).collect(),
            Self::Truncated(sd) => (0..n)
                .map(|_| (sd * truncated(&mut stream)) as f32)
                .collect(),
            Self::Uniform(b) => (0..n)
                .map(|_| (b * (2.0 * stream.uniform() - 1.0)) as f32)
                .collect(),
        };
        let tensor = Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?;
        Ok(Some(tensor))
    }
}

/// A normal number between -2 and 2.
fn truncated(stream: &mut Stream) -> f64 {
    loop {
        let x = stream.normal();
        if x.abs() <= 2.0 {
            return x;
        }
    }
}

impl Init {
    fn of_base(self, name: &Name, shape: &[usize], model: &Model) -> Result<Tensor> {
        let stem = match name.as_str().rsplit_once('.') {
            Some((stem, "weight")) => stem.strip_suffix(".m").unwrap_or(stem),
            Some((stem, _)) => stem,
            None => name.as_str(),
        };
        let Some(map) = model.map(stem)? else {
            bail!("{} has no linear map {stem}", model.name());
        };
        let tensor = match (self, map.bias()) {
            (Self::Bias, Some(bias)) => bias.clone(),
            (Self::Bias, None) => bail!("{stem} of {} has no bias", model.name()),
            _ => map.weight().read()?.sqr()?.sum(1)?.sqrt()?,
        };
        let tensor = tensor.to_device(&candle_core::Device::Cpu)?;
        Ok(tensor.to_dtype(candle_core::DType::F32)?.reshape(shape)?)
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

    /// What these tensors do at the sites of a model of this configuration. In training the tensors are tracked ones and
    /// `dropout` is the pass's noise for the adapter's own dropout.
    fn sites(&self, tensors: &Tensors, base: &Config) -> Result<Box<dyn Sites>>;

    /// The same, showing `watch` what flows into the linear maps. An error for kinds without any.
    fn watched(&self, _: &Tensors, _: &Config, _: &Watch) -> Result<Box<dyn Sites>> {
        bail!("{} has no linear maps of its own", self.name())
    }

    /// Settings that act in training elsewhere and are not applied in training here.
    fn unapplied(&self) -> Option<String> {
        None
    }

    /// How a fresh tensor of this name and shape is filled: what [`Self::parameters`] says of it,
    /// without the base's configuration.
    fn initial(&self, name: &Name, shape: &[usize]) -> Result<Init>;

    /// Whether a tensor scales what is there rather than adding to it: it lies near 1, not near 0.
    fn scales(&self, _: &Name) -> bool {
        false
    }

    /// PEFT's choice of modules, for kinds that are configured in PEFT's terms.
    fn peft_names(&self) -> Option<&Names> {
        None
    }

    /// An error unless the tensors of an adapter's files are those that its configuration means: of
    /// the right shapes, none missing, none too many.
    fn check(&self, stored: &Stored<'_>) -> Result<()>;

    /// How adapters of this kind add up.
    fn mixing(&self) -> Mixing;

    /// Of factors, the scale before B A at the map of this canonical name.
    fn scale_at(&self, _stem: &str) -> f64 {
        1.0
    }

    /// Of factors, how many A's lie on top of each other in `a`, each for a part of B's rows.
    fn groups_at(&self, _a: &Tensor, _b: &Tensor) -> Result<usize> {
        Ok(1)
    }
}

/// How adapters of a kind add up to an adapter that computes the sum of their changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mixing {
    /// Tensor by tensor.
    Entries,
    /// Low-rank factors are joined: A's rows scaled by the weight and their own scale, B's
    /// columns as they are. Exact, at the price of rank.
    Factors,
}

/// The kinds, each by its names and from an AdapterHub `config` object. A new kind is one line.
type Reader = fn(&Value) -> Option<Result<Arc<dyn Kind>>>;
const READERS: &[Reader] = &[
    |v| Ia3::read(v).map(|k| k.map(|k| Arc::new(k) as Arc<dyn Kind>)),
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
        "adapter architecture {} is not supported; known: bottleneck adapters, lora (with DoRA and IA3)",
        config.get("architecture").cloned().unwrap_or(Value::Null)
    )
}
