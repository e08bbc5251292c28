//! Git LFS pointers in place of files.

use std::path::Path;

use super::{case, refused, tureen};

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

/// The message of the program in this folder, which is one line about a pointer.
fn pointer(folder: &Path, arguments: &[&str]) {
    let message = refused(&tureen(folder, arguments));
    assert!(
        message.contains("this is a Git LFS pointer"),
        "{arguments:?}: {message}"
    );
    assert!(message.contains("git lfs pull"), "{arguments:?}: {message}");
    let about = message
        .lines()
        .filter(|line| line.contains("Git LFS"))
        .count();
    assert_eq!(about, 1, "{message}");
}

#[test]
fn every_reader_tells_a_pointer() {
    let cases = case("git-lfs-pointers");
    for script in [
        "model(\"model\")",
        "model(\"model_bin\")",
        "load_adapter(\"adapter\")",
        "dataset(\"rows.parquet\")",
        "dataset(\"rows.csv\")",
        "dataset(\"rows.jsonl\")",
        "read_table(\"rows.csv\")",
    ] {
        pointer(&cases, &["-e", script]);
    }
    pointer(&cases, &["signs", "adapter", "adapter"]);
    pointer(&cases, &["convert", "adapter", "out", "--format", "peft"]);
    assert!(!cases.join("out").exists());

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let tables = [
        "x.json",
        "x.tsv",
        "x.txt",
        "x.csv.gz",
        "x.jsonl",
        "x.parquet",
    ];
    for name in tables {
        write(name, POINTER);
        pointer(folder.path(), &["-e", &format!("dataset({name:?})")]);
    }
    for name in ["x.tsv", "x.jsonl", "x.csv"] {
        write(name, POINTER);
        pointer(folder.path(), &["-e", &format!("read_table({name:?})")]);
    }
    for name in [
        "x.safetensors",
        "study.rhai",
        "merge.yml",
        "neighbors.txt",
        "x.tureen",
    ] {
        write(name, POINTER);
    }
    for script in [
        "load_tensors(\"x.safetensors\")",
        "load_mask(\"x.safetensors\")",
        "read_text(\"study.rhai\")",
        "import \"study\" as s;",
    ] {
        pointer(folder.path(), &["-e", script]);
    }
    pointer(folder.path(), &["run", "study.rhai"]);
    pointer(folder.path(), &["check", "study.rhai"]);
    pointer(folder.path(), &["merge", "merge.yml", "out"]);
    pointer(folder.path(), &["run", "x.tureen"]);

    // The files of a model and of an adapter, one at a time.
    let base = case("base-id-of-unused-tensors").join("base");
    let use_model = "model(\"base\").embed([\"one two\"])";
    for name in [
        "config.json",
        "model.safetensors",
        "vocab.txt",
        "tokenizer_config.json",
        "tokenizer.json",
        "modules.json",
    ] {
        let own = folder.path().join("base");
        let _ = std::fs::remove_dir_all(&own);
        super::bases::rewritten(&base, &own, |_| {});
        write(&format!("base/{name}"), POINTER);
        pointer(folder.path(), &["-e", use_model]);
    }
    write("base/model.safetensors.index.json", POINTER);
    std::fs::remove_file(folder.path().join("base/model.safetensors")).unwrap();
    pointer(folder.path(), &["-e", "model(\"base\")"]);
    write("adapter/adapter_config.json", POINTER);
    pointer(folder.path(), &["-e", "load_adapter(\"adapter\")"]);
}

#[test]
fn the_beginning_of_a_file_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("base");
    super::bases::rewritten(
        &case("base-id-of-unused-tensors").join("base"),
        &own,
        |_| {},
    );
    let path = own.join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for length in [5, 500, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let message = refused(&tureen(folder.path(), &["-e", "model(\"base\")"]));
        assert!(message.contains("ends early"), "{message}");
        assert!(message.contains("download it again"), "{message}");
    }
}
