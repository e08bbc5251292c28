//! Pruning adapters, and masks as values.

use std::sync::Arc;

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use super::tensors::to_tensor;
use crate::adapter::{Adapter, Name, Selection, Tensors, formats};
use crate::data::Dataset;
use crate::model::Model;
use crate::prune::{
    Amount, Criterion, Grain, Inputs, Mask, Need, Plan, conflicts, criterion, prune,
};
use crate::report::table::{Table, Value};
use crate::script::{Fallible, NativeSpec, OptionSpec, Options, Session, describe};
use crate::study::Id;
use crate::train::{curvature_over, gradients_over, warmed};
use crate::{Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[PRUNE];

static PRUNE: NativeSpec = NativeSpec {
    name: "prune",
    options: &[
        OptionSpec::float("sparsity", 0.0, 1.0, "the share of weights that goes")
            .otherwise("the number before the options; or count, keep or bytes"),
        OptionSpec::int("count", 0, i64::MAX, "how many weights go, in all")
            .otherwise("as sparsity says"),
        OptionSpec::int("keep", 0, i64::MAX, "how many weights stay, in all")
            .otherwise("as sparsity says"),
        OptionSpec::int(
            "bytes",
            1,
            i64::MAX,
            "the most bytes of the weights' file in the sparse layout",
        )
        .unit("bytes")
        .otherwise("as sparsity says"),
        OptionSpec::choice(
            "by",
            &[
                "magnitude", "random", "snip", "grasp", "fisher", "synflow", "er", "conflict",
                "movement",
            ],
            "what decides which weights stay",
        )
        .or("magnitude"),
        OptionSpec::choice(
            "scope",
            &["layerwise", "global", "er"],
            "over what the threshold is taken: each matrix, all, or each at its Erdos-Renyi density",
        )
        .otherwise("layerwise; er for er"),
        OptionSpec::choice(
            "grain",
            &["entries", "units"],
            "what goes together: single weights, or whole bottleneck units and LoRA ranks",
        )
        .or("entries"),
        OptionSpec::text(
            "tensors",
            "\"weights\", \"all\" or a pattern of names with *",
        )
        .or("weights"),
        OptionSpec::int(
            "seed",
            0,
            i64::MAX,
            "moves random scores and the order of the batches",
        )
        .otherwise("the study's seed"),
        OptionSpec::value(
            "model",
            "a Model",
            "where gradients are taken and warm-up trains",
        )
        .otherwise("snip, grasp, fisher and warm-up need it"),
        OptionSpec::value(
            "data",
            "a Dataset",
            "the rows of its train split are what gradients are taken on",
        )
        .otherwise("the dataset the adapter was trained on"),
        OptionSpec::int(
            "batches",
            1,
            1_000_000,
            "how many batches of 32 rows gradients are summed over",
        )
        .or("1"),
        OptionSpec::int(
            "warmup",
            0,
            1_000_000,
            "steps of training before the scores are taken; the weights that stay are the adapter's own",
        )
        .unit("steps")
        .or("0"),
        OptionSpec::list("among", "conflict: the adapters that it is to be mixed with")
            .otherwise("conflict needs it"),
        OptionSpec::value("start", "an Adapter", "movement: where training began")
            .otherwise("the initialisation that the adapter records"),
    ],
};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Arc<Mask>>("Mask");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// The adapter with the smallest weights of each matrix set to zero: `sparsity` is the share
    /// that goes.
    ///
    /// ```rhai,no_run
    /// let p = a.prune(0.9);
    /// p.sparsity;
    /// ```
    #[rhai_fn(name = "prune", pure, return_raw)]
    pub fn prune_plain(
        context: NativeCallContext,
        adapter: &mut Adapter,
        sparsity: f64,
    ) -> Fallible<Adapter> {
        Ok(pruned(&context, adapter, Some(sparsity), &Map::new())?)
    }

    /// The same with options. By magnitude, or by what the loss says of each weight: `snip` |w g|,
    /// `grasp` w (H g), `fisher` g^2, with `model` and `data`; by `synflow`, `er` or `random`
    /// without data; by `conflict` with a set of adapters, by `movement` from where training began.
    /// What was pruned before goes first.
    ///
    /// ```rhai
    /// let a = untrained(model("mini"), dataset("films"));
    /// a.prune(0.75, #{ by: "synflow", scope: "global" }).sparsity    // 0.75
    /// ```
    #[rhai_fn(name = "prune", pure, return_raw)]
    pub fn prune_with(
        context: NativeCallContext,
        adapter: &mut Adapter,
        sparsity: f64,
        options: Map,
    ) -> Fallible<Adapter> {
        Ok(pruned(&context, adapter, Some(sparsity), &options)?)
    }

    /// The adapter pruned to what the options say: a `sparsity`, a `count` of weights that go, a
    /// number to `keep`, or a budget of `bytes`.
    ///
    /// ```rhai
    /// let a = untrained(model("mini"), dataset("films"));
    /// a.prune(#{ keep: 1000 }).mask.kept    // 1000
    /// ```
    #[rhai_fn(name = "prune", pure, return_raw)]
    pub fn prune_to(
        context: NativeCallContext,
        adapter: &mut Adapter,
        options: Map,
    ) -> Fallible<Adapter> {
        Ok(pruned(&context, adapter, None, &options)?)
    }

    #[rhai_fn(name = "prune", pure, return_raw)]
    pub fn prune_whole(
        context: NativeCallContext,
        adapter: &mut Adapter,
        sparsity: i64,
    ) -> Fallible<Adapter> {
        Ok(pruned(
            &context,
            adapter,
            Some(sparsity as f64),
            &Map::new(),
        )?)
    }

    #[rhai_fn(name = "prune", pure, return_raw)]
    pub fn prune_whole_with(
        context: NativeCallContext,
        adapter: &mut Adapter,
        sparsity: i64,
        options: Map,
    ) -> Fallible<Adapter> {
        Ok(pruned(&context, adapter, Some(sparsity as f64), &options)?)
    }

    /// The adapter with what a mask does not keep set to zero.
    #[rhai_fn(pure, return_raw)]
    pub fn apply(adapter: &mut Adapter, mask: Arc<Mask>) -> Fallible<Adapter> {
        Ok(masked(adapter, mask)?)
    }

    /// Which entries are kept: the mask it was pruned with, else what is not zero.
    #[rhai_fn(get = "mask", pure, return_raw)]
    pub fn mask(adapter: &mut Adapter) -> Fallible<Arc<Mask>> {
        match adapter.mask() {
            Some(mask) => Ok(mask.clone()),
            None => Ok(Arc::new(Mask::of(
                &*adapter.tensors()?,
                &Selection::Matrices,
            )?)),
        }
    }

    /// The share of zeros among the entries that the mask covers; of an adapter that was not
    /// pruned, among its weight matrices.
    #[rhai_fn(get = "sparsity", pure, return_raw)]
    pub fn sparsity(adapter: &mut Adapter) -> Fallible<f64> {
        let tensors = adapter.tensors()?;
        let zeros = match adapter.mask() {
            None => Mask::of(&tensors, &Selection::Matrices)?,
            Some(mask) => {
                let covered = tensors.iter().filter(|(name, _)| mask.covers(name));
                let covered = covered.map(|(n, t)| (n.clone(), t.clone())).collect();
                Mask::of(&covered, &Selection::All)?
            }
        };
        Ok(zeros.sparsity())
    }

    /// The share of entries that a mask keeps.
    #[rhai_fn(get = "density", pure)]
    pub fn density(mask: &mut Arc<Mask>) -> f64 {
        mask.density()
    }

    /// The share of entries that a mask does not keep.
    #[rhai_fn(name = "mask_sparsity", get = "sparsity", pure)]
    pub fn mask_sparsity(mask: &mut Arc<Mask>) -> f64 {
        mask.sparsity()
    }

    /// The number of entries that a mask covers.
    #[rhai_fn(get = "entries", pure)]
    pub fn entries(mask: &mut Arc<Mask>) -> i64 {
        mask.entries() as i64
    }

    /// The number of entries that a mask keeps.
    #[rhai_fn(get = "kept", pure)]
    pub fn kept(mask: &mut Arc<Mask>) -> i64 {
        mask.kept() as i64
    }

    /// The names of the tensors that a mask covers.
    #[rhai_fn(get = "names", pure)]
    pub fn names(mask: &mut Arc<Mask>) -> Array {
        let names = mask.shapes().map(|(name, _)| name.to_string());
        names.map(Dynamic::from).collect()
    }

    /// The mask that keeps what is not zero: of a map of tensors by canonical name, as `tensors()`
    /// gives them.
    ///
    /// ```rhai
    /// mask_of(#{ w: tensor([0.0, 2.0, -1.0]) > 0 }).kept    // 1
    /// ```
    #[rhai_fn(return_raw)]
    pub fn mask_of(tensors: Map) -> Fallible<Arc<Mask>> {
        let mut all = Tensors::new();
        for (name, value) in &tensors {
            all.insert(Name::new(name), to_tensor(value)?);
        }
        Ok(Arc::new(Mask::of(&all, &Selection::All)?))
    }

    /// Jaccard's index of what two masks keep.
    #[rhai_fn(pure, return_raw)]
    pub fn overlap(mask: &mut Arc<Mask>, other: Arc<Mask>) -> Fallible<f64> {
        Ok(mask.overlap(&other)?)
    }

    /// How much of each layer a mask keeps: a Table with layer, entries, kept and density.
    #[rhai_fn(get = "by_layer", pure, return_raw)]
    pub fn by_layer(mask: &mut Arc<Mask>) -> Fallible<Table> {
        let rows = mask.by_layer();
        let layer = |l: Option<usize>| l.map_or(Value::Null, |l| Value::Int(l as i64));
        Ok(Table::from_columns([
            (
                "layer",
                rows.iter().map(|r| layer(r.layer)).collect::<Vec<_>>(),
            ),
            (
                "entries",
                rows.iter().map(|r| Value::Int(r.entries as i64)).collect(),
            ),
            (
                "kept",
                rows.iter().map(|r| Value::Int(r.kept as i64)).collect(),
            ),
            (
                "density",
                rows.iter()
                    .map(|r| Value::Float(r.kept as f64 / r.entries.max(1) as f64))
                    .collect(),
            ),
        ])?)
    }

    #[rhai_fn(name = "&", return_raw)]
    pub fn and(a: Arc<Mask>, b: Arc<Mask>) -> Fallible<Arc<Mask>> {
        Ok(Arc::new(a.and(&b)?))
    }

    #[rhai_fn(name = "|", return_raw)]
    pub fn or(a: Arc<Mask>, b: Arc<Mask>) -> Fallible<Arc<Mask>> {
        Ok(Arc::new(a.or(&b)?))
    }

    #[rhai_fn(name = "^", return_raw)]
    pub fn xor(a: Arc<Mask>, b: Arc<Mask>) -> Fallible<Arc<Mask>> {
        Ok(Arc::new(a.xor(&b)?))
    }

    #[rhai_fn(name = "!")]
    pub fn not(mask: Arc<Mask>) -> Arc<Mask> {
        Arc::new(mask.not())
    }

    #[rhai_fn(name = "==")]
    pub fn equal(a: Arc<Mask>, b: Arc<Mask>) -> bool {
        a == b
    }

    /// Saves a mask: a safetensors file of zeros and ones.
    #[rhai_fn(name = "save", pure, return_raw)]
    pub fn save_mask(context: NativeCallContext, mask: &mut Arc<Mask>, path: &str) -> Fallible<()> {
        Ok(mask.save(&Session::of(&context)?.write_path(path)?)?)
    }

    /// The mask in a file that a mask's `save` wrote.
    #[rhai_fn(return_raw)]
    pub fn load_mask(context: NativeCallContext, path: &str) -> Fallible<Arc<Mask>> {
        Ok(Arc::new(Mask::load(
            &Session::of(&context)?.read_path(path)?,
        )?))
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn card(mask: &mut Arc<Mask>) -> String {
        mask.to_string()
    }
}

fn pruned(
    context: &NativeCallContext,
    adapter: &Adapter,
    sparsity: Option<f64>,
    options: &Map,
) -> Result<Adapter> {
    let session = Session::of(context)?;
    let options = Options::read(&PRUNE, options)?;
    let by = criterion(&options.text("by")?)?;
    let include = Selection::from(options.text("tensors")?.as_str());
    check_idle(&options, by)?;
    let seed = options
        .maybe_int("seed")?
        .map_or(session.seed(), |s| s as u64);
    // Scores may be taken elsewhere than at the weights that stay.
    let scored = match options.count("warmup")? {
        0 => adapter.clone(),
        steps => {
            let (model, data) = where_gradients_are(adapter, &options, "warm-up")?;
            warmed(&model, adapter, &data, steps, seed, session.context())?
        }
    };
    let evidence = evidence(&session, &scored, adapter, &options, (by, &include), seed)?;
    let inputs = Inputs {
        evidence: evidence.as_ref(),
        seed,
    };
    let tensors = scored.tensors()?;
    let picked = include.pick(&tensors)?;
    let entries: u64 = picked.iter().map(|(_, t)| t.elem_count() as u64).sum();
    let amount = match (sparsity, &asked(&options, sparsity)?[..]) {
        (Some(sparsity), _) => Amount::Sparsity(sparsity),
        (None, ["count"]) => Amount::Count(options.count("count")? as u64),
        (None, ["keep"]) => {
            let keep = options.count("keep")? as u64;
            if keep > entries {
                return Err(options.error("keep", format!("there are {entries} weights")));
            }
            Amount::Count(entries - keep)
        }
        // As many as the bytes allow: told below.
        (None, ["bytes"]) => Amount::Count(0),
        (None, _) => Amount::Sparsity(options.float("sparsity")?),
    };
    let plan = Plan {
        amount,
        scope: match options.maybe_text("scope")? {
            Some(scope) => scope.parse()?,
            None => by.scope().unwrap_or_default(),
        },
        grain: match options.text("grain")?.as_str() {
            "units" => Grain::Units,
            _ => Grain::Entries,
        },
        include,
        before: adapter.mask().map(|m| &**m),
    };
    if let Some(own) = by.scope()
        && own != plan.scope
    {
        return Err(options.error("scope", format!("{} has densities of its own", by.name())));
    }
    let words = ["keep", "bytes"];
    if let (Grain::Units, Some(word)) = (plan.grain, words.iter().find(|w| options.given(w))) {
        return Err(options.error(word, "units are counted by `count`: those that go"));
    }
    let mask = match options.maybe_int("bytes")? {
        None => prune(&tensors, by, &inputs, &plan)?,
        Some(bytes) => {
            let found = within_bytes(adapter, bytes as usize, entries, |amount| {
                let plan = Plan {
                    amount,
                    ..plan.clone()
                };
                prune(&tensors, by, &inputs, &plan)
            })?;
            found.map_err(|least| options.error("bytes", format!("the least is {least}")))?
        }
    };
    masked(adapter, Arc::new(mask))
}

/// The mask that keeps the most of `entries` in a file of `bytes` bytes; the bytes of a file that
/// keeps none where they are more.
fn within_bytes(
    adapter: &Adapter,
    bytes: usize,
    entries: u64,
    mask: impl Fn(Amount) -> Result<Mask>,
) -> Result<std::result::Result<Mask, usize>> {
    let tensors = adapter.tensors()?;
    let size = |mask: &Mask| -> Result<usize> {
        let whole = match adapter.mask() {
            Some(before) => before.joined(mask)?,
            None => mask.clone(),
        };
        formats::sparse::size(adapter, &tensors, &whole)
    };
    let none = mask(Amount::Count(entries))?;
    let least = size(&none)?;
    if least > bytes {
        return Ok(Err(least));
    }
    let mut keep = entries.min((bytes - least) as u64 / 4);
    while keep > 0 {
        let found = mask(Amount::Count(entries - keep))?;
        let over = size(&found)?.saturating_sub(bytes) as u64;
        if over == 0 {
            return Ok(Ok(found));
        }
        keep = keep.saturating_sub(over.div_ceil(4));
    }
    Ok(Ok(none))
}

/// The one option that says how much goes, where no number does.
fn asked(options: &Options, sparsity: Option<f64>) -> Result<Vec<&'static str>> {
    let ways = ["sparsity", "count", "keep", "bytes"];
    let given: Vec<&str> = ways.into_iter().filter(|w| options.given(w)).collect();
    match (sparsity, &given[..]) {
        (None, []) => bail!(
            "prune: how much is not said"; hint: "a.prune(0.9), or one of the options sparsity, count, keep and bytes"
        ),
        (None, [_]) | (Some(_), []) => Ok(given),
        (_, [first, ..]) => Err(options.error(first, "how much goes is said twice")),
    }
}

/// An error for an option that the criterion does not look at.
fn check_idle(options: &Options, by: &dyn Criterion) -> Result<()> {
    let need = by.needs();
    let gradients = matches!(need, Need::Gradient | Need::Curvature);
    let warms = options.count("warmup")? > 0;
    let idle: [(&str, bool); 5] = [
        ("model", gradients || warms),
        ("data", gradients || warms),
        ("batches", gradients),
        ("among", need == Need::Conflict),
        ("start", need == Need::Start),
    ];
    for (name, used) in idle {
        if options.given(name) && !used {
            let what = match name {
                "among" => "looks at no other adapters",
                "start" => "does not look where training began",
                _ => "needs no gradients",
            };
            return Err(options.error(name, format!("{} {what}", by.name())));
        }
    }
    Ok(())
}

/// What the criterion needs beside the weights of `scored`, which is `adapter` itself or that after
/// a warm-up.
fn evidence(
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
            let mut set = vec![(adapter.name().to_string(), scored.tensors()?)];
            for other in &others {
                match other.clone().try_cast::<Adapter>() {
                    Some(other) if other.id() == adapter.id() => {}
                    Some(other) => set.push((other.name().to_string(), other.tensors()?)),
                    None => {
                        let found = format!("expected adapters, got {}", describe(other));
                        return Err(options.error("among", found));
                    }
                }
            }
            let set: Vec<_> = set.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
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
    let start = adapter.training().filter(|t| t.options["from"].is_null());
    let Some(start) = start else {
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
        if let Some(tensor) = init.drawn(start.init_seed, name, shape)? {
            found.insert(name.clone(), tensor);
        }
    }
    Ok(found)
}

/// The model and the rows that gradients are taken on.
fn where_gradients_are(adapter: &Adapter, options: &Options, by: &str) -> Result<(Model, Dataset)> {
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

fn masked(adapter: &Adapter, mask: Arc<Mask>) -> Result<Adapter> {
    let tensors = mask.apply(&*adapter.tensors()?)?;
    let mut parts = adapter.parts().clone();
    parts.id = Id::of_recipe(
        "mask/1",
        &serde_json::json!({"adapter": adapter.id().as_str(), "mask": Id::of_content("mask", &mask.to_bytes()?).as_str()}),
    );
    // What was pruned before stays pruned.
    let mask = match &parts.mask {
        Some(before) => Arc::new(before.joined(&mask)?),
        None => mask,
    };
    parts.mask = Some(mask);
    Adapter::new(parts, tensors)
}
