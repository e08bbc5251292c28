//! LoRA (Hu et al. 2022) and its variants rsLoRA (Kalajdzievski 2023) and DoRA (Liu et al. 2024):
//! W x + b + scale B A x at chosen linear maps.

mod check;
mod config;
mod deltas;
mod sites;

pub(in crate::adapter) use check::with_adapters_name;
pub use config::{Common, read_common, write_common};

use candle_core::Tensor;
use serde_json::Value;

use crate::model::{Config, LinearSite, Sites};
use crate::{Result, bail};

use super::kind::{Init, Kind, Mixing, Parameter};
use super::modules::{Modules, Names, Place};
use super::stored::Stored;
use super::tensors::{Name, Tensors};
use super::watch::Watch;

pub use deltas::{
    Factors, OTHER_RANKS, check_change, deltas, factors, factors_at, has_factors, ranks_differ,
};

/// The settings of a LoRA.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    /// Rank of a fresh one; a mixture's ranks are those of its tensors.
    pub r: usize,
    /// The change is scaled by alpha / r, or in rsLoRA by alpha / sqrt(r).
    pub alpha: f64,
    /// rsLoRA.
    pub stabilised: bool,
    /// DoRA: the rows of the changed matrix have lengths of their own. The norm that divides them
    /// gets no gradient, as in the paper.
    pub dora: bool,
    /// The linear maps it acts on.
    pub modules: Modules,
    /// Dropout of its input in training, as a file says; kept for files.
    pub dropout: f64,
}

impl Default for Lora {
    /// r 8, alpha 8, query and value.
    fn default() -> Self {
        Self {
            r: 8,
            alpha: 8.0,
            stabilised: false,
            dora: false,
            modules: Modules::of_sites(vec![LinearSite::Query, LinearSite::Value]),
            dropout: 0.0,
        }
    }
}

impl Lora {
    /// A LoRA of rank `r` on these linear maps, in any order. Errors without a target or rank.
    pub fn new(r: usize, alpha: f64, targets: Vec<LinearSite>) -> Result<Self> {
        if r == 0 || targets.is_empty() {
            bail!("a LoRA needs a rank and at least one target");
        }
        Ok(Self {
            r,
            alpha,
            modules: Modules::of_sites(targets),
            ..Self::default()
        })
    }

    /// Reads a `config` object; none where it describes another architecture.
    pub fn read(config: &Value) -> Option<Result<Self>> {
        config::read(config)
    }

    /// The factor before B A at the map of this path.
    pub fn scale(&self, stem: &str) -> f64 {
        let rank = self.modules.rank(stem).unwrap_or(self.r) as f64;
        let alpha = self.modules.alpha(stem).unwrap_or(self.alpha);
        match self.stabilised {
            true => alpha / rank.sqrt(),
            false => alpha / rank,
        }
    }

    fn at(&self, place: &Place) -> Result<Vec<Parameter>> {
        let rank = self.modules.rank(&place.stem).unwrap_or(self.r);
        let groups = place.groups();
        let parameter = |part: &str, shape: Vec<usize>| -> Result<Parameter> {
            let name = Name::new(format!("{}.{part}", place.stem));
            let init = self.initial(&name, &shape)?;
            Ok(Parameter { name, shape, init })
        };
        let mut all = vec![
            parameter("lora_A", vec![groups * rank, place.input])?,
            parameter("lora_B", vec![place.output, rank])?,
        ];
        if self.dora {
            let peft = self.modules.is_peft();
            all.push(match peft {
                true => parameter("lora_magnitude_vector", vec![place.output])?,
                false => parameter("m.weight", vec![place.output, 1])?,
            });
        }
        if self.modules.lora_bias() {
            all.push(parameter("lora_B.bias", vec![place.output])?);
        }
        if self.modules.own_biases() {
            all.push(parameter("bias", vec![place.output])?);
        }
        Ok(all)
    }
}

impl Kind for Lora {
    fn name(&self) -> &'static str {
        match self.dora {
            true => "dora",
            false => "lora",
        }
    }

    fn config(&self) -> Value {
        config::write(self)
    }

    fn parameters(&self, base: &Config) -> Result<Vec<Parameter>> {
        if self.dora && !self.modules.is_peft() {
            base.architecture()?.hub()?;
        }
        let mut all = Vec::new();
        for place in self.modules.places(base)? {
            all.extend(self.at(&place)?);
        }
        all.sort_by(|x, y| x.name.cmp(&y.name));
        Ok(all)
    }

    fn initial(&self, name: &Name, shape: &[usize]) -> Result<Init> {
        let name = name.as_str();
        Ok(match name.rsplit_once('.') {
            // PEFT begins an embedding's factors the other way round.
            Some((_, "lora_embedding_A")) => Init::Zeros,
            Some((_, "lora_embedding_B")) => Init::Normal(1.0),
            Some((_, "lora_A")) => Init::kaiming(shape.get(1).copied().unwrap_or(1)),
            Some((_, "lora_B")) => Init::Zeros,
            Some((_, "lora_magnitude_vector")) => Init::RowNorms,
            Some((stem, "weight")) if stem.ends_with(".m") => Init::RowNorms,
            Some((stem, "bias")) if stem.ends_with(".lora_B") => Init::Zeros,
            Some((_, "bias")) => Init::Bias,
            _ => bail!("a LoRA has no tensor {name}"),
        })
    }

    fn watched(&self, tensors: &Tensors, base: &Config, watch: &Watch) -> Result<Box<dyn Sites>> {
        sites::sites(self, tensors, base, Some(watch))
    }

    fn sites(&self, tensors: &Tensors, base: &Config) -> Result<Box<dyn Sites>> {
        sites::sites(self, tensors, base, None)
    }

    fn unapplied(&self) -> Option<String> {
        (self.dropout > 0.0).then(|| format!("its dropout {}", self.dropout))
    }

    /// The lengths of a DoRA's rows.
    fn scales(&self, name: &Name) -> bool {
        let name = name.as_str();
        name.ends_with(".m.weight") || name.ends_with(".lora_magnitude_vector")
    }

    fn peft_names(&self) -> Option<&Names> {
        match &self.modules {
            Modules::Names(names) => Some(names),
            Modules::Sites { .. } => None,
        }
    }

    fn check(&self, stored: &Stored<'_>) -> Result<()> {
        check::check(self, stored)
    }

    fn mixing(&self) -> Mixing {
        // DoRA's change is not linear in its factors, and biases beside them are no factors.
        match self.dora || self.modules.lora_bias() || self.modules.own_biases() {
            true => Mixing::Entries,
            false => Mixing::Factors,
        }
    }

    fn scale_at(&self, stem: &str) -> f64 {
        self.scale(stem)
    }

    fn groups_at(&self, a: &Tensor, b: &Tensor) -> Result<usize> {
        let ((rows, _), (_, rank)) = (a.dims2()?, b.dims2()?);
        if rank == 0 || rows % rank != 0 {
            bail!("A {:?} does not fit B {:?}", a.dims(), b.dims());
        }
        Ok(rows / rank)
    }
}
