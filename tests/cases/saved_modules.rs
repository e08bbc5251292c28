//! Whole modules and embedding LoRAs beside an adapter's own tensors.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tureen::adapter::{Name, deltas, formats};

use super::{case, peft, printed, refused, tureen};

/// Runs a command on folders of adapters that writes to `out`.
fn run(arguments: &[&str], folders: &[&PathBuf], out: &Path) -> std::process::Output {
    let mut all: Vec<&str> = vec![arguments[0]];
    all.extend(folders.iter().map(|f| f.to_str().unwrap()));
    all.extend(&arguments[1..]);
    all.extend(["--out", out.to_str().unwrap()]);
    tureen(out.parent().unwrap(), &all)
}

fn is_factor(name: &str) -> bool {
    name.contains(".lora_")
}

/// A copy of an adapter in which the tensor of this name has other values.
fn changed(folder: &Path, tensor: &str, out: &Path) {
    let mut tensors = peft::tensors(folder);
    let other = (&tensors[tensor] * 3.0).unwrap();
    tensors.insert(tensor.into(), other);
    peft::write(out, &tensors, &peft::config(folder));
}

#[test]
fn pruning_leaves_saved_modules_alone() {
    let folders = [
        "modules-to-save-prune/lmhead-emb-saved-1",
        "modules-to-save-prune/vit-1",
        "modules-to-save-prune/bert-qa-1",
        "embedding-lora/emb-lora-1",
    ];
    for folder in folders.map(case) {
        let temporary = tempfile::tempdir().unwrap();
        let out = temporary.path().join("pruned");
        printed(&run(&["prune", "--sparsity", "0.9"], &[&folder], &out));
        let (before, after) = (peft::tensors(&folder), peft::tensors(&out));
        assert!(before.keys().eq(after.keys()));
        for (name, tensor) in &after {
            if is_factor(name) {
                let all = peft::values(tensor);
                let zeros = all.iter().filter(|v| **v == 0.0).count() as f64;
                assert!((zeros / all.len() as f64 - 0.9).abs() < 0.01, "{name}");
            } else {
                assert!(peft::same(tensor, &before[name]), "{name}");
            }
        }
    }
}

#[test]
fn a_pattern_that_names_a_saved_module_reaches_it() {
    let folder = case("modules-to-save-prune/lmhead-emb-saved-1");
    let temporary = tempfile::tempdir().unwrap();
    let out = temporary.path().join("pruned");
    let arguments = ["prune", "--sparsity", "0.5", "--tensors", "*lm_head*"];
    printed(&run(&arguments, &[&folder], &out));
    let (before, after) = (peft::tensors(&folder), peft::tensors(&out));
    for (name, tensor) in &after {
        let same = peft::same(tensor, &before[name]);
        assert_eq!(same, name != "base_model.model.lm_head.weight", "{name}");
    }
}

/// 6,144 of 7,552 entries are the base's weights; the factors alone have 1,408.
#[test]
fn signs_are_counted_on_factors_alone() {
    let folder = case("embedding-lora");
    let code = "let a = load_adapter(\"emb-lora-1\"); let b = load_adapter(\"emb-lora-2\");
        let d = sign_diff(a, b); print(`${d.entries} ${d.rate}`);
        print(sign_diff([a, b], #{ tensors: \"all\" }).entries);
        print(sign_diff([a, b], #{ space: \"delta\" }).entries);
        print(sign_diff([a, b], #{ tensors: \"*embed_tokens*\" }).entries);
        print(sign_diff(a, b, #{ tensors: \"*.lora_A|*.lora_B\" }).rate);";
    let (out, _) = printed(&tureen(&folder, &["-e", code]));
    let lines: Vec<&str> = out.lines().collect();
    let (entries, rate) = lines[0].split_once(' ').unwrap();
    // A and B of two embeddings, two query and two value maps of rank 4.
    let of_factors = 2 * 4 * (96 + 32) + 2 * 4 * (32 + 32) + 2 * 4 * (32 + 16);
    assert_eq!(entries, of_factors.to_string());
    assert_eq!(rate, (961.0 / 1920.0).to_string());
    assert_eq!(lines[1], of_factors.to_string());
    let of_changes = 2 * 96 * 32 + 2 * 32 * 32 + 2 * 16 * 32;
    assert_eq!(lines[2], of_changes.to_string());
    assert_eq!(lines[3], (4 * (96 + 32) + 96 * 32).to_string());
    assert_eq!(lines[4], (715.0 / 1408.0).to_string());
}

#[test]
fn embedding_loras_are_converted_and_mixed() {
    for name in ["emb-lora-1", "no-base-layer"] {
        let folder = case("embedding-lora").join(name);
        let temporary = tempfile::tempdir().unwrap();
        let out = temporary.path().join("out");
        let paths = [folder.to_str().unwrap(), out.to_str().unwrap()];
        let arguments = ["convert", "--format", "peft", paths[0], paths[1]];
        printed(&tureen(temporary.path(), &arguments));
        assert_eq!(peft::config(&out)["modules_to_save"], Value::Null);
        let (before, after) = (peft::tensors(&folder), peft::tensors(&out));
        assert!(before.keys().eq(after.keys()), "{:?}", after.keys());
        assert!(after.iter().all(|(n, t)| peft::same(t, &before[n])));
    }
    let members = ["emb-lora-1", "emb-lora-2"].map(|n| case("embedding-lora").join(n));
    let changes = members
        .each_ref()
        .map(|m| deltas(&formats::load(m).unwrap()).unwrap());
    let temporary = tempfile::tempdir().unwrap();
    for (options, error) in [
        (&["soup"][..], 1e-6),
        (&["soup", "--lora", "svd", "--rank", "8"], 1e-5),
    ] {
        let out = temporary.path().join(options.len().to_string());
        printed(&run(options, &members.each_ref(), &out));
        assert_eq!(peft::config(&out)["modules_to_save"], Value::Null);
        let mixed = deltas(&formats::load(&out).unwrap()).unwrap();
        for (name, change) in &mixed {
            let sum = ((&changes[0][name] + &changes[1][name]).unwrap() * 0.5).unwrap();
            assert!(peft::distance(change, &sum) < error, "{name}");
        }
        let table = &mixed[&Name::new("embed_tokens.delta")];
        assert_eq!(table.dims(), [96, 32]);
        let (before, after) = (peft::tensors(&members[0]), peft::tensors(&out));
        assert!(before.keys().eq(after.keys()));
        for (name, tensor) in after.iter().filter(|(n, _)| !is_factor(n)) {
            assert!(peft::same(tensor, &before[name]), "{name}");
        }
    }
}

#[test]
fn methods_entry_by_entry_mix_the_changes_of_embeddings() {
    let members = ["emb-lora-1", "emb-lora-2"].map(|n| case("embedding-lora").join(n));
    let temporary = tempfile::tempdir().unwrap();
    let out = temporary.path().join("ties");
    printed(&run(
        &["soup", "--method", "ties", "--density", "0.5"],
        &members.each_ref(),
        &out,
    ));
    let mixed = deltas(&formats::load(&out).unwrap()).unwrap();
    assert_eq!(mixed[&Name::new("embed_tokens.delta")].dims(), [96, 32]);
    let code = format!(
        "let m = [load_adapter({0:?}), load_adapter({1:?})]; print(m.map(|a| a.prune(0.5)).len);
         print(merge_with(m, |x, y| x).parameters);",
        members[0], members[1]
    );
    let folder = case("embedding-lora");
    printed(&tureen(
        &folder,
        &["--allow-read", folder.to_str().unwrap(), "-e", &code],
    ));
}

#[test]
fn saved_modules_that_differ_are_averaged_or_dropped_on_request() {
    let first = case("modules-to-save-prune/lmhead-emb-saved-1");
    let head = "base_model.model.lm_head.weight";
    let temporary = tempfile::tempdir().unwrap();
    let second = temporary.path().join("second");
    changed(&first, head, &second);
    let members = [&first, &second];
    let out = |name: &str| temporary.path().join(name);
    let message = refused(&run(&["soup"], &members, &out("kept")));
    assert!(
        message.contains("the saved module lm_head.weight differs between")
            && message.contains("saved: \"average\""),
        "{message}"
    );
    assert!(!out("kept").exists());
    let average = ["soup", "--saved", "average", "--weights", "0.75,0.25"];
    printed(&run(&average, &members, &out("average")));
    let (before, after) = (peft::tensors(&first), peft::tensors(&out("average")));
    // 0.75 + 0.25 * 3
    let expected = (&before[head] * 1.5).unwrap();
    assert!(peft::distance(&after[head], &expected) < 1e-6);
    let table = "base_model.model.model.embed_tokens.weight";
    assert!(peft::same(&after[table], &before[table]));
    printed(&run(&["soup", "--saved", "drop"], &members, &out("drop")));
    assert!(peft::tensors(&out("drop")).keys().all(|n| is_factor(n)));
    assert_eq!(peft::config(&out("drop"))["modules_to_save"], Value::Null);
    // Equal ones need no option.
    printed(&run(&["soup"], &[&first, &first], &out("equal")));
    let equal = peft::tensors(&out("equal"));
    assert!(peft::same(&equal[head], &before[head]));
    let saved = peft::config(&out("equal"))["modules_to_save"].clone();
    assert_eq!(saved, serde_json::json!(["lm_head", "model.embed_tokens"]));
}

#[test]
fn the_option_is_refused_where_nothing_is_saved() {
    let folder = case("lmhead-mix");
    let members = [&folder.join("with_lm_head"), &folder.join("without")];
    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["soup", "--saved", "drop"];
    let message = refused(&run(&arguments, &members, &temporary.path().join("out")));
    assert!(message.contains("no member has saved modules"), "{message}");
}

/// Rows of trained tokens are weights like other saved modules, of the tokens in the configuration.
#[test]
fn rows_of_trained_tokens_are_saved_modules() {
    let folder = case("lmhead-mix/without");
    let rows = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta";
    let temporary = tempfile::tempdir().unwrap();
    let with_rows = |name: &str, tokens: Value| {
        let mut tensors = peft::tensors(&folder);
        let any = &tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"];
        tensors.insert(
            rows.into(),
            any.narrow(0, 0, 2).unwrap().contiguous().unwrap(),
        );
        let mut config = peft::config(&folder);
        config["trainable_token_indices"] = tokens;
        let out = temporary.path().join(name);
        peft::write(&out, &tensors, &config);
        out
    };
    let (a, b) = (
        with_rows("a", serde_json::json!([3, 5])),
        with_rows("b", serde_json::json!([3, 6])),
    );
    let out = |name: &str| temporary.path().join(name);
    printed(&run(&["prune", "--sparsity", "0.5"], &[&a], &out("pruned")));
    let (before, after) = (peft::tensors(&a), peft::tensors(&out("pruned")));
    assert!(peft::same(&after[rows], &before[rows]));
    let written = peft::config(&out("pruned"));
    assert_eq!(
        written["trainable_token_indices"],
        serde_json::json!([3, 5])
    );
    assert_eq!(written["modules_to_save"], Value::Null);
    let message = refused(&run(&["soup"], &[&a, &b], &out("other")));
    assert!(message.contains("rows of other tokens"), "{message}");
    printed(&run(&["soup"], &[&a, &a], &out("same")));
    assert_eq!(
        peft::config(&out("same"))["trainable_token_indices"],
        serde_json::json!([3, 5])
    );
    printed(&run(
        &["soup", "--saved", "drop"],
        &[&a, &b],
        &out("dropped"),
    ));
    assert_eq!(
        peft::config(&out("dropped"))["trainable_token_indices"],
        Value::Null
    );
}
