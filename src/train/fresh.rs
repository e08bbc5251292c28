//! Adapters and heads as training begins with them.

use std::sync::Arc;

use serde_json::json;

use crate::Result;
use crate::adapter::formats::peft::classifier_form;
use crate::adapter::kind::Parameter;
use crate::adapter::{Adapter, Base, Form, Head, Kind, Parts, Tensors};
use crate::compute::random::Stream;
use crate::data::Dataset;
use crate::evaluate::labels_of;
use crate::model::Model;
use crate::study::Id;

/// The initial tensors of a kind under a seed: the shared initialisation of a study.
pub fn initial(kind: &dyn Kind, model: &Model, init_seed: u64) -> Result<Tensors> {
    draw(kind.parameters(model.config())?, init_seed, model)
}

/// Draws tensors under a seed.
pub(super) fn draw(parameters: Vec<Parameter>, seed: u64, model: &Model) -> Result<Tensors> {
    let one = |p: Parameter| {
        let tensor = p.init.draw(seed, &p.name, &p.shape, model)?;
        Ok((p.name, tensor))
    };
    parameters.into_iter().map(one).collect()
}

/// What a fresh head of a model is made of: AdapterHub's default; where its library has no class for
/// the model, what transformers' own classifier of that kind is, in which PEFT can save it.
pub fn head_form(model: &Model) -> Result<Form> {
    let architecture = model.config().architecture()?;
    Ok(match architecture.hub {
        Some(_) => Form::default(),
        None => classifier_form(architecture.model_type).unwrap_or_default(),
    })
}

/// An adapter of a kind with its head as [`super::train`] begins with them.
pub fn untrained(
    model: &Model,
    data: &Dataset,
    kind: Arc<dyn Kind>,
    init_seed: u64,
) -> Result<Adapter> {
    let labels = labels_of(data);
    let recipe = json!({
        "base": model.key(),
        "data": data.id(),
        "config": kind.config(),
        "init_seed": init_seed,
        "streams": Stream::VERSION,
    });
    let tensors = initial(kind.as_ref(), model, init_seed)?;
    let form = head_form(model)?;
    let parameters = form.parameters(model.config().hidden_size, &labels)?;
    let head = Head {
        name: data.name().to_string(),
        dataset: Some(data.id().to_string()),
        tensors: draw(parameters, init_seed, model)?,
        labels,
        form,
    };
    let parts = Parts {
        name: data.name().to_string(),
        kind,
        base: base_of(model),
        id: Id::of_recipe("untrained/1", &recipe),
        heads: vec![Arc::new(head)],
        mask: None,
        training: None,
        init_seed: Some(init_seed),
        domain: Some(data.clone()),
        source: None,
        metadata: Default::default(),
    };
    Adapter::new(parts, tensors)
}

/// A model as the base of an adapter.
pub(super) fn base_of(model: &Model) -> Base {
    Base {
        name: model.name().to_string(),
        id: Some(model.id().to_string()),
        model_type: model.config().model_type.clone(),
        hidden_size: model.config().hidden_size,
    }
}
