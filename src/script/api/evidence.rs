//! What pruning looks at beside the weights: gradients, curvature, other adapters, the start.

use std::sync::Arc;

use rhai::Array;

use crate::Result;
use crate::adapter::{Adapter, Selection, Tensors};
use crate::data::Dataset;
use crate::model::Model;
use crate::prune::{Criterion, Need, conflicts};
use crate::script::{Options, Session, describe};
use crate::train::{curvature_over, gradients_over};

/// What the criterion needs beside the weights of `scored`, which is `adapter` itself or that after
/// a warm-up.
pub(super) fn evidence(
    session: &Session,
    scored: &Adapter,
    adapter: &Adapter,
    options: &Options,
    (by, include): (&dyn Criterion, &Selection),
    seed: u64,
) -> Result<Option<Tensors>> {
    let context = session.context();
    match by.needs() {
        Need::Nothing | Need::Flow => Ok(None),
        Need::Gradient | Need::Curvature => {
            let (model, data) = where_gradients_are(adapter, options, by.name())?;
            let batches = options.count("batches")?;
            match by.needs() {
                Need::Gradient => gradients_over(&model, scored, &data, batches, seed, context),
                _ => {
                    let what = (batches, include);
                    curvature_over(&model, scored, &data, what, seed, context)
                }
            }
            .map(Some)
        }
        Need::Conflict => {
            let Some(others) = options.value::<Array>("among")? else {
                return Err(options.error(
                    "among",
                    "conflict needs the adapters it is to be mixed with",
                ));
            };
            let mut set = vec![(adapter.name().to_string(), scored.reached(include)?)];
            for other in &others {
                match other.clone().try_cast::<Adapter>() {
                    Some(other) if other.id() == adapter.id() => {}
                    Some(other) => set.push((other.name().to_string(), other.reached(include)?)),
                    None => {
                        let found = format!("expected adapters, got {}", describe(other));
                        return Err(options.error("among", found));
                    }
                }
            }
            let set: Vec<_> = set
                .iter()
                .map(|(n, t)| (n.as_str(), Arc::new(t.clone())))
                .collect();
            conflicts(&set, include).map(Some)
        }
        Need::Start => match options.value::<Adapter>("start")? {
            Some(start) => Ok(Some(start.tensors()?.as_ref().clone())),
            None => began(scored, include, options).map(Some),
        },
    }
}

/// The weights that training began from, by the seed that the adapter records.
fn began(adapter: &Adapter, include: &Selection, options: &Options) -> Result<Tensors> {
    let seed = match adapter.training() {
        Some(training) if training.options["from"].is_null() => training.init_seed,
        // It began as that adapter, wherever that one had begun.
        Some(_) => None,
        None => adapter.parts().init_seed,
    };
    let Some(seed) = seed else {
        return Err(options.error(
            "start",
            format!(
                "where {} began is not recorded: give the adapter it began as",
                adapter.name()
            ),
        ));
    };
    let mut found = Tensors::new();
    for (name, shape) in include.pick(&adapter.shapes()?)? {
        let init = adapter.kind().initial(name, shape)?;
        if let Some(tensor) = init.drawn(seed, name, shape)? {
            found.insert(name.clone(), tensor);
        }
    }
    Ok(found)
}

/// The model and the rows that gradients are taken on.
pub(super) fn where_gradients_are(
    adapter: &Adapter,
    options: &Options,
    by: &str,
) -> Result<(Model, Dataset)> {
    let Some(model) = options.value::<Model>("model")? else {
        let example = match by {
            "warm-up" => "#{ warmup: 20, model: base }".to_string(),
            _ => format!("#{{ by: \"{by}\", model: base }}"),
        };
        return Err(options.error("model", format!("{by} needs it: {example}")));
    };
    let data = match options.value::<Dataset>("data")? {
        Some(data) => data,
        None => match adapter.domain() {
            Some(data) => data.clone(),
            None => {
                return Err(options.error(
                    "data",
                    format!("{by} needs it: the adapter's own is not known"),
                ));
            }
        },
    };
    Ok((model, data))
}
