//! Training an adapter with its head on a frozen model.

use std::time::{Duration, Instant};

use crate::adapter::{Adapter, Epoch, Head, Labels, Name, Tensors, check_base, on_model};
use crate::compute::threads;
use crate::data::batch::training_batches;
use crate::data::{Dataset, Order, Split, Task};
use crate::evaluate::{Encoded, Score, evaluate_rows, labels_of};
use crate::model::Model;
use crate::study::Work;
use crate::{Context, Error, Result, bail};

use super::fresh::{draw, head_form, initial};
use super::gradual::GradualBy;
use super::job::{Job, Snapshot};
use super::journal;
use super::kept::Kept;
use super::learner::Learner;
use super::optimizer::AdamW;
use super::options::TrainOptions;
use super::schedule::linear_warmup;
use super::state::{Best, State};
use super::unmade::unmade;
use super::vars::{freeze, track};

/// The share of its time that a training spends at most on keeping how far it has come, as a
/// divisor.
const KEEPING: u32 = 20;

/// Trains an adapter and a head on `data`'s train split and keeps the best epoch by its
/// validation split. A result in the context's store is used instead; a training that was stopped
/// or killed goes on after the last epoch that the store has of it, and ends with the same bits.
pub fn train(
    model: &Model,
    data: &Dataset,
    options: &TrainOptions,
    context: &Context,
) -> Result<Adapter> {
    if let Some(gradual) = &options.gradual {
        gradual.check(options.kind.as_ref(), model.config())?;
    }
    let kept = match &options.from {
        Some(start) => {
            check_base(start, model, context)?;
            Kept::of(start, data, context)?
        }
        None => None,
    };
    if kept.is_none() {
        tell_of_classes(data, context);
    }
    let job = Job::new(model, data, options, kept);
    let rows = data.split(Split::Train).len();
    if rows.div_ceil(options.batch) * options.epochs == 1 && options.warmup > 0.0 {
        context.notice(format!(
            "{}: the warm-up begins at a learning rate of 0 and this training is one step, so it changes nothing; smaller batches, more epochs or warmup: 0 help",
            job.name()
        ));
    }
    if let Some(adapter) = job.stored(context) {
        // It may have been killed between its result and its end.
        if let Some(store) = context.store() {
            let _ = store.drop_state(&job.id);
        }
        // Who times this should know.
        context.notice(format!(
            "{}: trained before, taken from the store",
            job.name()
        ));
        journal::tell(context, (model, data, options), &adapter, true);
        return Ok(adapter);
    }
    if !context.plan().computes(Work::Training, &job.id) {
        return unmade(&job, context);
    }
    if let Some(what) = options.kind.unapplied() {
        context.notice(format!(
            "{}: {what} are not applied in training",
            data.name()
        ));
    }
    let (best, checkpoints) = threads::in_pool(|| Run::new(&job)?.run(context))?;
    let adapter = job.result(best, checkpoints)?;
    job.keep(&adapter, context)?;
    journal::tell(context, (model, data, options), &adapter, false);
    Ok(adapter)
}

/// A notice where a dataset declares classes without a row in train, for which a new head has no
/// output: whoever reads the head by the numbers of the classes would take one for another.
fn tell_of_classes(data: &Dataset, context: &Context) {
    if let Task::Classification { labels, order } = data.task()
        && let Order::Declared(numbering) = order
        && !numbering.is_full()
    {
        context.notice_once(format!(
            "{}: {} of the {} classes have rows, so the head has as many outputs: {}",
            data.name(),
            labels.len(),
            numbering.classes,
            labels.join(", ")
        ));
    }
}

struct Run<'a> {
    job: &'a Job<'a>,
    learner: Learner<'a>,
    validation: Encoded,
}

impl<'a> Run<'a> {
    fn new(job: &'a Job<'a>) -> Result<Self> {
        let (model, data, options) = (job.model, job.data, job.options);
        let labels = labels_of(data);
        let mut rows = Encoded::of(model, data, Split::Train, &labels, job.max_length)?;
        let mut validation = Encoded::of(model, data, Split::Validation, &labels, job.max_length)?;
        if rows.encodings.is_empty() {
            bail!("{}: the train split has no rows", data.name());
        }
        let tensors = match &options.from {
            Some(start) => {
                start.fits(model)?;
                if let [only] = start.heads() {
                    let runs = only.form.layers();
                    runs.map_err(|e| e.within(format!("adapter {}", start.name())))?;
                }
                start.tensors()?.as_ref().clone()
            }
            None => initial(options.kind.as_ref(), model, options.init_seed)?,
        };
        let (form, head) = match &job.kept {
            Some(kept) => {
                kept.renumber(&mut rows);
                kept.read_by(&mut validation);
                (kept.head.form.clone(), kept.head.tensors.clone())
            }
            None => {
                let form = head_form(model)?;
                let parameters = form.parameters(model.config().hidden_size, &labels)?;
                let head = draw(parameters, options.init_seed, model)?;
                (form, head)
            }
        };
        Ok(Self {
            job,
            learner: Learner {
                model: model.clone(),
                options,
                rows,
                adapter: track(&tensors, model)?,
                form,
                head: track(&head, model)?,
                at_once: usize::MAX,
                token_budget: options.token_budget,
            },
            validation,
        })
    }

    /// The best epoch, and the checkpoints that are asked for.
    fn run(mut self, context: &Context) -> Result<(Snapshot, Vec<Adapter>)> {
        let (job, o) = (self.job, self.job.options);
        let lengths = self.learner.lengths();
        let epochs = 1..=o.epochs;
        let batches = epochs.flat_map(|epoch| training_batches(&lengths, o.batch, o.seed, epoch));
        if let Some(told) = self.learner.settle(batches)? {
            context.notice(format!("{}: {told}", job.name()));
        }
        let steps_an_epoch = lengths.len().div_ceil(o.batch);
        let steps = steps_an_epoch * o.epochs;
        let warmup = (o.warmup * steps as f64).ceil() as usize;
        let mut optimizer = self.learner.optimizer()?;
        let names: Vec<Name> = self.learner.adapter.keys().cloned().collect();
        if o.gradual
            .as_ref()
            .is_some_and(|g| g.by == GradualBy::Movement)
        {
            optimizer.follow_movement();
        }
        let begun = self.begin(&mut optimizer, steps_an_epoch, context)?;
        let (mut state, mut checkpoints) = begun;
        let mut pace = Pace::new(o.state_after);
        let progress = context.progress();
        progress.start(&format!("train {}", job.data.name()), steps as u64, "steps");
        progress.update(state.step as u64, "");
        for epoch in state.epochs.len() + 1..=o.epochs {
            let (mut sum, mut seen) = (0.0, 0);
            for batch in training_batches(&lengths, o.batch, o.seed, epoch) {
                context.check()?;
                let (mean, gradients) = self.learner.gradients(&batch, epoch)?;
                if !mean.is_finite() {
                    return Err(Error::new(format!(
                        "training on {} gave a loss of {mean} at step {}",
                        job.data.name(),
                        state.step + 1
                    ))
                    .hint("a smaller lr helps"));
                }
                optimizer.step(&gradients, o.lr * linear_warmup(state.step, steps, warmup))?;
                state.step += 1;
                if let Some(gradual) = &o.gradual {
                    let at = |step| gradual.at(step, steps);
                    let now = at(state.step);
                    if now > at(state.step - 1) {
                        let found = gradual.mask(&optimizer, &names, now, state.mask.as_deref())?;
                        optimizer.restrict(&found)?;
                        state.mask = Some(found.into());
                    }
                }
                sum += mean * batch.len() as f64;
                seen += batch.len();
                progress.update(state.step as u64, &format!("loss {:.3}", sum / seen as f64));
                // One at the end of an epoch also tells what the epoch gave.
                if state.step % steps_an_epoch != 0 && o.keep.at(state.step, steps_an_epoch) {
                    checkpoints.push(self.checkpoint(&state, epoch, context)?);
                }
            }
            let score = self.validate(context)?;
            state.epochs.push(Epoch {
                loss: sum / seen as f64,
                validation_loss: score.as_ref().map(|s| s.loss),
                validation_score: score.as_ref().map(Score::selection),
            });
            if o.keep.at(state.step, steps_an_epoch) {
                checkpoints.push(self.checkpoint(&state, epoch, context)?);
            }
            if self.choose(&mut state, score, steps)? {
                break;
            }
            if epoch < o.epochs && context.store().is_some() && pace.is_due() {
                pace.spend(|| {
                    context.keep_state(&job.id, &state.encode(&optimizer)?);
                    Ok(())
                })?;
            }
        }
        progress.finish();
        if let Some(majority) = self.no_better_than(state.best.as_ref()) {
            context.notice(format!(
                "{}: on validation the adapter does no better than always giving the most frequent label ({majority:.3}); more epochs or a larger lr may help",
                job.data.name()
            ));
        }
        let Some(best) = state.best.take() else {
            bail!("training on {} needs at least one epoch", job.data.name());
        };
        let (tensors, head) = (best.adapter, best.head);
        let best = self.snapshot(&state, best.epoch, tensors, head);
        Ok((best, checkpoints))
    }

    /// How far the training has come: what the store has of an earlier run, which the optimizer
    /// takes over, with the checkpoints up to there; else nothing.
    fn begin(
        &self,
        optimizer: &mut AdamW,
        steps_an_epoch: usize,
        context: &Context,
    ) -> Result<(State, Vec<Adapter>)> {
        let (job, o) = (self.job, self.job.options);
        let mut found = None;
        if let Some(bytes) = context.kept_state(&job.id) {
            let (name, epochs) = (job.name(), o.epochs);
            match self.go_on(&bytes, optimizer, steps_an_epoch, context) {
                Ok((state, checkpoints)) => {
                    let done = state.epochs.len();
                    context.notice(format!(
                        "{name}: begun before, goes on after epoch {done} of {epochs}"
                    ));
                    found = Some((state, checkpoints));
                }
                Err(error) => context.notice(format!(
                    "{name}: what an earlier run kept of it cannot be used ({error}): it begins anew"
                )),
            }
        }
        let mask = || o.from.as_ref().and_then(|a| a.mask().cloned());
        Ok(found.unwrap_or_else(|| (State::new(mask()), Vec::new())))
    }

    /// What these bytes hold; an error, and nothing has changed, where they are of no use.
    fn go_on(
        &self,
        bytes: &[u8],
        optimizer: &mut AdamW,
        steps_an_epoch: usize,
        context: &Context,
    ) -> Result<(State, Vec<Adapter>)> {
        let (state, moments) = State::decode(bytes)?;
        if state.step != state.epochs.len() * steps_an_epoch {
            bail!("it does not end with an epoch");
        }
        let keep = self.job.options.keep;
        let asked = (1..=state.step).filter(|&step| keep.at(step, steps_an_epoch));
        let Some(checkpoints) = self.job.checkpoints(asked, context) else {
            bail!("it has other checkpoints");
        };
        optimizer.restore(state.step, &moments, state.mask.as_deref())?;
        Ok((state, checkpoints))
    }

    /// Keeps the adapter of the epoch that has just ended if it is the best so far; whether the
    /// training ends, since none has been better for too long.
    fn choose(&self, state: &mut State, score: Option<Score>, steps: usize) -> Result<bool> {
        let o = self.job.options;
        // An adapter that is still to be pruned is not what was asked for.
        if let Some(gradual) = &o.gradual
            && gradual.at(state.step, steps) < gradual.sparsity
        {
            return Ok(false);
        }
        let epoch = state.epochs.len();
        // Without a validation split there is nothing to choose by: the last epoch is kept.
        let (selection, loss) = score.map_or((epoch as f64, 0.0), |s| (s.selection(), s.loss));
        let better = state
            .best
            .as_ref()
            .is_none_or(|b| selection > b.selection || (selection == b.selection && loss < b.loss));
        if better {
            state.best = Some(Best {
                selection,
                loss,
                epoch,
                adapter: freeze(&self.learner.adapter)?,
                head: freeze(&self.learner.head)?,
            });
        }
        let waited = epoch - state.best.as_ref().map_or(epoch, |b| b.epoch);
        Ok(o.patience.is_some_and(|patience| waited >= patience))
    }

    /// The checkpoint after the last step, in or at the end of an epoch.
    fn checkpoint(&self, state: &State, epoch: usize, context: &Context) -> Result<Adapter> {
        let (tensors, head) = (freeze(&self.learner.adapter)?, freeze(&self.learner.head)?);
        let now = self.snapshot(state, epoch, tensors, head);
        self.job.checkpoint(now, state.step, context)
    }

    fn snapshot(&self, state: &State, epoch: usize, tensors: Tensors, head: Tensors) -> Snapshot {
        Snapshot {
            tensors,
            form: self.learner.form.clone(),
            head,
            labels: self.learner.rows.labels.clone(),
            mask: state.mask.clone(),
            epoch,
            epochs: state.epochs.clone(),
        }
    }

    /// The share of the most frequent validation label, where the best epoch does not exceed it.
    fn no_better_than(&self, best: Option<&Best>) -> Option<f64> {
        let gold = &self.validation.gold;
        if gold.is_empty() || self.learner.rows.labels == Labels::Number {
            return None;
        }
        let counts = (0..self.learner.rows.labels.outputs())
            .map(|class| gold.iter().filter(|g| **g == class as f64).count());
        let majority = counts.max()? as f64 / gold.len() as f64;
        (best?.selection <= majority).then_some(majority)
    }

    /// The score on the validation split; none where there is no such split.
    fn validate(&self, context: &Context) -> Result<Option<Score>> {
        if self.validation.encodings.is_empty() {
            return Ok(None);
        }
        let (model, options) = (self.job.model, self.job.options);
        let tensors = on_model(&freeze(&self.learner.adapter)?, model)?;
        let sites = options.kind.sites(&tensors, model.config())?;
        let head = Head {
            name: self.job.data.name().to_string(),
            dataset: None,
            labels: self.learner.rows.labels.clone(),
            form: self.learner.form.clone(),
            tensors: freeze(&self.learner.head)?,
        };
        let rows = &self.validation;
        evaluate_rows(model, sites.as_ref(), &head, rows, context, false).map(Some)
    }
}

/// When to keep how far a training has come: so that it takes a small share of the time, and
/// none where a training is short.
struct Pace {
    last: Instant,
    least: Duration,
}

impl Pace {
    fn new(least: Duration) -> Self {
        Self {
            last: Instant::now(),
            least,
        }
    }

    fn is_due(&self) -> bool {
        self.last.elapsed() >= self.least
    }

    /// Does what keeps the state, and waits so much longer for the next time.
    fn spend(&mut self, keep: impl FnOnce() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        keep()?;
        if !self.least.is_zero() {
            self.least = self.least.max(start.elapsed() * KEEPING);
        }
        self.last = Instant::now();
        Ok(())
    }
}
