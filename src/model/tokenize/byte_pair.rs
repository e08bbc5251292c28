//! GPT-2's and RoBERTa's tokenizers from a vocabulary and merges, where there is no tokenizer.json.

use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::processors::template::TemplateProcessing;

use crate::{Error, Result};

use super::added::Declared;
use super::class::{Class, Family};
use super::settings::flag;

/// The class of a vocabulary that no file names: where it has `<s>` and `</s>` they enclose a text,
/// as in RoBERTa; in GPT-2 nothing does.
pub(super) fn class(vocabulary: &Path) -> Result<&'static Class> {
    let tokens = read_vocabulary(vocabulary)?;
    let roberta = ["<s>", "</s>"].iter().all(|t| tokens.contains_key(*t));
    Ok(Class::of_family(if roberta {
        Family::Roberta
    } else {
        Family::Gpt2
    }))
}

/// The byte-level tokenizer of a `vocab.json` and its `merges.txt`, with the `add_prefix_space`
/// (false if not said) of its settings. RoBERTa's special tokens enclose a text; GPT-2's first
/// token stands before it only where `add_bos_token` says so.
pub(super) fn from_files(
    vocabulary: &Path,
    merges: &Path,
    settings: &Value,
    class: &Class,
    declared: &Declared,
) -> Result<Tokenizer> {
    let failed = |e: tokenizers::Error| Error::at_path(vocabulary, e);
    let tokens = read_vocabulary(vocabulary)?;
    let special = |name| {
        declared
            .numbered(name, class, &tokens)
            .map_err(|e| e.within(vocabulary.display()))
    };
    let space = flag(settings, "add_prefix_space", false)?;
    let roberta = class.family == Family::Roberta;
    let enclosed = match roberta {
        true => Some((special("sep_token")?, special("cls_token")?)),
        false => None,
    };
    let first = match !roberta && flag(settings, "add_bos_token", false)? {
        true => Some(special("bos_token")?),
        false => None,
    };
    let model = BPE::builder().vocab_and_merges(tokens, read_merges(merges)?);
    let mut tokenizer = Tokenizer::new(model.build().map_err(failed)?);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(space, true, true)));
    if let Some((end, start)) = enclosed {
        let enclosed = RobertaProcessing::new(end, start).add_prefix_space(space);
        tokenizer.with_post_processor(Some(enclosed));
    }
    if let Some((text, id)) = first {
        let template = TemplateProcessing::builder()
            .try_single(format!("{text}:0 $A:0"))
            .and_then(|t| t.try_pair(format!("{text}:0 $A:0 $B:1")))
            .map_err(|e| Error::at_path(vocabulary, e))?
            .special_tokens(vec![(text, id)])
            .build()
            .map_err(|e| Error::at_path(vocabulary, e))?;
        tokenizer.with_post_processor(Some(template));
    }
    Ok(tokenizer)
}

fn read_vocabulary(path: &Path) -> Result<Vocab> {
    let text = super::read_text(path)?;
    let tokens: std::collections::BTreeMap<String, u32> = serde_json::from_str(&text)
        .map_err(|e| Error::at_path(path, format!("not a vocabulary: {e}")))?;
    Ok(tokens.into_iter().collect())
}

/// The merges of a file, whose first line states the version and whose last one is empty: both are
/// left out whatever they hold, as transformers does.
fn read_merges(path: &Path) -> Result<Merges> {
    let text = super::read_text(path)?;
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.split('\n').collect();
    let own = lines.get(1..lines.len() - 1).unwrap_or_default();
    let merge = |(number, line): (usize, &&str)| -> Result<(String, String)> {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let [first, second] = parts[..] else {
            let message = format!("line {} is {line:?}, expected two tokens", number + 2);
            return Err(Error::at_path(path, message));
        };
        Ok((first.to_string(), second.to_string()))
    };
    own.iter().enumerate().map(merge).collect()
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
        let bos = r#"{"tokenizer_class": "GPT2Tokenizer", "add_bos_token": true,
            "bos_token": "<s>", "eos_token": "<s>", "unk_token": "<s>"}"#;
        write("tokenizer_config.json", bos).unwrap();
        let first = Tokenizer::from_folder(folder.path()).unwrap();
        assert_eq!(first.encode(&["ab".into()], 16).unwrap()[0].ids, [0, 7]);
        let pair = first.encode(&[("ab", "b").into()], 16).unwrap();
        assert_eq!(pair[0].ids, [0, 7, 5]);
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
