//! Whole models, mixed by the same methods tensor by tensor, by recipes as mergekit writes them.
//!
//! Everything is computed in f32, whatever the type of the files, and rounded once when it is
//! written; mergekit computes in `dtype`. Tensors have the names that the first model gives them,
//! whatever the others call them. Buffers are taken from it; other tensors of whole numbers must be
//! the same in all models.

mod beside;
mod checkpoint;
mod config;
mod layout;
mod names;

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::study::files::{Aside, write_atomic};
use crate::tensorfile::{Number, Part, Streamed, write_streamed};
use crate::{Context, Error, Result, bail};

use super::method::{At, Group, Work};
use super::mixture::Mixture;
use super::settings::Setting;
use checkpoint::Checkpoint;
use config::{Blend, Config};
use layout::{Layout, Models, Output, outputs};

/// How to merge, besides the recipe.
#[derive(Debug, Clone)]
pub struct MergeOptions {
    /// Seed of the random choices of dare and della; 0 where it is not given. An error with
    /// recipes that make none.
    pub seed: Option<u64>,
    /// The most bytes of a file of weights.
    pub shard: usize,
    /// Whether what is in the folder that is written stays, unless the same recipe made it: then
    /// it is an error. By default it is overwritten.
    pub keep: bool,
}

impl Default for MergeOptions {
    fn default() -> Self {
        Self {
            seed: None,
            shard: 5_000_000_000,
            keep: false,
        }
    }
}

/// Entries of a tensor that are mixed at a time, where that can be done in parts: few enough that
/// they stay in a core's cache from reading to writing.
const PART: usize = 1 << 16;

/// Merges models by the recipe in the file `config` into the folder `out`. `find` gives the folder
/// that a model's name means. The configuration is written last.
pub fn merge(
    config: &Path,
    out: &Path,
    find: &dyn Fn(&str) -> Result<PathBuf>,
    options: &MergeOptions,
    context: &Context,
) -> Result<()> {
    let recipe = Config::read(config)?;
    let blends = recipe
        .blends(options.seed.unwrap_or(0))
        .map_err(|e| e.within(config.display()))?;
    if options.seed.is_some() && !blends.iter().any(|blend| blend.spec.random) {
        bail!(
            "{}: seed: {} makes no random choices", config.display(), recipe.method();
            hint: "leave --seed out"
        );
    }
    let mut models = Models::new();
    for name in recipe.models_named() {
        let folder = find(&name)?;
        if let (Ok(from), Ok(to)) = (folder.canonicalize(), out.canonicalize())
            && from == to
        {
            return Err(Error::at_path(out, "is one of the models to be merged"));
        }
        let model = Checkpoint::open(&name, &folder)?;
        models.insert(name, model);
    }
    beside::check(&recipe, &models)?;
    if options.keep {
        beside::may_replace(&recipe, config, &models, out)?;
    }
    for blend in &blends {
        tell_untrimmed(blend, context);
    }
    let Layout { outputs, notices } = outputs(&blends, &models)?;
    notices.iter().for_each(|line| context.notice(line));
    let number = recipe.number()?;
    check_writable(&outputs, number)?;
    let layers = recipe
        .is_sliced()
        .then(|| blends.iter().filter_map(|b| b.layers).sum());
    let aside = Aside::of(out)?;
    let path = aside.path();
    let written = write_weights(&outputs, number, &path, options.shard, context)
        .and_then(|()| beside::write(&recipe, config, &models, number, layers, &path));
    aside.named(written)?;
    // The models' files are read no more.
    let stale = beside::weights_in(out)?;
    aside.settle(&["config.json"], &stale)
}

/// mergekit trims nothing where no density is given; what is left is then a plain mixture.
fn tell_untrimmed(blend: &Blend, context: &Context) {
    let Some(densities) = blend.settings.numbers.get("density") else {
        return;
    };
    if densities
        .iter()
        .flat_map(Setting::numbers)
        .all(|density| density >= 1.0)
    {
        context.notice(format!(
            "{}: the density is 1, mergekit's default, so nothing is trimmed; parameters: density says what stays",
            blend.spec.name
        ));
    }
}

/// An error where a tensor would be written as numbers of a type that is only read.
fn check_writable(outputs: &[Output<'_>], number: Option<Number>) -> Result<()> {
    for output in outputs.iter().filter(|output| !output.copied) {
        let (leader, own) = output.leader();
        let number = number.unwrap_or(leader.number(own)?);
        if number.is_float8() {
            return Err(Error::new(format!(
                "tensor {} would be written as {}, which is not supported",
                output.name,
                number.name()
            ))
            .hint("give the recipe `dtype: bfloat16`"));
        }
    }
    Ok(())
}

/// Writes the weights in files of at most `shard` bytes, with an index where they are several.
fn write_weights(
    outputs: &[Output<'_>],
    number: Option<Number>,
    out: &Path,
    shard: usize,
    context: &Context,
) -> Result<()> {
    let mut shards: Vec<Vec<Streamed<'_>>> = vec![Vec::new()];
    let (mut size, mut total) = (0, 0);
    for output in outputs {
        let tensor = streamed(output, number, context)?;
        let own: usize = tensor.parts.iter().map(|p| p.size).sum();
        if size + own > shard && size > 0 {
            shards.push(Vec::new());
            size = 0;
        }
        size += own;
        total += own;
        if let Some(last) = shards.last_mut() {
            last.push(tensor);
        }
    }
    let count = shards.len();
    let mut index = serde_json::Map::new();
    for (i, tensors) in shards.into_iter().enumerate() {
        let file = match count {
            1 => "model.safetensors".to_string(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", i + 1),
        };
        index.extend(tensors.iter().map(|t| (t.name.clone(), json!(file))));
        context
            .progress()
            .start(&file, tensors.len() as u64, "tensors");
        let written = write_streamed(&out.join(&file), tensors, Some(("format", "pt".into())));
        context.progress().finish();
        written?;
    }
    if count > 1 {
        let index = json!({"metadata": {"total_size": total}, "weight_map": index});
        let bytes = serde_json::to_vec_pretty(&index).map_err(|e| Error::new(e.to_string()))?;
        write_atomic(&out.join("model.safetensors.index.json"), &bytes)?;
    }
    Ok(())
}

/// A tensor of the result, made when its turn comes.
fn streamed<'a>(
    output: &'a Output<'a>,
    number: Option<Number>,
    context: &'a Context,
) -> Result<Streamed<'a>> {
    let (leader, own) = output.leader();
    let theirs = leader.number(own)?;
    let entries = output.entries();
    let whole = |number: Number, make: Box<dyn Fn() -> Result<Vec<u8>> + Sync + 'a>| Part {
        size: entries * number.size(),
        make,
    };
    let (number, parts) = match theirs.is_float() && !output.copied {
        false => {
            let raw = move || leader.raw(own);
            (theirs, vec![whole(theirs, Box::new(raw))])
        }
        true => {
            let number = number.unwrap_or(theirs);
            let step = match &output.blend.work {
                Work::Combination(method) if !method.needs_products() => PART,
                _ => entries,
            };
            let starts = (0..entries).step_by(step.max(1));
            let parts = starts.map(|start| {
                let range = start..(start + step).min(entries);
                Part {
                    size: range.len() * number.size(),
                    make: Box::new(move || {
                        context.check()?;
                        number
                            .encode(&mixed(output, range.clone())?)
                            .map_err(|e| e.within(format!("tensor {}", output.name)))
                    }),
                }
            });
            (number, parts.collect())
        }
    };
    Ok(Streamed {
        name: output.name.clone(),
        shape: output.shape.clone(),
        number,
        parts,
    })
}

/// The numbers of a tensor at these places.
fn mixed(output: &Output<'_>, part: Range<usize>) -> Result<Vec<f32>> {
    let blend = output.blend;
    let read = |(model, name): &(&Checkpoint, String)| model.values(name, part.clone());
    let members = output.members.iter().map(read).collect::<Result<_>>()?;
    let base = output.base.as_ref().map(read).transpose()?;
    let place = output.place();
    let weights = blend
        .weights
        .iter()
        .map(|w| w.at(place))
        .collect::<Result<Vec<_>>>()?;
    let keys: Vec<String> = blend.members.iter().map(|(name, _)| name.clone()).collect();
    let mixture = Mixture {
        work: &blend.work,
        on: blend.spec.on,
        offset: 0.0,
        base: base.as_deref(),
        group: Group {
            at: At {
                place,
                weights: &weights,
                settings: &blend.settings,
            },
            shape: &output.shape,
            members,
            keys: &keys,
            cuts: &[],
        },
    };
    let values = mixture.values().map_err(|e| e.within(&output.name))?;
    // A maximum over all is quicker than a search that may end at each number.
    if values.iter().map(|v| v.abs().to_bits()).max() >= Some(f32::INFINITY.to_bits()) {
        return Err(Error::new(format!(
            "tensor {}: the mixture holds values that are not finite",
            output.name
        ))
        .hint("its weights and settings make more of it than float32 holds"));
    }
    Ok(values)
}
