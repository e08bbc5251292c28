//! What stands beside an adapter's weights: names of labels, tasks, types of numbers, files of
//! tokenizers, cards.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

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
