//! An adapter that a run leaves untrained, and what its training would take.

use std::sync::Arc;

use crate::adapter::{Adapter, Parts};
use crate::compute::threads;
use crate::data::Split;
use crate::evaluate::{Encoded, labels_of};
use crate::study::{Cost, Work};
use crate::{Context, Result};

use super::fresh::untrained;
use super::job::Job;

/// How much longer a step takes than reading its tokens forward: the way back through the frozen
/// blocks is about two of them.
const STEP: f64 = 2.7;

/// Everything of the adapter that would be trained but its weights. What it takes is noted.
pub(super) fn unmade(job: &Job<'_>, context: &Context) -> Result<Adapter> {
    let (model, data, options) = (job.model, job.data, job.options);
    let labels = labels_of(data);
    let encoded = |split| Encoded::of(model, data, split, &labels, job.max_length);
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
        job.id.clone(),
        Cost {
            work: Work::Training,
            tokens,
            seconds: threads::in_pool(|| train.rate(model, context))? * epochs as f64 * forward,
            bytes: 4 * weights as u64,
        },
    );
    let mut heads = fresh.heads().to_vec();
    if let Some(kept) = &job.kept {
        for head in &mut heads {
            let head = Arc::make_mut(head);
            head.labels = kept.labels.clone();
            head.form = kept.head.form.clone();
            head.tensors.clone_from(&kept.head.tensors);
        }
    }
    let parts = Parts {
        id: job.id.clone(),
        heads,
        init_seed: None,
        training: Some(job.training(0, Vec::new(), None)),
        ..fresh.parts().clone()
    };
    Ok(Adapter::unmade(parts, shapes))
}
