//! GPT-2's and RoBERTa's tokenizers from a vocabulary and merges, where there is no tokenizer.json.

use std::path::Path;

use serde_json::Value;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Tokenizer};

use crate::{Error, Result};

/// The special tokens of both; a vocabulary has its own of them.
const SPECIAL: &[&str] = &["<s>", "<pad>", "</s>", "<unk>", "<|endoftext|>"];
/// The one that takes the space before it.
const MASK: &str = "<mask>";

/// The byte-level tokenizer of a `vocab.json` and its `merges.txt`, with the `add_prefix_space`
/// (false if not said) of its settings. Where the vocabulary has `<s>` and `</s>` they enclose a
/// text, as in RoBERTa; in GPT-2 nothing does.
pub(super) fn from_files(vocabulary: &Path, merges: &Path, settings: &Value) -> Result<Tokenizer> {
    let failed = |e: tokenizers::Error| Error::at_path(vocabulary, e);
    if settings["add_bos_token"] == true {
        return Err(Error::at_path(
            vocabulary,
            "add_bos_token = true is not supported without a tokenizer.json",
        )
        .hint("save the tokenizer with transformers: it writes one"));
    }
    let model = BPE::from_file(&vocabulary.to_string_lossy(), &merges.to_string_lossy())
        .build()
        .map_err(failed)?;
    let mut tokenizer = Tokenizer::new(model);
    let space = settings["add_prefix_space"].as_bool().unwrap_or(false);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(space, true, true)));
    let pair = |token: &str| Some((token.to_string(), tokenizer.token_to_id(token)?));
    if let (Some(start), Some(end)) = (pair("<s>"), pair("</s>")) {
        let enclosed = RobertaProcessing::new(end, start).add_prefix_space(space);
        tokenizer.with_post_processor(Some(enclosed));
    }
    let has = |token: &&str| tokenizer.token_to_id(token).is_some();
    let special = SPECIAL.iter().copied().filter(has);
    let mut special: Vec<AddedToken> = special.map(|t| AddedToken::from(t, true)).collect();
    if has(&MASK) {
        special.push(AddedToken::from(MASK, true).lstrip(true));
    }
    tokenizer.add_special_tokens(special).map_err(failed)?;
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use crate::model::tokenize::Tokenizer;

    #[test]
    fn a_vocabulary_with_merges_makes_a_tokenizer() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        let tokens = [
            "<s>",
            "<pad>",
            "</s>",
            "<unk>",
            "a",
            "b",
            "\u{120}",
            "ab",
            "\u{120}ab",
            "<mask>",
        ];
        let numbers = tokens
            .iter()
            .enumerate()
            .map(|(i, t)| (t.to_string(), i.into()));
        let vocabulary: serde_json::Map<String, Value> = numbers.collect();
        write("vocab.json", &Value::Object(vocabulary).to_string()).unwrap();
        write("merges.txt", "#version: 0.2\na b\n\u{120} ab\n").unwrap();
        let own = Tokenizer::from_folder(folder.path()).unwrap();
        let texts = ["ab ab <mask>".into(), ("ab", "b").into()];
        let found = own.encode(&texts, 16).unwrap();
        assert_eq!(found[0].ids, [0, 7, 8, 9, 2]);
        assert_eq!(found[1].ids, [0, 7, 2, 2, 5, 2]);
        assert_eq!(found[1].type_ids, [0; 6]);
        assert_eq!(own.pad_id(), 1);
        write("tokenizer_config.json", r#"{"add_prefix_space": true}"#).unwrap();
        let spaced = Tokenizer::from_folder(folder.path()).unwrap();
        assert_eq!(spaced.encode(&["ab".into()], 16).unwrap()[0].ids, [0, 8, 2]);
        write("tokenizer_config.json", r#"{"add_bos_token": true}"#).unwrap();
        let message = Tokenizer::from_folder(folder.path())
            .unwrap_err()
            .to_string();
        assert!(message.contains("add_bos_token"), "{message}");
    }

    /// Published vocabularies alone against the tokenizer.json beside them.
    #[test]
    fn published_merges_give_the_ids_of_their_tokenizer_json() {
        let folder = Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../shared/data/tokenizers"
        ));
        if !folder.is_dir() {
            eprintln!("skipped: no published tokenizers here");
            return;
        }
        for kind in ["gpt2", "roberta"] {
            let whole = Tokenizer::from_folder(&folder.join(kind)).unwrap();
            let bare = tempfile::tempdir().unwrap();
            for file in ["vocab.json", "merges.txt"] {
                std::fs::copy(folder.join(kind).join(file), bare.path().join(file)).unwrap();
            }
            let own = Tokenizer::from_folder(bare.path()).unwrap();
            let texts = [
                "Hello, naïve World!  two spaces\n日本 café 😀 don't".into(),
                ("a <mask> b", " leading").into(),
                "".into(),
            ];
            let (own, whole) = (
                own.encode(&texts, 64).unwrap(),
                whole.encode(&texts, 64).unwrap(),
            );
            assert_eq!(own, whole, "{kind}");
        }
    }
}
