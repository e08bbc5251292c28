//! How fast this machine is.

use rhai::plugin::*;
use rhai::{Dynamic, Engine, Map, NativeCallContext};

use crate::data::Dataset;
use crate::model::Model;
use crate::script::Fallible;
use crate::script::Session;
use crate::script::{NativeSpec, OptionSpec, Options};
use crate::sign;
use crate::train;

use super::kinds::{KINDS, kind_named};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[STEPS, EPOCH, SIGNS];

const ADAPTER: OptionSpec = OptionSpec::choice("adapter", KINDS, "the kind of adapter");

static STEPS: NativeSpec = NativeSpec {
    name: "bench::steps",
    options: &[
        ADAPTER.or("pfeiffer"),
        OptionSpec::int("batch", 1, 65_536, "texts a step")
            .unit("texts")
            .or("32"),
        OptionSpec::int("seq", 1, 65_536, "the length of each text")
            .unit("tokens")
            .or("64"),
        OptionSpec::int(
            "repeat",
            1,
            10_000,
            "steps timed; the median of them counts",
        )
        .or("15"),
        OptionSpec::int(
            "members",
            1,
            1024,
            "adapters of the kind that are also evaluated on the same texts together",
        )
        .or("1"),
    ],
};

static EPOCH: NativeSpec = NativeSpec {
    name: "bench::epoch",
    options: &[
        ADAPTER.or("pfeiffer"),
        OptionSpec::int("batch", 1, 65_536, "texts a step")
            .unit("texts")
            .or("32"),
        OptionSpec::int("max_length", 2, 65_536, "the longest text")
            .unit("tokens")
            .or("128"),
    ],
};

static SIGNS: NativeSpec = NativeSpec {
    name: "bench::signs",
    options: &[
        OptionSpec::int(
            "members",
            2,
            1_000_000,
            "random members; every pair of them is counted",
        )
        .or("1000"),
        OptionSpec::int("weights", 1, 1 << 40, "weights of each").or("1000000"),
        OptionSpec::float("zeros", 0.0, 1.0, "the share of weights that are zero").or("0"),
        OptionSpec::int(
            "mixed",
            2,
            sign::MOST as i64,
            "members all of whose subsets are counted",
        )
        .or("13"),
        OptionSpec::int("mixed_weights", 1, 1 << 40, "weights of each of these").or("894528"),
        OptionSpec::int(
            "file_weights",
            1,
            1 << 40,
            "weights of a file whose signs are read",
        )
        .or("16777216"),
        OptionSpec::int(
            "repeat",
            1,
            10_000,
            "how often each is timed; the median counts",
        )
        .or("5"),
    ],
};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_static_module("bench", rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// How long a training step and a forward pass on random texts take: a map with `train_ms` and
    /// `eval_ms`, `each_ms` of `members` adapters on the same texts, evaluated together, and as a
    /// yardstick `train_floor_ms` and `eval_floor_ms`, the time that candle
    /// takes in f32 for the matrix products of the frozen part alone (products of our own may be
    /// faster than these, and those of bf16 are), all in milliseconds, medians of `repeat`; with
    /// the settings that counted and the process's `peak_rss_mib`.
    ///
    /// - `model`: what is timed
    ///
    /// ```rhai,no_run
    /// bench::steps(model("mini")).train_ms
    /// ```
    #[rhai_fn(return_raw)]
    pub fn steps(context: NativeCallContext, model: Model) -> Fallible<Map> {
        time_steps(&context, &model, &Map::new())
    }

    /// The same with options.
    ///
    /// ```rhai
    /// bench::steps(base, #{ batch: 2, seq: 8, repeat: 1 }).train_ms > 0.0    // true
    /// ```
    #[rhai_fn(name = "steps", return_raw)]
    pub fn steps_with(context: NativeCallContext, model: Model, options: Map) -> Fallible<Map> {
        time_steps(&context, &model, &options)
    }

    /// How long one epoch of training on a dataset's train split takes, tokenizing included: a map
    /// with `seconds`, `rows`, `text_tokens` and the settings that counted.
    ///
    /// - `model`: what is trained in
    /// - `data`: what is trained on
    ///
    /// ```rhai
    /// bench::epoch(base, films).rows    // 40
    /// ```
    #[rhai_fn(return_raw)]
    pub fn epoch(context: NativeCallContext, model: Model, data: Dataset) -> Fallible<Map> {
        time_epoch(&context, &model, &data, &Map::new())
    }

    /// The same with options.
    #[rhai_fn(name = "epoch", return_raw)]
    pub fn epoch_with(
        context: NativeCallContext,
        model: Model,
        data: Dataset,
        options: Map,
    ) -> Fallible<Map> {
        time_epoch(&context, &model, &data, &options)
    }

    /// How long counts of signs take: a map with `pairs` and the `seconds` that the counts of all
    /// pairs of random members take once their signs are built, `subsets` and `subset_seconds`
    /// for all mixtures of some members, and `read_seconds` and `build_seconds`, reading a file
    /// that the system has in memory alone, and reading it and building its signs; with the
    /// settings that counted, threads and the process's `peak_rss_mib`.
    ///
    /// ```rhai
    /// bench::signs(#{ members: 8, weights: 1000, mixed: 3, file_weights: 1000 }).pairs    // 28
    /// ```
    #[rhai_fn(return_raw)]
    pub fn signs(context: NativeCallContext) -> Fallible<Map> {
        time_signs(&context, &Map::new())
    }

    /// The same with options.
    #[rhai_fn(name = "signs", return_raw)]
    pub fn signs_with(context: NativeCallContext, options: Map) -> Fallible<Map> {
        time_signs(&context, &options)
    }
}

fn time_steps(context: &NativeCallContext, model: &Model, options: &Map) -> Fallible<Map> {
    let session = Session::of(context)?;
    let options = Options::read(&STEPS, options)?;
    let (batch, seq) = (options.count("batch")?, options.count("seq")?);
    let repeat = options.count("repeat")?;
    let kind = kind_named(&options.text("adapter")?);
    let members = options.count("members")?;
    let size = (batch, seq);
    let times = train::steps(model, kind, size, members, repeat, session.context())?;
    let mut map = common(model, &options)?;
    map.insert("seq".into(), Dynamic::from(seq as i64));
    map.insert("members".into(), Dynamic::from(members as i64));
    map.insert("each_ms".into(), rounded(times.each_ms, 10.0));
    map.insert("train_ms".into(), rounded(times.train_ms, 10.0));
    map.insert("eval_ms".into(), rounded(times.eval_ms, 10.0));
    map.insert("train_floor_ms".into(), rounded(times.train_floor_ms, 10.0));
    map.insert("eval_floor_ms".into(), rounded(times.eval_floor_ms, 10.0));
    if let Some(mib) = peak_memory_mib() {
        map.insert("peak_rss_mib".into(), Dynamic::from(mib));
    }
    Ok(map)
}

fn time_epoch(
    context: &NativeCallContext,
    model: &Model,
    data: &Dataset,
    options: &Map,
) -> Fallible<Map> {
    let session = Session::of(context)?;
    let options = Options::read(&EPOCH, options)?;
    let (batch, max_length) = (options.count("batch")?, options.count("max_length")?);
    let kind = kind_named(&options.text("adapter")?);
    let time = train::epoch(model, data, kind, batch, max_length, session.context())?;
    let mut map = common(model, &options)?;
    map.insert("max_length".into(), Dynamic::from(max_length as i64));
    map.insert("padding".into(), "none".into());
    map.insert("rows".into(), Dynamic::from(time.rows as i64));
    map.insert("seconds".into(), rounded(time.seconds, 100.0));
    map.insert("text_tokens".into(), Dynamic::from(time.tokens as i64));
    map.insert("computed_tokens".into(), Dynamic::from(time.tokens as i64));
    Ok(map)
}

fn time_signs(context: &NativeCallContext, options: &Map) -> Fallible<Map> {
    let session = Session::of(context)?;
    let options = Options::read(&SIGNS, options)?;
    let asked = sign::bench::Asked {
        members: options.count("members")?,
        weights: options.count("weights")?,
        zeros: options.float("zeros")?,
        mixed: options.count("mixed")?,
        mixed_weights: options.count("mixed_weights")?,
        file_weights: options.count("file_weights")?,
        repeat: options.count("repeat")?,
    };
    let times = sign::bench::times(&asked, session.context())?;
    let mut map = Map::new();
    let mut whole = |name: &str, value: usize| {
        map.insert(name.into(), Dynamic::from(value as i64));
    };
    let pairs = asked.members * (asked.members - 1) / 2;
    whole("vectors", asked.members);
    whole("weights", asked.weights);
    whole("pairs", pairs);
    whole("mixed", asked.mixed);
    whole("mixed_weights", asked.mixed_weights);
    whole("subsets", (1 << asked.mixed) - 1);
    whole("file_bytes", 4 * asked.file_weights);
    whole("threads", crate::compute::threads::count_now());
    map.insert("library".into(), "tureen".into());
    map.insert("zeros".into(), asked.zeros.into());
    map.insert("seconds".into(), rounded(times.pairs, 1e4));
    map.insert(
        "pairs_per_second".into(),
        rounded(pairs as f64 / times.pairs, 10.0),
    );
    map.insert("subset_seconds".into(), rounded(times.subsets, 1e4));
    map.insert("read_seconds".into(), rounded(times.read, 1e6));
    map.insert("build_seconds".into(), rounded(times.build, 1e6));
    if let Some(mib) = peak_memory_mib() {
        map.insert("peak_rss_mib".into(), Dynamic::from(mib));
    }
    Ok(map)
}

/// What both say of themselves.
fn common(model: &Model, options: &Options) -> crate::Result<Map> {
    let mut map = Map::new();
    map.insert("library".into(), "tureen".into());
    map.insert("model".into(), model.name().to_string().into());
    map.insert("arch".into(), options.text("adapter")?.into());
    map.insert(
        "batch".into(),
        Dynamic::from(options.count("batch")? as i64),
    );
    map.insert("dtype".into(), model.precision().into());
    let threads = crate::compute::threads::count_now();
    map.insert("threads".into(), Dynamic::from(threads as i64));
    Ok(map)
}

fn rounded(value: f64, steps: f64) -> Dynamic {
    Dynamic::from((value * steps).round() / steps)
}

/// The most memory the process has held, where the system tells.
fn peak_memory_mib() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}
