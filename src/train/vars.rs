//! Tensors under training.

use std::collections::BTreeMap;

use candle_core::Var;

use crate::Result;
use crate::adapter::{Name, Tensors, on_model};
use crate::model::Model;

/// Tracked copies of tensors, of the model's type and on its device.
pub fn track(tensors: &Tensors, model: &Model) -> Result<BTreeMap<Name, Var>> {
    on_model(tensors, model)?
        .into_iter()
        .map(|(name, tensor)| Ok((name, Var::from_tensor(&tensor)?)))
        .collect()
}

/// The variables as tensors that record what is done with them.
pub fn tracked(vars: &BTreeMap<Name, Var>) -> Tensors {
    vars.iter()
        .map(|(n, v)| (n.clone(), v.as_tensor().clone()))
        .collect()
}

/// Copies of the variables' present values.
pub(super) fn freeze(vars: &BTreeMap<Name, Var>) -> Result<Tensors> {
    vars.iter()
        .map(|(n, v)| {
            Ok((
                n.clone(),
                v.as_tensor()
                    .detach()
                    .copy()?
                    .to_device(&candle_core::Device::Cpu)?,
            ))
        })
        .collect()
}
