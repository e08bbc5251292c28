//! Where a model comes from: the binary or a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result, bail};

use super::bert::{self, Bert};
use super::config::Config;
use super::tokenize::Tokenizer;
use super::weights::Weights;
use super::{Encoder, Inner, Model, bundled};

/// The models that the binary carries.
pub const BUNDLED: &[&str] = &["mini"];

impl Model {
    /// The model that the binary carries: paraphrase-MiniLM-L3-v2 (Reimers and Gurevych 2019;
    /// Apache-2.0), BERT with 3 layers of 384, stored in 8-bit blocks, used as `dtype`.
    pub fn mini(dtype: DType, device: &Device) -> Result<Self> {
        let origin = PathBuf::from("mini");
        let files = bundled::mini();
        let config = Config::parse(files.config, &origin)?;
        let weights = Weights::new(
            bundled::read_gguf(files.weights)?,
            bert::PREFIX,
            &origin,
            dtype,
            device,
        );
        let tokenizer = Tokenizer::from_bytes(files.tokenizer)?;
        assemble("mini", config, tokenizer, &weights, device)
    }

    /// A model in a folder: `config.json`, `model.safetensors` and tokenizer files. Weights are
    /// used as `dtype`.
    pub fn from_folder(name: &str, folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        if !folder.is_dir() {
            let message = if folder.exists() {
                "not a folder"
            } else {
                "no such folder"
            };
            return Err(Error::at_path(folder, message).hint(format!(
                "expected a folder with config.json and model.safetensors, or a model the binary carries: {}",
                BUNDLED.join(", ")
            )));
        }
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|e| Error::at_path(&path, e))?;
        let config = Config::parse(&text, &path)?;
        let path = folder.join("model.safetensors");
        if !path.is_file() {
            bail!("{}: no such file", path.display());
        }
        let weights = Weights::new(read_safetensors(&path)?, bert::PREFIX, &path, dtype, device);
        let tokenizer = Tokenizer::from_folder(folder)?;
        assemble(name, config, tokenizer, &weights, device)
    }
}

fn assemble(
    name: &str,
    config: Config,
    tokenizer: Tokenizer,
    weights: &Weights,
    device: &Device,
) -> Result<Model> {
    let encoder: Box<dyn Encoder> = match config.model_type.as_str() {
        "bert" => Box::new(Bert::load(&config, weights)?),
        other => bail!("model_type {other:?} is not supported"),
    };
    Ok(Model(Arc::new(Inner {
        name: name.to_string(),
        id: weights.hash()?,
        config,
        tokenizer: Arc::new(tokenizer),
        encoder,
        device: device.clone(),
    })))
}

/// All tensors of a safetensors file, by name, memory-mapped while reading.
pub fn read_safetensors(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let file = std::fs::File::open(path).map_err(|e| Error::at_path(path, e))?;
    // SAFETY: the map lives only within this function; a file that another process truncates
    // meanwhile is outside what any reader of mapped files can guard against.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::at_path(path, e))?;
    let parsed = safetensors::SafeTensors::deserialize(&map)
        .map_err(|e| Error::at_path(path, format!("not a safetensors file: {e}")))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in parsed.tensors() {
        use candle_core::safetensors::Load;
        let tensor = view
            .load(&Device::Cpu)
            .map_err(|e| Error::at_path(path, format!("tensor {name}: {e}")))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}
