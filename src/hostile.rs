//! The readers of files from elsewhere, as functions of bytes: what fuzzing tries.
//!
//! Whatever the bytes, each returns: no panic, and no allocation much beyond the bytes' own size.

use std::path::Path;

use serde_json::Value;

use crate::adapter::{Form, formats::peft, kind};
use crate::data::{Columns, Dataset, LoadOptions};
use crate::model::{Config, gguf};
use crate::tensorfile::read_bytes;

/// A safetensors file.
pub fn safetensors(bytes: &[u8]) {
    let _ = read_bytes(bytes, true);
}

/// A PyTorch pickle.
pub fn pickle(bytes: &[u8]) {
    let _ = read_bytes(bytes, false);
}

/// A GGUF file.
pub fn gguf(bytes: &[u8]) {
    let _ = gguf::read(bytes);
}

/// The JSON configuration of a model, an adapter of either library, or a head.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let base = Config::parse(text, Path::new("config.json"));
    let Ok(json) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let kinds = [
        kind::from_config(&json).ok(),
        peft::read_kind(&json).ok(),
        kind::from_config(&json["config"]).ok(),
    ];
    for own in kinds.into_iter().flatten() {
        let _ = kind::from_config(&own.config());
        // A model of a billion layers is refused where it is loaded, by its missing weights.
        if let Ok(base) = base.as_ref()
            && base.num_hidden_layers < 100
        {
            let _ = own.parameters(base);
        }
    }
    if let Ok(form) = Form::read(&json) {
        let _ = form.steps();
    }
}

/// A dataset's file of this extension.
pub fn dataset(bytes: &[u8], extension: &str) {
    let options = LoadOptions::default();
    let _ = Dataset::from_bytes(&format!("data.{extension}"), bytes.to_vec(), &options);
    let columns = Columns {
        text: Some("a".into()),
        text_b: None,
        label: Some("b".into()),
    };
    let options = LoadOptions { columns, ..options };
    let _ = Dataset::from_bytes(&format!("data.{extension}"), bytes.to_vec(), &options);
}
