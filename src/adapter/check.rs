//! What must hold of an adapter's tensors.

use candle_core::{DType, Tensor};

use crate::model::Config;
use crate::{Result, bail};

use super::tensors::{Name, Tensors};
use super::value::Adapter;

/// An error that names the first NaN or infinite value.
pub fn finite(owner: &str, tensors: &Tensors) -> Result<()> {
    let each = tensors.iter().map(|(name, t)| finite_tensor(name, t));
    each.collect::<Result<()>>().map_err(|e| e.within(owner))
}

/// The same of one tensor.
pub fn finite_tensor(name: &Name, tensor: &Tensor) -> Result<()> {
    let values = tensor
        .to_dtype(DType::F32)?
        .flatten_all()?
        .to_vec1::<f32>()?;
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => bail!("tensor {name} holds {} at entry {at}", values[at]),
        None => Ok(()),
    }
}

/// An error unless every tensor of the adapter is one that its kind has on such a model, with the
/// right shape, and none is missing. Ranks of low-rank factors are the tensors' own.
pub fn fits(adapter: &Adapter, config: &Config) -> Result<()> {
    let expected = adapter.kind().parameters(config)?;
    let shapes = adapter.shapes()?;
    for parameter in &expected {
        let Some(shape) = shapes.get(&parameter.name) else {
            bail!(
                "adapter {}: tensor {} is missing",
                adapter.name(),
                parameter.name
            );
        };
        let rank = parameter.name.factor().map(|f| usize::from(!f.is_a));
        let same = shape.len() == parameter.shape.len()
            && (0..parameter.shape.len())
                .all(|d| Some(d) == rank || shape[d] == parameter.shape[d]);
        if !same {
            bail!(
                "adapter {}: tensor {} has shape {:?}, the model needs {:?}",
                adapter.name(),
                parameter.name,
                shape,
                parameter.shape
            );
        }
    }
    if let Some(extra) = shapes
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
