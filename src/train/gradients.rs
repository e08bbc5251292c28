//! The gradients of one batch: what tests and SNIP use.

use candle_core::DType;

use crate::adapter::{Adapter, Head, Tensors, head_forward};
use crate::model::{Inputs, Model, Noise};
use crate::{Result, bail};

use super::loss::{Targets, loss};
use super::trainer::{track, tracked};

/// A loss and what it does to every tensor of an adapter and its head.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// The mean loss.
    pub loss: f64,
    /// Its gradient by canonical tensor name, the head's tensors included.
    pub grads: Tensors,
}

/// The mean loss of an adapter with a head on a batch, and its gradients. No dropout.
pub fn gradients_of(
    model: &Model,
    adapter: &Adapter,
    head: &Head,
    inputs: &Inputs,
    targets: &Targets,
) -> Result<Gradients> {
    adapter.fits(model)?;
    let own = track(&*adapter.tensors()?, model)?;
    let of_head = track(&head.tensors, model)?;
    let noise = Noise::default();
    let sites = adapter.kind().sites(&tracked(&own))?;
    let hidden = model.forward_first(inputs, sites.as_ref(), &noise)?;
    let logits = head_forward(&tracked(&of_head), &hidden, &noise)?;
    if let Targets::Classes(classes) = targets {
        let (rows, outputs) = logits.dims2()?;
        let classes = classes.to_dtype(DType::U32)?.to_vec1::<u32>()?;
        if classes.len() != rows {
            bail!("{} labels for {rows} rows", classes.len());
        }
        if let Some(bad) = classes.iter().find(|c| **c as usize >= outputs) {
            bail!("label {bad}, but the head has {outputs} outputs");
        }
    }
    let mean = loss(&logits, targets)?;
    let store = mean.backward()?;
    let mut grads = Tensors::new();
    for (name, var) in own.iter().chain(&of_head) {
        let gradient = match store.get(var.as_tensor()) {
            Some(gradient) => gradient.clone(),
            None => var.zeros_like()?,
        };
        grads.insert(name.clone(), gradient);
    }
    Ok(Gradients {
        loss: mean.to_dtype(DType::F64)?.to_scalar()?,
        grads,
    })
}
