//! BERT's and MPNet's tokenizers from a vocabulary file, where there is no tokenizer.json.

use std::path::Path;

use serde_json::Value;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Tokenizer};

use crate::{Error, Result};

/// The tokenizer of a `vocab.txt`, one token a line, with the `do_lower_case` (true if not said),
/// `tokenize_chinese_chars` (true) and `strip_accents` (as lower case) of its settings. Where the
/// vocabulary has `<s>` and `</s>` and no `[CLS]`, they enclose a text, as in MPNet.
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
    let mpnet = ["<s>", "</s>"].iter().all(|token| id(token).is_ok()) && id("[CLS]").is_err();
    let special = match mpnet {
        true => ["<pad>", "[UNK]", "<s>", "</s>", "<mask>"],
        false => ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    };
    let (separator, class) = (id(special[3])?, id(special[2])?);
    id("[UNK]")?;
    let known = |token: &&str| tokenizer.token_to_id(token).is_some();
    let added = special.into_iter().filter(known).map(|token| {
        // MPNet's takes the space before it.
        AddedToken::from(token, true).lstrip(token == "<mask>")
    });
    let added: Vec<AddedToken> = added.collect();
    let lowercase = settings["do_lower_case"].as_bool().unwrap_or(true);
    let chinese = settings["tokenize_chinese_chars"].as_bool().unwrap_or(true);
    let accents = settings["strip_accents"].as_bool();
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(true, chinese, accents, lowercase)))
        .map_err(failed)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    let (class, separator) = ((special[2].into(), class), (special[3].into(), separator));
    if mpnet {
        let enclosed = RobertaProcessing::new(separator, class).trim_offsets(false);
        tokenizer.with_post_processor(Some(enclosed));
    } else {
        tokenizer.with_post_processor(Some(BertProcessing::new(separator, class)));
    }
    tokenizer.add_special_tokens(added).map_err(failed)?;
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use crate::model::tokenize::Tokenizer;

    /// The ids are those of transformers' MPNetTokenizerFast.
    #[test]
    fn mpnets_vocabulary_has_its_own_special_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = [
            "<s>", "<pad>", "</s>", "<unk>", "a", "b", "##b", ",", "[UNK]", "<mask>",
        ];
        std::fs::write(folder.path().join("vocab.txt"), tokens.join("\n")).unwrap();
        let own = Tokenizer::from_folder(folder.path()).unwrap();
        let texts = ["AB, b <mask>x".into(), ("a", "ab").into()];
        let found = own.encode(&texts, 16).unwrap();
        assert_eq!(found[0].ids, [0, 4, 6, 7, 5, 9, 8, 2]);
        assert_eq!(found[1].ids, [0, 4, 2, 2, 4, 6, 2]);
        assert_eq!(own.pad_id(), 1);
    }
}
