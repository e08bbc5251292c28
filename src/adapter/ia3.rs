//! (IA)^3 (Liu et al. 2022): learned vectors that scale keys, values and the inside of the
//! feed-forward block.
//!
//! AdapterHub scales the output of the feed-forward block's first map, before the activation;
//! PEFT scales the input of its second. The two are not convertible.

use std::collections::BTreeMap;

use candle_core::{D, Tensor};
use serde_json::Value;

use crate::compute::FrozenLinear;
use crate::model::{Config, LinearSite, Sites};
use crate::{Result, bail};

use super::kind::{Init, Kind, Mixing, Parameter};
use super::lora::{Common, read_common, with_adapters_name, write_common};
use super::modules::{Modules, Names, Place};
use super::stored::Stored;
use super::tensors::{Name, Tensors};

/// The settings of an IA3.
#[derive(Debug, Clone, PartialEq)]
pub struct Ia3 {
    /// Factor on every vector.
    pub alpha: f64,
    /// The linear maps it acts on.
    pub modules: Modules,
}

impl Default for Ia3 {
    /// Keys, values and the first map of the feed-forward block.
    fn default() -> Self {
        use LinearSite as Lin;
        Self {
            alpha: 1.0,
            modules: Modules::of_sites(vec![Lin::Key, Lin::Value, Lin::Intermediate]),
        }
    }
}

impl Ia3 {
    /// Reads a `config` object; none where it describes another kind.
    pub fn read(config: &Value) -> Option<Result<Self>> {
        match read_common(config)? {
            Ok(common) if common.scales => Some(Ok(Self {
                alpha: common.alpha,
                modules: common.modules,
            })),
            _ => None,
        }
    }

    /// Whether the map's input is scaled, not its output.
    fn scales_input(&self, place: &Place) -> Result<bool> {
        match &self.modules {
            Modules::Names(names) => match &names.feedforward_modules {
                Some(targets) => targets.matches(&names.full(&place.stem)),
                None => Ok(false),
            },
            Modules::Sites { .. } => Ok(false),
        }
    }
}

impl Kind for Ia3 {
    fn name(&self) -> &'static str {
        "ia3"
    }

    fn config(&self) -> Value {
        write_common(&Common {
            r: 1,
            alpha: self.alpha,
            scales: true,
            dora: false,
            dropout: 0.0,
            modules: self.modules.clone(),
            stabilised: false,
        })
    }

    fn parameters(&self, base: &Config) -> Result<Vec<Parameter>> {
        if !self.modules.is_peft() {
            base.architecture()?.hub()?;
        }
        let mut all = Vec::new();
        for place in self.modules.places(base)? {
            let (part, shape) = match (self.modules.is_peft(), self.scales_input(&place)?) {
                (false, _) => ("lora_B", vec![place.output, 1]),
                (true, false) => ("ia3_l", vec![place.output, 1]),
                (true, true) => ("ia3_l", vec![1, place.input]),
            };
            let name = Name::new(format!("{}.{part}", place.stem));
            let init = self.initial(&name, &shape)?;
            all.push(Parameter { name, shape, init });
        }
        all.sort_by(|x, y| x.name.cmp(&y.name));
        Ok(all)
    }

    fn initial(&self, _: &Name, _: &[usize]) -> Result<Init> {
        Ok(Init::Ones)
    }

    fn peft_names(&self) -> Option<&Names> {
        match &self.modules {
            Modules::Names(names) => Some(names),
            Modules::Sites { .. } => None,
        }
    }

    fn sites(&self, tensors: &Tensors, base: &Config) -> Result<Box<dyn Sites>> {
        let mut scales = BTreeMap::new();
        let part = if self.modules.is_peft() {
            "ia3_l"
        } else {
            "lora_B"
        };
        for place in self.modules.places(base)? {
            let name = Name::new(format!("{}.{part}", place.stem));
            let Some(vector) = tensors.get(&name) else {
                bail!("the adapter has no {name}");
            };
            let vector = (vector.flatten_all()? * self.alpha)?;
            let input = self.scales_input(&place)?;
            if input && place.sites.len() > 1 {
                bail!("{name}: the input of several maps at once cannot be scaled");
            }
            let width = if input {
                place.input
            } else {
                place.output / place.sites.len().max(1)
            };
            for (i, site) in place.sites.iter().enumerate() {
                let own = vector.narrow(0, i * width, width)?;
                scales.insert((place.layer, *site), (input, own));
            }
        }
        Ok(Box::new(Ia3Sites(scales)))
    }

    fn scales(&self, _: &Name) -> bool {
        true
    }

    fn check(&self, stored: &Stored<'_>) -> Result<()> {
        let part = match self.modules.is_peft() {
            true => ".ia3_l",
            false => ".lora_B",
        };
        let mut changed = BTreeMap::new();
        for (name, shape) in stored.shapes() {
            let Some(stem) = name.as_str().strip_suffix(part) else {
                if let Some(error) = with_adapters_name(name.as_str()) {
                    return Err(error);
                }
                // PEFT's files hold saved modules, too.
                let other = !self.modules.is_peft() || name.as_str().contains(".ia3_");
                match other || name.as_str().contains(".lora_") {
                    true => return Err(stored.extra(name, "an IA3 has no such tensor")),
                    false => continue,
                }
            };
            let input = match &self.modules {
                Modules::Names(names) => match &names.feedforward_modules {
                    Some(targets) => targets.matches(&names.full(stem))?,
                    None => false,
                },
                Modules::Sites { .. } => false,
            };
            let fits = match (shape.len(), input) {
                (2, true) => shape[0] == 1,
                (2, false) => shape[1] == 1,
                // Of a convolution.
                (4 | 5, _) => shape.iter().filter(|n| **n != 1).count() < 2,
                _ => false,
            };
            if !fits {
                let (expected, why) = match input {
                    true => (
                        "[1, in]",
                        "feedforward_modules names its module, whose input is scaled",
                    ),
                    false => ("[out, 1]", "it scales the output of its module"),
                };
                return Err(stored.misshapen(name, expected, why));
            }
            changed.insert(stem.to_string(), name.clone());
        }
        self.modules.check(stored, &changed)
    }

    fn mixing(&self) -> Mixing {
        Mixing::Entries
    }
}

/// By site, whether the input is scaled, and the vector.
struct Ia3Sites(BTreeMap<(usize, LinearSite), (bool, Tensor)>);

impl Sites for Ia3Sites {
    fn linear(
        &self,
        layer: usize,
        sites: &[LinearSite],
        map: &FrozenLinear,
        x: &Tensor,
    ) -> Result<Tensor> {
        let of = |site: &LinearSite| self.0.get(&(layer, *site));
        if let [site] = sites
            && let Some((true, scale)) = of(site)
        {
            return map.forward(&x.broadcast_mul(scale)?);
        }
        let y = map.forward(x)?;
        if sites.iter().all(|site| of(site).is_none()) {
            return Ok(y);
        }
        let width = y.dim(D::Minus1)? / sites.len();
        let scale = |site: &LinearSite| match of(site) {
            Some((false, scale)) => Ok(scale.clone()),
            Some((true, _)) => bail!("the input of {site:?} alone cannot be scaled"),
            None => Ok(Tensor::ones(width, y.dtype(), y.device())?),
        };
        let scales = sites.iter().map(scale).collect::<Result<Vec<_>>>()?;
        Ok(y.broadcast_mul(&Tensor::cat(&scales, 0)?)?)
    }
}
