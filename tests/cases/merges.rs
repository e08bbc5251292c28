//! Merges of whole models.

use std::path::Path;

use tureen::tensorfile::Number;

use super::bases::{Raw, as_gamma, prefixed, rewritten, tensors, with_position_ids};
use super::{case, printed, refused, tureen};

/// Merges two models of a folder half and half into `out`, and gives its tensors.
fn half(folder: &Path, models: [&str; 2], dtype: &str) -> Vec<Raw> {
    let _ = std::fs::remove_dir_all(folder.join("out"));
    recipe(folder, models, dtype);
    printed(&tureen(folder, &["merge", "half.yml", "out"]));
    tensors(&folder.join("out"))
}

fn recipe(folder: &Path, models: [&str; 2], dtype: &str) {
    weighted(folder, models.map(|name| (name, 0.5)), dtype);
}

fn weighted(folder: &Path, models: [(&str, f64); 2], dtype: &str) {
    let models =
        models.map(|(name, w)| format!("- {{model: {name}, parameters: {{weight: {w:?}}}}}\n"));
    let text = format!(
        "models:\n{}merge_method: linear\ndtype: {dtype}\n",
        models.concat()
    );
    std::fs::write(folder.join("half.yml"), text).unwrap();
}

#[test]
fn a_model_under_other_names_is_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    rewritten(
        &case("base-id-of-unused-tensors").join("base"),
        &at("one"),
        |_| {},
    );
    let two = case("merge-other-names-same-model").join("two");
    rewritten(&two, &at("two"), |_| {});
    rewritten(&two, &at("prefix"), |all| prefixed(all, "bert."));
    rewritten(&two, &at("gamma"), |all| as_gamma(all));
    rewritten(&two, &at("position_ids"), with_position_ids);
    rewritten(&two, &at("all"), |all| {
        with_position_ids(all);
        as_gamma(all);
        prefixed(all, "module.bert.");
    });
    let expected = half(folder.path(), ["one", "two"], "float32");
    for other in ["prefix", "gamma", "position_ids", "all"] {
        let found = half(folder.path(), ["one", other], "float32");
        assert!(found == expected, "{other}");
        // The first model's names are the result's.
        let found = half(folder.path(), [other, "one"], "float32");
        let mut renamed = tensors(&at(other));
        assert_eq!(found.len(), renamed.len());
        assert!(found.iter().zip(&mut renamed).all(|(a, b)| a.0 == b.0));
        let values = |all: &[Raw]| -> Vec<Vec<u8>> {
            let mut all: Vec<_> = all.iter().filter(|r| r.1 == Number::F32).collect();
            let plain = |name: &str| {
                let name = name.replace("module.", "").replace("bert.", "");
                name.replace("gamma", "weight").replace("beta", "bias")
            };
            all.sort_by_key(|raw| plain(&raw.0));
            all.iter().map(|raw| raw.3.clone()).collect()
        };
        assert!(values(&found) == values(&expected), "{other} first");
    }
    // A head that only the second has is left out, with a notice; another tensor is an error.
    let tensor = |name: &str| (name.to_string(), Number::F32, vec![1], vec![0; 4]);
    rewritten(&two, &at("head"), |all| {
        prefixed(all, "bert.");
        all.push(tensor("cls.predictions.bias"));
    });
    recipe(folder.path(), ["one", "head"], "float32");
    let _ = std::fs::remove_dir_all(at("out"));
    let (_, err) = printed(&tureen(folder.path(), &["merge", "half.yml", "out"]));
    assert!(
        err.contains("without tensors of head that one lacks: cls.predictions.bias"),
        "{err}"
    );
    assert!(tensors(&at("out")) == expected);
    rewritten(&two, &at("more"), |all| {
        all.push(tensor("encoder.layer.0.gate.bias"))
    });
    recipe(folder.path(), ["one", "more"], "float32");
    let err = refused(&tureen(folder.path(), &["merge", "half.yml", "none"]));
    assert!(
        err.contains("one has no encoder.layer.0.gate.bias"),
        "{err}"
    );
    assert!(!at("none").exists());
}

#[test]
fn tied_heads_that_are_written_out_are_no_difference() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let cases = case("merge-other-names-same-model");
    let tied = |all: &mut Vec<Raw>| {
        let words = all
            .iter()
            .find(|raw| raw.0.ends_with("wte.weight"))
            .unwrap();
        all.push((
            "lm_head.weight".into(),
            words.1,
            words.2.clone(),
            words.3.clone(),
        ));
    };
    for name in ["gpt_one", "gpt_two"] {
        rewritten(&cases.join(name), &at(name), |_| {});
        rewritten(&cases.join(name), &at(&format!("{name}_tied")), tied);
    }
    rewritten(&cases.join("gpt_two"), &at("other_head"), |all| {
        tied(all);
        all.last_mut().unwrap().3[0] ^= 1;
    });
    let expected = half(folder.path(), ["gpt_one", "gpt_two"], "float32");
    assert!(half(folder.path(), ["gpt_one", "gpt_two_tied"], "float32") == expected);
    let found = half(folder.path(), ["gpt_one_tied", "gpt_two"], "float32");
    let bytes = |all: &[Raw], end: &str| {
        let found = all.iter().find(|raw| raw.0.ends_with(end)).unwrap();
        found.3.clone()
    };
    assert!(bytes(&found, "lm_head.weight") == bytes(&expected, "wte.weight"));
    assert_eq!(found.len(), expected.len() + 1);
    // A head of its own is none that is tied.
    recipe(folder.path(), ["other_head", "gpt_one"], "float32");
    let err = refused(&tureen(folder.path(), &["merge", "half.yml", "none"]));
    assert!(err.contains("gpt_one has no lm_head.weight"), "{err}");
    let config = at("other_head").join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let untied = text.replacen('{', "{\"tie_word_embeddings\": false, ", 1);
    std::fs::write(&config, untied).unwrap();
    recipe(folder.path(), ["gpt_one", "other_head"], "float32");
    let err = refused(&tureen(folder.path(), &["merge", "half.yml", "none"]));
    assert!(err.contains("gpt_one has no lm_head.weight"), "{err}");
}

#[test]
fn values_that_do_not_fit_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let two = case("merge-other-names-same-model").join("two");
    let set = |name: &str, value: f32| {
        rewritten(&two, &at(name), |all| {
            let raw = all
                .iter_mut()
                .find(|raw| raw.0.ends_with("query.weight"))
                .unwrap();
            raw.3[..4].copy_from_slice(&value.to_le_bytes());
        });
    };
    rewritten(&two, &at("two"), |_| {});
    let refused_with = |models: [(&str, f64); 2], dtype: &str| {
        weighted(folder.path(), models, dtype);
        let message = refused(&tureen(folder.path(), &["merge", "half.yml", "a/b/out"]));
        assert!(!at("a").exists(), "{message}");
        assert!(!message.contains(".writing-"), "{message}");
        message
    };
    let refused = |models: [&str; 2], dtype| refused_with(models.map(|name| (name, 0.5)), dtype);
    set("large", 2e5);
    let message = refused(["large", "two"], "float16");
    assert!(message.contains("query.weight"), "{message}");
    assert!(
        message.contains("too large for float16; bfloat16 or float32 holds it"),
        "{message}"
    );
    half(folder.path(), ["large", "two"], "bfloat16");
    set("larger", f32::MAX);
    // The range of bfloat16 ends a little before that of float32.
    let message = refused_with([("larger", 1.0), ("two", 0.0)], "bfloat16");
    assert!(
        message.contains("too large for bfloat16; float32 holds it"),
        "{message}"
    );
    half(folder.path(), ["larger", "two"], "float32");
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        set("wrong", value);
        let message = refused(["two", "wrong"], "float32");
        assert!(message.contains("query.weight holds"), "{message}");
    }
    // Whole numbers that differ cannot be mixed, whatever they are.
    for name in ["first", "second"] {
        rewritten(&two, &at(name), |all| {
            all.push((
                "codes".into(),
                Number::I32,
                vec![1],
                vec![name.len() as u8, 0, 0, 0],
            ));
        });
    }
    let message = refused(["first", "second"], "float32");
    assert!(
        message.contains("codes holds whole numbers (I32) that differ"),
        "{message}"
    );
    half(folder.path(), ["first", "first"], "float32");
}

#[test]
fn a_rank_above_the_full_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let base = case("base-id-of-unused-tensors");
    rewritten(&base.join("base"), &at("base"), |_| {});
    std::fs::copy(base.join("rows.csv"), at("rows.csv")).unwrap();
    let script = |rank: usize| {
        format!(
            r#"let d = dataset("rows.csv"); let o = #{{ adapter: "lora", epochs: 1 }};
            let a = train(model("base"), d, o);
            print(soup([a, a], #{{ lora: "svd", rank: {rank} }}).parameters);"#
        )
    };
    let message = refused(&tureen(folder.path(), &["-e", &script(17)]));
    assert!(message.contains("at most 16, the full rank"), "{message}");
    printed(&tureen(folder.path(), &["-e", &script(16)]));
}
