//! The small model that comes with the binary.
//!
//! paraphrase-MiniLM-L3-v2 (BERT, 3 layers of 384, uncased, Apache-2.0), its matrices in 8 bits.
//! Made by `scripts/bundle.rs`; its source stands in `NOTICE`.

use std::collections::BTreeMap;
use std::io::Cursor;

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::{Error, Result};

/// The files of a model in memory.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    /// `config.json`, as of transformers.
    pub config: &'static str,
    /// The weights, read by [`read_gguf`].
    pub weights: &'static [u8],
    /// `tokenizer.json`.
    pub tokenizer: &'static [u8],
}

/// The model named "mini".
pub fn mini() -> Files {
    Files {
        config: include_str!("../../stdlib/models/mini/config.json"),
        weights: include_bytes!("../../stdlib/models/mini/mini.gguf"),
        tokenizer: include_bytes!("../../stdlib/models/mini/tokenizer.json"),
    }
}

/// The tensors of a GGUF file in f32, by the names they are stored under.
pub fn read_gguf(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let content = Content::read(&mut Cursor::new(bytes)).map_err(unreadable)?;
    let mut names: Vec<&String> = content.tensor_infos.keys().collect();
    names.sort();
    names
        .into_par_iter()
        .map(|name| {
            let tensor = content
                .tensor(&mut Cursor::new(bytes), name, &Device::Cpu)
                .and_then(|tensor| tensor.dequantize(&Device::Cpu))
                .map_err(unreadable)?;
            Ok((name.clone(), tensor))
        })
        .collect()
}

fn unreadable(error: candle_core::Error) -> Error {
    Error::from(error).within("not a readable GGUF file")
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;

    #[test]
    fn mini_has_its_tensors_in_f32() {
        let tensors = read_gguf(mini().weights).unwrap();
        assert_eq!(tensors.len(), 53);
        let words = &tensors["embeddings.word_embeddings.weight"];
        assert_eq!(
            (words.dims(), words.dtype()),
            (&[30522, 384][..], DType::F32)
        );
        assert!(mini().config.contains("\"num_hidden_layers\": 3"));
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let weights = mini().weights;
        for end in [0, 3, 100, weights.len() / 2] {
            let error = read_gguf(&weights[..end]).unwrap_err();
            assert!(
                error.message().starts_with("not a readable GGUF file"),
                "{error}"
            );
        }
    }
}
