//! The kinds of adapter that options describe.

use std::sync::Arc;

use rhai::{Array, Dynamic};

use crate::Result;
use crate::adapter::{Bottleneck, Ia3, Kind, Lora, Modules, Reduction};
use crate::model::LinearSite;
use crate::script::{Acts, OptionSpec, Options, describe};

/// The kinds of adapter that can be trained.
pub(super) const KINDS: &[&str] = &["pfeiffer", "houlsby", "parallel", "lora", "dora", "ia3"];

/// The kinds whose width is a share of the hidden size.
const BOTTLENECKS: &[&str] = &["pfeiffer", "houlsby", "parallel"];
const LORAS: &[&str] = &["lora", "dora"];
const MAPS: &[&str] = &["lora", "dora", "ia3"];
const UNFIT: &str = "{} has no such setting";
const FIXED: Acts = Acts::Without("from", "the adapter in `from` decides it");

/// What kind of adapter.
pub(super) const KIND: [OptionSpec; 6] = [
    ADAPTER,
    REDUCTION.acts(&[Acts::With("adapter", BOTTLENECKS, UNFIT)]),
    RANK.acts(&[Acts::With("adapter", LORAS, UNFIT)]),
    ALPHA.acts(&[Acts::With("adapter", LORAS, UNFIT)]),
    RSLORA.acts(&[Acts::With("adapter", LORAS, UNFIT)]),
    TARGETS.acts(&[Acts::With("adapter", MAPS, UNFIT)]),
];

/// The same where the option `from` may give an adapter, whose kind then stands.
pub(super) const FRESH_KIND: [OptionSpec; 6] = [
    ADAPTER.acts(&[FIXED]),
    REDUCTION.acts(&[FIXED, Acts::With("adapter", BOTTLENECKS, UNFIT)]),
    RANK.acts(&[FIXED, Acts::With("adapter", LORAS, UNFIT)]),
    ALPHA.acts(&[FIXED, Acts::With("adapter", LORAS, UNFIT)]),
    RSLORA.acts(&[FIXED, Acts::With("adapter", LORAS, UNFIT)]),
    TARGETS.acts(&[FIXED, Acts::With("adapter", MAPS, UNFIT)]),
];

const ADAPTER: OptionSpec =
    OptionSpec::choice("adapter", KINDS, "the kind of adapter").or("pfeiffer");
const REDUCTION: OptionSpec = OptionSpec::float(
    "reduction",
    1.0,
    1e6,
    "bottleneck width = hidden size / this, at least 1",
)
.otherwise("16; parallel 2");
const RANK: OptionSpec = OptionSpec::int("r", 1, 4096, "rank of a LoRA").or("8");
const ALPHA: OptionSpec =
    OptionSpec::float("alpha", 1e-6, 1e6, "a LoRA's change is scaled by alpha / r").or("8");
const RSLORA: OptionSpec =
    OptionSpec::bool("rslora", "scale a LoRA's change by alpha / sqrt(r)").or("false");
const TARGETS: OptionSpec = OptionSpec::list(
    "targets",
    "the linear maps of a LoRA or IA3: query, key, value, intermediate, output",
)
.otherwise("query and value; ia3 key, value and intermediate");

/// What fresh tensors are drawn under.
pub(super) const INIT_SEED: OptionSpec = OptionSpec::int(
    "init_seed",
    0,
    i64::MAX,
    "moves the initial tensors; adapters to be mixed should share it",
)
.otherwise("the study's seed");

/// The same where the option `from` may give an adapter with tensors of its own.
pub(super) const FRESH_INIT_SEED: OptionSpec = INIT_SEED.acts(&[FIXED]);

/// The kind of adapter of this name, one of [`KINDS`], with its defaults.
pub(super) fn kind_named(name: &str) -> Arc<dyn Kind> {
    match name {
        "lora" => Arc::new(Lora::default()),
        "dora" => Arc::new(Lora {
            dora: true,
            ..Lora::default()
        }),
        "ia3" => Arc::new(Ia3::default()),
        other => Arc::new(bottleneck(other)),
    }
}

fn bottleneck(name: &str) -> Bottleneck {
    match name {
        "houlsby" => Bottleneck::houlsby(),
        "parallel" => Bottleneck::parallel(),
        _ => Bottleneck::pfeiffer(),
    }
}

/// The kind of adapter that the options of a call describe.
pub(super) fn kind(options: &Options) -> Result<Arc<dyn Kind>> {
    let name = options.text("adapter")?;
    let targets = match options.value::<Array>("targets")? {
        None => None,
        Some(names) => {
            let each = names.iter().map(|n| target(options, n));
            Some(each.collect::<Result<Vec<_>>>()?)
        }
    };
    if name == "ia3" {
        let mut ia3 = Ia3::default();
        if let Some(targets) = targets {
            ia3.modules = Modules::of_sites(targets);
        }
        return Ok(Arc::new(ia3));
    }
    if name == "lora" || name == "dora" {
        let targets = targets.unwrap_or_else(|| vec![LinearSite::Query, LinearSite::Value]);
        let (r, alpha) = (options.count("r")?, options.float("alpha")?);
        let mut lora = Lora::new(r, alpha, targets)?;
        lora.dora = name == "dora";
        if options.bool("rslora")? {
            // AdapterHub has no such scale; as a plain one it is the same change.
            lora.alpha = alpha * (r as f64).sqrt();
        }
        return Ok(Arc::new(lora));
    }
    let mut bottleneck = bottleneck(&name);
    if let Some(reduction) = options.maybe_float("reduction")? {
        bottleneck.reduction = Reduction::All(reduction);
    }
    Ok(Arc::new(bottleneck))
}

fn target(options: &Options, name: &Dynamic) -> Result<LinearSite> {
    match name.clone().into_string().as_deref() {
        Ok("query") => Ok(LinearSite::Query),
        Ok("key") => Ok(LinearSite::Key),
        Ok("value") => Ok(LinearSite::Value),
        Ok("intermediate") => Ok(LinearSite::Intermediate),
        Ok("output") => Ok(LinearSite::Output),
        _ => Err(options.error(
            "targets",
            format!(
                "expected query, key, value, intermediate or output, got {}",
                describe(name)
            ),
        )),
    }
}
