//! BERT's tokenizer from a vocabulary file, where there is no tokenizer.json.

use std::path::Path;

use serde_json::Value;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Tokenizer};

use crate::{Error, Result};

/// The tokenizer of a `vocab.txt`, one token a line, with the `do_lower_case` (true if not said),
/// `tokenize_chinese_chars` (true) and `strip_accents` (as lower case) of its settings.
pub(super) fn from_vocabulary(vocabulary: &Path, settings: &Value) -> Result<Tokenizer> {
    let failed = |e: tokenizers::Error| Error::at_path(vocabulary, e);
    let model = WordPiece::from_file(&vocabulary.display().to_string())
        .build()
        .map_err(failed)?;
    let mut tokenizer = Tokenizer::new(model);
    let id = |token: &str| {
        tokenizer.token_to_id(token).ok_or_else(|| {
            Error::at_path(
                vocabulary,
                format!("the vocabulary has no {token}, as BERT's have"),
            )
        })
    };
    let (separator, class) = (id("[SEP]")?, id("[CLS]")?);
    id("[UNK]")?;
    let special: Vec<AddedToken> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        .into_iter()
        .filter(|token| tokenizer.token_to_id(token).is_some())
        .map(|token| AddedToken::from(token, true))
        .collect();
    let lowercase = settings["do_lower_case"].as_bool().unwrap_or(true);
    let chinese = settings["tokenize_chinese_chars"].as_bool().unwrap_or(true);
    let accents = settings["strip_accents"].as_bool();
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(true, chinese, accents, lowercase)))
        .map_err(failed)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(BertProcessing::new(
        ("[SEP]".into(), separator),
        ("[CLS]".into(), class),
    )));
    tokenizer.add_special_tokens(special).map_err(failed)?;
    Ok(tokenizer)
}
