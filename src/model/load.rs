//! Where a model comes from: the binary or a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use candle_core::{DType, Device};
use serde_json::Value;

use crate::study::Id;
use crate::{Error, Result};

use super::config::Config;
use super::pooling::Pooling;
use super::stored::Stored;
use super::tokenize::Tokenizer;
use super::weights::Weights;
use super::{Inner, Model, bundled, gguf};

/// The models that the binary carries.
pub const BUNDLED: &[&str] = &["mini"];

/// The files that a folder's weights may be in, each also sharded, as `NAME.index.json` tells.
pub const WEIGHTS: &[&str] = &["model.safetensors", "pytorch_model.bin"];

/// The files of a repository that a model is loaded from.
pub fn needed(names: &[String]) -> Vec<String> {
    const SETTINGS: &[&str] = &[
        "added_tokens.json",
        "config.json",
        "merges.txt",
        "modules.json",
        "sentence_bert_config.json",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "spm.model",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    ];
    let inside = |name: &str| matches!(name, "0_Transformer" | "1_Pooling");
    let near = |name: &&String| match name.split_once('/') {
        Some((folder, own)) => inside(folder) && !own.contains('/'),
        None => true,
    };
    let own = |name: &str| name.rsplit('/').next().unwrap_or_default().to_string();
    let is = |stem: &str, end: &str, name: &str| {
        let own = own(name);
        own == format!("{stem}.{end}")
            || own == format!("{stem}.{end}.index.json")
            || own.starts_with(&format!("{stem}-")) && own.ends_with(&format!(".{end}"))
    };
    let near: Vec<&String> = names.iter().filter(near).collect();
    let safe = near.iter().any(|n| is("model", "safetensors", n));
    let needed = |name: &&&String| {
        let weights = match safe {
            true => is("model", "safetensors", name),
            false => is("pytorch_model", "bin", name),
        };
        weights || SETTINGS.contains(&own(name).as_str())
    };
    let needed: Vec<String> = near.iter().filter(needed).map(|n| n.to_string()).collect();
    match needed.iter().any(|n| own(n) == "config.json") {
        true => needed,
        false => Vec::new(),
    }
}

/// What tells whether a folder's model is still the one that it was: its files' names, lengths and
/// when they were last written.
pub type Stamp = Vec<(String, u64, Option<SystemTime>)>;

/// The stamp of a model's folder as it is now.
pub fn stamp(folder: &Path) -> std::io::Result<Stamp> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        // Through links, as the files are read.
        let path = entry?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
        if let (Some(name), Ok(told)) = (name, path.metadata()) {
            all.insert(name, (told.len(), told.modified().ok()));
        }
    }
    let names: Vec<String> = all.keys().cloned().collect();
    let own = needed(&names).into_iter();
    let stamp = own.filter_map(|name| all.get(&name).map(|&(len, time)| (name, len, time)));
    Ok(stamp.collect())
}

/// What a model is made of.
struct Files {
    config: Config,
    tokenizer: std::result::Result<Tokenizer, Error>,
    tensors: BTreeMap<String, Stored>,
    pooling: Pooling,
    origin: PathBuf,
}

impl Files {
    /// The hash of these files, of whose weights this is the hash.
    fn key(&self, weights: &str) -> Result<String> {
        let tokenizer = self.tokenizer.as_ref().ok().map(Tokenizer::hash);
        let parts = serde_json::json!({
            "weights": weights,
            "config": self.config.acting()?,
            "tokenizer": tokenizer.transpose()?,
            "pooling": format!("{:?}", self.pooling),
        });
        Ok(Id::of_recipe("model/1", &parts).as_str().to_string())
    }
}

impl Model {
    /// The model that the binary carries: paraphrase-MiniLM-L3-v2 (Reimers and Gurevych 2019;
    /// Apache-2.0), BERT with 3 layers of 384, stored in 8-bit blocks, used as `dtype`.
    pub fn mini(dtype: DType, device: &Device) -> Result<Self> {
        let origin = PathBuf::from("mini");
        let files = bundled::mini();
        let files = Files {
            config: Config::parse(files.config, &origin)?,
            tokenizer: Tokenizer::from_bytes(files.tokenizer),
            tensors: gguf::read(files.weights)?
                .into_iter()
                .map(|(name, tensor)| (name, Stored::Held(tensor)))
                .collect(),
            pooling: Pooling::default(),
            origin,
        };
        assemble("mini", files, dtype, device)
    }

    /// A model in a folder: `config.json`, `model.safetensors` or `pytorch_model.bin`, whole or
    /// in shards, and tokenizer files; a sentence-transformers folder also says how sentences are
    /// embedded. Weights are used as `dtype`. A tokenizer that is missing or cannot be read is an
    /// error only where texts are to be read.
    pub fn from_folder(name: &str, folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        if !folder.is_dir() {
            let message = if folder.exists() {
                "not a folder"
            } else {
                "no such folder"
            };
            return Err(Error::at_path(folder, message).hint(format!(
                "expected a folder with config.json and {}, or a model the binary carries: {}",
                WEIGHTS.join(" or "),
                BUNDLED.join(", ")
            )));
        }
        let (own, pooling) = Pooling::of_folder(folder)?;
        let folder = &own;
        let path = folder.join("config.json");
        if !path.is_file() {
            let error = Error::at_path(&path, "no such file");
            return Err(match folder.join("adapter_config.json").is_file() {
                true => error.hint("the folder holds an adapter: read it with load_adapter"),
                false => error.hint("expected the folder of a base model"),
            });
        }
        let text = crate::text::read(&path)?;
        let config = Config::parse(&text, &path)?;
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let (origin, tensors) = Stored::of_folder(folder, WEIGHTS, Some(&json))?;
        let files = Files {
            config,
            tokenizer: Tokenizer::from_folder(folder),
            tensors,
            pooling,
            origin,
        };
        assemble(name, files, dtype, device)
    }
}

fn assemble(name: &str, mut files: Files, dtype: DType, device: &Device) -> Result<Model> {
    let architecture = files.config.architecture()?;
    let prefix = architecture.prefix;
    let tensors = std::mem::take(&mut files.tensors);
    let weights = Weights::new(tensors, prefix, &files.origin, dtype, device);
    let encoder = (architecture.load)(&files.config, &weights)?;
    let hashes = weights.hashes()?;
    Ok(Model(Arc::new(Inner {
        name: name.to_string(),
        key: files.key(&hashes.all)?,
        id: hashes.id(),
        classifier: weights.classifier()?,
        unused: weights.unused(),
        config: files.config,
        tokenizer: files.tokenizer.map(Arc::new),
        pooling: files.pooling,
        encoder,
        device: device.clone(),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_all_that_decides_a_number_and_of_nothing_else() {
        let origin = PathBuf::from("mini");
        let key = |config: &str, tokenizer: &str| {
            let files = Files {
                config: Config::parse(config, &origin).unwrap(),
                tokenizer: Tokenizer::from_bytes(tokenizer.as_bytes()),
                tensors: BTreeMap::new(),
                pooling: Pooling::default(),
                origin: origin.clone(),
            };
            files.key("weights").unwrap()
        };
        let mini = bundled::mini();
        let tokenizer = std::str::from_utf8(mini.tokenizer).unwrap();
        let own = key(mini.config, tokenizer);
        let other = |from: &str, to: &str| {
            assert!(mini.config.contains(from), "{from}");
            key(&mini.config.replacen(from, to, 1), tokenizer)
        };
        assert_ne!(own, other("\"gelu\"", "\"relu\""));
        assert_eq!(own, other("{", "{\"transformers_version\": \"0\","));
        assert_ne!(
            own,
            key(mini.config, &tokenizer.replacen("[UNK]", "[OUT]", 3))
        );
    }
}
