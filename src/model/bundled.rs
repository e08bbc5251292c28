//! The small model that comes with the binary.
//!
//! paraphrase-MiniLM-L3-v2 (BERT, 3 layers of 384, uncased, Apache-2.0), its matrices in 8 bits.
//! Made by `scripts/bundle.rs`; its source stands in `NOTICE`.

/// What scripts call the model.
pub const NAME: &str = "mini";

/// What it is, one line.
pub const DESCRIPTION: &str = "paraphrase-MiniLM-L3-v2: BERT, 3 layers of 384, in 8 bits";

/// The licence it may be passed on under.
pub const LICENCE: &str = "Apache-2.0";

/// The files of a model in memory.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    /// `config.json`, as of transformers.
    pub config: &'static str,
    /// The weights, read by [`gguf::read`](super::gguf::read).
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

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::model::gguf::read;

    #[test]
    fn mini_has_its_tensors_in_f32() {
        let tensors = read(mini().weights).unwrap();
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
            let error = read(&weights[..end]).unwrap_err();
            assert!(
                error.message().starts_with("not a readable GGUF file"),
                "{error}"
            );
        }
    }
}
