//! The gradients of one batch: what tests and SNIP use.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};

use crate::adapter::{
    Adapter, Gram, Head, Name, Selection, Tensors, Watch, check_base, head_forward, head_states,
    on_model,
};
use crate::compute::memory;
use crate::data::batch::training_batches;
use crate::data::{Dataset, Split};
use crate::evaluate::{Encoded, head_of};
use crate::model::{Encoding, Inputs, Model, Noise};
use crate::{Context, Result, bail};

use super::loss::{Targets, loss, targets};
use super::vars::{track, tracked};

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
    check_base(adapter, model, context)?;
    let seen = Seen::new(model, adapter, data, context)?;
    let mut sum = Tensors::new();
    for batch in training_batches(&seen.lengths(), BATCH, seed, 1)
        .iter()
        .take(batches)
    {
        context.check()?;
        add(&mut sum, seen.gradients(batch)?, Ok)?;
    }
    if sum.is_empty() {
        bail!("{}: the train split has no rows", data.name());
    }
    Ok(sum)
}

/// The Hessian's product with the gradient, H g, of the selected tensors of an adapter, each a sum
/// over the same batches as in [`gradients_over`]; everything else is held. No dropout.
///
/// It is the central difference (g(w + e g) - g(w - e g)) / 2e in f64, with a step so short that no
/// activation changes its side: no more is lost than in f32 itself.
pub fn curvature_over(
    model: &Model,
    adapter: &Adapter,
    data: &Dataset,
    (batches, include): (usize, &Selection),
    seed: u64,
    context: &Context,
) -> Result<Tensors> {
    let model = model.in_f64()?;
    check_base(adapter, &model, context)?;
    let seen = Seen::new(&model, adapter, data, context)?;
    let batches: Vec<Vec<usize>> = training_batches(&seen.lengths(), BATCH, seed, 1)
        .into_iter()
        .take(batches)
        .collect();
    if batches.is_empty() {
        bail!("{}: the train split has no rows", data.name());
    }
    curvature(adapter, include, |adapter| {
        let mut sum = Tensors::new();
        for batch in &batches {
            context.check()?;
            let found = seen.gradients_of(adapter, batch)?;
            add(&mut sum, found, Ok)?;
        }
        Ok(sum)
    })
}

/// The Hessian's product with the gradient of one batch, as in [`curvature_over`].
pub fn curvature_of(
    model: &Model,
    adapter: &Adapter,
    head: &Head,
    (inputs, targets): (&Inputs, &Targets),
    include: &Selection,
) -> Result<Tensors> {
    let model = model.in_f64()?;
    let targets = match targets {
        Targets::Numbers(numbers) => Targets::Numbers(numbers.to_dtype(model.dtype())?),
        other => other.clone(),
    };
    curvature(adapter, include, |adapter| {
        Ok(gradients_of(&model, adapter, head, inputs, &targets)?.grads)
    })
}

/// How far the differences of [`curvature`] step, all entries together: short of the next kink,
/// long enough that rounding in f64 costs some 1e-9 of the result.
const STEP: f64 = 1e-6;

fn curvature(
    adapter: &Adapter,
    include: &Selection,
    gradient: impl Fn(&Adapter) -> Result<Tensors>,
) -> Result<Tensors> {
    let own = adapter.tensors()?;
    let wide = |t: &Tensor| Ok::<_, crate::Error>(t.to_dtype(DType::F64)?);
    let own: Tensors = own
        .iter()
        .map(|(name, t)| Ok((name.clone(), wide(t)?)))
        .collect::<Result<_>>()?;
    let at = |tensors: Tensors| gradient(&Adapter::new(adapter.parts().clone(), tensors)?);
    let mut along = at(own.clone())?;
    along.retain(|name, _| own.contains_key(name) && include.matches(name));
    let mut square = 0.0;
    for g in along.values() {
        square += g.sqr()?.sum_all()?.to_scalar::<f64>()?;
    }
    if square == 0.0 {
        return Ok(along);
    }
    let step = STEP / square.sqrt();
    let moved = |by: f64| {
        let mut tensors = own.clone();
        for (name, g) in &along {
            if let Some(tensor) = tensors.get_mut(name) {
                let g = g.to_device(tensor.device())?;
                *tensor = (&*tensor + (g * by)?)?;
            }
        }
        at(tensors)
    };
    let (ahead, behind) = (moved(step)?, moved(-step)?);
    along
        .keys()
        .filter_map(|name| Some((name, ahead.get(name)?, behind.get(name)?)))
        .map(|(name, ahead, behind)| {
            let found = ((ahead - behind)? / (2.0 * step))?;
            Ok((name.clone(), found.to_dtype(DType::F32)?))
        })
        .collect()
}

/// The diagonal of the empirical Fisher information of an adapter's own tensors: the mean over
/// `rows` rows of a dataset's train split, drawn under `seed`, of the squared gradient of that
/// row's loss at its gold label. No dropout.
pub fn fisher_over(
    model: &Model,
    adapter: &Adapter,
    data: &Dataset,
    rows: usize,
    seed: u64,
    context: &Context,
) -> Result<Tensors> {
    check_base(adapter, model, context)?;
    let seen = Seen::new(model, adapter, data, context)?;
    let chosen = seen.chosen(rows, seed);
    if chosen.is_empty() {
        bail!("{}: the train split has no rows", data.name());
    }
    let mut sum = Tensors::new();
    let label = format!("fisher {}", adapter.name());
    context
        .progress()
        .start(&label, chosen.len() as u64, "rows");
    for (done, row) in chosen.iter().enumerate() {
        context.check()?;
        add(&mut sum, seen.gradients(&[*row])?, |g| Ok(g.sqr()?))?;
        context.progress().update(done as u64 + 1, "");
    }
    context.progress().finish();
    let share = 1.0 / chosen.len() as f64;
    sum.values_mut().try_for_each(|t| {
        *t = (&*t * share)?;
        Ok::<_, crate::Error>(())
    })?;
    Ok(sum)
}

/// The sums of X^T X of what flows into an adapter's linear maps, over `rows` rows of a dataset's
/// train split, drawn under `seed`.
pub fn inputs_over(
    model: &Model,
    adapter: &Adapter,
    data: &Dataset,
    rows: usize,
    seed: u64,
    context: &Context,
) -> Result<BTreeMap<Name, Gram>> {
    check_base(adapter, model, context)?;
    let seen = Seen::new(model, adapter, data, context)?;
    adapter.fits(model)?;
    let watch = Watch::default();
    let tensors = on_model(&*adapter.tensors()?, model)?;
    let sites = adapter.kind().watched(&tensors, model.config(), &watch)?;
    let chosen = seen.chosen(rows, seed);
    if chosen.is_empty() {
        bail!("{}: the train split has no rows", data.name());
    }
    // One text at a time, so that no padding is seen.
    for row in chosen {
        context.check()?;
        let inputs = model.pad(&[&seen.rows.encodings[row]])?;
        let noise = Noise::default();
        head_states(&seen.head.form, model, &inputs, sites.as_ref(), &noise)?;
    }
    Ok(watch.take())
}

/// An adapter's rows of a dataset's train split.
struct Seen<'a> {
    model: Model,
    adapter: &'a Adapter,
    head: &'a Head,
    rows: Encoded,
}

impl<'a> Seen<'a> {
    fn new(model: &Model, adapter: &'a Adapter, data: &Dataset, context: &Context) -> Result<Self> {
        let (head, _) = head_of(adapter, data, context)?;
        let rows = Encoded::of(model, data, Split::Train, &head.labels, model.max_length())?;
        // A whole batch is computed at once: under a budget, blocks are computed again.
        let frugal = match memory::budget() {
            Some(_) => model.frugal()?,
            None => None,
        };
        Ok(Self {
            model: frugal.unwrap_or_else(|| model.clone()),
            adapter,
            head,
            rows,
        })
    }

    fn lengths(&self) -> Vec<usize> {
        self.rows.encodings.iter().map(|e| e.ids.len()).collect()
    }

    /// Some of the rows, in an order of `seed`.
    fn chosen(&self, rows: usize, seed: u64) -> Vec<usize> {
        let batches = training_batches(&self.lengths(), BATCH, seed, 1);
        batches.into_iter().flatten().take(rows).collect()
    }

    /// The gradients of the adapter's own tensors over these rows.
    fn gradients(&self, batch: &[usize]) -> Result<Tensors> {
        self.gradients_of(self.adapter, batch)
    }

    /// The same at other tensors.
    fn gradients_of(&self, adapter: &Adapter, batch: &[usize]) -> Result<Tensors> {
        let rows = &self.rows;
        let members: Vec<&Encoding> = batch.iter().map(|&i| &rows.encodings[i]).collect();
        // The head's outputs stand in its own order of labels.
        let gold: Vec<f64> = batch
            .iter()
            .map(|&i| match rows.labels {
                crate::adapter::Labels::Number => rows.gold[i],
                _ => rows.outputs[rows.gold[i] as usize] as f64,
            })
            .collect();
        let (model, head) = (&self.model, self.head);
        let targets = targets(&gold, &head.labels, model.dtype(), model.device())?;
        let inputs = model.pad(&members)?;
        let mut found = gradients_of(model, adapter, head, &inputs, &targets)?.grads;
        found.retain(|name, _| !head.tensors.contains_key(name));
        Ok(found)
    }
}

/// Adds tensors, each changed, to a sum.
fn add(sum: &mut Tensors, found: Tensors, change: impl Fn(Tensor) -> Result<Tensor>) -> Result<()> {
    for (name, tensor) in found {
        let tensor = change(tensor)?;
        let total = match sum.remove(&name) {
            Some(before) => (before + tensor)?,
            None => tensor,
        };
        sum.insert(name, total);
    }
    Ok(())
}
