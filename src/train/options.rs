//! How to train, and what to keep of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::adapter::{Adapter, Kind};
use crate::compute::random::Stream;
use crate::model::Model;

use super::gradual::Gradual;

/// Which checkpoints a training keeps beside its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// None.
    #[default]
    Nothing,
    /// One at the end of every epoch.
    Epochs,
    /// One after every so many steps; at least 1.
    Steps(usize),
}

impl Keep {
    /// Whether there is a checkpoint after `step` steps, counted from 1.
    pub(super) fn at(self, step: usize, steps_an_epoch: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::Epochs => step.is_multiple_of(steps_an_epoch.max(1)),
            Self::Steps(every) => step.is_multiple_of(every.max(1)),
        }
    }
}

/// How to train.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The kind of adapter, with its settings.
    pub kind: Arc<dyn Kind>,
    /// Passes over the training split.
    pub epochs: usize,
    /// Rows a step.
    pub batch: usize,
    /// Peak learning rate.
    pub lr: f64,
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// Share of all steps in which the learning rate rises.
    pub warmup: f64,
    /// Bound on the norm of all gradients together.
    pub max_norm: f64,
    /// Dropout; by default the model's own.
    pub dropout: Option<f64>,
    /// The longest text in tokens; by default the model's.
    pub max_length: Option<usize>,
    /// Epochs without a better validation score before training ends; none trains them all.
    pub patience: Option<usize>,
    /// Moves the order of rows and the dropout.
    pub seed: u64,
    /// Moves the initial tensors, and those of a new head.
    pub init_seed: u64,
    /// Start from this adapter's tensors, mask and (for the same labels) head.
    pub from: Option<Adapter>,
    /// Grow sparse on the way.
    pub gradual: Option<Gradual>,
    /// The most tokens computed at once; a larger batch is split and its gradients added.
    pub token_budget: usize,
    /// The checkpoints kept beside the result, which does not depend on it.
    pub keep: Keep,
    /// How far the training has come is kept in the store at the end of an epoch once so much
    /// time has passed since it was last kept or the training began; by default 0.2 s, and at
    /// least 20 times what keeping it took. Zero: at the end of every epoch, whatever it takes.
    /// The result does not depend on it.
    pub state_after: Duration,
}

impl TrainOptions {
    /// The defaults for a kind of adapter: 3 epochs of batches of 32, AdamW with weight decay
    /// 0.01, learning rate 1e-3 (5e-4 for LoRA), warm-up 6 %, gradient norm 1.
    pub fn new(kind: Arc<dyn Kind>, seed: u64) -> Self {
        let lr = match kind.name() {
            "lora" | "dora" => 5e-4,
            "ia3" => 5e-3,
            _ => 1e-3,
        };
        Self {
            kind,
            epochs: 3,
            batch: 32,
            lr,
            weight_decay: 0.01,
            warmup: 0.06,
            max_norm: 1.0,
            dropout: None,
            max_length: None,
            patience: None,
            seed,
            init_seed: seed,
            from: None,
            gradual: None,
            token_budget: 16_384,
            keep: Keep::Nothing,
            state_after: Duration::from_millis(200),
        }
    }

    /// The seed that the initial tensors were drawn under; none where `from` does not record it.
    pub(super) fn began(&self) -> Option<u64> {
        match &self.from {
            Some(start) => start.init_seed(),
            None => Some(self.init_seed),
        }
    }

    /// Everything that decides the result, for the id and the record. The token budget is not
    /// among it by intent but is by rounding.
    pub(super) fn describe(&self, model: &Model, max_length: usize) -> Value {
        let mut all = json!({
            "kind": self.kind.name(),
            "config": self.kind.config(),
            "epochs": self.epochs,
            "batch": self.batch,
            "lr": self.lr,
            "weight_decay": self.weight_decay,
            "warmup": self.warmup,
            "max_norm": self.max_norm,
            "dropout": self.dropout,
            "max_length": max_length,
            "patience": self.patience,
            "seed": self.seed,
            "init_seed": self.began(),
            "from": self.from.as_ref().map(|a| a.id().as_str()),
            "token_budget": self.token_budget,
            "precision": model.precision(),
            "streams": Stream::VERSION,
        });
        if self.from.is_some() {
            all["head_seed"] = json!(self.init_seed);
        }
        if let Some(gradual) = &self.gradual {
            all["gradual"] = gradual.describe();
        }
        all
    }
}
