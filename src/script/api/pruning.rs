//! Pruning adapters, and masks as values.

use std::sync::Arc;

use rhai::plugin::*;
use rhai::{Engine, Map, NativeCallContext};

use crate::Result;
use crate::adapter::{Adapter, Selection, Tensors};
use crate::data::Dataset;
use crate::model::Model;
use crate::prune::{Inputs, Mask, criterion, prune};
use crate::report::table::{Table, Value};
use crate::script::{Fallible, NativeSpec, OptionSpec, Options, Session};
use crate::study::Id;
use crate::train::gradients_over;

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[PRUNE];

static PRUNE: NativeSpec = NativeSpec {
    name: "prune",
    options: &[
        OptionSpec::choice(
            "by",
            &["magnitude", "random", "snip", "fisher"],
            "what decides which entries stay",
        )
        .or("magnitude"),
        OptionSpec::choice(
            "scope",
            &["layerwise", "global"],
            "over what the threshold is taken",
        )
        .or("layerwise"),
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
            "where gradients are taken, for snip and fisher",
        )
        .otherwise("snip and fisher need it"),
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
        Ok(pruned(&context, adapter, sparsity, &Map::new())?)
    }

    /// The same with options.
    #[rhai_fn(name = "prune", pure, return_raw)]
    pub fn prune_with(
        context: NativeCallContext,
        adapter: &mut Adapter,
        sparsity: f64,
        options: Map,
    ) -> Fallible<Adapter> {
        Ok(pruned(&context, adapter, sparsity, &options)?)
    }

    #[rhai_fn(name = "prune", pure, return_raw)]
    pub fn prune_whole(
        context: NativeCallContext,
        adapter: &mut Adapter,
        sparsity: i64,
    ) -> Fallible<Adapter> {
        Ok(pruned(&context, adapter, sparsity as f64, &Map::new())?)
    }

    #[rhai_fn(name = "prune", pure, return_raw)]
    pub fn prune_whole_with(
        context: NativeCallContext,
        adapter: &mut Adapter,
        sparsity: i64,
        options: Map,
    ) -> Fallible<Adapter> {
        Ok(pruned(&context, adapter, sparsity as f64, &options)?)
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
    sparsity: f64,
    options: &Map,
) -> Result<Adapter> {
    let session = Session::of(context)?;
    let options = Options::read(&PRUNE, options)?;
    let by = criterion(&options.text("by")?)?;
    let seed = options
        .maybe_int("seed")?
        .map_or(session.seed(), |s| s as u64);
    let gradients = match by.needs_gradients() {
        true => Some(gradients(&session, adapter, &options, seed)?),
        false => {
            let idle = ["model", "data", "batches"];
            if let Some(name) = idle.iter().find(|n| options.given(n)) {
                return Err(options.error(name, format!("{} needs no gradients", by.name())));
            }
            None
        }
    };
    let inputs = Inputs {
        gradients: gradients.as_ref(),
        seed,
    };
    let mask = prune(
        &*adapter.tensors()?,
        by,
        &inputs,
        sparsity,
        options.text("scope")?.parse()?,
        &Selection::from(options.text("tensors")?.as_str()),
    )?;
    masked(adapter, Arc::new(mask))
}

fn gradients(
    session: &Session,
    adapter: &Adapter,
    options: &Options,
    seed: u64,
) -> Result<Tensors> {
    let by = options.text("by")?;
    let Some(model) = options.value::<Model>("model")? else {
        return Err(options.error(
            "model",
            format!("{by} needs it: #{{ by: \"{by}\", model: base }}"),
        ));
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
    gradients_over(
        &model,
        adapter,
        &data,
        options.count("batches")?,
        seed,
        session.context(),
    )
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
        Some(before) if before.shapes().eq(mask.shapes()) => Arc::new(before.and(&mask)?),
        _ => mask,
    };
    parts.mask = Some(mask);
    Adapter::new(parts, tensors)
}
