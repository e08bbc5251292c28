//! Heads for tasks other than the classification of texts: they are kept as what they are, and not
//! scored.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tureen::adapter::formats::{self, Format};

use super::{case, peft, printed, refused, tureen};

/// A BERT for the small adapters here.
fn base() -> PathBuf {
    case("foreign-adapter-other-base").join("base")
}

/// A PEFT adapter with `classifier`, of these shapes, and this in its configuration.
fn variant(out: &Path, config: Value) -> PathBuf {
    let from = case("peft-token-classifier").join("adapter");
    let mut json = peft::config(&from);
    for (key, value) in config.as_object().unwrap() {
        json[key] = value.clone();
    }
    peft::write(out, &peft::tensors(&from), &json);
    out.to_path_buf()
}

#[test]
fn a_head_for_tokens_is_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = case("peft-token-classifier").join("adapter");
    let rows = case("peft-token-classifier").join("rows.csv");
    for call in [
        "evaluate(b, a, d)",
        "evaluate_all(b, [a], #{ domains: #{ adapter: d } })",
        "attack(b, a, d, #{ recipe: \"textfooler\", n: 1 })",
        "b.logits(a, b.tokenize(d.texts))",
        "train(b, d, #{ from: a, epochs: 1 })",
        "a.prune(0.5, #{ by: \"snip\", model: b, data: d })",
        "b.gradients(a, #{ input_ids: b.tokenize(d.texts).input_ids, labels: tensor([0.0]) })",
    ] {
        let code = format!(
            "let b = model({:?}); let a = load_adapter({adapter:?}); let d = dataset({rows:?}); {call}",
            base()
        );
        let message = refused(&tureen(folder.path(), &["-e", &code]));
        let expected = "a head of type \"tagging\" is not supported";
        assert!(message.contains(expected), "{call}: {message}");
    }
}

#[test]
fn a_head_for_tokens_is_saved_as_one() {
    let folder = tempfile::tempdir().unwrap();
    for from in [
        case("peft-token-classifier").join("adapter"),
        case("token-cls").join("lora"),
    ] {
        let before = peft::tensors(&from);
        let a = formats::load(&from).unwrap();
        assert!(a.to_string().contains("head of type tagging"), "{a}");
        let out = folder.path().join("peft");
        formats::save(&a, &out, Some(Format::Peft)).unwrap();
        assert_eq!(peft::config(&out)["task_type"], "TOKEN_CLS");
        let after = peft::tensors(&out);
        assert!(before.keys().eq(after.keys()));
        assert!(after.iter().all(|(n, t)| peft::same(t, &before[n])));
        // The same map behind AdapterHub's tagging head.
        let hub = folder.path().join("hub");
        formats::save(&a, &hub, Some(Format::AdapterHub)).unwrap();
        let head: Value =
            serde_json::from_slice(&std::fs::read(hub.join("head_config.json")).unwrap()).unwrap();
        let outputs = before["base_model.model.classifier.weight"].dims()[0];
        assert_eq!(head["config"]["head_type"], "tagging");
        assert_eq!(head["config"]["num_labels"], json!(outputs));
        let weights = tureen::tensorfile::read(&hub.join("model_head.safetensors")).unwrap();
        let weight = &weights["heads.hub.1.weight"];
        assert!(peft::same(
            weight,
            &before["base_model.model.classifier.weight"]
        ));
        let back = folder.path().join("back");
        formats::save(&formats::load(&hub).unwrap(), &back, Some(Format::Peft)).unwrap();
        assert_eq!(peft::config(&back)["task_type"], "TOKEN_CLS");
        assert!(before.keys().eq(peft::tensors(&back).keys()));
        for folder in [out, hub, back] {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

#[test]
fn tasks_survive_mixing_and_pruning() {
    let folder = tempfile::tempdir().unwrap();
    for (name, task) in [
        ("peft-token-classifier/adapter", "TOKEN_CLS"),
        ("task-type/qa", "QUESTION_ANS"),
    ] {
        let from = case(name);
        let path = from.to_str().unwrap();
        let out = |kind: &str| folder.path().join(format!("{task}-{kind}"));
        let (pruned, mixed) = (out("pruned"), out("mixed"));
        let arguments = ["prune", path, "--sparsity", "0.5", "--out"];
        let prune = [&arguments[..], &[pruned.to_str().unwrap()]].concat();
        printed(&tureen(folder.path(), &prune));
        let soup = ["soup", path, path, "--out", mixed.to_str().unwrap()];
        printed(&tureen(folder.path(), &soup));
        let before = peft::tensors(&from);
        for out in [pruned, mixed] {
            assert_eq!(peft::config(&out)["task_type"], *task);
            for (name, tensor) in peft::tensors(&out) {
                let head = !name.contains(".lora_");
                assert!(!head || peft::same(&tensor, &before[&name]), "{name}");
            }
        }
    }
}

#[test]
fn a_head_that_finds_answers_is_converted() {
    let folder = tempfile::tempdir().unwrap();
    let a = formats::load(&case("task-type/qa")).unwrap();
    let hub = folder.path().join("hub");
    formats::save(&a, &hub, Some(Format::AdapterHub)).unwrap();
    let text = std::fs::read_to_string(hub.join("head_config.json")).unwrap();
    assert!(text.contains("\"question_answering\""), "{text}");
    let back = folder.path().join("back");
    formats::save(&formats::load(&hub).unwrap(), &back, Some(Format::Peft)).unwrap();
    assert_eq!(peft::config(&back)["task_type"], "QUESTION_ANS");
    let before = peft::tensors(&case("task-type/qa"));
    assert!(before.keys().eq(peft::tensors(&back).keys()));
}

/// A single map may classify texts or tokens: without a word on the task it is neither.
#[test]
fn a_classifier_without_a_task_is_kept_and_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let untold = variant(&out("untold"), json!({"task_type": null}));
    let class = |name: &str| json!({"task_type": null, "auto_mapping": {"base_model_class": name}});
    let tokens = variant(&out("tokens"), class("BertForTokenClassification"));
    let texts = variant(&out("texts"), class("BertForSequenceClassification"));
    let kinds = [
        (untold, Err("does not say whether that classifies texts")),
        (tokens, Err("a head of type \"tagging\" is not supported")),
        (texts, Ok(60)),
    ];
    for (adapter, expected) in kinds {
        let code = format!(
            "evaluate(model({:?}), load_adapter({adapter:?}), dataset({:?})).n",
            base(),
            case("peft-token-classifier").join("rows.csv")
        );
        let ran = tureen(folder.path(), &["-e", &code]);
        match expected {
            Ok(n) => assert_eq!(printed(&ran).0.trim(), n.to_string()),
            Err(part) => {
                let message = refused(&ran);
                assert!(message.contains(part), "{message}");
            }
        }
    }
    let saved = out("saved");
    formats::save(&formats::load(&out("untold")).unwrap(), &saved, None).unwrap();
    assert_eq!(peft::config(&saved)["task_type"], Value::Null);
    assert_eq!(
        peft::config(&saved)["modules_to_save"],
        json!(["classifier"])
    );
    let (before, after) = (peft::tensors(&out("untold")), peft::tensors(&saved));
    assert!(before.keys().eq(after.keys()));
}

/// A head that the other library has no word for is refused there, and kept in its own.
#[test]
fn heads_of_one_library_alone_are_refused_in_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let a = formats::load(&case("peft-token-classifier").join("adapter")).unwrap();
    formats::save(&a, &out("hub"), Some(Format::AdapterHub)).unwrap();
    let path = out("hub").join("head_config.json");
    for (from, to, part) in [
        (
            "\"tagging\"",
            "\"multiple_choice\"",
            "has no task for a head of type \"multiple_choice\"",
        ),
        ("\"layers\": 1", "\"layers\": 2", "with 2 layers has more"),
    ] {
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let b = formats::load(&out("hub")).unwrap();
        let error = formats::save(&b, &out("peft"), Some(Format::Peft)).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert!(!out("peft").exists());
        formats::save(&b, &out("again"), Some(Format::AdapterHub)).unwrap();
        let again = std::fs::read_to_string(out("again").join("head_config.json")).unwrap();
        assert!(again.contains(to), "{again}");
        std::fs::write(&path, text).unwrap();
    }
}

/// The classifier that a model's own files hold is no classifier of texts either.
#[test]
fn the_head_of_a_model_for_tokens_is_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (base(), folder.path().join("tagger"));
    std::fs::create_dir(&to).unwrap();
    for entry in std::fs::read_dir(&from).unwrap().flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    let own = tureen::tensorfile::read(&from.join("model.safetensors")).unwrap();
    let mut all: std::collections::BTreeMap<_, _> = own
        .into_iter()
        .map(|(n, t)| (format!("bert.{n}"), t))
        .collect();
    let adapter = peft::tensors(&case("peft-token-classifier").join("adapter"));
    for part in ["weight", "bias"] {
        let tensor = adapter[&format!("base_model.model.classifier.{part}")].clone();
        all.insert(format!("classifier.{part}"), tensor);
    }
    let bytes = tureen::tensorfile::encode(&all, None).unwrap();
    std::fs::write(to.join("model.safetensors"), bytes).unwrap();
    let config = std::fs::read_to_string(to.join("config.json")).unwrap();
    std::fs::write(
        to.join("config.json"),
        config.replace("\"BertModel\"", "\"BertForTokenClassification\""),
    )
    .unwrap();
    let code = "let b = model(\"tagger\"); b.logits(b.tokenize([\"the red fox\"]))";
    let message = refused(&tureen(folder.path(), &["-e", code]));
    assert!(
        message.contains("\"tagging\" is not supported"),
        "{message}"
    );
}
