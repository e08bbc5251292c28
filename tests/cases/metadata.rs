//! What stands beside an adapter's weights: names of labels, tasks, types of numbers, files of
//! tokenizers, cards.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tureen::tensorfile::{Number, TensorFile};

use super::{case, printed, refused, tureen};

/// The JSON file of this name in a folder.
fn json_in(folder: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A small BERT and two sets of two texts, in a folder of their own.
fn with_films_and_mail() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: PathBuf, to: &str| {
        let to = folder.path().join(to);
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    copy(case("foreign-adapter-other-base").join("base"), "base");
    copy(case("peft-label-names-lost"), "");
    folder
}

/// `save` and `load` in PEFT's layout, whose files have no place for names of labels.
#[test]
fn names_of_labels_come_back_from_either_layout() {
    let folder = with_films_and_mail();
    for format in ["peft", "adapterhub"] {
        let code = format!(
            "let b = model(\"base\");
             let f = dataset(\"films.csv\", #{{ labels: #{{ pos: \"pos\", neg: \"neg\" }} }});
             let a = train(b, f, #{{ adapter: \"lora\", epochs: 1, batch: 1 }});
             a.save(\"out/{format}\", #{{ format: \"{format}\" }});
             let r = load_adapter(\"out/{format}\");
             print(r.head); print(r.heads[0].labels); print(evaluate(b, r, f).n);"
        );
        let code = code.replace(", #{ labels: #{ pos: \"pos\", neg: \"neg\" } }", "");
        let (out, err) = printed(&tureen(folder.path(), &["-e", &code]));
        assert_eq!(
            out, "Head films: neg, pos\n[\"neg\", \"pos\"]\n2\n",
            "{err}"
        );
        let code = format!(
            "evaluate(model(\"base\"), load_adapter(\"out/{format}\"), dataset(\"mail.csv\"))"
        );
        let message = refused(&tureen(folder.path(), &["-e", &code]));
        let expected = "label \"ham\" of mail is not among the head's: neg, pos";
        assert!(message.contains(expected), "{message}");
        let saved = folder.path().join("out").join(format);
        for file in ["adapter_config.json", "head_config.json"] {
            let text = std::fs::read_to_string(saved.join(file)).unwrap_or_default();
            assert!(!text.contains("tureen"), "{file}: {text}");
        }
        let origin = json_in(&saved, "tureen.json");
        assert_eq!(origin["head"]["labels"], json!(["neg", "pos"]));
        assert!(origin["base_id"].is_string());
    }
}

/// Names that belong to other weights are worse than none.
#[test]
fn names_of_other_weights_are_left_out_with_a_notice() {
    let folder = with_films_and_mail();
    let code = "for seed in [1, 2] {
            let a = train(model(\"base\"), dataset(\"films.csv\"),
                #{ adapter: \"lora\", epochs: 1, batch: 1, seed: seed, init_seed: seed });
            a.save(`out/${seed}`, #{ format: \"peft\" });
        }";
    printed(&tureen(folder.path(), &["-e", code]));
    let weights = |seed: &str| {
        folder
            .path()
            .join("out")
            .join(seed)
            .join("adapter_model.safetensors")
    };
    std::fs::copy(weights("2"), weights("1")).unwrap();
    let code = "print(load_adapter(\"out/1\").head); print(load_adapter(\"out/2\").head)";
    let (out, err) = printed(&tureen(folder.path(), &["-e", code]));
    assert_eq!(out, "Head 1: LABEL_0, LABEL_1\nHead films: neg, pos\n");
    assert_eq!(err.matches("which were changed since").count(), 1, "{err}");
    // Of the same numbers in a file of other bytes, they count.
    let tensors = super::peft::tensors(&folder.path().join("out/2"));
    let bytes = tureen::tensorfile::encode(&tensors, Some(("format", "np".into()))).unwrap();
    std::fs::write(weights("2"), bytes).unwrap();
    let (out, err) = printed(&tureen(
        folder.path(),
        &["-e", "load_adapter(\"out/2\").head"],
    ));
    assert_eq!((out.trim(), err.as_str()), ("Head films: neg, pos", ""));
}

#[test]
fn no_full_path_is_written_beside_an_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let member = case("lmhead-mix").join("without");
    let out = folder.path().join("out");
    let paths = [member.to_str().unwrap(), out.to_str().unwrap()];
    let arguments = ["soup", paths[0], paths[0], "--out", paths[1]];
    printed(&tureen(folder.path(), &arguments));
    let text = std::fs::read_to_string(out.join("tureen.json")).unwrap();
    let origin: Value = serde_json::from_str(&text).unwrap();
    let source = origin["inputs"][0]["source"].as_str().unwrap();
    assert!(source.starts_with("./.."), "{source}");
    let found = out.join(source).canonicalize().unwrap();
    assert_eq!(found, member.canonicalize().unwrap());
    assert!(!text.contains("\"/"), "{text}");
    // The way leads to the member when the soup is made once more.
    let code = format!("print(replay({:?}).members.len)", paths[1]);
    let (number, _) = printed(&tureen(folder.path(), &["-e", &code]));
    assert_eq!(number, "2\n");
}

/// The kinds of adapters whose task this program does not compute.
const TASKS: &[&str] = &["causal_lm", "features", "qa", "seq2seq", "vit"];

/// Converts, mixes with itself and prunes an adapter of `folder`: the folders written.
fn derived(folder: &Path, name: &str, more: &[&str]) -> [PathBuf; 3] {
    let outs = ["converted", "mixed", "pruned"].map(|way| format!("{name}-{way}"));
    let calls: [Vec<&str>; 3] = [
        vec!["convert", name, &outs[0], "--format", "peft"],
        vec!["soup", name, name, "--out", &outs[1], "--format", "peft"],
        vec!["prune", name, "--sparsity", "0.5", "--out", &outs[2]],
    ];
    for mut call in calls {
        call.extend(more);
        printed(&tureen(folder, &call));
    }
    outs.map(|out| folder.join(out))
}

/// Copies an adapter of the inputs to a folder.
fn copied(name: &str, folder: &Path) {
    let to = folder.join(name);
    std::fs::create_dir_all(&to).unwrap();
    for entry in std::fs::read_dir(case("task-type").join(name)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// `AutoPeftModelForCausalLM` and its like open an adapter by these fields.
#[test]
fn the_task_survives_whatever_is_done() {
    let folder = tempfile::tempdir().unwrap();
    for name in TASKS {
        copied(name, folder.path());
        let config = |at: &Path| json_in(at, "adapter_config.json");
        // As an earlier version of PEFT wrote it.
        let mut before = config(&folder.path().join(name));
        before["peft_version"] = json!("0.18.0");
        before["revision"] = json!("main");
        let text = serde_json::to_vec_pretty(&before).unwrap();
        let path = folder.path().join(name).join("adapter_config.json");
        std::fs::write(path, text).unwrap();
        for out in derived(folder.path(), name, &[]) {
            let after = config(&out);
            for key in ["task_type", "auto_mapping", "peft_version", "revision"] {
                assert_eq!(after[key], before[key], "{} {key}", out.display());
            }
            let own = |key: &String| key.starts_with("tureen");
            assert!(!after.as_object().unwrap().keys().any(own), "{after}");
            assert!(out.join("tureen.json").is_file());
        }
    }
}

#[test]
fn a_tokenizer_a_licence_and_a_card_go_with_an_adapter() {
    let folder = tempfile::tempdir().unwrap();
    copied("causal_lm", folder.path());
    let beside = [
        ("tokenizer.json", "{}"),
        ("tokenizer_config.json", "{\"a\": 1}"),
        ("chat_template.jinja", "{{ messages }}"),
        ("LICENSE", "Mine."),
        (
            "README.md",
            "---\nlicense: cc-by-4.0\nlanguage:\n- en\ntags:\n- law\n---\n# Law\n\nTrained on cases.\n",
        ),
        ("optimizer.pt", "large"),
    ];
    for (name, text) in beside {
        std::fs::write(folder.path().join("causal_lm").join(name), text).unwrap();
    }
    for out in derived(folder.path(), "causal_lm", &[]) {
        for (name, text) in &beside[..4] {
            let found = std::fs::read_to_string(out.join(name)).unwrap();
            assert_eq!(found, *text, "{}", out.display());
        }
        assert!(!out.join("optimizer.pt").exists());
        let card = std::fs::read_to_string(out.join("README.md")).unwrap();
        for line in [
            "license: cc-by-4.0",
            "language: [\"en\"]",
            "- law",
            "- lora",
        ] {
            assert!(card.lines().any(|own| own == line), "{line}: {card}");
        }
        assert_eq!(card.matches("Trained on cases.").count(), 1, "{card}");
        assert_eq!(card.matches("## Card of causal_lm").count(), 1, "{card}");
    }
    // Once more: what is kept does not grow.
    let again = ["convert", "causal_lm-pruned", "again", "--format", "peft"];
    printed(&tureen(folder.path(), &again));
    let card = std::fs::read_to_string(folder.path().join("again/README.md")).unwrap();
    assert_eq!(card.matches("Trained on cases.").count(), 1, "{card}");
    assert_eq!(card.matches("license:").count(), 1, "{card}");
}

#[test]
fn a_git_lfs_pointer_beside_an_adapter_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    copied("causal_lm", folder.path());
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n";
    std::fs::write(folder.path().join("causal_lm/tokenizer.json"), pointer).unwrap();
    let call = ["convert", "causal_lm", "out", "--format", "peft"];
    let err = refused(&tureen(folder.path(), &call));
    assert!(err.contains("git lfs pull"), "{err}");
    assert!(!folder.path().join("out").exists());
}

/// Which head goes on depends on the name of a dataset, which is not part of its id.
#[test]
fn the_head_that_a_training_goes_on_with_is_part_of_its_id() {
    let folder = with_films_and_mail();
    let code = "let b = model(\"base\");
        let more = #{ adapter: \"lora\", epochs: 1, batch: 1 };
        let one = train(b, dataset(\"films.csv\"), more);
        let two = train(b, dataset(\"mail.csv\"), more);
        let both = soup([one, two]);
        let rows = [#{ text: \"red fox\", label: \"neg\" }, #{ text: \"old house\", label: \"pos\" }];
        let next = |name| train(b, dataset(rows, #{ name: name }), #{ from: both, epochs: 1, batch: 1 }).id;
        print(both.heads.len);
        print(next.call(\"films\") == next.call(\"films\"));
        print(next.call(\"others\") == next.call(\"films\"));";
    let (out, err) = printed(&tureen(folder.path(), &["-e", code]));
    assert_eq!(out, "2\ntrue\nfalse\n", "{err}");
}

/// The types of the numbers in an adapter's file.
fn types_in(folder: &Path) -> Vec<Number> {
    let path = folder.join("adapter_model.safetensors");
    let file = TensorFile::open(&path).unwrap();
    let numbers = file.shapes().map(|(name, _)| file.number(name).unwrap());
    let mut all: Vec<Number> = numbers.collect();
    all.dedup();
    all
}

#[test]
fn types_of_numbers_are_kept_unless_another_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    copied("causal_lm", at);
    for (dtype, number) in [("bf16", Number::BF16), ("f16", Number::F16)] {
        let to = [
            "convert",
            "causal_lm",
            dtype,
            "--format",
            "peft",
            "--dtype",
            dtype,
        ];
        printed(&tureen(at, &to));
        assert_eq!(types_in(&at.join(dtype)), [number]);
        for out in derived(at, dtype, &[]) {
            assert_eq!(types_in(&out), [number], "{}", out.display());
        }
        let single = [
            "prune",
            dtype,
            "--sparsity",
            "0.5",
            "--dtype",
            "f32",
            "--out",
        ];
        let out = format!("{dtype}-single");
        printed(&tureen(at, &[&single[..], &[&out]].concat()));
        assert_eq!(types_in(&at.join(out)), [Number::F32]);
    }
    // New values are not rounded to a type that they may not fit in.
    let code = "let a = load_adapter(\"bf16\"); let all = a.tensors();
        for name in all.keys() { all[name] = all[name] * 1.001; }
        adapter_like(a, all).save(\"like\");";
    printed(&tureen(at, &["-e", code, "--allow-write", "like"]));
    assert_eq!(types_in(&at.join("like")), [Number::F32]);
    printed(&tureen(at, &["soup", "bf16", "f16", "--out", "both"]));
    assert_eq!(types_in(&at.join("both")), [Number::F32]);
    // A type that cannot hold the values is refused, and nothing is left behind.
    let code =
        "let a = load_adapter(\"causal_lm\"); (a * 1e8).save(\"out/half\", #{ dtype: \"f16\" })";
    let err = refused(&tureen(at, &["-e", code, "--allow-write", "out"]));
    assert!(err.contains("too large for float16"), "{err}");
    assert!(!at.join("out").exists());
}
