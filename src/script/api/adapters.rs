//! Adapters: loading, saving, looking inside.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use super::tensors::{map_of, to_tensor};
use crate::adapter::formats::{self, Layout, Types};
use crate::adapter::metadata::Precision;
use crate::adapter::{Adapter, Head, Labels, Name, Selection, Tensors};
use crate::hub::Kind;
use crate::prune::Mask;
use crate::script::Fallible;
use crate::script::Session;
use crate::script::overwriting::FORCE;
use crate::script::pending::written;
use crate::script::{Acts, NativeSpec, OptionSpec, Options};
use crate::study::Id;
use crate::{About, Error, Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[SAVE];

static SAVE: NativeSpec = NativeSpec {
    name: "save",
    options: &[
        OptionSpec::choice(
            "format",
            &["adapterhub", "peft"],
            "of an adapter: whose layout; LoRA and IA3 can be PEFT's, every kind but PEFT's own AdapterHub's",
        )
        .otherwise("the one the adapter came from, else adapterhub")
        .acts(&[Acts::With("layout", &["dense"], "the sparse layout is no library's")]),
        OptionSpec::choice(
            "layout",
            &["dense", "sparse"],
            "of an adapter: dense is what the Python libraries read; sparse keeps masks as bits and the kept weights alone",
        )
        .or("dense"),
        OptionSpec::choice(
            "dtype",
            &["keep", "f32", "f16", "bf16"],
            "of an adapter: the type of its numbers; keep is that of the files it came from, in a soup the one that all members had, else f32",
        )
        .or("keep")
        .acts(&[Acts::With("layout", &["dense"], "the sparse layout holds f32")]),
        OptionSpec::bool(
            "members",
            "with a soup, also the adapters it was made of, so that it can be replayed anywhere",
        )
        .or("false")
        .acts(&[Acts::Where("with a soup")]),
        FORCE,
    ],
};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Adapter>("Adapter");
    engine.register_type_with_name::<Head>("Head");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// An adapter from a folder in AdapterHub's or PEFT's layout, of safetensors or pickles, or in the
    /// sparse layout. Needs no base model. A name that is no folder is looked for on the Hugging Face
    /// hub.
    ///
    /// - `path`: a folder, relative to the script, or a name on the hub: "owner/name",
    ///   "owner/name@revision"
    ///
    /// # Errors
    /// A folder without an adapter's configuration; a kind of adapter that is not known; tensors whose
    /// shapes do not agree with the configuration; a pickle that would run code.
    ///
    /// # Source
    /// AdapterHub's `adapters` and Hugging Face's `peft`, whose folders these are.
    ///
    /// ```rhai
    /// a.save("out/films");
    /// load_adapter("out/films").kind    // pfeiffer
    /// ```
    #[rhai_fn(return_raw)]
    pub fn load_adapter(context: NativeCallContext, path: &str) -> Fallible<Adapter> {
        let missing = || {
            Error::new(format!("no adapter {path:?}: no such folder"))
                .about(About::Text(path.into()))
        };
        let session = Session::of(&context)?;
        let folder = session.path_or_repository(Kind::Model, path, &formats::needed, missing)?;
        session.note_files("adapter", path, &folder)?;
        let loaded = formats::load_with(&folder, session.context())?;
        let mut parts = loaded.parts().clone();
        let local = session.read_path(path).is_ok_and(|p| p == folder);
        parts.source = Some(match (local, folder.canonicalize()) {
            (true, Ok(full)) => full.display().to_string(),
            _ => path.to_string(),
        });
        Ok(loaded.with_parts(parts))
    }

    /// Saves an adapter with its head and a model card as a folder in AdapterHub's layout, or in
    /// PEFT's where it came from there; one with several heads as one sub-folder a head.
    ///
    /// What lay beside the adapter that was loaded goes with it: the task, a tokenizer and a chat
    /// template, the licence, the card. Numbers keep the type they were loaded in; of a soup, whose
    /// weights are computed in f32, they are rounded once to the type that all members had.
    ///
    /// - `path`: the folder, under the folder of the run
    ///
    /// ```rhai
    /// a.save("out/saved");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn save(context: NativeCallContext, adapter: &mut Adapter, path: &str) -> Fallible<()> {
        let session = Session::of(&context)?;
        let layout = Layout::Dense(None, Types::Keep);
        written(session.save_adapter(adapter, path, layout, (false, false)))
    }

    /// The same with options.
    ///
    /// ```rhai
    /// let lora = train(base, films, #{ adapter: "lora", epochs: 1 });
    /// lora.save("out/lora", #{ format: "peft" });
    /// a.prune(0.9).save("out/small", #{ layout: "sparse" });
    /// lora.save("out/half", #{ dtype: "bf16" });
    /// load_adapter("out/small").sparsity    // about 0.9
    /// load_adapter("out/lora").kind    // lora
    /// ```
    #[rhai_fn(name = "save", pure, return_raw)]
    pub fn save_with(
        context: NativeCallContext,
        adapter: &mut Adapter,
        path: &str,
        options: Map,
    ) -> Fallible<()> {
        let options = Options::read(&SAVE, &options)?;
        let format = options.maybe_text("format")?;
        let format = format.map(|name| name.parse()).transpose()?;
        let dtype = Precision::named(&options.text("dtype")?);
        let types = dtype.map_or(Types::Keep, Types::All);
        let layout = match options.text("layout")?.as_str() {
            "sparse" => Layout::Sparse,
            _ => Layout::Dense(format, types),
        };
        let members = options.bool("members")?;
        if members && adapter.recipe().is_none() {
            let why = format!("{} is no soup and has no members", adapter.name());
            return Err(options.error("members", why).into());
        }
        let (session, force) = (Session::of(&context)?, options.bool("force")?);
        written(session.save_adapter(adapter, path, layout, (members, force)))?;
        Ok(())
    }

    /// The name: the dataset it was trained on, or the folder's own.
    #[rhai_fn(get = "name", pure)]
    pub fn name(adapter: &mut Adapter) -> String {
        adapter.name().to_string()
    }

    /// The id: the hash of the recipe, or of the content of a loaded one.
    #[rhai_fn(get = "id", pure)]
    pub fn id(adapter: &mut Adapter) -> String {
        adapter.id().to_string()
    }

    /// The kind: "pfeiffer", "houlsby", "lora"...
    #[rhai_fn(get = "kind", pure)]
    pub fn kind(adapter: &mut Adapter) -> String {
        adapter.kind().name().to_string()
    }

    /// The number of weights, the head's not counted.
    #[rhai_fn(get = "parameters", pure, return_raw)]
    pub fn parameters(adapter: &mut Adapter) -> Fallible<i64> {
        Ok(adapter.parameter_count()? as i64)
    }

    /// The adapters it was mixed from; itself where it was not mixed.
    #[rhai_fn(get = "members", pure)]
    pub fn members(adapter: &mut Adapter) -> Array {
        adapter
            .members()
            .iter()
            .map(|m| Dynamic::from(m.clone()))
            .collect()
    }

    /// All tensors, by canonical name: a map of Tensors.
    ///
    /// ```rhai
    /// a.tensors().keys()[0]    // encoder.layer.0.output.adapter_down.bias
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn tensors(adapter: &mut Adapter) -> Fallible<Map> {
        let tensors = adapter.tensors()?;
        Ok(tensors
            .iter()
            .map(|(n, t)| (n.as_str().into(), Dynamic::from(t.clone())))
            .collect())
    }

    /// One tensor.
    ///
    /// - `name`: its canonical name, such as "encoder.layer.0.output.adapter_down.weight"
    ///
    /// ```rhai
    /// a.tensor("encoder.layer.0.output.adapter_down.weight").shape    // [24, 384]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn tensor(adapter: &mut Adapter, name: &str) -> Fallible<Tensor> {
        let tensors = adapter.tensors()?;
        match tensors.get(&Name::new(name)) {
            Some(tensor) => Ok(tensor.clone()),
            None => Err(unknown_tensor(adapter, &tensors, name).into()),
        }
    }

    /// The head; an error where there is none or several.
    #[rhai_fn(get = "head", pure, return_raw)]
    pub fn head(adapter: &mut Adapter) -> Fallible<Head> {
        match adapter.heads() {
            [head] => Ok(Head::clone(head)),
            [] => bail!("adapter {} has no head", adapter.name()),
            several => bail!(
                "adapter {} has {} heads; take one of a.heads",
                adapter.name(),
                several.len()
            ),
        }
    }

    /// All heads.
    #[rhai_fn(get = "heads", pure)]
    pub fn heads(adapter: &mut Adapter) -> Array {
        adapter
            .heads()
            .iter()
            .map(|h| Dynamic::from(Head::clone(h)))
            .collect()
    }

    /// The same adapter with this head alone: a soup keeps its members' heads, and evaluating it on
    /// other data needs one that is chosen.
    ///
    /// - `head`: a head of this or another adapter
    ///
    /// ```rhai
    /// evaluate(base, soup([a, b]).with_head(a.head), films).n    // 40
    /// ```
    #[rhai_fn(pure)]
    pub fn with_head(adapter: &mut Adapter, head: Head) -> Adapter {
        adapter.with_head(head)
    }

    /// An adapter of the same kind, base and heads with other tensors.
    ///
    /// - `tensors`: a map of all of them by canonical name, as `tensors()` gives it
    ///
    /// # Errors
    /// A name that the adapter does not have, one that is missing, another shape.
    ///
    /// ```rhai
    /// let halved = #{};
    /// for name in a.tensors().keys() { halved[name] = 0.5 * a.tensor(name); }
    /// adapter_like(a, halved).parameters == a.parameters    // true
    /// ```
    #[rhai_fn(return_raw)]
    pub fn adapter_like(adapter: Adapter, tensors: Map) -> Fallible<Adapter> {
        Ok(like(&adapter, &tensors)?)
    }

    /// How it was trained here: a map with the options, `best_epoch` and `epochs` (loss,
    /// validation_loss and validation_score of each).
    #[rhai_fn(get = "training", pure, return_raw)]
    pub fn training(adapter: &mut Adapter) -> Fallible<Map> {
        let Some(training) = adapter.training() else {
            bail!("adapter {} was not trained here", adapter.name());
        };
        let epochs: Array = training
            .epochs
            .iter()
            .map(|e| {
                Dynamic::from(map_of([
                    ("loss", e.loss.into()),
                    ("validation_loss", number(e.validation_loss)),
                    ("validation_score", number(e.validation_score)),
                ]))
            })
            .collect();
        Ok(map_of([
            ("dataset", training.dataset.clone().into()),
            ("best_epoch", (training.best_epoch as i64).into()),
            ("epochs", epochs.into()),
            (
                "options",
                super::super::files::from_json(training.options.clone())?,
            ),
        ]))
    }

    /// Equal ids.
    #[rhai_fn(name = "==", pure)]
    pub fn equal(adapter: &mut Adapter, other: Adapter) -> bool {
        adapter.id() == other.id()
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn card(adapter: &mut Adapter) -> String {
        adapter.to_string()
    }

    /// The labels a head tells apart, made up where only their number is known.
    #[rhai_fn(get = "labels", pure)]
    pub fn head_labels(head: &mut Head) -> Array {
        head.labels.names().into_iter().map(Dynamic::from).collect()
    }

    /// The dataset or adapter a head was trained for.
    #[rhai_fn(get = "name", pure)]
    pub fn head_name(head: &mut Head) -> String {
        head.name.clone()
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn head_card(head: &mut Head) -> String {
        match head.labels {
            Labels::Tokens(_) => format!("Head {}: the next token", head.name),
            _ => format!("Head {}: {}", head.name, head.labels.names().join(", ")),
        }
    }
}

fn number(value: Option<f64>) -> Dynamic {
    value.map_or(Dynamic::UNIT, Dynamic::from)
}

fn unknown_tensor(adapter: &Adapter, tensors: &Tensors, name: &str) -> Error {
    let error = Error::new(format!("adapter {} has no tensor {name}", adapter.name()));
    match crate::nearest(name, tensors.keys().map(Name::as_str)) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => match tensors.keys().next() {
            Some(first) => error.hint(format!("names look like {first}")),
            None => error,
        },
    }
}

fn like(adapter: &Adapter, map: &Map) -> Result<Adapter> {
    let model = adapter.tensors()?;
    let mut tensors = Tensors::new();
    for (name, value) in map {
        let key = Name::new(name);
        let Some(old) = model.get(&key) else {
            return Err(unknown_tensor(adapter, &model, name));
        };
        let new = to_tensor(value)?.to_dtype(DType::F32)?;
        if new.dims() != old.dims() {
            bail!(
                "adapter_like: {name} has shape {:?}, expected {:?}",
                new.dims(),
                old.dims()
            );
        }
        tensors.insert(key, new);
    }
    if let Some(missing) = model.keys().find(|n| !tensors.contains_key(*n)) {
        bail!("adapter_like: tensor {missing} is missing");
    }
    let mut parts = adapter.parts().clone();
    let mut bytes = serde_json::to_vec(&parts.kind.config()).unwrap_or_default();
    bytes.extend(crate::adapter::content(&tensors));
    for head in &parts.heads {
        bytes.extend(crate::adapter::head_id(head).as_bytes());
    }
    parts.id = Id::of_content("adapter", &bytes);
    parts.training = None;
    parts.init_seed = None;
    // The numbers are new: those of a shorter type may not hold them.
    let mut metadata = (*parts.metadata.get()).clone();
    metadata.types.clear();
    parts.metadata = metadata.into();
    let pruned = parts.mask.take().is_some();
    let adapter = Adapter::new(parts.clone(), tensors.clone())?;
    if !pruned {
        return Ok(adapter);
    }
    let own = adapter.reached(&Selection::Matrices)?;
    parts.mask = Some(Arc::new(Mask::of(&own, &Selection::Matrices)?));
    Adapter::new(parts, tensors)
}
