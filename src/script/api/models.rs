//! Base models: loading, tokenizing, forward passes.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use super::tensors::{integers, map_of, to_tensor};
use crate::adapter::formats::peft::classifier_of;
use crate::adapter::{Adapter, Head, Labels, check_base};
use crate::compute::{device, device_name};
use crate::hub::{Kind, Repo};
use crate::model::{BUNDLED, Encoding, Frozen, Inputs, Model, Noise, Stamp, stamp, tokenize::Text};
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::{NativeSpec, OptionSpec, Options};
use crate::train::{Gradients, Targets, gradients_of, targets};
use crate::{About, Error, Result, bail, nearest};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[MODEL, TOKENIZE];

static MODEL: NativeSpec = NativeSpec {
    name: "model",
    options: &[
        OptionSpec::text("device", "where it computes: cpu, or cuda:0 for a GPU")
            .otherwise("the run's own, --device"),
        OptionSpec::choice(
            "precision",
            &["f32", "bf16", "f64"],
            "what its weights multiply in; bf16 is faster and less exact, f64 is for checks of gradients",
        )
        .or("f32"),
    ],
};

static TOKENIZE: NativeSpec = NativeSpec {
    name: "tokenize",
    options: &[
        OptionSpec::int(
            "max_length",
            2,
            1 << 20,
            "the longest text, special tokens included",
        )
        .unit("tokens")
        .otherwise("the model's own limit, at most 512"),
        OptionSpec::value(
            "padding",
            "true (to the longest), false (arrays of arrays) or \"max_length\"",
            "how rows are filled up",
        )
        .or("true"),
    ],
};

/// The models of a session, loaded once each, with the stamps of their folders then.
#[derive(Default)]
struct Loaded(RefCell<BTreeMap<String, (Model, Option<Stamp>)>>);

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Model>("Model");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// A frozen base model: BERT, RoBERTa, XLM-RoBERTa, DistilBERT, ELECTRA, MPNet, ModernBERT,
    /// DeBERTa-v3 or GPT-2. Loaded once a session, and again
    /// where its files have changed. A name that is no folder is looked for on the
    /// Hugging Face hub.
    ///
    /// - `name`: one that the binary carries ("mini"); a folder with `config.json`,
    ///   `model.safetensors` or `pytorch_model.bin` (whole or in shards) and tokenizer files
    ///   (`tokenizer.json`, `vocab.txt`, `vocab.json` with `merges.txt`, or `spm.model`); or a
    ///   name on the hub: "roberta-base", "org/name", "org/name@revision"
    ///
    /// Weights stored as 8-bit codes are read as codes times scales: those of bitsandbytes with
    /// `SCB`, and floats of 8 bits with `weight_scale` or `weight_scale_inv`.
    ///
    /// # Errors
    /// An architecture that is not known; a tensor that is missing, has another shape or holds a
    /// value that is not finite; weights that are quantised otherwise (GPTQ, AWQ, 4 bits...).
    ///
    /// # Source
    /// Hugging Face's `transformers`, whose numbers the hidden states equal within rounding.
    ///
    /// ```rhai
    /// model("mini").layers    // 3
    /// ```
    #[rhai_fn(return_raw)]
    pub fn model(context: NativeCallContext, name: &str) -> Fallible<Model> {
        load(&context, name, &Map::new())
    }

    /// The same with options.
    ///
    /// ```rhai
    /// model("mini", #{ precision: "f64" }).precision    // f64
    /// ```
    #[rhai_fn(name = "model", return_raw)]
    pub fn model_with(context: NativeCallContext, name: &str, options: Map) -> Fallible<Model> {
        load(&context, name, &options)
    }

    /// The name the model was asked for by.
    #[rhai_fn(get = "name", pure)]
    pub fn name(model: &mut Model) -> String {
        model.name().to_string()
    }

    /// Which base the model is: a hash of the weights that its hidden states come from and, after a
    /// hyphen, one of its pooler. Buffers, heads that it does not use, prefixes, spellings and kinds
    /// of files do not count. A copy with rounded weights is another base.
    #[rhai_fn(get = "id", pure)]
    pub fn id(model: &mut Model) -> String {
        model.id().to_string()
    }

    /// The width of the model's hidden states.
    #[rhai_fn(get = "hidden_size", pure)]
    pub fn hidden_size(model: &mut Model) -> i64 {
        model.config().hidden_size as i64
    }

    /// The number of the model's layers.
    #[rhai_fn(get = "layers", pure)]
    pub fn layers(model: &mut Model) -> i64 {
        model.config().num_hidden_layers as i64
    }

    /// The architecture: "bert", "roberta"...
    #[rhai_fn(get = "architecture", pure)]
    pub fn architecture(model: &mut Model) -> String {
        model.config().model_type.clone()
    }

    /// The tensors in the model's files that it does not use, by name.
    #[rhai_fn(get = "unused", pure)]
    pub fn unused(model: &mut Model) -> Array {
        let names = model.unused().iter();
        names.map(|name| Dynamic::from(name.clone())).collect()
    }

    /// What the model's frozen maps multiply in: "f32", "bf16" or "f64".
    #[rhai_fn(get = "precision", pure)]
    pub fn precision(model: &mut Model) -> String {
        model.precision().to_string()
    }

    /// The longest text the model reads unless asked for more, in tokens.
    #[rhai_fn(get = "max_length", pure)]
    pub fn max_length(model: &mut Model) -> i64 {
        model.max_length() as i64
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn card(model: &mut Model) -> String {
        model.to_string()
    }

    /// Token ids of texts: a map with `input_ids`, `attention_mask` and `type_ids`, as Tensors
    /// [texts, tokens] padded to the longest text.
    ///
    /// - `texts`: texts, or pairs of texts `[first, second]`
    ///
    /// ```rhai
    /// base.tokenize(["a text"]).input_ids.shape    // [1, 4]
    /// base.tokenize([["first", "second"]]).type_ids.to_array()    // [[0, 0, 0, 1, 1]]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn tokenize(model: &mut Model, texts: Array) -> Fallible<Map> {
        Ok(tokens(model, &texts, &Map::new())?)
    }

    /// The same with options; with `padding: false` the values are arrays of arrays.
    ///
    /// ```rhai
    /// base.tokenize(["a text", "one"], #{ padding: false }).input_ids.map(|ids| ids.len)    // [4, 3]
    /// ```
    #[rhai_fn(name = "tokenize", pure, return_raw)]
    pub fn tokenize_with(model: &mut Model, texts: Array, options: Map) -> Fallible<Map> {
        Ok(tokens(model, &texts, &options)?)
    }

    /// Sentence embeddings, a Tensor [texts, width], pooled as the model's sentence-transformers
    /// folder says; where it says nothing, the mean over each text's last hidden states, normalised
    /// to length 1.
    ///
    /// - `texts`: texts, or pairs of texts `[first, second]`
    ///
    /// # Source
    /// `sentence-transformers`' pooling modules.
    ///
    /// ```rhai
    /// base.embed(["a text"]).shape    // [1, 384]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn embed(model: &mut Model, texts: Array) -> Fallible<Tensor> {
        let texts = read_texts(&texts)?;
        let texts: Vec<Text<'_>> = texts.iter().map(as_text).collect();
        Ok(model.embed(&texts)?)
    }

    /// The last hidden state, a Tensor [batch, tokens, hidden].
    ///
    /// - `inputs`: a map with `input_ids`, and where they are not all ones and all zeros,
    ///   `attention_mask` and `type_ids`: Tensors or nested arrays [batch, tokens]
    ///
    /// ```rhai
    /// base.forward(base.tokenize(["a text"])).shape    // [1, 4, 384]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn forward(model: &mut Model, inputs: Map) -> Fallible<Tensor> {
        let inputs = read_inputs(model, &inputs, &[])?;
        Ok(model.forward(&inputs, &Frozen, &Noise::default())?)
    }

    /// The last hidden state with an adapter acting in the model.
    ///
    /// - `adapter`: one that fits the model's shapes
    /// - `inputs`: as without an adapter
    ///
    /// ```rhai
    /// let inputs = base.tokenize(["a text"]);
    /// base.forward(a, inputs).max_abs_diff(base.forward(inputs)) > 0.0    // true
    /// ```
    #[rhai_fn(name = "forward", pure, return_raw)]
    pub fn forward_with(
        context: NativeCallContext,
        model: &mut Model,
        adapter: Adapter,
        inputs: Map,
    ) -> Fallible<Tensor> {
        check_base(&adapter, model, Session::of(&context)?.context())?;
        let inputs = read_inputs(model, &inputs, &[])?;
        Ok(hidden(model, &adapter, &inputs)?)
    }

    /// The head of a model that classifies, as its files have it; an error where they have none.
    #[rhai_fn(get = "head", pure, return_raw)]
    pub fn head(model: &mut Model) -> Fallible<Head> {
        Ok(own_head(model)?)
    }

    /// The logits, a Tensor [batch, classes], of a model that classifies, without an adapter.
    ///
    /// - `inputs`: as for `forward`
    ///
    /// # Errors
    /// A model without a classifier of its own.
    ///
    /// ```rhai
    /// let told = "";
    /// try { base.logits(base.tokenize(["a text"])); } catch (e) { told = e.message; }
    /// told    // mini has no classifier of its own
    /// ```
    #[rhai_fn(name = "logits", pure, return_raw)]
    pub fn logits_of_model(model: &mut Model, inputs: Map) -> Fallible<Tensor> {
        let inputs = read_inputs(model, &inputs, &["labels"])?;
        Ok(own_head(model)?.logits(model, &inputs, &Frozen)?)
    }

    /// The logits, a Tensor [batch, classes], of an adapter with its one head.
    ///
    /// - `adapter`: one with a single head; see `with_head`
    /// - `inputs`: as for `forward`; `labels` among them are ignored
    ///
    /// ```rhai
    /// base.logits(a, base.tokenize(["a text", "another one"])).shape    // [2, 2]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn logits(
        context: NativeCallContext,
        model: &mut Model,
        adapter: Adapter,
        inputs: Map,
    ) -> Fallible<Tensor> {
        check_base(&adapter, model, Session::of(&context)?.context())?;
        let inputs = read_inputs(model, &inputs, &["labels"])?;
        let head = only_head(&adapter)?;
        adapter.fits(model)?;
        let tensors = crate::adapter::on_model(&*adapter.tensors()?, model)?;
        let sites = adapter.kind().sites(&tensors, model.config())?;
        Ok(head.logits(model, &inputs, sites.as_ref())?)
    }

    /// The mean loss of an adapter with its one head and its gradients: a map with `loss` and `grads`
    /// (Tensors by canonical name, the head's too). No dropout.
    ///
    /// - `adapter`: one with a single head; see `with_head`
    /// - `inputs`: as for `forward`, with `labels`: one number a text, the place of its label in
    ///   `head.labels`
    ///
    /// ```rhai
    /// let inputs = base.tokenize(["a fine film", "a dull film"]);
    /// inputs.labels = [1, 0];
    /// let found = base.gradients(a, inputs);
    /// found.loss > 0.0    // true
    /// found.grads["encoder.layer.0.output.adapter_down.weight"].shape    // [24, 384]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn gradients(
        context: NativeCallContext,
        model: &mut Model,
        adapter: Adapter,
        inputs: Map,
    ) -> Fallible<Map> {
        check_base(&adapter, model, Session::of(&context)?.context())?;
        Ok(gradients_map(model, &adapter, &inputs)?)
    }
}

/// Why `model(name)` finds nothing, where that can be told without the hub.
pub(in crate::script) fn missing_model(session: &Session, name: &str) -> Option<Error> {
    let here = session.read_path(name).is_ok_and(|path| path.exists());
    if here || name.starts_with("hub:") || BUNDLED.contains(&name) {
        return None;
    }
    // A slip in a carried name is no name on the hub.
    if let Some(near) = nearest(name, BUNDLED.iter().copied()) {
        let error = Error::new(format!("no model {name:?}")).about(About::Text(name.into()));
        return Some(error.hint(format!("did you mean \"{near}\"?")));
    }
    Repo::parse(Kind::Model, name).err().map(|_| unknown(name))
}

fn unknown(name: &str) -> Error {
    Error::new(format!("no model {name:?}"))
        .about(About::Text(name.into()))
        .hint(format!(
            "expected a folder with config.json, a name on the hub, or one the binary carries: {}",
            BUNDLED.join(", ")
        ))
}

fn load(context: &NativeCallContext, name: &str, options: &Map) -> Fallible<Model> {
    let session = Session::of(context)?;
    let options = Options::read(&MODEL, options)?;
    let precision = options.text("precision")?;
    let device = match options.maybe_text("device")? {
        Some(name) => device(&name)?,
        None => session.setup().device.clone(),
    };
    let key = format!("{name} {precision} {}", device_name(&device));
    let loaded = session.extension::<Loaded>();
    let own = (!BUNDLED.contains(&name)).then(|| session.read_path(name).ok());
    let now = own.flatten().and_then(|folder| stamp(&folder).ok());
    if let Some((model, then)) = loaded.0.borrow().get(&key) {
        if *then == now {
            return Ok(model.clone());
        }
        session.context().notice(format!(
            "{name}: its files have changed since it was loaded, so they are read again"
        ));
    }
    // On the CPU weights stay f32, and what is multiplied is rounded.
    let rounded = precision == "bf16" && device.is_cpu();
    let dtype = match precision.as_str() {
        "f64" => DType::F64,
        "bf16" if !rounded => DType::BF16,
        _ => DType::F32,
    };
    let model = match name {
        "mini" => Model::mini(dtype, &device)?,
        _ => {
            if let Some(error) = missing_model(&session, name) {
                return Err(error.into());
            }
            let missing = || unknown(name);
            let choose = &crate::model::needed;
            let folder = session.path_or_repository(Kind::Model, name, choose, missing)?;
            session.note_read(&folder);
            Model::from_folder(name, &folder, dtype, &device)?
        }
    };
    session.note_input("model", name, model.key())?;
    let model = match rounded {
        true => model.in_bf16()?,
        false => model,
    };
    session.note_model(name, &model);
    loaded.0.borrow_mut().insert(key, (model.clone(), now));
    Ok(model)
}

/// The model of the binary, made once a session.
pub(super) fn mini(session: &Session) -> Result<Model> {
    const KEY: &str = "mini f32";
    let loaded = session.extension::<Loaded>();
    if let Some((model, _)) = loaded.0.borrow().get(KEY) {
        return Ok(model.clone());
    }
    let model = Model::mini(DType::F32, &session.setup().device)?;
    session.note_model("mini", &model);
    loaded
        .0
        .borrow_mut()
        .insert(KEY.into(), (model.clone(), None));
    Ok(model)
}

type Pair = (String, Option<String>);

fn as_text(pair: &Pair) -> Text<'_> {
    match &pair.1 {
        None => Text::Single(&pair.0),
        Some(second) => Text::Pair(&pair.0, second),
    }
}

/// Texts, or pairs of texts.
pub(super) fn read_texts(texts: &Array) -> Result<Vec<Pair>> {
    let text = |d: &Dynamic| d.clone().into_string().ok();
    texts
        .iter()
        .enumerate()
        .map(|(i, item)| {
            if let Some(text) = text(item) {
                return Ok((text, None));
            }
            if let Ok(pair) = item.as_array_ref()
                && let [a, b] = &pair[..]
                && let (Some(a), Some(b)) = (text(a), text(b))
            {
                return Ok((a, Some(b)));
            }
            bail!(
                "text {i}: expected a text or a pair of texts, got {}",
                describe(item)
            )
        })
        .collect()
}

fn tokens(model: &Model, texts: &Array, options: &Map) -> Result<Map> {
    let options = Options::read(&TOKENIZE, options)?;
    let max_length = match options.maybe_int("max_length")? {
        Some(n) => n as usize,
        None => model.max_length(),
    };
    let texts = read_texts(texts)?;
    let texts: Vec<Text<'_>> = texts.iter().map(as_text).collect();
    let mut encodings = model.tokenize(&texts, max_length)?;
    let padding = options.get("padding").cloned().unwrap_or(Dynamic::TRUE);
    match (padding.as_bool(), padding.clone().into_string().as_deref()) {
        (Ok(false), _) => {
            let ids = |values: &[u32]| -> Dynamic {
                values
                    .iter()
                    .map(|v| Dynamic::from(i64::from(*v)))
                    .collect::<Array>()
                    .into()
            };
            let all = |of: &dyn Fn(&Encoding) -> Dynamic| -> Dynamic {
                encodings.iter().map(of).collect::<Array>().into()
            };
            Ok(map_of([
                ("input_ids", all(&|e| ids(&e.ids))),
                ("attention_mask", all(&|e| ids(&vec![1; e.ids.len()]))),
                ("type_ids", all(&|e| ids(&e.type_ids))),
            ]))
        }
        (Ok(true), _) | (_, Ok("max_length")) => {
            let mut masked: Vec<usize> = encodings.iter().map(|e| e.ids.len()).collect();
            if padding.is_string() {
                for e in &mut encodings {
                    e.ids.resize(max_length, model.pad_id());
                    e.type_ids.resize(max_length, 0);
                }
            } else {
                masked.clear();
            }
            let inputs = model.pad(&encodings.iter().collect::<Vec<_>>())?;
            let mask = if masked.is_empty() {
                inputs.mask.to_tensor(DType::I64, model.device())?
            } else {
                let rows: Vec<i64> = masked
                    .iter()
                    .flat_map(|n| (0..max_length).map(move |i| i64::from(i < *n)))
                    .collect();
                Tensor::from_vec(rows, inputs.ids.shape(), model.device())?
            };
            Ok(map_of([
                ("input_ids", Dynamic::from(inputs.ids.to_dtype(DType::I64)?)),
                ("attention_mask", Dynamic::from(mask)),
                (
                    "type_ids",
                    Dynamic::from(inputs.type_ids.to_dtype(DType::I64)?),
                ),
            ]))
        }
        _ => Err(options.error(
            "padding",
            format!(
                "expected true, false or \"max_length\", got {}",
                describe(&padding)
            ),
        )),
    }
}

fn read_inputs(model: &Model, map: &Map, also: &[&str]) -> Result<Inputs> {
    let known = ["input_ids", "attention_mask", "type_ids"];
    if let Some(key) = map
        .keys()
        .find(|k| !known.contains(&k.as_str()) && !also.contains(&k.as_str()))
    {
        bail!("inputs: unknown key {key}; it takes {}", known.join(", "));
    }
    let Some(ids) = map.get("input_ids") else {
        bail!("inputs: input_ids are missing");
    };
    let ids = to_tensor(ids)?;
    let mask = map.get("attention_mask").map(to_tensor).transpose()?;
    let types = map.get("type_ids").map(to_tensor).transpose()?;
    let c = model.config();
    let inputs = Inputs::from_tensors(
        &ids,
        mask.as_ref(),
        types.as_ref(),
        [c.vocab_size, c.type_vocab_size, c.positions()],
    )?;
    inputs.to_device(model.device())
}

fn hidden(model: &Model, adapter: &Adapter, inputs: &Inputs) -> Result<Tensor> {
    adapter.fits(model)?;
    let tensors = crate::adapter::on_model(&*adapter.tensors()?, model)?;
    let sites = adapter.kind().sites(&tensors, model.config())?;
    model.forward(inputs, sites.as_ref(), &Noise::default())
}

fn own_head(model: &Model) -> Result<Head> {
    match classifier_of(model)? {
        Some(head) => Ok(head),
        None => bail!(
            "{} has no classifier of its own", model.name();
            hint: "train an adapter with a head: train(model, data)"
        ),
    }
}

fn only_head(adapter: &Adapter) -> Result<&crate::adapter::Head> {
    match adapter.heads() {
        [head] => Ok(head),
        [] => Err(adapter.no_head()),
        several => bail!(
            "adapter {} has {} heads: {}",
            adapter.name(),
            several.len(),
            several.iter().map(|h| h.name.as_str()).collect::<Vec<_>>().join(", ");
            hint: "choose one: a.with_head(member.head)"
        ),
    }
}

fn gradients_map(model: &Model, adapter: &Adapter, map: &Map) -> Result<Map> {
    let inputs = read_inputs(model, map, &["labels"])?;
    let head = only_head(adapter)?;
    let Some(labels) = map.get("labels") else {
        bail!("inputs: labels are missing: one number a row");
    };
    let labels = to_tensor(labels)?;
    if head.form.is_next_token() {
        if labels.dims() != inputs.ids.dims() {
            bail!(
                "labels have shape {:?}, input_ids {:?}",
                labels.dims(),
                inputs.ids.dims()
            );
        }
        return found_map(gradients_of(
            model,
            adapter,
            head,
            &inputs,
            &Targets::Next(labels),
        )?);
    }
    let gold: Vec<f64> = match head.labels {
        Labels::Number => labels.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?,
        _ => integers(&labels, "labels")?
            .into_iter()
            .map(|l| l as f64)
            .collect(),
    };
    if let Some(bad) = gold
        .iter()
        .find(|g| head.labels != Labels::Number && **g < 0.0)
    {
        bail!(
            "labels hold {bad}, expected 0 to {}",
            head.labels.outputs() - 1
        );
    }
    let targets = targets(&gold, &head.labels, model.dtype(), model.device())?;
    found_map(gradients_of(model, adapter, head, &inputs, &targets)?)
}

fn found_map(found: Gradients) -> Result<Map> {
    let grads: Map = found
        .grads
        .into_iter()
        .map(|(name, tensor)| (name.as_str().into(), Dynamic::from(tensor)))
        .collect();
    Ok(map_of([
        ("loss", found.loss.into()),
        ("grads", grads.into()),
    ]))
}
