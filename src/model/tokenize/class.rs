//! The tokenizer classes of transformers whose rules are followed here.

use std::path::Path;

use serde_json::Value;

use crate::{Error, Result};

use super::added::{Special, Token};

/// The names of a tokenizer's special tokens, in the order in which they are added.
pub(super) const NAMES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// What a class reads and how it cuts texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// WordPiece with `[CLS]` and `[SEP]`: BERT, DistilBERT and ELECTRA.
    Bert,
    /// WordPiece with `<s>` and `</s>`.
    Mpnet,
    /// Byte-level pairs with `<s>` and `</s>`.
    Roberta,
    /// Byte-level pairs alone.
    Gpt2,
    /// SentencePiece pieces with `<s>` and `</s>`, numbered as fairseq does.
    XlmRoberta,
    /// SentencePiece pieces with `[CLS]` and `[SEP]`.
    DebertaV2,
    /// A `tokenizer.json` as it stands.
    Plain,
}

/// A tokenizer class: its defaults, and whether models are passed its type ids.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// The name of the class, without `Fast`.
    pub name: &'static str,
    pub family: Family,
    /// The special tokens if no file declares others.
    defaults: &'static [(&'static str, &'static str)],
    /// Whether the type ids are among the model's inputs.
    pub types: bool,
    /// The models that use it if nothing else is said.
    models: &'static [&'static str],
}

const BERT: &[(&str, &str)] = &[
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
const ROBERTA: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "<unk>"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];
const MPNET: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "[UNK]"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];
const GPT2: &[(&str, &str)] = &[
    ("bos_token", "<|endoftext|>"),
    ("eos_token", "<|endoftext|>"),
    ("unk_token", "<|endoftext|>"),
];
const DEBERTA: &[(&str, &str)] = &[
    ("bos_token", "[CLS]"),
    ("eos_token", "[SEP]"),
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];

const ALL: &[Class] = &[
    class("BertTokenizer", Family::Bert, BERT, true, &["bert"]),
    class(
        "DistilBertTokenizer",
        Family::Bert,
        BERT,
        false,
        &["distilbert"],
    ),
    class("ElectraTokenizer", Family::Bert, BERT, true, &["electra"]),
    class("MPNetTokenizer", Family::Mpnet, MPNET, false, &["mpnet"]),
    class(
        "RobertaTokenizer",
        Family::Roberta,
        ROBERTA,
        false,
        &["roberta"],
    ),
    class("GPT2Tokenizer", Family::Gpt2, GPT2, false, &["gpt2"]),
    class(
        "XLMRobertaTokenizer",
        Family::XlmRoberta,
        ROBERTA,
        false,
        &["xlm-roberta"],
    ),
    class(
        "DebertaV2Tokenizer",
        Family::DebertaV2,
        DEBERTA,
        true,
        &["deberta-v2"],
    ),
    class(
        "PreTrainedTokenizer",
        Family::Plain,
        &[],
        true,
        &["modernbert"],
    ),
    // As version 5 of transformers names it.
    class("TokenizersBackend", Family::Plain, &[], true, &[]),
];

const fn class(
    name: &'static str,
    family: Family,
    defaults: &'static [(&'static str, &'static str)],
    types: bool,
    models: &'static [&'static str],
) -> Class {
    Class {
        name,
        family,
        defaults,
        types,
        models,
    }
}

impl Class {
    /// The class that a folder's `tokenizer_config.json` names, else its `config.json`, else the one
    /// of the model's type; none where neither file says anything.
    pub fn of(folder: &Path, settings: &Value, config: &Value) -> Result<Option<&'static Self>> {
        let named = |of: &Value| of["tokenizer_class"].as_str().map(str::to_string);
        if let Some(name) = named(settings).or_else(|| named(config)) {
            return Self::named(&name)
                .map(Some)
                .map_err(|e| e.within(folder.display()));
        }
        let model = config["model_type"].as_str().unwrap_or_default();
        Ok(ALL.iter().find(|class| class.models.contains(&model)))
    }

    fn named(name: &str) -> Result<&'static Self> {
        let own = name.strip_suffix("Fast").unwrap_or(name);
        let found = ALL.iter().find(|class| class.name == own);
        found.ok_or_else(|| {
            Error::new(format!("the tokenizer class {name} is not supported")).hint(
                "to use tokenizer.json as it stands, set \"tokenizer_class\" to \
                 \"PreTrainedTokenizerFast\" in tokenizer_config.json",
            )
        })
    }

    /// The class of a vocabulary that no file names.
    pub fn of_family(family: Family) -> &'static Self {
        let found = ALL.iter().find(|class| class.family == family);
        found.unwrap_or(&ALL[0])
    }

    /// The special token of this name if the files declare none.
    pub fn default(&self, name: &str) -> Option<Special> {
        let (_, text) = self.defaults.iter().find(|(own, _)| *own == name)?;
        Some(Special::Text((*text).to_string()))
    }

    /// A special token that is declared as a text, with the flags that the class gives it: the one
    /// that reads `tokenizer.json`, or the one that reads the vocabulary (`slow`).
    pub fn dress(&self, name: &str, text: String, slow: bool) -> Special {
        let token = |normalized: Option<bool>, special: bool| {
            Special::Token(Token {
                content: text.clone(),
                lstrip: name == "mask_token",
                normalized,
                special,
                ..Token::default()
            })
        };
        let mask = name == "mask_token";
        match (self.family, slow) {
            (Family::Mpnet, slow) => token(None, slow),
            (Family::Roberta, _) if mask => token(Some(false), false),
            (Family::Roberta | Family::Gpt2, true) if !mask => token(Some(true), false),
            (Family::XlmRoberta, slow) if mask => token(None, slow),
            (Family::DebertaV2, true) if name == "unk_token" => token(Some(true), true),
            _ => Special::Text(text),
        }
    }
}
