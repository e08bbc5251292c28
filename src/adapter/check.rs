//! What must hold of an adapter's tensors.

use candle_core::DType;

use crate::model::Config;
use crate::{Result, bail};

use super::tensors::Tensors;
use super::value::Adapter;

/// An error that names the first NaN or infinite value.
pub fn finite(owner: &str, tensors: &Tensors) -> Result<()> {
    for (name, tensor) in tensors {
        let values = tensor
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            bail!("{owner}: tensor {name} holds {} at entry {at}", values[at]);
        }
    }
    Ok(())
}

/// An error unless every tensor of the adapter is one that its kind has on such a model, with the
/// right shape, and none is missing. Ranks of low-rank factors are the tensors' own.
pub fn fits(adapter: &Adapter, config: &Config) -> Result<()> {
    let expected = adapter.kind().parameters(config)?;
    let tensors = adapter.tensors()?;
    for parameter in &expected {
        let Some(tensor) = tensors.get(&parameter.name) else {
            bail!(
                "adapter {}: tensor {} is missing",
                adapter.name(),
                parameter.name
            );
        };
        let rank = match parameter.name.as_str().rsplit('.').next() {
            Some("lora_A") => Some(0),
            Some("lora_B") => Some(1),
            _ => None,
        };
        let same = tensor.dims().len() == parameter.shape.len()
            && (0..parameter.shape.len())
                .all(|d| Some(d) == rank || tensor.dims()[d] == parameter.shape[d]);
        if !same {
            bail!(
                "adapter {}: tensor {} has shape {:?}, the model needs {:?}",
                adapter.name(),
                parameter.name,
                tensor.dims(),
                parameter.shape
            );
        }
    }
    if let Some(extra) = tensors
        .keys()
        .find(|name| !expected.iter().any(|p| p.name == **name))
    {
        bail!(
            "adapter {}: the model has no place for tensor {extra}",
            adapter.name()
        );
    }
    Ok(())
}
