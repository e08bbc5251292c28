//! How long a training step and a forward pass take.

use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;

use crate::adapter::{Head, Kind, Labels, Tensors, on_model};
use crate::compute::{random::Stream, threads};
use crate::data::batch::training_batches;
use crate::data::{Dataset, Split};
use crate::evaluate::{Encoded, labels_of};
use crate::model::{Encoding, Model, Noise};
use crate::{Context, Result, bail};

use super::fresh::{draw, head_form, initial};
use super::learner::Learner;
use super::options::TrainOptions;
use super::vars::{freeze, track};

/// Times in milliseconds, medians of the repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepTimes {
    /// A training step: forward and backward pass with the model's dropout, and AdamW.
    pub train_ms: f64,
    /// A forward pass to the logits.
    pub eval_ms: f64,
    /// Forward passes of several adapters on the same texts, together.
    pub each_ms: f64,
    /// candle's products of the frozen maps with all tokens alone: forward through every layer,
    /// and back through all but the first.
    pub train_floor_ms: f64,
    /// Those of a forward pass.
    pub eval_floor_ms: f64,
}

/// The time of an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochTime {
    /// From texts to the last step.
    pub seconds: f64,
    /// Texts.
    pub rows: usize,
    /// Their tokens, all of which and no others are computed.
    pub tokens: usize,
}

/// Times `repeat` training steps and forward passes of a fresh adapter with a head of two
/// classes, on `batch` random texts of `seq` tokens, and forward passes of so many adapters
/// together.
pub fn steps(
    model: &Model,
    kind: Arc<dyn Kind>,
    (batch, seq): (usize, usize),
    adapters: usize,
    repeat: usize,
    context: &Context,
) -> Result<StepTimes> {
    if batch == 0 || seq == 0 || repeat == 0 {
        bail!("steps: expected a batch, a length and repetitions of at least 1");
    }
    let positions = model.config().positions();
    if seq > positions {
        bail!("steps: texts of {seq} tokens, but the model has {positions} positions");
    }
    let options = TrainOptions {
        lr: 1e-4,
        ..TrainOptions::new(kind, 0)
    };
    let mut learner = random(model, &options, (batch, seq))?;
    let (adapter, head) = (freeze(&learner.adapter)?, freeze(&learner.head)?);
    let rows: Vec<usize> = (0..batch).collect();
    let mut optimizer = learner.optimizer()?;
    let head = Head {
        name: "random".into(),
        dataset: None,
        labels: learner.rows.labels.clone(),
        form: head_form(model)?,
        tensors: on_model(&head, model)?,
    };
    let sites = options
        .kind
        .sites(&on_model(&adapter, model)?, model.config())?;
    if let Some(told) = learner.settle([rows.clone()])? {
        context.notice(told);
    }
    let members: Vec<&Encoding> = learner.rows.encodings.iter().collect();
    threads::in_pool(|| {
        // A GPU works on after its orders are taken.
        let finish = || Ok(model.device().synchronize()?);
        let train_ms = median(repeat, context, || {
            let (_, gradients) = learner.gradients(&rows, 1)?;
            optimizer.step(&gradients, 1e-4)?;
            finish()
        })?;
        let eval_ms = median(repeat, context, || {
            let inputs = model.pad(&members)?;
            let hidden = model.forward_summary(&inputs, sites.as_ref(), &Noise::default())?;
            head.forward(model, &hidden, &Noise::default())?;
            finish()
        })?;
        let each_ms = match adapters {
            1 => eval_ms,
            _ => {
                let fresh = (0..adapters).map(|seed| {
                    let fresh = initial(options.kind.as_ref(), model, seed as u64)?;
                    options
                        .kind
                        .sites(&on_model(&fresh, model)?, model.config())
                });
                let fresh = fresh.collect::<Result<Vec<_>>>()?;
                let several: Vec<_> = fresh.iter().map(AsRef::as_ref).collect();
                median(repeat, context, || {
                    let inputs = model.pad(&members)?;
                    for hidden in model.forward_summary_each(&inputs, &several)? {
                        head.forward(model, &hidden, &Noise::default())?;
                    }
                    finish()
                })?
            }
        };
        let products = Products::of(model, batch * seq)?;
        let floor = |train: bool| {
            median(repeat, context, || {
                products.run(train)?;
                finish()
            })
        };
        Ok(StepTimes {
            train_ms,
            eval_ms,
            each_ms,
            train_floor_ms: floor(true)?,
            eval_floor_ms: floor(false)?,
        })
    })
}

/// A fresh adapter with a head of two classes, on `batch` random texts of `seq` tokens.
pub(super) fn random<'a>(
    model: &Model,
    options: &'a TrainOptions,
    (batch, seq): (usize, usize),
) -> Result<Learner<'a>> {
    let labels = Labels::Counted(2);
    let mut stream = Stream::new(0, "bench", "ids");
    let vocabulary = model.config().vocab_size as u64;
    let encodings: Vec<Encoding> = (0..batch)
        .map(|_| Encoding {
            ids: (0..seq).map(|_| stream.below(vocabulary) as u32).collect(),
            type_ids: vec![0; seq],
        })
        .collect();
    let adapter = initial(options.kind.as_ref(), model, 0)?;
    let head = fresh_head(model, &labels)?;
    Ok(Learner {
        model: model.clone(),
        options,
        rows: Encoded {
            dataset: "random".into(),
            dataset_id: String::new(),
            split: Split::Train,
            labels,
            outputs: vec![0, 1],
            gold: (0..batch).map(|_| stream.below(2) as f64).collect(),
            encodings,
        },
        adapter: track(&adapter, model)?,
        form: head_form(model)?,
        head: track(&head, model)?,
        at_once: usize::MAX,
        token_budget: options.token_budget,
    })
}

/// Times one epoch of training a fresh adapter on a dataset's train split.
pub fn epoch(
    model: &Model,
    data: &Dataset,
    kind: Arc<dyn Kind>,
    batch: usize,
    max_length: usize,
    context: &Context,
) -> Result<EpochTime> {
    let labels = labels_of(data);
    let options = TrainOptions {
        lr: 1e-4,
        ..TrainOptions::new(kind, 0)
    };
    let max_length = max_length.min(model.config().positions());
    let start = Instant::now();
    let rows = Encoded::of(model, data, Split::Train, &labels, max_length)?;
    if rows.encodings.is_empty() {
        bail!("{}: the train split has no rows", data.name());
    }
    let mut learner = Learner {
        model: model.clone(),
        options: &options,
        rows,
        adapter: track(&initial(options.kind.as_ref(), model, 0)?, model)?,
        form: head_form(model)?,
        head: track(&fresh_head(model, &labels)?, model)?,
        at_once: usize::MAX,
        token_budget: options.token_budget,
    };
    let lengths = learner.lengths();
    let batches = training_batches(&lengths, batch, 0, 1);
    let progress = context.progress();
    progress.start(
        &format!("train {}", data.name()),
        batches.len() as u64,
        "steps",
    );
    if let Some(told) = learner.settle(batches.iter().cloned())? {
        context.notice(told);
    }
    let mut optimizer = learner.optimizer()?;
    threads::in_pool(|| {
        for (step, batch) in batches.iter().enumerate() {
            context.check()?;
            let (_, gradients) = learner.gradients(batch, 1)?;
            optimizer.step(&gradients, 1e-4)?;
            progress.update(step as u64 + 1, "");
        }
        Ok::<_, crate::Error>(())
    })?;
    progress.finish();
    Ok(EpochTime {
        seconds: start.elapsed().as_secs_f64(),
        rows: lengths.len(),
        tokens: lengths.iter().sum(),
    })
}

/// The frozen maps of one layer and something to multiply them with.
struct Products {
    layers: usize,
    /// Each map's input `[tokens, in]`, its weight `[out, in]`, and a gradient `[tokens, out]`.
    maps: Vec<[Tensor; 3]>,
}

impl Products {
    fn of(model: &Model, tokens: usize) -> Result<Self> {
        let config = model.config();
        let (d, wide) = (config.hidden_size, config.intermediate_size);
        let ones = |rows, columns| Tensor::ones((rows, columns), model.dtype(), model.device());
        let maps = [(d, 3 * d), (d, d), (d, wide), (wide, d)]
            .into_iter()
            .map(|(from, to)| Ok([ones(tokens, from)?, ones(to, from)?, ones(tokens, to)?]))
            .collect::<Result<_>>()?;
        let layers = config.num_hidden_layers;
        Ok(Self { layers, maps })
    }

    fn run(&self, back: bool) -> Result<()> {
        for layer in 0..self.layers {
            for [x, weight, grad] in &self.maps {
                x.matmul(&weight.t()?)?;
                if back && layer > 0 {
                    grad.matmul(weight)?;
                }
            }
        }
        Ok(())
    }
}

fn fresh_head(model: &Model, labels: &Labels) -> Result<Tensors> {
    let parameters = head_form(model)?.parameters(model.config().hidden_size, labels)?;
    draw(parameters, 0, model)
}

fn median(repeat: usize, context: &Context, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(repeat);
    for _ in 0..repeat {
        context.check()?;
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[repeat / 2])
}
