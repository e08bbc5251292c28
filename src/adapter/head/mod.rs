//! Heads: what turns hidden states into answers.

mod form;
mod labels;
mod task;

use candle_core::Tensor;
use serde_json::{Map, Value};

use crate::compute::{dropout, layer_norm, linear};
use crate::model::{Inputs, Model, Noise, Sites};
use crate::{Result, bail};

pub use form::{Form, Layers, Step};
pub use labels::Labels;
pub use task::Task;

use super::tensors::{Name, Tensors};

/// A head of linear maps. Its tensors are named as AdapterHub's modules are numbered:
/// `heads.1.{weight,bias}`, `heads.4.{weight,bias}` for the default of two maps.
#[derive(Debug, Clone)]
pub struct Head {
    /// The dataset or adapter it was trained for.
    pub name: String,
    /// The id of the dataset it was trained on, if known.
    pub dataset: Option<String>,
    /// What its outputs mean.
    pub labels: Labels,
    /// What it is made of.
    pub form: Form,
    /// Its weights by canonical name.
    pub tensors: Tensors,
}

impl Head {
    /// Logits [batch, outputs] of the states [batch, 1, hidden] of the tokens that stand for
    /// their texts; of every position, [batch, seq, outputs], where it predicts tokens.
    pub fn forward(&self, model: &Model, hidden: &Tensor, noise: &Noise) -> Result<Tensor> {
        forward(&self.form, &self.tensors, model, hidden, noise)
    }

    /// The logits of a batch with an adapter acting at `sites`.
    pub fn logits(&self, model: &Model, inputs: &Inputs, sites: &dyn Sites) -> Result<Tensor> {
        let noise = Noise::default();
        let hidden = states(&self.form, model, inputs, sites, &noise)?;
        self.forward(model, &hidden, &noise)
    }

    /// Checks the shapes against the number of outputs.
    pub fn validate(&self) -> Result<()> {
        if let Form::Other(fields) = &self.form {
            return self.validate_other(fields);
        }
        let steps = self.form.steps()?;
        let Some(Step::Linear(last)) = steps.last() else {
            bail!("head {}: no layers", self.name);
        };
        let name = Name::new(format!("heads.{last}.weight"));
        let Some(hidden) = self
            .tensors
            .get(&name)
            .and_then(|t| t.dims().get(1).copied())
        else {
            // A head of a language model may leave its frozen table to the base.
            if self.form.is_next_token() {
                return Ok(());
            }
            bail!("head {}: tensor {name} is missing", self.name);
        };
        for parameter in self.form.parameters(hidden, &self.labels)? {
            match self.tensors.get(&parameter.name) {
                Some(t) if t.dims() == parameter.shape => {}
                Some(t) => bail!(
                    "head {}: tensor {} has shape {:?}, expected {:?} for {} outputs",
                    self.name,
                    parameter.name,
                    t.dims(),
                    parameter.shape,
                    self.labels.outputs()
                ),
                None => bail!("head {}: tensor {} is missing", self.name, parameter.name),
            }
        }
        Ok(())
    }
}

impl Head {
    /// The same of a head that cannot be run here: its last map has a row an output, where both are
    /// known.
    fn validate_other(&self, fields: &Map<String, Value>) -> Result<()> {
        let number = |name: &Name| name.as_str().split('.').nth(1)?.parse::<usize>().ok();
        let weights = self.tensors.iter();
        let weights =
            weights.filter(|(name, t)| name.as_str().ends_with(".weight") && t.rank() == 2);
        let Some((name, weight)) = weights.max_by_key(|(name, _)| number(name)) else {
            return Ok(());
        };
        match fields.get("num_labels").and_then(Value::as_u64) {
            Some(n) if weight.dims()[0] as u64 != n => bail!(
                "head {}: tensor {name} has shape {:?}, expected {n} rows for {n} labels",
                self.name,
                weight.dims()
            ),
            _ => Ok(()),
        }
    }
}

/// The states that a head of this form reads.
pub fn states(
    form: &Form,
    model: &Model,
    inputs: &Inputs,
    sites: &dyn Sites,
    noise: &Noise,
) -> Result<Tensor> {
    match form.is_next_token() {
        true => model.forward(inputs, sites, noise),
        false => model.forward_summary(inputs, sites, noise),
    }
}

/// The forward pass of a head with these (perhaps tracked) tensors.
pub fn forward(
    form: &Form,
    tensors: &Tensors,
    model: &Model,
    hidden: &Tensor,
    noise: &Noise,
) -> Result<Tensor> {
    let find = |number: usize, part: &str| -> Result<Option<Tensor>> {
        match tensors.get(&Name::new(format!("heads.{number}.{part}"))) {
            Some(t) => Ok(Some(
                t.to_dtype(hidden.dtype())?.to_device(hidden.device())?,
            )),
            None => Ok(None),
        }
    };
    let get = |number: usize, part: &str| -> Result<Tensor> {
        match find(number, part)? {
            Some(tensor) => Ok(tensor),
            None => bail!("the head's tensor heads.{number}.{part} is missing"),
        }
    };
    let own = form.layers()?;
    let mut x = match form.is_next_token() {
        true => hidden.clone(),
        false => hidden.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?,
    };
    if own.pooler {
        let Some(pooler) = model.pooler() else {
            bail!(
                "the head reads the base's pooler, but {} has none",
                model.name()
            );
        };
        x = pooler.apply(&x)?;
    }
    let steps = form.steps()?;
    for (i, step) in steps.iter().enumerate() {
        x = match step {
            // The site numbers follow those of a model's layers, far above any.
            Step::Dropout(n) => match &noise.hidden {
                Some(d) => {
                    let site = if *n < 2 { 254 + n } else { 255 - n };
                    dropout(&x.unsqueeze(1)?, d, site)?.squeeze(1)?
                }
                None => x,
            },
            Step::Linear(n) => {
                let weight = match find(*n, "weight")? {
                    Some(weight) => weight,
                    None if form.is_next_token() && i + 1 == steps.len() => table(model)?,
                    None => bail!("the head's tensor heads.{n}.weight is missing"),
                };
                let bias = find(*n, "bias")?;
                let wanted = match i + 1 < steps.len() {
                    true => own.inner_bias,
                    false => own.bias,
                };
                if bias.is_none() && wanted {
                    bail!("the head's tensor heads.{n}.bias is missing");
                }
                linear(&x, &weight, bias.as_ref())?
            }
            Step::Activation(activation) => activation.apply(&x)?,
            Step::Norm(n) => {
                let weight = get(*n, "weight")?;
                let bias = match own.inner_bias {
                    true => get(*n, "bias")?,
                    false => weight.detach().zeros_like()?,
                };
                layer_norm(&x, &weight, &bias, norm_eps(form, model))?
            }
        };
    }
    Ok(x)
}

/// The table of tokens that is a language model's last map, too.
fn table(model: &Model) -> Result<Tensor> {
    if model.config().tie_word_embeddings == Some(false) {
        bail!(
            "{} has a last map of its own (tie_word_embeddings = false), which is not supported",
            model.name()
        );
    }
    Ok(model.words().kept()?.clone())
}

/// The epsilon of a head's norms: the model's, and of a language model's head only where the
/// configuration calls it `layer_norm_eps`, as adapters 1.3.0 looks it up; else 1e-12.
fn norm_eps(form: &Form, model: &Model) -> f64 {
    let renamed = |(_, ours): &(&str, &str)| *ours == "layer_norm_eps";
    match model.config().architecture() {
        Ok(a) if form.is_next_token() && a.fields.iter().any(renamed) => 1e-12,
        _ => model.config().layer_norm_eps,
    }
}
