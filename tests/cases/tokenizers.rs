//! Token ids as transformers computes them.

use serde_json::Value;
use tureen::model::tokenize::{Text, Tokenizer};

use super::{case, printed, tureen};

fn ids(name: &str, texts: &str) -> String {
    let code = format!("model(\"model\").tokenize({texts}, #{{ padding: false }}).input_ids");
    let (out, _) = printed(&tureen(&case(name), &["-e", &code]));
    out.trim().to_string()
}

#[test]
fn added_tokens_beside_a_vocabulary_are_found_in_texts() {
    let found = ids(
        "slow-tokenizer-added-tokens",
        r#"["the <item> <price> fox"]"#,
    );
    assert_eq!(found, "[[2, 6, 39, 40, 10, 3]]");
}

#[test]
fn mpnets_special_tokens_enclose_texts_of_a_vocabulary_alone() {
    let found = ids("mpnet-vocab-txt", r#"["the red fox"]"#);
    assert_eq!(found, "[[0, 10, 11, 14, 2]]");
    let found = ids("mpnet-vocab-txt", r#"[["the red fox", "a cat"]]"#);
    assert_eq!(found, "[[0, 10, 11, 14, 2, 2, 9, 16, 2]]");
}

fn encoded(tokenizer: &Tokenizer, texts: &[Text<'_>]) -> Vec<Vec<u32>> {
    let encodings = tokenizer.encode(texts, 64).unwrap();
    encodings.into_iter().map(|e| e.ids).collect()
}

/// Where only `added_tokens.json` lists them, as earlier versions of transformers wrote folders.
#[test]
fn added_tokens_count_without_a_tokenizer_config() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["vocab.txt", "added_tokens.json", "special_tokens_map.json"] {
        let from = case("slow-tokenizer-added-tokens/model").join(file);
        std::fs::copy(from, folder.path().join(file)).unwrap();
    }
    let own = Tokenizer::from_folder(folder.path()).unwrap();
    let found = encoded(&own, &["the <item> <price> fox".into()]);
    assert_eq!(found, [[2, 6, 39, 40, 10, 3]]);
}

/// The ids are those of `XLMRobertaTokenizerFast` of transformers 4.57, converted from the same file.
#[test]
fn xlm_roberta_is_read_from_its_pieces_alone() {
    let own = Tokenizer::from_folder(&case("xlm-roberta-pieces")).unwrap();
    let texts = [
        "the red fox",
        "  two  spaces ",
        "a <mask> house</s>",
        "über it",
        "",
    ];
    let texts: Vec<Text<'_>> = texts.into_iter().map(Text::from).collect();
    let right: Value = serde_json::from_str(XLM).unwrap();
    let right: Vec<Vec<u32>> = serde_json::from_value(right).unwrap();
    assert_eq!(encoded(&own, &texts), right[..5]);
    assert_eq!(encoded(&own, &[("the fox", "we sing").into()]), right[5..]);
}

/// `BertTokenizerFast` rewrites the normalizer of a tokenizer.json by its settings, and a long text
/// loses tokens on the side that they name.
#[test]
fn settings_count_beside_a_tokenizer_json() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let tokenizer = tureen::model::bundled::mini().tokenizer;
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer).unwrap();
    let found = |texts: &[Text<'_>], most: usize| {
        let own = Tokenizer::from_folder(folder.path()).unwrap();
        own.encode(texts, most).unwrap().remove(0).ids
    };
    let lower = found(&["Hello".into()], 16);
    assert_eq!(lower, [101, 7592, 102]);
    write(
        "tokenizer_config.json",
        r#"{"tokenizer_class": "BertTokenizer", "do_lower_case": false}"#,
    );
    assert_eq!(found(&["Hello".into()], 16), [101, 100, 102]);
    // A class of no rules of its own leaves the file as it is.
    write(
        "tokenizer_config.json",
        r#"{"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": false, "truncation_side": "left"}"#,
    );
    assert_eq!(found(&["Hello".into()], 16), lower);
    assert_eq!(
        found(&["world good hello".into()], 4),
        found(&["good hello".into()], 4)
    );
    write(
        "tokenizer_config.json",
        r#"{"added_tokens_decoder": {"30522": {"content": "<item>", "special": false, "normalized": false}}}"#,
    );
    assert_eq!(found(&["hello <item>".into()], 16), [101, 7592, 30522, 102]);
}

const XLM: &str = "[[0, 10, 21, 11, 2], [0, 44, 35, 28, 43, 44, 42, 3, 33, 3, 40, 42, 2], [0, 20, 45, 4, 2, 2], [0, 44, 3, 29, 40, 41, 16, 2], [0, 2], [0, 10, 11, 2, 2, 44, 28, 40, 22, 2]]";

/// A special token that a text spells out is that token, as in transformers.
#[test]
fn special_tokens_in_a_text_are_themselves() {
    let own = Tokenizer::from_folder(&case("slow-tokenizer-added-tokens/model")).unwrap();
    let found = encoded(
        &own,
        &["the [MASK] fox [SEP] a cat".into(), "THE Fox<item>".into()],
    );
    assert_eq!(found[0], [2, 6, 4, 10, 3, 5, 12, 3]);
    assert_eq!(found[1], [2, 6, 10, 39, 3]);
}
