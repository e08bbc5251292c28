//! Classification and regression heads.

use candle_core::{IndexOp, Tensor};
use serde::{Deserialize, Serialize};

use crate::compute::{Activation, dropout, linear};
use crate::model::Noise;
use crate::{Result, bail};

use super::kind::{Init, Parameter};
use super::tensors::{Name, Tensors};

/// What a head tells apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Labels {
    /// Classes by name, in the order of the outputs.
    Named(Vec<String>),
    /// Classes of which only the number is known (LABEL_0, LABEL_1...).
    Counted(usize),
    /// One number.
    Number,
}

impl Labels {
    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Named(names) => names.len(),
            Self::Counted(n) => *n,
            Self::Number => 1,
        }
    }

    /// From names as a head's configuration gives them; LABEL_0, LABEL_1... are no names.
    pub fn from_names(names: Vec<String>) -> Self {
        let anonymous = names
            .iter()
            .enumerate()
            .all(|(i, n)| *n == format!("LABEL_{i}"));
        if anonymous {
            Self::Counted(names.len())
        } else {
            Self::Named(names)
        }
    }

    /// The names, made up where unknown.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Named(names) => names.clone(),
            Self::Counted(n) => (0..*n).map(|i| format!("LABEL_{i}")).collect(),
            Self::Number => vec!["value".into()],
        }
    }
}

/// AdapterHub's classification head with two layers on the first token: dropout, linear, tanh,
/// dropout, linear. Tensors: `heads.1.{weight,bias}`, `heads.4.{weight,bias}`.
#[derive(Debug, Clone)]
pub struct Head {
    /// The dataset or adapter it was trained for.
    pub name: String,
    /// The id of the dataset it was trained on, if known.
    pub dataset: Option<String>,
    /// What its outputs mean.
    pub labels: Labels,
    /// Its weights by canonical name.
    pub tensors: Tensors,
}

impl Head {
    /// The tensors of a head for `labels` on states of this width: normal with sd 0.02, zero
    /// biases, as BERT initialises its own.
    pub fn parameters(hidden: usize, labels: &Labels) -> Vec<Parameter> {
        let out = labels.outputs();
        let parameter = |name: &str, shape: Vec<usize>, init| Parameter {
            name: Name::new(name),
            shape,
            init,
        };
        vec![
            parameter("heads.1.bias", vec![hidden], Init::Zeros),
            parameter("heads.1.weight", vec![hidden, hidden], Init::Normal(0.02)),
            parameter("heads.4.bias", vec![out], Init::Zeros),
            parameter("heads.4.weight", vec![out, hidden], Init::Normal(0.02)),
        ]
    }

    /// Logits [batch, outputs] of the last hidden states [batch, seq, hidden].
    pub fn forward(&self, hidden: &Tensor, noise: &Noise) -> Result<Tensor> {
        forward(&self.tensors, hidden, noise)
    }

    /// Checks the shapes against the number of outputs.
    pub fn validate(&self) -> Result<()> {
        let get = |name: &str| -> Result<Vec<usize>> {
            match self.tensors.get(&Name::new(name)) {
                Some(t) => Ok(t.dims().to_vec()),
                None => bail!("head {}: tensor {name} is missing", self.name),
            }
        };
        let outputs = self.labels.outputs();
        let (dense, out) = (get("heads.1.weight")?, get("heads.4.weight")?);
        let (b1, b4) = (get("heads.1.bias")?, get("heads.4.bias")?);
        let [d, input] = dense[..] else {
            bail!("head {}: heads.1.weight has shape {dense:?}", self.name)
        };
        if b1 != [d] || out != [outputs, d] || b4 != [outputs] || d != input {
            bail!(
                "head {}: shapes {dense:?}, {b1:?}, {out:?}, {b4:?} do not make a head with {outputs} outputs",
                self.name
            );
        }
        Ok(())
    }
}

/// The forward pass of a head with these (perhaps tracked) tensors.
pub fn forward(tensors: &Tensors, hidden: &Tensor, noise: &Noise) -> Result<Tensor> {
    let get = |name: &str| -> Result<Tensor> {
        match tensors.get(&Name::new(name)) {
            Some(t) => Ok(t.to_dtype(hidden.dtype())?.to_device(hidden.device())?),
            None => bail!("the head's tensor {name} is missing"),
        }
    };
    // The site numbers follow those of a model's layers, far above any.
    let drop = |x: Tensor, site: u64| match &noise.hidden {
        Some(d) => dropout(&x.unsqueeze(1)?, d, site)?
            .squeeze(1)
            .map_err(Into::into),
        None => Ok::<Tensor, crate::Error>(x),
    };
    let first = drop(hidden.i((.., 0))?.contiguous()?, 254)?;
    let dense = linear(&first, &get("heads.1.weight")?, Some(&get("heads.1.bias")?))?;
    let inner = drop(Activation::Tanh.apply(&dense)?, 255)?;
    linear(&inner, &get("heads.4.weight")?, Some(&get("heads.4.bias")?))
}
