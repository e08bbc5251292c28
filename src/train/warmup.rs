//! A few steps of training, after which an adapter's scores tell its weights apart.

use crate::adapter::{Adapter, check_base};
use crate::compute::threads;
use crate::data::batch::training_batches;
use crate::data::{Dataset, Split};
use crate::evaluate::{Encoded, head_of};
use crate::model::Model;
use crate::study::Id;
use crate::{Context, Error, Result, bail};

use super::learner::Learner;
use super::options::TrainOptions;
use super::vars::{freeze, track};

/// The adapter with its head after `steps` steps of training on the first batches of `data`'s train
/// split, at the constant learning rate and with the batch of [`TrainOptions::new`] for its kind;
/// without dropout. Its mask stays exact.
pub fn warmed(
    model: &Model,
    adapter: &Adapter,
    data: &Dataset,
    steps: usize,
    seed: u64,
    context: &Context,
) -> Result<Adapter> {
    adapter.fits(model)?;
    check_base(adapter, model, context)?;
    let (head, _) = head_of(adapter, data, context)?;
    if head.form.is_next_token() {
        bail!("warm-up trains adapters with a classifier's head");
    }
    let options = TrainOptions {
        from: Some(adapter.clone()),
        dropout: Some(0.0),
        ..TrainOptions::new(adapter.kind().clone(), seed)
    };
    let max_length = model.max_length();
    let mut learner = Learner {
        model: model.clone(),
        options: &options,
        rows: Encoded::of(model, data, Split::Train, &head.labels, max_length)?,
        adapter: track(&*adapter.tensors()?, model)?,
        form: head.form.clone(),
        head: track(&head.tensors, model)?,
        at_once: usize::MAX,
        token_budget: options.token_budget,
    };
    // The head's outputs stand in its own order of labels.
    if learner.rows.labels != crate::adapter::Labels::Number {
        let outputs = learner.rows.outputs.clone();
        for gold in &mut learner.rows.gold {
            *gold = outputs[*gold as usize] as f64;
        }
    }
    let mut optimizer = learner.optimizer()?;
    let lengths = learner.lengths();
    if lengths.is_empty() {
        bail!("{}: the train split has no rows", data.name());
    }
    let epochs = 1..;
    let batches = epochs.flat_map(|epoch| {
        let batches = training_batches(&lengths, options.batch, seed, epoch);
        batches.into_iter().map(move |batch| (epoch, batch))
    });
    let batches = batches.take(steps);
    threads::in_pool(|| {
        if let Some(told) = learner.settle(batches.clone().map(|(_, batch)| batch))? {
            context.notice(format!("{}: {told}", adapter.name()));
        }
        for (epoch, batch) in batches {
            context.check()?;
            let (_, gradients) = learner.gradients(&batch, epoch)?;
            optimizer.step(&gradients, options.lr)?;
        }
        Ok::<_, Error>(())
    })?;
    let mut parts = adapter.parts().clone();
    let before = crate::adapter::head_id(head);
    let mut head = head.clone();
    head.tensors = freeze(&learner.head)?;
    parts.id = Id::of_recipe(
        "warmed/2",
        &serde_json::json!({
            "adapter": adapter.id().as_str(), "base": model.key(), "data": data.id(),
            "head": before, "steps": steps, "seed": seed, "class": crate::compute::class(),
        }),
    );
    parts.heads = vec![head.into()];
    Adapter::new(parts, freeze(&learner.adapter)?)
}
