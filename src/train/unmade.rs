//! An adapter that a run leaves untrained, and what its training would take.

use crate::adapter::{Adapter, Parts, Training};
use crate::compute::threads;
use crate::data::{Dataset, Split};
use crate::evaluate::{Encoded, labels_of};
use crate::model::Model;
use crate::study::{Cost, Id, Work};
use crate::{Context, Result};

use super::fresh::untrained;
use super::trainer::TrainOptions;

/// How much longer a step takes than reading its tokens forward: the way back through the frozen
/// blocks is about two of them.
const STEP: f64 = 2.7;

/// Everything of the adapter that would be trained but its weights. What it takes is noted.
pub(super) fn unmade(
    model: &Model,
    data: &Dataset,
    options: &TrainOptions,
    (id, training): (Id, Training),
    context: &Context,
) -> Result<Adapter> {
    let (labels, length) = (labels_of(data), training.max_length);
    let encoded = |split| Encoded::of(model, data, split, &labels, length);
    let (train, validation) = (encoded(Split::Train)?, encoded(Split::Validation)?);
    let epochs = options.epochs as u64;
    let tokens = epochs * (train.tokens() + validation.tokens());
    let forward = STEP * train.tokens() as f64 + validation.tokens() as f64;
    let fresh = untrained(model, data, options.kind.clone(), options.init_seed)?;
    let shapes = match &options.from {
        Some(start) => start.shapes()?,
        None => fresh.shapes()?,
    };
    let weights: usize = shapes.values().map(|s| s.iter().product::<usize>()).sum();
    context.plan().leave(
        id.clone(),
        Cost {
            work: Work::Training,
            tokens,
            seconds: threads::in_pool(|| train.rate(model, context))? * epochs as f64 * forward,
            bytes: 4 * weights as u64,
        },
    );
    let parts = Parts {
        id,
        init_seed: None,
        training: Some(training),
        ..fresh.parts().clone()
    };
    Ok(Adapter::unmade(parts, shapes))
}
