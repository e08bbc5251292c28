//! Token ids as transformers computes them.

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
