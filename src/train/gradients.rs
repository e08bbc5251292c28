//! The gradients of one batch: what tests and SNIP use.

use std::collections::BTreeMap;

use candle_core::DType;

use crate::adapter::{Adapter, Head, Tensors, head_forward, head_states, on_model};
use crate::data::batch::training_batches;
use crate::data::{Dataset, Split};
use crate::evaluate::Encoded;
use crate::model::{Encoding, Inputs, Model, Noise};
use crate::{Context, Result, bail};

use super::loss::{Targets, loss, targets};
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
    // The base's own table of tokens is not trained.
    let of_head: BTreeMap<_, _> = of_head
        .into_iter()
        .filter(|(name, _)| !head.form.is_frozen(name))
        .collect();
    let mut all = tracked(&of_head);
    for (name, tensor) in &on_model(&head.tensors, model)? {
        all.entry(name.clone()).or_insert_with(|| tensor.clone());
    }
    let sites = adapter.kind().sites(&tracked(&own), model.config())?;
    let hidden = head_states(&head.form, model, inputs, sites.as_ref(), &noise)?;
    let logits = head_forward(&head.form, &all, model, &hidden, &noise)?;
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

/// Rows of a batch of [`gradients_over`].
const BATCH: usize = 32;

/// The gradients of an adapter's own tensors, summed over the first `batches` batches of 32 rows
/// of a dataset's train split in the order of `seed`. No dropout.
pub fn gradients_over(
    model: &Model,
    adapter: &Adapter,
    data: &Dataset,
    batches: usize,
    seed: u64,
    context: &Context,
) -> Result<Tensors> {
    let head = adapter.head_for(data)?;
    let rows = Encoded::of(model, data, Split::Train, &head.labels, model.max_length())?;
    let lengths: Vec<usize> = rows.encodings.iter().map(|e| e.ids.len()).collect();
    let mut sum = Tensors::new();
    for batch in training_batches(&lengths, BATCH, seed, 1)
        .iter()
        .take(batches)
    {
        context.check()?;
        let members: Vec<&Encoding> = batch.iter().map(|&i| &rows.encodings[i]).collect();
        // The head's outputs stand in its own order of labels.
        let gold: Vec<f64> = batch
            .iter()
            .map(|&i| match rows.labels {
                crate::adapter::Labels::Number => rows.gold[i],
                _ => rows.outputs[rows.gold[i] as usize] as f64,
            })
            .collect();
        let targets = targets(&gold, &head.labels, model.dtype(), model.device())?;
        let found = gradients_of(model, adapter, head, &model.pad(&members)?, &targets)?;
        for (name, gradient) in found.grads {
            if head.tensors.contains_key(&name) {
                continue;
            }
            let total = match sum.remove(&name) {
                Some(before) => (before + gradient)?,
                None => gradient,
            };
            sum.insert(name, total);
        }
    }
    if sum.is_empty() {
        bail!("{}: the train split has no rows", data.name());
    }
    Ok(sum)
}
