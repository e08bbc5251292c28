//! `config.json` of a base model.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{Result, bail};

/// What a transformer's `config.json` says, in the field names of Hugging Face's transformers.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// The architecture: `bert`...
    pub model_type: String,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Attention heads of a block.
    pub num_attention_heads: usize,
    /// Width of the feed-forward block.
    pub intermediate_size: usize,
    /// Activation of the feed-forward block.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Dropout of embeddings and block outputs, in training.
    #[serde(default)]
    pub hidden_dropout_prob: f32,
    /// Dropout of attention probabilities, in training.
    #[serde(default)]
    pub attention_probs_dropout_prob: f32,
    /// Epsilon of every layer norm.
    #[serde(default = "bert_eps")]
    pub layer_norm_eps: f64,
    /// Number of positions the model knows.
    pub max_position_embeddings: usize,
    /// Number of token types.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// Number of tokens.
    pub vocab_size: usize,
    /// The padding token.
    #[serde(default)]
    pub pad_token_id: u32,
    /// Only `absolute` positions are known here.
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
}

fn gelu() -> String {
    "gelu".into()
}

fn bert_eps() -> f64 {
    1e-12
}

fn two() -> usize {
    2
}

fn absolute() -> String {
    "absolute".into()
}

impl Config {
    /// Reads the text of a `config.json`; `origin` names it in errors.
    pub fn parse(text: &str, origin: &Path) -> Result<Self> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| crate::Error::at_path(origin, format!("not valid JSON: {e}")))?;
        let Some(kind) = value.get("model_type").and_then(Value::as_str) else {
            bail!(
                "{}: no model_type, so this is no model's config.json",
                origin.display()
            );
        };
        if !super::ARCHITECTURES.contains(&kind) {
            bail!(
                "{}: model_type {kind:?} is not supported; known: {}",
                origin.display(),
                super::ARCHITECTURES.join(", ")
            );
        }
        let config: Self =
            serde_json::from_value(value).map_err(|e| crate::Error::at_path(origin, e))?;
        config.validate(origin)?;
        Ok(config)
    }

    fn validate(&self, origin: &Path) -> Result<()> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("vocab_size", self.vocab_size),
            ("type_vocab_size", self.type_vocab_size),
        ];
        for (field, size) in sizes {
            if size == 0 || size > 1 << 30 {
                bail!("{}: {field} is {size}", origin.display());
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            bail!(
                "{}: hidden_size {} does not divide into {} attention heads",
                origin.display(),
                self.hidden_size,
                self.num_attention_heads
            );
        }
        if self.position_embedding_type != "absolute" {
            bail!(
                "{}: position_embedding_type {:?} is not supported, only \"absolute\"",
                origin.display(),
                self.position_embedding_type
            );
        }
        for (field, p) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            (
                "attention_probs_dropout_prob",
                self.attention_probs_dropout_prob,
            ),
        ] {
            if !(0.0..1.0).contains(&p) {
                bail!("{}: {field} is {p}, expected 0 <= p < 1", origin.display());
            }
        }
        Ok(())
    }
}
