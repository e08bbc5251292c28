//! BERT's and MPNet's tokenizers from a vocabulary file, where there is no tokenizer.json.

use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;
use tokenizers::models::bpe::Vocab;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::processors::roberta::RobertaProcessing;

use crate::{Error, Result};

use super::added::Declared;
use super::class::{Class, Family};
use super::settings::{flag, maybe_flag};

/// The class of a vocabulary that no file names: where it has `<s>` and `</s>` and no `[CLS]`, they
/// enclose a text, as in MPNet.
pub(super) fn class(vocabulary: &Path) -> Result<&'static Class> {
    let tokens = read(vocabulary)?;
    let has = |token: &str| tokens.contains_key(token);
    let mpnet = has("<s>") && has("</s>") && !has("[CLS]");
    Ok(Class::of_family(if mpnet {
        Family::Mpnet
    } else {
        Family::Bert
    }))
}

/// The tokenizer of a `vocab.txt`, one token a line, with the `do_lower_case` (true if not said),
/// `tokenize_chinese_chars` (true) and `strip_accents` (as lower case) of its settings, and with the
/// special tokens of its class and its files around a text.
pub(super) fn from_vocabulary(
    vocabulary: &Path,
    settings: &Value,
    class: &Class,
    declared: &Declared,
) -> Result<Tokenizer> {
    let failed = |e: tokenizers::Error| Error::at_path(vocabulary, e);
    let tokens = read(vocabulary)?;
    let special = |name| {
        declared
            .numbered(name, class, &tokens)
            .map_err(|e| e.within(vocabulary.display()))
    };
    let (separator, start) = (special("sep_token")?, special("cls_token")?);
    let (unknown, _) = special("unk_token")?;
    if !tokens.contains_key(&unknown) {
        let message = format!(
            "the vocabulary has no {unknown}, which {} needs",
            class.name
        );
        return Err(Error::at_path(vocabulary, message));
    }
    let model = WordPiece::builder().vocab(tokens).unk_token(unknown);
    let mut tokenizer = Tokenizer::new(model.build().map_err(failed)?);
    let mut chinese = flag(settings, "tokenize_chinese_chars", true)?;
    if class.family == Family::Mpnet {
        // Its class does not set this again where the slow one has no rules for words.
        chinese &= flag(settings, "do_basic_tokenize", true)?;
    }
    let lowercase = flag(settings, "do_lower_case", true)?;
    let accents = maybe_flag(settings, "strip_accents")?;
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(true, chinese, accents, lowercase)))
        .map_err(failed)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    if class.family == Family::Mpnet {
        let enclosed = RobertaProcessing::new(separator, start).trim_offsets(false);
        tokenizer.with_post_processor(Some(enclosed));
    } else {
        tokenizer.with_post_processor(Some(BertProcessing::new(separator, start)));
    }
    Ok(tokenizer)
}

/// The tokens of a file, one a line, by their numbers. Spaces at the end of a line are part of a
/// token, and of two equal lines the last counts.
fn read(vocabulary: &Path) -> Result<Vocab> {
    let text = super::read_text(vocabulary)?;
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines = text.strip_suffix('\n').unwrap_or(&text).split('\n');
    let numbered = lines.zip(0..).map(|(line, id)| (line.to_string(), id));
    Ok(numbered.collect())
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
