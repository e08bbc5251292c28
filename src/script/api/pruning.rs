//! Pruning adapters.

use std::sync::Arc;

use rhai::plugin::*;
use rhai::{Engine, Map, NativeCallContext};

use super::evidence::{evidence, where_gradients_are};
use crate::adapter::{Adapter, Selection, formats};
use crate::prune::{
    Amount, Criterion, Grain, Inputs, Mask, Plan, Scope, check_prunable, criterion, prune,
};
use crate::script::{Acts, Fallible, NativeSpec, OptionSpec, Options, Session};
use crate::study::Id;
use crate::train::warmed;
use crate::{Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[PRUNE];

/// The criteria that take gradients of a model on data.
const GRADIENTS: &[&str] = &["snip", "grasp", "fisher"];
/// Those that draw numbers, or batches.
const DRAWING: &[&str] = &["random", "er", "snip", "grasp", "fisher"];
/// Those whose scores depend on the weights, and so on a warm-up.
const WEIGHED: &[&str] = &[
    "magnitude",
    "snip",
    "grasp",
    "fisher",
    "synflow",
    "conflict",
    "movement",
];
const WARM: Acts = Acts::Given("warmup", "");

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
            "\"weights\", \"all\" or a pattern of names with *; saved modules only by their name, as in *lm_head*",
        )
        .or("weights"),
        OptionSpec::int(
            "seed",
            0,
            i64::MAX,
            "moves random scores and the order of the batches; by random, adapters pruned with one seed get one mask: for independent masks give each its own",
        )
        .otherwise("the study's seed")
        .acts(&[Acts::Any(&[Acts::With("by", DRAWING, "{} draws no numbers"), WARM])]),
        OptionSpec::value(
            "model",
            "a Model",
            "where gradients are taken and warm-up trains",
        )
        .otherwise("snip, grasp, fisher and warm-up need it")
        .acts(&[Acts::Any(&[Acts::With("by", GRADIENTS, "{} looks at no model"), WARM])]),
        OptionSpec::value(
            "data",
            "a Dataset",
            "the rows of its train split are what gradients are taken on",
        )
        .otherwise("the dataset the adapter was trained on")
        .acts(&[Acts::Any(&[Acts::With("by", GRADIENTS, "{} looks at no data"), WARM])]),
        OptionSpec::int(
            "batches",
            1,
            1_000_000,
            "how many batches of 32 rows gradients are summed over",
        )
        .or("1")
        .acts(&[Acts::With("by", GRADIENTS, "{} needs no gradients")]),
        OptionSpec::int(
            "warmup",
            0,
            1_000_000,
            "steps of training before the scores are taken; the weights that stay are the adapter's own",
        )
        .unit("steps")
        .or("0")
        .acts(&[Acts::With("by", WEIGHED, "{} does not look at the weights")]),
        OptionSpec::list("among", "conflict: the adapters that it is to be mixed with")
            .otherwise("conflict needs it")
        .acts(&[Acts::With("by", &["conflict"], "{} looks at no other adapters")]),
        OptionSpec::value("start", "an Adapter", "movement: where training began")
            .otherwise("the initialisation that the adapter records")
        .acts(&[Acts::With("by", &["movement"], "{} does not look where training began")]),
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
    /// The adapter with the smallest weights of each matrix set to zero: `sparsity` is the share
    /// that goes.
    ///
    /// - `adapter`: an adapter
    /// - `sparsity`: the share of its weights that goes, from 0 to 1
    ///
    /// # Errors
    /// What lies near 1 (the vectors of an IA3, the lengths of a DoRA); matrices that are as before
    /// training, whose weights nothing tells apart.
    ///
    /// ```rhai
    /// a.prune(0.75).sparsity    // 0.75
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
    /// - `adapter`: an adapter
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
    ///
    /// - `adapter`: an adapter
    /// - `mask`: a mask of some of its tensors, in their shapes
    ///
    /// # Errors
    /// Tensors that the adapter does not have, or in other shapes; what lies near 1, as in an IA3.
    ///
    /// ```rhai
    /// a.apply(b.prune(0.5).mask).mask.density    // 0.5
    /// ```
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
                &adapter.reached(&Selection::Matrices)?,
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
            None => Mask::of(
                &adapter.reached(&Selection::Matrices)?,
                &Selection::Matrices,
            )?,
            Some(mask) => {
                let covered = tensors.iter().filter(|(name, _)| mask.covers(name));
                let covered = covered.map(|(n, t)| (n.clone(), t.clone())).collect();
                Mask::of(&covered, &Selection::All)?
            }
        };
        Ok(zeros.sparsity())
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
    let shapes = include.reach(adapter)?;
    let picked = include.pick(&shapes)?;
    check_prunable(
        adapter.kind().as_ref(),
        picked.iter().map(|(name, _)| *name),
    )?;
    let entries = picked
        .iter()
        .map(|(_, s)| s.iter().product::<usize>() as u64);
    let entries = entries.sum();
    // What is asked for is judged before anything is trained for it.
    let plan = Plan {
        amount: amount(&options, sparsity, entries)?,
        scope: scope(&options, by)?,
        grain: grain(&options)?,
        include: include.clone(),
        before: adapter.mask().map(|m| &**m),
    };
    if plan.grain == Grain::Entries {
        plan.amount.check(entries as usize)?;
    }
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
    let tensors = scored.reached(&include)?;
    let mask = match options.maybe_int("bytes")? {
        None => prune(&tensors, by, &inputs, &plan, session.context())?,
        Some(bytes) => {
            let found = within_bytes(adapter, bytes as usize, entries, |amount| {
                let plan = Plan {
                    amount,
                    ..plan.clone()
                };
                session.context().check()?;
                prune(&tensors, by, &inputs, &plan, session.context())
            })?;
            found.map_err(|least| options.error("bytes", format!("the least is {least}")))?
        }
    };
    masked(adapter, Arc::new(mask))
}

/// How much of `entries` weights goes.
fn amount(options: &Options, sparsity: Option<f64>, entries: u64) -> Result<Amount> {
    Ok(match (sparsity, &asked(options, sparsity)?[..]) {
        (Some(sparsity), _) => Amount::Sparsity(sparsity),
        (None, ["count"]) => Amount::Count(options.count("count")? as u64),
        (None, ["keep"]) => {
            let keep = options.count("keep")? as u64;
            if keep > entries {
                return Err(options.error("keep", format!("there are {entries} weights")));
            }
            Amount::Count(entries - keep)
        }
        // As many as the bytes allow: told when they are counted.
        (None, ["bytes"]) => Amount::Count(0),
        (None, _) => Amount::Sparsity(options.float("sparsity")?),
    })
}

fn scope(options: &Options, by: &dyn Criterion) -> Result<Scope> {
    let scope = match options.maybe_text("scope")? {
        Some(scope) => scope.parse()?,
        None => by.scope().unwrap_or_default(),
    };
    match by.scope() {
        Some(own) if own != scope => {
            Err(options.error("scope", format!("{} has densities of its own", by.name())))
        }
        _ => Ok(scope),
    }
}

fn grain(options: &Options) -> Result<Grain> {
    if options.text("grain")? != "units" {
        return Ok(Grain::Entries);
    }
    match ["keep", "bytes"].iter().find(|w| options.given(w)) {
        Some(word) => Err(options.error(word, "units are counted by `count`: those that go")),
        None => Ok(Grain::Units),
    }
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

fn masked(adapter: &Adapter, mask: Arc<Mask>) -> Result<Adapter> {
    check_prunable(adapter.kind().as_ref(), mask.shapes().map(|(name, _)| name))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::Need;
    use crate::script::Kind;

    #[test]
    fn options_act_with_the_criteria_that_need_them() {
        let by = PRUNE.find("by").map(|option| option.kind);
        let Some(Kind::Choice(names)) = by else {
            panic!("{by:?}");
        };
        for name in names {
            let need = criterion(name).unwrap().needs();
            let gradients = matches!(need, Need::Gradient | Need::Curvature);
            assert_eq!(GRADIENTS.contains(name), gradients, "{name}");
            assert!(DRAWING.contains(name) || !gradients, "{name}");
            assert_eq!(*name == "conflict", need == Need::Conflict, "{name}");
            assert_eq!(*name == "movement", need == Need::Start, "{name}");
        }
    }
}
