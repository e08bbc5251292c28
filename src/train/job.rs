//! A training as it is asked for: its id, what the store has of it, the adapters it makes.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::adapter::{
    Adapter, Epoch, Form, Head, Labels, Parts, Tensors, Training, formats::own, head_id,
};
use crate::data::Dataset;
use crate::model::Model;
use crate::prune::Mask;
use crate::study::Id;
use crate::{Context, Result};

use super::fresh::base_of;
use super::kept::Kept;
use super::options::{Keep, TrainOptions};

/// What is to be trained on what, and how.
pub(super) struct Job<'a> {
    pub model: &'a Model,
    pub data: &'a Dataset,
    pub options: &'a TrainOptions,
    /// The head that it goes on with; none where it begins with a new one.
    pub kept: Option<Kept<'a>>,
    /// The longest text in tokens.
    pub max_length: usize,
    described: Value,
    /// The result's.
    pub id: Id,
}

/// An adapter with its head in the course of a training.
pub(super) struct Snapshot {
    pub tensors: Tensors,
    pub form: Form,
    pub head: Tensors,
    pub labels: Labels,
    pub mask: Option<Arc<Mask>>,
    /// The epoch it is of.
    pub epoch: usize,
    /// All epochs so far.
    pub epochs: Vec<Epoch>,
}

impl<'a> Job<'a> {
    pub fn new(
        model: &'a Model,
        data: &'a Dataset,
        options: &'a TrainOptions,
        kept: Option<Kept<'a>>,
    ) -> Self {
        let max_length = options
            .max_length
            .unwrap_or_else(|| model.max_length())
            .min(model.config().positions());
        let mut described = options.describe(model, max_length);
        if let Some(head) = kept.as_ref().and_then(|kept| kept.describe(data)) {
            described["head"] = head;
        }
        let mut recipe = json!({
            "base": model.key(),
            "data": data.id(),
            "options": described,
            "class": model.class(),
        });
        // Which head goes on depends on the dataset's name, too, which is not part of its id.
        if options.from.is_some() {
            recipe["head"] = json!(kept.as_ref().map(|kept| head_id(kept.head)));
        }
        Self {
            model,
            data,
            options,
            kept,
            max_length,
            described,
            id: Id::of_recipe("train/3", &recipe),
        }
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        format!("{} ({})", self.data.name(), self.options.kind.name())
    }

    /// The result, with the checkpoints that are asked for, if the store has them all.
    pub fn stored(&self, context: &Context) -> Option<Adapter> {
        let adapter = self.read(&self.id, context)?;
        if self.options.keep == Keep::Nothing {
            return Some(adapter);
        }
        let steps: Vec<usize> = serde_json::from_slice(&context.kept(&self.list())?).ok()?;
        let checkpoints = self.checkpoints(steps, context)?;
        Some(with_checkpoints(&adapter, checkpoints))
    }

    /// Keeps the result, and which checkpoints it has, which are kept already.
    pub fn keep(&self, adapter: &Adapter, context: &Context) -> Result<()> {
        if context.store().is_none() {
            return Ok(());
        }
        if let Some(training) = adapter.training()
            && self.options.keep != Keep::Nothing
        {
            let steps: Value = training.checkpoints.iter().map(step).collect();
            context.keep(&self.list(), steps.to_string().as_bytes());
        }
        context.keep(&self.id, &own::encode(adapter)?);
        Ok(())
    }

    /// The checkpoints after these steps; none unless the store has them all.
    pub fn checkpoints(
        &self,
        steps: impl IntoIterator<Item = usize>,
        context: &Context,
    ) -> Option<Vec<Adapter>> {
        let one = |step| self.read(&self.checkpoint_id(step), context);
        steps.into_iter().map(one).collect()
    }

    /// The result of the training.
    pub fn result(&self, best: Snapshot, checkpoints: Vec<Adapter>) -> Result<Adapter> {
        let name = self.data.name().to_string();
        let adapter = self.adapter(self.id.clone(), name, best, None)?;
        Ok(match self.options.keep {
            Keep::Nothing => adapter,
            _ => with_checkpoints(&adapter, checkpoints),
        })
    }

    /// The checkpoint after a step, kept in the store.
    pub fn checkpoint(&self, now: Snapshot, step: usize, context: &Context) -> Result<Adapter> {
        let id = self.checkpoint_id(step);
        let name = format!("{}-step-{step}", self.data.name());
        let adapter = self.adapter(id.clone(), name, now, Some(step))?;
        if context.store().is_some() {
            context.keep(&id, &own::encode(&adapter)?);
        }
        Ok(adapter)
    }

    fn checkpoint_id(&self, step: usize) -> Id {
        Id::of_recipe("checkpoint/1", &json!({"training": self.id, "step": step}))
    }

    /// The id of the list of steps after which there are checkpoints.
    fn list(&self) -> Id {
        let keep = match self.options.keep {
            Keep::Nothing => Value::Null,
            Keep::Epochs => json!("epochs"),
            Keep::Steps(every) => json!(every),
        };
        Id::of_recipe("checkpoints/1", &json!({"training": self.id, "keep": keep}))
    }

    /// What the store has of this id. The dataset's name, which an adapter and its head go by, is
    /// not part of the id.
    fn read(&self, id: &Id, context: &Context) -> Option<Adapter> {
        let found = own::decode(&context.kept(id)?, id.clone(), Some(self.data.clone())).ok()?;
        let name = self.data.name();
        let mut parts = found.parts().clone();
        let kept = parts.training.as_ref()?.dataset.clone();
        if kept == name {
            return Some(found);
        }
        let end = parts.name.strip_prefix(&kept).unwrap_or_default();
        parts.name = format!("{name}{end}");
        for head in &mut parts.heads {
            Arc::make_mut(head).name = name.to_string();
        }
        if let Some(training) = &mut parts.training {
            training.dataset = name.to_string();
        }
        Some(found.with_parts(parts))
    }

    /// How an adapter of it was trained.
    pub fn training(&self, epoch: usize, epochs: Vec<Epoch>, step: Option<usize>) -> Training {
        Training {
            dataset: self.data.name().to_string(),
            dataset_id: self.data.id().to_string(),
            init_seed: self.options.began(),
            max_length: self.max_length,
            best_epoch: epoch,
            epochs,
            options: self.described.clone(),
            step,
            checkpoints: Arc::default(),
        }
    }

    fn adapter(&self, id: Id, name: String, of: Snapshot, step: Option<usize>) -> Result<Adapter> {
        let head = Head {
            name: self.data.name().to_string(),
            dataset: Some(self.data.id().to_string()),
            labels: of.labels,
            form: of.form,
            tensors: of.head,
        };
        let parts = Parts {
            name,
            kind: self.options.kind.clone(),
            base: base_of(self.model),
            id,
            heads: vec![Arc::new(head)],
            mask: of.mask,
            training: Some(self.training(of.epoch, of.epochs, step)),
            init_seed: None,
            domain: Some(self.data.clone()),
            source: None,
            metadata: Default::default(),
        };
        Adapter::new(parts, of.tensors)
    }
}

fn step(checkpoint: &Adapter) -> Option<usize> {
    checkpoint.training()?.step
}

fn with_checkpoints(adapter: &Adapter, checkpoints: Vec<Adapter>) -> Adapter {
    let mut parts = adapter.parts().clone();
    if let Some(training) = &mut parts.training {
        training.checkpoints = checkpoints.into();
    }
    adapter.with_parts(parts)
}
