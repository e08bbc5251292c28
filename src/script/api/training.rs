//! Training adapters.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use super::checkpoints::{KEEP, keep};
use super::kinds::{FRESH_INIT_SEED, FRESH_KIND, INIT_SEED, KIND, kind};
use crate::adapter::Adapter;
use crate::data::Dataset;
use crate::model::Model;
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::{Acts, NativeSpec, OptionSpec, Options};
use crate::train::{Gradual, GradualBy, TrainOptions, train, untrained};
use crate::{Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[TRAIN, UNTRAINED];

/// Of options of pruning in the course of a training.
const GRADUAL: &[Acts] = &[Acts::Given(
    "sparsity",
    "nothing is pruned without a sparsity",
)];

static UNTRAINED: NativeSpec = NativeSpec {
    name: "untrained",
    options: &[
        KIND[0], KIND[1], KIND[2], KIND[3], KIND[4], KIND[5], INIT_SEED,
    ],
};

static TRAIN: NativeSpec = NativeSpec {
    name: "train",
    options: &[
        FRESH_KIND[0],
        FRESH_KIND[1],
        FRESH_KIND[2],
        FRESH_KIND[3],
        FRESH_KIND[4],
        FRESH_KIND[5],
        OptionSpec::int("epochs", 1, 10_000, "passes over the train split").or("3"),
        OptionSpec::int("batch", 1, 65_536, "rows a step")
            .unit("rows")
            .or("32"),
        OptionSpec::float("lr", 1e-12, 10.0, "peak learning rate")
            .otherwise("1e-3; 5e-4 for lora and dora; 5e-3 for ia3"),
        OptionSpec::float(
            "weight_decay",
            0.0,
            10.0,
            "AdamW's weight decay, on all trained tensors",
        )
        .or("0.01"),
        OptionSpec::float(
            "warmup",
            0.0,
            1.0,
            "share of all steps in which the learning rate rises",
        )
        .or("0.06"),
        OptionSpec::float(
            "max_norm",
            1e-6,
            1e9,
            "bound on the norm of all gradients together",
        )
        .or("1"),
        OptionSpec::float("dropout", 0.0, 0.99, "share of states dropped in training")
            .otherwise("as the model's configuration says"),
        OptionSpec::int("max_length", 2, 1 << 20, "the longest text")
            .unit("tokens")
            .otherwise("the model's own limit, at most 512"),
        OptionSpec::int(
            "patience",
            1,
            10_000,
            "epochs without a better validation score before training ends",
        )
        .unit("epochs")
        .otherwise("all epochs are trained"),
        OptionSpec::int(
            "seed",
            0,
            i64::MAX,
            "moves the order of rows and the dropout",
        )
        .otherwise("the study's seed"),
        FRESH_INIT_SEED,
        OptionSpec::value(
            "from",
            "an Adapter",
            "start from its tensors, mask and head; a notice says where its head does not fit the labels and a new one is drawn",
        )
        .otherwise("a fresh adapter"),
        OptionSpec::float(
            "sparsity",
            0.0,
            1.0,
            "the share of weights that is zero at the end, pruned while training along a cubic",
        )
        .otherwise("nothing is pruned"),
        OptionSpec::choice(
            "prune_by",
            &["magnitude", "movement"],
            "what decides which weights stay",
        )
        .or("magnitude")
        .acts(GRADUAL),
        OptionSpec::choice(
            "prune_scope",
            &["layerwise", "global", "er"],
            "over what the threshold is taken",
        )
        .or("layerwise")
        .acts(GRADUAL),
        OptionSpec::float(
            "prune_start",
            0.0,
            1.0,
            "the share of all steps before pruning begins",
        )
        .or("0.1")
        .acts(GRADUAL),
        OptionSpec::float(
            "prune_end",
            0.0,
            1.0,
            "the share of all steps after which nothing more is pruned",
        )
        .or("0.7")
        .acts(GRADUAL),
        OptionSpec::int(
            "token_budget",
            16,
            1 << 30,
            "the most tokens computed at once; larger batches are split",
        )
        .unit("tokens")
        .or("16384"),
        KEEP,
    ],
};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// An adapter with its head, trained on a dataset's train split; the best epoch by its
    /// validation split is kept. The model does not change. Adapters of one study start from the same
    /// tensors, so that they can be mixed: the initialisation depends on the study's seed and the
    /// tensor's name alone.
    ///
    /// - `model`: what it acts in
    /// - `data`: what it learns; its labels become the head's
    ///
    /// # Errors
    /// A loss that is not finite; a setting that the kind of adapter does not have.
    ///
    /// # Source
    /// Pfeiffer et al. 2020 (pfeiffer), Houlsby et al. 2019 (houlsby), He et al. 2021 (parallel), Hu et
    /// al. 2021 (lora), Liu et al. 2024 (dora), Liu et al. 2022 (ia3); the AdapterHub library's
    /// configurations. AdamW: Loshchilov and Hutter 2019.
    ///
    /// ```rhai
    /// train(base, films, #{ epochs: 1 }).kind    // pfeiffer
    /// ```
    #[rhai_fn(return_raw)]
    pub fn train(context: NativeCallContext, model: Model, data: Dataset) -> Fallible<Adapter> {
        Ok(one(&context, &model, &data, &Map::new())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// let lora = train(base, films, #{ adapter: "lora", r: 4, epochs: 1 });
    /// lora.tensor("encoder.layer.0.attention.self.query.lora_A").shape    // [4, 384]
    /// ```
    #[rhai_fn(name = "train", return_raw)]
    pub fn train_with(
        context: NativeCallContext,
        model: Model,
        data: Dataset,
        options: Map,
    ) -> Fallible<Adapter> {
        Ok(one(&context, &model, &data, &options)?)
    }

    /// An adapter with its head as it is before training on a dataset: what `train` begins with.
    /// Pruned, and trained with `from`, it is sparse from the first step.
    ///
    /// - `model`: the frozen base model
    /// - `data`: the dataset whose labels the head has
    ///
    /// ```rhai
    /// untrained(base, films, #{ adapter: "lora", r: 4 }).parameters    // 18432
    /// ```
    #[rhai_fn(return_raw)]
    pub fn untrained(context: NativeCallContext, model: Model, data: Dataset) -> Fallible<Adapter> {
        Ok(fresh(&context, &model, &data, &Map::new())?)
    }

    /// The same with options.
    #[rhai_fn(name = "untrained", return_raw)]
    pub fn untrained_with(
        context: NativeCallContext,
        model: Model,
        data: Dataset,
        options: Map,
    ) -> Fallible<Adapter> {
        Ok(fresh(&context, &model, &data, &options)?)
    }

    /// An adapter for each dataset of an array, in its order.
    ///
    /// - `model`: what they act in
    /// - `data`: the datasets
    ///
    /// ```rhai
    /// train(base, [films, news], #{ epochs: 1 }).map(|a| a.name)    // ["films", "news"]
    /// ```
    #[rhai_fn(name = "train", return_raw)]
    pub fn train_all(context: NativeCallContext, model: Model, data: Array) -> Fallible<Array> {
        Ok(several(&context, &model, &data, &Map::new())?)
    }

    /// The same with options.
    #[rhai_fn(name = "train", return_raw)]
    pub fn train_all_with(
        context: NativeCallContext,
        model: Model,
        data: Array,
        options: Map,
    ) -> Fallible<Array> {
        Ok(several(&context, &model, &data, &options)?)
    }
}

fn several(
    context: &NativeCallContext,
    model: &Model,
    data: &Array,
    options: &Map,
) -> Result<Array> {
    let datasets = data
        .iter()
        .map(|item| match item.clone().try_cast::<Dataset>() {
            Some(data) => Ok(data),
            None => bail!("train: expected datasets, got {}", describe(item)),
        })
        .collect::<Result<Vec<_>>>()?;
    datasets
        .iter()
        .map(|data| Ok(Dynamic::from(one(context, model, data, options)?)))
        .collect()
}

fn one(
    context: &NativeCallContext,
    model: &Model,
    data: &Dataset,
    options: &Map,
) -> Result<Adapter> {
    let session = Session::of(context)?;
    let options = Options::read(&TRAIN, options)?;
    let settings = settings(&session, &options)?;
    train(model, data, &settings, session.context())
}

fn fresh(
    context: &NativeCallContext,
    model: &Model,
    data: &Dataset,
    options: &Map,
) -> Result<Adapter> {
    let session = Session::of(context)?;
    let options = Options::read(&UNTRAINED, options)?;
    let init_seed = options.maybe_int("init_seed")?;
    let init_seed = init_seed.map_or(session.seed(), |s| s as u64);
    untrained(model, data, kind(&options)?, init_seed)
}

/// What the options of a call mean.
fn settings(session: &Session, options: &Options) -> Result<TrainOptions> {
    let from = options.value::<Adapter>("from")?;
    let kind = match &from {
        Some(start) => start.kind().clone(),
        None => kind(options)?,
    };
    let study = session.seed();
    let seed = options.maybe_int("seed")?.map_or(study, |s| s as u64);
    let mut settings = TrainOptions::new(kind, seed);
    // Only an explicit init_seed moves the initial tensors, so that adapters trained under
    // different seeds can still be mixed.
    settings.init_seed = options.maybe_int("init_seed")?.map_or(study, |s| s as u64);
    settings.epochs = options.count("epochs")?;
    settings.batch = options.count("batch")?;
    if let Some(lr) = options.maybe_float("lr")? {
        settings.lr = lr;
    }
    settings.weight_decay = options.float("weight_decay")?;
    settings.warmup = options.float("warmup")?;
    settings.max_norm = options.float("max_norm")?;
    settings.dropout = options.maybe_float("dropout")?;
    settings.max_length = options.maybe_int("max_length")?.map(|n| n as usize);
    settings.patience = options.maybe_int("patience")?.map(|n| n as usize);
    settings.token_budget = options.count("token_budget")?;
    settings.from = from;
    settings.gradual = gradual(options)?;
    settings.keep = keep(options)?;
    Ok(settings)
}

/// How the adapter grows sparse, where it does.
fn gradual(options: &Options) -> Result<Option<Gradual>> {
    let Some(sparsity) = options.maybe_float("sparsity")? else {
        return Ok(None);
    };
    Ok(Some(Gradual {
        sparsity,
        by: match options.text("prune_by")?.as_str() {
            "movement" => GradualBy::Movement,
            _ => GradualBy::Magnitude,
        },
        scope: options.text("prune_scope")?.parse()?,
        start: options.float("prune_start")?,
        end: options.float("prune_end")?,
    }))
}
