//! `config.json` of a base model.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{Error, Result, bail};

use super::architecture::Architecture;

/// What a transformer's `config.json` says, in the field names of BERT's in Hugging Face's
/// transformers; [`Architecture::fields`] has the other names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// The architecture: `bert`...
    pub model_type: String,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the embedding tables where it is another (ELECTRA).
    #[serde(default)]
    pub embedding_size: Option<usize>,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Attention heads of a block.
    pub num_attention_heads: usize,
    /// Width of the feed-forward block.
    pub intermediate_size: usize,
    /// Activation of the feed-forward block.
    pub hidden_act: String,
    /// Dropout of embeddings and block outputs, in training.
    #[serde(default)]
    pub hidden_dropout_prob: f32,
    /// Dropout of attention probabilities, in training.
    #[serde(default)]
    pub attention_probs_dropout_prob: f32,
    /// Epsilon of every layer norm.
    pub layer_norm_eps: f64,
    /// Rows of the table of positions; [`Self::positions`] says how long a text may be.
    pub max_position_embeddings: usize,
    /// Number of token types; 1 where there are none.
    pub type_vocab_size: usize,
    /// Number of tokens.
    pub vocab_size: usize,
    /// The padding token.
    pub pad_token_id: u32,
    /// Whether a language model's outputs are told apart by its own table of tokens; true where
    /// nothing is said.
    #[serde(default)]
    pub tie_word_embeddings: Option<bool>,
    /// The labels of a task model's outputs, by number.
    #[serde(default)]
    pub id2label: Option<Map<String, Value>>,
    /// The other fields, of which an architecture may read some.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Fields that change the maths, with the values that are known here.
const KNOWN: &[(&str, &[&str])] = &[
    ("position_embedding_type", &["\"absolute\"", "null"]),
    ("is_decoder", &["false", "null"]),
    ("add_cross_attention", &["false", "null"]),
    ("scale_attn_weights", &["true", "null"]),
    ("scale_attn_by_inverse_layer_idx", &["false", "null"]),
];

/// Fields that tell where a model comes from and how other programs run it.
const BESIDE: &[&str] = &[
    "_name_or_path",
    "architectures",
    "dtype",
    "gradient_checkpointing",
    "torch_dtype",
    "transformers_version",
    "use_cache",
];

impl Config {
    /// All of it that may decide a number.
    pub fn acting(&self) -> Result<Value> {
        let mut all = serde_json::to_value(self).map_err(|e| Error::new(e.to_string()))?;
        if let Value::Object(fields) = &mut all {
            fields.retain(|field, _| !BESIDE.contains(&field.as_str()));
        }
        Ok(all)
    }

    /// Reads the text of a `config.json`; `origin` names it in errors.
    pub fn parse(text: &str, origin: &Path) -> Result<Self> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| Error::at_path(origin, format!("not valid JSON: {e}")))?;
        let Value::Object(mut fields) = value else {
            bail!("{}: not a JSON object", origin.display());
        };
        let Some(model_type) = fields.get("model_type").and_then(Value::as_str) else {
            bail!("{}: no \"model_type\"", origin.display());
        };
        let model_type = model_type.to_string();
        let architecture = Architecture::of(&model_type).map_err(|e| e.within(origin.display()))?;
        for (theirs, ours) in architecture.fields {
            if let Some(value) = fields.remove(*theirs) {
                fields.insert((*ours).into(), value);
            }
        }
        for (field, known) in KNOWN {
            if let Some(value) = fields.get(*field)
                && !known.contains(&value.to_string().as_str())
            {
                bail!(
                    "{}: {field} {value} is not supported, only {}",
                    origin.display(),
                    known[0]
                );
            }
        }
        add_defaults(&model_type, &mut fields);
        let config: Self =
            serde_json::from_value(Value::Object(fields)).map_err(|e| Error::at_path(origin, e))?;
        config.validate().map_err(|e| e.within(origin.display()))?;
        Ok(config)
    }

    /// How it is built and named.
    pub fn architecture(&self) -> Result<&'static Architecture> {
        Architecture::of(&self.model_type)
    }

    /// The fields that only its architecture has.
    pub fn own<T: DeserializeOwned>(&self) -> Result<T> {
        let fields = Value::Object(self.more.clone());
        let wrong = |e| Error::new(format!("{} configuration: {e}", self.model_type));
        serde_json::from_value(fields).map_err(wrong)
    }

    /// The longest text in tokens.
    pub fn positions(&self) -> usize {
        let first = match Architecture::find(&self.model_type).map(|a| (a.order)(self.pad_token_id))
        {
            Some(crate::compute::Order::After(padding)) => padding as usize + 1,
            _ => 0,
        };
        self.max_position_embeddings.saturating_sub(first)
    }

    /// The width of the embedding tables.
    pub fn embedding_width(&self) -> usize {
        self.embedding_size.unwrap_or(self.hidden_size)
    }

    /// The names of a task model's labels in the order of its outputs, where the configuration
    /// has them.
    pub fn labels(&self) -> Option<Vec<String>> {
        let map = self.id2label.as_ref()?;
        (0..map.len())
            .map(|i| Some(map.get(&i.to_string())?.as_str()?.to_string()))
            .collect()
    }

    fn validate(&self) -> Result<()> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("embedding_size", self.embedding_width()),
            ("num_attention_heads", self.num_attention_heads),
            ("num_hidden_layers", self.num_hidden_layers + 1),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.positions()),
            ("vocab_size", self.vocab_size),
            ("type_vocab_size", self.type_vocab_size),
        ];
        for (field, size) in sizes {
            if size == 0 || size > 1 << 30 {
                bail!("{field} is {size}");
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            bail!(
                "hidden_size {} does not divide into {} attention heads",
                self.hidden_size,
                self.num_attention_heads
            );
        }
        let dropouts = [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            (
                "attention_probs_dropout_prob",
                self.attention_probs_dropout_prob,
            ),
        ];
        for (field, p) in dropouts {
            if !(0.0..1.0).contains(&p) {
                bail!("{field} is {p}, expected 0 <= p < 1");
            }
        }
        Ok(())
    }
}

/// What transformers takes where a file does not say.
fn add_defaults(model_type: &str, fields: &mut Map<String, Value>) {
    let roberta = model_type.ends_with("roberta");
    let (act, eps, types, padding) = match model_type {
        "gpt2" => ("gelu_new", 1e-5, 1, 0),
        "bert" | "electra" => ("gelu", 1e-12, 2, 0),
        "mpnet" => ("gelu", 1e-12, 1, 1),
        "modernbert" => ("gelu", 1e-5, 1, 50_283),
        "deberta-v2" => ("gelu", 1e-7, 1, 0),
        _ if roberta => ("gelu", 1e-12, 2, 1),
        _ => ("gelu", 1e-12, 1, 0),
    };
    // Its way to say that there are none.
    if model_type == "deberta-v2" && fields.get("type_vocab_size") == Some(&json!(0)) {
        fields.remove("type_vocab_size");
    }
    let wide = fields.get("hidden_size").and_then(Value::as_u64);
    let defaults = [
        ("hidden_act", json!(act)),
        ("layer_norm_eps", json!(eps)),
        ("type_vocab_size", json!(types)),
        ("pad_token_id", json!(padding)),
        ("intermediate_size", json!(wide.map(|d| 4 * d))),
    ];
    for (field, value) in defaults {
        if fields.get(field).is_none_or(Value::is_null) && !value.is_null() {
            fields.insert(field.into(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(text, Path::new("config.json"))
    }

    #[test]
    fn every_architecture_has_its_names_and_defaults() {
        let gpt2 = parse(
            r#"{"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 4, "n_inner": null,
                "n_positions": 80, "vocab_size": 9}"#,
        )
        .unwrap();
        assert_eq!(
            (gpt2.intermediate_size, gpt2.hidden_act.as_str()),
            (128, "gelu_new")
        );
        assert_eq!((gpt2.layer_norm_eps, gpt2.positions()), (1e-5, 80));
        let roberta = parse(
            r#"{"model_type": "roberta", "hidden_size": 8, "num_hidden_layers": 1,
                "num_attention_heads": 2, "intermediate_size": 16, "type_vocab_size": 1,
                "max_position_embeddings": 514, "vocab_size": 9}"#,
        )
        .unwrap();
        assert_eq!((roberta.pad_token_id, roberta.positions()), (1, 512));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        assert!(message("[]").contains("not a JSON object"));
        assert!(message("{}").contains("no \"model_type\""));
        assert!(message(r#"{"model_type": "brt"}"#).contains("did you mean bert"));
        let relative =
            message(r#"{"model_type": "bert", "position_embedding_type": "relative_key"}"#);
        assert!(
            relative.contains("position_embedding_type \"relative_key\""),
            "{relative}"
        );
    }
}
