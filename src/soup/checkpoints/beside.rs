//! What lies beside a model's weights: configuration, tokenizer, card.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::adapter::formats::refused;
use crate::study::files::{listed, write_atomic};
use crate::tensorfile::Number;
use crate::{Error, Result, bail};

use super::checkpoint::Checkpoint;
use super::config::Config;
use super::layout::Models;

/// The files of a tokenizer.
const TOKENIZER: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "chat_template.jinja",
];

/// Further files of a model, taken from where its configuration comes from.
const FURTHER: &[&str] = &[
    "generation_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
];

/// The model whose configuration the result has: the base, else the first.
pub fn leader<'a>(config: &Config, models: &'a Models) -> &'a Checkpoint {
    &models[&config.models_named()[0]]
}

/// The model whose tokenizer the result has.
fn tokenizer<'a>(config: &Config, models: &'a Models) -> Result<&'a Checkpoint> {
    match config.tokenizer_source.as_deref() {
        None | Some("base") => Ok(leader(config, models)),
        Some("union") => {
            bail!("tokenizer_source: union is not supported"; hint: "base, or a model's name")
        }
        Some(name) => match models.get(name) {
            Some(model) => Ok(model),
            None => bail!("tokenizer_source {name:?} is none of the models"),
        },
    }
}

/// An error that lists what differs where models are of different kinds, have different
/// vocabularies (unless the recipe says whose tokenizer counts) or tell their labels differently,
/// and where the tokenizer asked for is none of theirs.
pub fn check(config: &Config, models: &Models) -> Result<()> {
    tokenizer(config, models)?;
    let lead = leader(config, models);
    let vocabulary = vocabulary(&lead.folder)?;
    let named = labels(&lead.config);
    for other in models.values() {
        let keys = ["model_type", "hidden_size", "num_attention_heads"];
        let differs = keys
            .iter()
            .filter(|k| lead.config[**k] != other.config[**k]);
        let differs: Vec<String> = differs
            .map(|key| {
                let (own, theirs) = (&lead.config[*key], &other.config[*key]);
                format!(
                    "{key} is {own} in {} and {theirs} in {}",
                    lead.name, other.name
                )
            })
            .collect();
        if !differs.is_empty() {
            bail!("the models differ: {}", differs.join("; "));
        }
        if let (Some(own), Some(theirs)) = (&named, labels(&other.config))
            && *own != theirs
        {
            bail!(
                "the labels are {} in {} and {} in {}",
                json!(own),
                lead.name,
                json!(theirs),
                other.name
            );
        }
        if config.tokenizer_source.is_some() {
            continue;
        }
        if let (Some(own), Some(theirs)) = (&vocabulary, self::vocabulary(&other.folder)?)
            && *own != theirs
        {
            let differs = |(token, id): &(&String, &u64)| theirs.get(*token) != Some(*id);
            let token = own.iter().find(differs).map_or("", |(token, _)| token);
            return Err(Error::new(format!(
                "the tokenizers of {} ({} tokens) and {} ({} tokens) differ, first at {token:?}",
                lead.name,
                own.len(),
                other.name,
                theirs.len()
            ))
            .hint("`tokenizer_source: base` takes the base's all the same"));
        }
    }
    Ok(())
}

/// Names of classes, where they are names and not LABEL_0.
fn labels(config: &Value) -> Option<BTreeMap<String, String>> {
    let all: BTreeMap<String, String> =
        serde_json::from_value(config.get("id2label")?.clone()).ok()?;
    let told = all.values().any(|name| !name.starts_with("LABEL_"));
    told.then_some(all)
}

/// Tokens and their numbers; none where there is no tokenizer that can be read as text.
fn vocabulary(folder: &Path) -> Result<Option<BTreeMap<String, u64>>> {
    let read = |name: &str| {
        let path = folder.join(name);
        let text = path.is_file().then(|| crate::text::read(&path));
        text.transpose()
    };
    let number = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
    if let Some(text) = read("tokenizer.json")? {
        let path = folder.join("tokenizer.json");
        let json: Value = serde_json::from_str(&text)
            .map_err(|e| Error::at_path(&path, format!("not valid JSON: {e}")))?;
        let mut all = BTreeMap::new();
        match &json["model"]["vocab"] {
            Value::Object(vocab) => {
                all.extend(vocab.iter().map(|(token, id)| (token.clone(), number(id))));
            }
            Value::Array(pieces) => {
                let name = |piece: &Value| piece[0].as_str().unwrap_or_default().to_string();
                let pieces = pieces.iter().zip(0u64..);
                all.extend(pieces.map(|(piece, id)| (name(piece), id)));
            }
            _ => return Ok(None),
        }
        for token in json["added_tokens"].as_array().into_iter().flatten() {
            let content = token["content"].as_str().unwrap_or_default();
            all.insert(content.to_string(), number(&token["id"]));
        }
        return Ok(Some(all));
    }
    if let Some(text) = read("vocab.txt")? {
        let lines = text.lines().map(str::to_string).zip(0u64..);
        return Ok(Some(lines.collect()));
    }
    Ok(None)
}

/// An error unless the folder is empty or holds what the same recipe made: its recipe and its card
/// are those that would be written.
pub fn may_replace(config: &Config, recipe: &Path, models: &Models, out: &Path) -> Result<()> {
    let Some((first, _)) = listed(out)?.into_iter().next() else {
        return Ok(());
    };
    let text = std::fs::read_to_string(recipe).map_err(|e| Error::at_path(recipe, e))?;
    let card = card(config, models, &text).map_err(|e| Error::new(e.to_string()))?;
    let is = |name: &str, text: &str| {
        std::fs::read_to_string(out.join(name)).is_ok_and(|there| there == text)
    };
    match is("mergekit_config.yml", &text) && is("README.md", &card) {
        true => Ok(()),
        false if out.join("mergekit_config.yml").is_file() => Err(refused(
            out,
            "holds what another recipe made, or was changed since",
        )),
        false => Err(refused(out, &format!("is not empty: {first} is there"))),
    }
}

/// The files of weights in a folder, which new ones of other names do not replace.
pub fn weights_in(folder: &Path) -> Result<Vec<String>> {
    let starts = ["model", "pytorch_model"];
    let ends = [
        ".safetensors",
        ".safetensors.index.json",
        ".bin",
        ".bin.index.json",
    ];
    let names = listed(folder)?.into_iter().map(|(name, _)| name);
    let weights = |name: &String| {
        starts.iter().any(|s| name.starts_with(s)) && ends.iter().any(|e| name.ends_with(e))
    };
    Ok(names.filter(weights).collect())
}

/// Writes everything but the weights; the configuration last, so that a folder with it is whole.
pub fn write(
    config: &Config,
    recipe: &Path,
    models: &Models,
    number: Option<Number>,
    layers: Option<usize>,
    out: &Path,
) -> Result<()> {
    let lead = leader(config, models);
    for (model, names) in [(tokenizer(config, models)?, TOKENIZER), (lead, FURTHER)] {
        for name in names {
            let from = model.folder.join(name);
            if from.is_file() {
                let bytes = crate::input::read(&from)?;
                write_atomic(&out.join(name), &bytes)?;
            }
        }
    }
    let text = crate::input::read(recipe)?;
    write_atomic(&out.join("mergekit_config.yml"), &text)?;
    let text = card(config, models, &String::from_utf8_lossy(&text))
        .map_err(|e| Error::new(e.to_string()))?;
    write_atomic(&out.join("README.md"), text.as_bytes())?;
    let mut own = lead.config.clone();
    if let Some(layers) = layers {
        let keys = ["num_hidden_layers", "n_layer", "n_layers", "num_layers"];
        match keys.iter().find(|key| own.get(**key).is_some()) {
            Some(key) => own[*key] = json!(layers),
            None => own["num_hidden_layers"] = json!(layers),
        }
    }
    if let Some(number) = number {
        let name = match number {
            Number::F16 => "float16",
            Number::BF16 => "bfloat16",
            _ => "float32",
        };
        let key = if own.get("dtype").is_some() {
            "dtype"
        } else {
            "torch_dtype"
        };
        own[key] = json!(name);
    }
    let mut bytes = serde_json::to_vec_pretty(&own).map_err(|e| Error::new(e.to_string()))?;
    bytes.push(b'\n');
    write_atomic(&out.join("config.json"), &bytes)
}

fn card(
    config: &Config,
    models: &Models,
    recipe: &str,
) -> std::result::Result<String, std::fmt::Error> {
    let mut out = String::new();
    let names: Vec<String> = models.keys().cloned().collect();
    // Only names as the hub has them: a path says nothing to others.
    let public =
        |name: &&String| !Path::new(name.as_str()).exists() && !name.starts_with(['.', '/']);
    writeln!(out, "---\nlibrary_name: transformers\ntags:\n- merge")?;
    if names.iter().any(|n| public(&n)) {
        writeln!(out, "base_model:")?;
        for name in names.iter().filter(public) {
            writeln!(out, "- {name}")?;
        }
    }
    writeln!(
        out,
        "---\n\n# A merge\n\nMade by Tureen {} with the method {}, of\n",
        env!("CARGO_PKG_VERSION"),
        config.method()
    )?;
    for name in &names {
        writeln!(out, "- {name}")?;
    }
    writeln!(out, "\n```yaml\n{}\n```", recipe.trim_end())?;
    Ok(out)
}
