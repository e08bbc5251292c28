//! Training an adapter with its head on a frozen model.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::adapter::{
    Adapter, Epoch, Form, Head, Kind, Labels, Name, Parts, Tensors, Training, on_model,
};
use crate::compute::{random::Stream, threads};
use crate::data::batch::training_batches;
use crate::data::{Dataset, Split};
use crate::evaluate::{Encoded, Score, evaluate_rows, labels_of};
use crate::model::Model;
use crate::prune::Mask;
use crate::study::Id;
use crate::{Context, Error, Result, bail};

use super::fresh::{base_of, draw, initial};
use super::gradual::{Gradual, GradualBy};
use super::journal;
use super::learner::Learner;
use super::schedule::linear_warmup;
use super::vars::{freeze, track};

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
        }
    }

    /// The seed that the initial tensors were drawn under; none where `from` does not record it.
    fn began(&self) -> Option<u64> {
        match &self.from {
            Some(start) => start.init_seed(),
            None => Some(self.init_seed),
        }
    }

    /// Everything that decides the result, for the id and the record. The token budget is not
    /// among it by intent but is by rounding.
    fn describe(&self, model: &Model, max_length: usize) -> Value {
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

/// Trains an adapter and a head on `data`'s train split and keeps the best epoch by its
/// validation split. A result in the context's store is used instead.
pub fn train(
    model: &Model,
    data: &Dataset,
    options: &TrainOptions,
    context: &Context,
) -> Result<Adapter> {
    if let Some(gradual) = &options.gradual {
        gradual.check(options.kind.as_ref(), model.config())?;
    }
    let max_length = options
        .max_length
        .unwrap_or_else(|| model.max_length())
        .min(model.config().positions());
    let described = options.describe(model, max_length);
    let id = Id::of_recipe(
        "train/1",
        &json!({
            "base": model.id(),
            "data": data.id(),
            "options": described,
            "class": model.class(),
        }),
    );
    if let Some(store) = context.store()
        && let Some(bytes) = store.get(&id)
        && let Ok(adapter) =
            crate::adapter::formats::own::decode(&bytes, id.clone(), Some(data.clone()))
    {
        // Who times this should know.
        let kind = options.kind.name();
        context.notice(format!(
            "{} ({kind}): trained before, taken from the store",
            data.name()
        ));
        journal::tell(context, (model, data, options), &adapter, true);
        return Ok(adapter);
    }
    if let Some(what) = options.kind.unapplied() {
        context.notice(format!(
            "{}: {what} are not applied in training",
            data.name()
        ));
    }
    let trained = threads::in_pool(|| Run::new(model, data, options, max_length)?.run(context))?;
    let parts = Parts {
        name: data.name().to_string(),
        kind: options.kind.clone(),
        base: base_of(model),
        id: id.clone(),
        heads: vec![Arc::new(Head {
            name: data.name().to_string(),
            dataset: Some(data.id().to_string()),
            labels: trained.labels,
            form: trained.form,
            tensors: trained.head,
        })],
        mask: trained.mask,
        training: Some(Training {
            dataset: data.name().to_string(),
            dataset_id: data.id().to_string(),
            init_seed: options.began(),
            max_length,
            best_epoch: trained.best_epoch,
            epochs: trained.epochs,
            options: described,
        }),
        init_seed: None,
        domain: Some(data.clone()),
        source: None,
    };
    let adapter = Adapter::new(parts, trained.tensors)?;
    if let Some(store) = context.store() {
        store.put(&id, &crate::adapter::formats::own::encode(&adapter)?)?;
    }
    journal::tell(context, (model, data, options), &adapter, false);
    Ok(adapter)
}

struct Run<'a> {
    model: &'a Model,
    data: &'a Dataset,
    options: &'a TrainOptions,
    learner: Learner<'a>,
    validation: Encoded,
}

struct Trained {
    tensors: Tensors,
    form: Form,
    head: Tensors,
    labels: Labels,
    mask: Option<Arc<Mask>>,
    best_epoch: usize,
    epochs: Vec<Epoch>,
}

impl<'a> Run<'a> {
    fn new(
        model: &'a Model,
        data: &'a Dataset,
        options: &'a TrainOptions,
        max_length: usize,
    ) -> Result<Self> {
        let labels = labels_of(data);
        let rows = Encoded::of(model, data, Split::Train, &labels, max_length)?;
        let validation = Encoded::of(model, data, Split::Validation, &labels, max_length)?;
        if rows.encodings.is_empty() {
            bail!("{}: the train split has no rows", data.name());
        }
        let (tensors, head) = match &options.from {
            Some(start) => {
                start.fits(model)?;
                let own = start.head_for(data).ok().filter(|h| h.labels == labels);
                (start.tensors()?.as_ref().clone(), own.cloned())
            }
            None => (
                initial(options.kind.as_ref(), model, options.init_seed)?,
                None,
            ),
        };
        let (form, head) = match head {
            Some(head) => (head.form, head.tensors),
            None => {
                let parameters = Head::parameters(model.config().hidden_size, &labels)?;
                let head = draw(parameters, options.init_seed, model)?;
                (Form::default(), head)
            }
        };
        Ok(Self {
            model,
            data,
            options,
            learner: Learner {
                model,
                options,
                rows,
                adapter: track(&tensors, model)?,
                form,
                head: track(&head, model)?,
            },
            validation,
        })
    }

    fn run(self, context: &Context) -> Result<Trained> {
        let o = self.options;
        let lengths = self.learner.lengths();
        let steps_an_epoch = lengths.len().div_ceil(o.batch);
        let steps = steps_an_epoch * o.epochs;
        let warmup = (o.warmup * steps as f64).ceil() as usize;
        let mut optimizer = self.learner.optimizer()?;
        let mut mask = o.from.as_ref().and_then(|a| a.mask().cloned());
        let names: Vec<Name> = self.learner.adapter.keys().cloned().collect();
        if o.gradual
            .as_ref()
            .is_some_and(|g| g.by == GradualBy::Movement)
        {
            optimizer.follow_movement();
        }
        let progress = context.progress();
        progress.start(
            &format!("train {}", self.data.name()),
            steps as u64,
            "steps",
        );
        let (mut step, mut epochs) = (0, Vec::new());
        let mut best: Option<(f64, f64, usize, Tensors, Tensors)> = None;
        for epoch in 1..=o.epochs {
            let (mut sum, mut seen) = (0.0, 0);
            for batch in training_batches(&lengths, o.batch, o.seed, epoch) {
                context.check()?;
                let (mean, gradients) = self.learner.gradients(&batch, epoch)?;
                if !mean.is_finite() {
                    return Err(Error::new(format!(
                        "training on {} gave a loss of {mean} at step {}",
                        self.data.name(),
                        step + 1
                    ))
                    .hint("a smaller lr helps"));
                }
                optimizer.step(&gradients, o.lr * linear_warmup(step, steps, warmup))?;
                step += 1;
                if let Some(gradual) = &o.gradual {
                    let (before, now) = (gradual.at(step - 1, steps), gradual.at(step, steps));
                    if now > before {
                        let found = gradual.mask(&optimizer, &names, now, mask.as_deref())?;
                        optimizer.restrict(&found)?;
                        mask = Some(Arc::new(found));
                    }
                }
                sum += mean * batch.len() as f64;
                seen += batch.len();
                progress.update(step as u64, &format!("loss {:.3}", sum / seen as f64));
            }
            let score = self.validate(context)?;
            epochs.push(Epoch {
                loss: sum / seen as f64,
                validation_loss: score.as_ref().map(|s| s.loss),
                validation_score: score.as_ref().map(Score::selection),
            });
            // An adapter that is still to be pruned is not what was asked for.
            if o.gradual
                .as_ref()
                .is_some_and(|g| g.at(step, steps) < g.sparsity)
            {
                continue;
            }
            // Without a validation split there is nothing to choose by: the last epoch is kept.
            let (selection, loss) = score.map_or((epoch as f64, 0.0), |s| (s.selection(), s.loss));
            let better = best
                .as_ref()
                .is_none_or(|(s, l, ..)| selection > *s || (selection == *s && loss < *l));
            if better {
                let (tensors, head) = (freeze(&self.learner.adapter)?, freeze(&self.learner.head)?);
                best = Some((selection, loss, epoch, tensors, head));
            }
            let waited = epoch - best.as_ref().map_or(epoch, |b| b.2);
            if o.patience.is_some_and(|patience| waited >= patience) {
                break;
            }
        }
        progress.finish();
        if let Some(majority) = self.no_better_than(&best) {
            context.notice(format!(
                "{}: on validation the adapter does no better than always giving the most frequent label ({majority:.3}); more epochs or a larger lr may help",
                self.data.name()
            ));
        }
        let Some((_, _, best_epoch, tensors, head)) = best else {
            bail!("training on {} needs at least one epoch", self.data.name());
        };
        Ok(Trained {
            tensors,
            form: self.learner.form.clone(),
            head,
            labels: self.learner.rows.labels.clone(),
            mask,
            best_epoch,
            epochs,
        })
    }

    /// The share of the most frequent validation label, where the best epoch does not exceed it.
    fn no_better_than(&self, best: &Option<(f64, f64, usize, Tensors, Tensors)>) -> Option<f64> {
        let gold = &self.validation.gold;
        if gold.is_empty() || self.learner.rows.labels == Labels::Number {
            return None;
        }
        let counts = (0..self.learner.rows.labels.outputs())
            .map(|class| gold.iter().filter(|g| **g == class as f64).count());
        let majority = counts.max()? as f64 / gold.len() as f64;
        (best.as_ref()?.0 <= majority).then_some(majority)
    }

    /// The score on the validation split; none where there is no such split.
    fn validate(&self, context: &Context) -> Result<Option<Score>> {
        if self.validation.encodings.is_empty() {
            return Ok(None);
        }
        let tensors = on_model(&freeze(&self.learner.adapter)?, self.model)?;
        let sites = self.options.kind.sites(&tensors, self.model.config())?;
        let head = Head {
            name: self.data.name().to_string(),
            dataset: None,
            labels: self.learner.rows.labels.clone(),
            form: self.learner.form.clone(),
            tensors: freeze(&self.learner.head)?,
        };
        let (model, rows) = (self.model, &self.validation);
        evaluate_rows(model, sites.as_ref(), &head, rows, context, false).map(Some)
    }
}
