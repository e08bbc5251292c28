//! Files of data in many dialects.

use std::path::Path;
use std::process::{Command, Output};

use super::{case, printed, refused, tureen};

/// What an expression prints in the folder of a case.
fn value(name: &str, code: &str) -> String {
    printed(&tureen(&case(name), &["-e", code]))
        .0
        .trim_end()
        .to_string()
}

/// The folder of a case, copied to where a run may write.
fn copied(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(case(name)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

#[test]
fn both_readers_find_the_same_quotes() {
    for (file, texts) in [
        ("quotes", r#"["She said \"no\" to me", "plain"]"#),
        ("lines", r#"["two\nlines", "plain"]"#),
        (
            "glue",
            r#"["\"Fine\" he said", "\"It begins", "plain", "and ends\""]"#,
        ),
    ] {
        let code = format!("dataset(\"{file}.tsv\").train.texts");
        assert_eq!(value("tsv-quotes", &code), texts);
        let code = format!("read_table(\"{file}.tsv\").column(\"text\")");
        assert_eq!(value("tsv-quotes", &code), texts);
    }
}

#[test]
fn quotes_that_can_be_meant_in_two_ways_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "text\tlabel\n\"It begins\ta\nand ends\"\tb\nplain\ta\n";
    std::fs::write(folder.path().join("x.tsv"), rows).unwrap();
    for read in ["dataset(\"x.tsv\"", "read_table(\"x.tsv\""] {
        let run = |code: &str| printed(&tureen(folder.path(), &["-e", code]));
        let (out, err) = run(&format!("{read}).len"));
        assert_eq!(out.trim(), "2");
        assert!(
            err.contains("x.tsv: line 2: a quoted cell runs over 2 lines"),
            "{err}"
        );
        let (out, err) = run(&format!("{read}, #{{ quotes: false }}).len"));
        assert_eq!((out.trim(), err.contains("quoted")), ("3", false));
    }
    let code = "dataset(\"x.tsv\", #{ quotes: true, separator: \"tab\" })";
    let error = refused(&tureen(folder.path(), &["-e", code]));
    assert!(
        error.contains("option separator: expected one character"),
        "{error}"
    );
}

#[test]
fn a_saved_table_is_read_back_by_both() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["csv", "tsv", "jsonl"] {
        let code = format!(
            r#"let rows = [#{{ text: "She said \"no\"", label: "a" }}, #{{ text: "\"open\n\tline", label: "1" }},
                #{{ text: "NA", label: "None" }}, #{{ text: "a; b, c|d", label: "a" }}];
            let t = table(rows, ["text", "label"]);
            t.save("x.{ending}");
            let d = dataset("x.{ending}");
            print(read_table("x.{ending}").id == t.id);
            print(d.train.texts == t.column("text") && d.train.labels == t.column("label"));"#
        );
        let (out, _) = printed(&tureen(folder.path(), &["-e", &code]));
        assert_eq!(out, "true\ntrue\n", "{ending}");
    }
}

#[test]
fn separators_are_found_or_given() {
    let folder = tempfile::tempdir().unwrap();
    for (name, separator) in [
        ("a.csv", ";"),
        ("b.csv", "\t"),
        ("c.tsv", ","),
        ("d.csv", "|"),
    ] {
        let rows = format!("text{separator}label\none{separator}1\ntwo{separator}0\n");
        std::fs::write(folder.path().join(name), rows).unwrap();
        let written = separator.replace('\t', "\\t");
        for options in [String::new(), format!(", #{{ separator: \"{written}\" }}")] {
            let code = format!(
                "print(dataset(\"{name}\"{options}).train.texts); print(read_table(\"{name}\"{options}).column(\"label\"));"
            );
            let (out, err) = printed(&tureen(folder.path(), &["-e", &code]));
            assert_eq!(out, "[\"one\", \"two\"]\n[1, 0]\n");
            assert!(!err.contains("separated"), "{err}");
        }
    }
    let code = "dataset(\"a.jsonl\", #{ separator: \";\" })";
    std::fs::write(folder.path().join("a.jsonl"), "{}").unwrap();
    let error = refused(&tureen(folder.path(), &["-e", code]));
    assert!(error.contains("option separator: "), "{error}");
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_text() {
    let folder = copied("byte-order-marks");
    for (script, output) in [
        ("study.rhai", "1\n"),
        ("imports.rhai", "1\n"),
        ("reads.rhai", "1\n"),
    ] {
        let (out, _) = printed(&tureen(folder.path(), &["run", script]));
        assert_eq!(out, output, "{script}");
    }
    let code = "print(read_table(\"table.jsonl\").column(\"a\")); print(read_table(\"table.csv\").columns); \
        print(dataset(\"rows.jsonl\").train.texts); print(parse_json(\"\\ufeff[1]\"));";
    let (out, _) = printed(&tureen(folder.path(), &["-e", code]));
    assert_eq!(out, "[1]\n[\"a\"]\n[\"a\"]\n[1]\n");
}

#[test]
fn a_marked_study_is_packed_and_reproduced() {
    let folder = copied("byte-order-marks");
    let run = |arguments: &[&str]| printed(&tureen(folder.path(), arguments));
    run(&["run", "imports.rhai"]);
    run(&["lock", "imports.rhai"]);
    run(&["run", "--locked", "imports.rhai"]);
    run(&["pack", "imports.rhai", "--out", "study.tureen"]);
    let (out, _) = run(&["run", "study.tureen"]);
    assert_eq!(out, "1\n");
}

#[test]
fn files_of_wide_characters_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let wide: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("text,label\n".bytes().flat_map(|b| [b, 0]))
        .collect();
    for name in ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.rhai"] {
        std::fs::write(folder.path().join(name), &wide).unwrap();
    }
    let check = |arguments: &[&str]| {
        let error = refused(&tureen(folder.path(), arguments));
        assert!(error.contains("is UTF-16 text, expected UTF-8"), "{error}");
        assert_eq!(
            error
                .trim_end()
                .lines()
                .filter(|l| l.contains("error"))
                .count(),
            1,
            "{error}"
        );
    };
    for name in ["a.csv", "a.tsv", "a.jsonl", "a.json"] {
        check(&["-e", &format!("dataset(\"{name}\")")]);
        check(&["-e", &format!("read_text(\"{name}\")")]);
        if name != "a.json" {
            check(&["-e", &format!("read_table(\"{name}\")")]);
        }
    }
    check(&["run", "a.rhai"]);
}

#[test]
fn narrow_columns_of_parquet_are_read() {
    let four = "[\"one\", \"two\", \"three\", \"four\"]";
    for file in ["decimal", "float16", "wide"] {
        let texts = value(
            "parquet-narrow-decimal",
            &format!("dataset(\"{file}.parquet\").train.texts.len"),
        );
        assert_eq!(texts, "4", "{file}");
    }
    // Decimals of 1 to 30 digits, 1 to 3 bytes, and columns that are encoded in other ways.
    for file in ["all", "other"] {
        let code = format!("dataset(\"{file}.parquet\").train.texts");
        assert_eq!(value("parquet-narrow-decimal", &code), four, "{file}");
    }
    let scores = "dataset(\"score.parquet\", #{ columns: #{ text: \"text\", label: \"score\" } }).train.labels";
    assert_eq!(
        value("parquet-narrow-decimal", scores),
        "[0.5, 1.5, -0.2, 0.5]"
    );
    let halves =
        "dataset(\"all.parquet\", #{ columns: #{ text: \"text\", label: \"half\" } }).train.labels";
    assert_eq!(
        value("parquet-narrow-decimal", halves),
        "[0.5, 1.5, -2.0, 0.25]"
    );
    let unread = "dataset(\"other.parquet\", #{ columns: #{ text: \"other\", label: \"label\" } })";
    let error = refused(&tureen(&case("parquet-narrow-decimal"), &["-e", unread]));
    assert!(
        error.contains("column other: expected a text, found texts in an encoding"),
        "{error}"
    );
}

#[test]
fn folders_of_save_to_disk_are_read() {
    let of = |code: &str| value("folder-of-save-to-disk", code);
    let saved = of("dataset(\"saved\")");
    assert!(
        saved.starts_with("Dataset saved: 4 train, 0 validation, "),
        "{saved}"
    );
    assert_eq!(
        of("dataset(\"saved\").train.texts"),
        "[\"t0\", \"t1\", \"t2\", \"t3\"]"
    );
    assert_eq!(
        of("dataset(\"saved\").train.labels"),
        "[\"neg\", \"pos\", \"neg\", \"pos\"]"
    );
    assert_eq!(of("dataset(\"saved/train\").texts.len"), "4");
    assert_eq!(
        of("dataset(\"single\").texts"),
        "[\"t4\", \"t0\", \"t2\", \"t1\", \"t5\"]"
    );
    assert_eq!(
        of("dataset(\"single\").train.labels"),
        "[\"m\", \"z\", \"z\", \"a\", \"m\"]"
    );
}

#[test]
fn arrow_files_are_read_beside_columns_of_any_kind() {
    let of = |file: &str, label: &str, part: &str| {
        let columns = format!("#{{ columns: #{{ text: \"text\", label: \"{label}\" }} }}");
        value(
            "arrow-columns",
            &format!("dataset(\"{file}.arrow\", {columns}).train.{part}"),
        )
    };
    for file in ["stream", "file"] {
        assert_eq!(
            of(file, "label", "texts"),
            "[\"plain\", \"two\\nlines\", \"\", \"é漢🙂\"]"
        );
        assert_eq!(
            of(file, "label", "labels"),
            "[\"neg\", \"pos\", \"pos\", \"neg\"]"
        );
        assert_eq!(of(file, "f16", "labels"), "[0.5, 1.5, -2.0, 0.25]");
        let missing = format!(
            "dataset(\"{file}.arrow\", #{{ columns: #{{ text: \"text\", label: \"dec\" }} }})"
        );
        let error = refused(&tureen(&case("arrow-columns"), &["-e", &missing]));
        assert!(error.contains("row 2: column dec: no label"), "{error}");
    }
    let error = refused(&tureen(
        &case("arrow-columns"),
        &["-e", "dataset(\"compressed.arrow\")"],
    ));
    assert!(error.contains("its rows are compressed"), "{error}");
}

/// Runs an expression with the hub's cache of the case and no network.
fn cached(home: &Path, code: &str) -> Output {
    let store = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_tureen"))
        .args(["-e", code])
        .env("TUREEN_STORE", store.path())
        .env("HF_HOME", home)
        .env_remove("HF_HUB_CACHE")
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap()
}

#[test]
fn configurations_of_a_repository_are_chosen_or_asked_for() {
    let home = case("hub-dataset-with-configurations").join("hf");
    let (movies, _) = printed(&cached(&home, "dataset(\"hub:someone/movies\")"));
    assert!(movies.starts_with("Dataset someone/movies: "), "{movies}");
    let (cola, _) = printed(&cached(&home, "dataset(\"hub:someone/bench/cola\")"));
    assert!(cola.starts_with("Dataset someone/bench/cola: "), "{cola}");
    let error = refused(&cached(&home, "dataset(\"hub:someone/bench\")"));
    let several = "someone/bench has several configurations: cola, sst2";
    let choose = "choose one: dataset(\"hub:someone/bench/cola\")";
    assert!(error.contains(several) && error.contains(choose), "{error}");
    let error = refused(&cached(&home, "dataset(\"hub:someone/bench/mrpc\")"));
    let unknown = "someone/bench has no configuration mrpc";
    assert!(
        error.contains(unknown) && error.contains("it has cola, sst2"),
        "{error}"
    );
}

#[test]
fn the_old_name_of_a_benchmark_means_its_repository() {
    let home = tempfile::tempdir().unwrap();
    let commit = "1".repeat(40);
    let glue = home.path().join("hub/datasets--nyu-mll--glue");
    let snapshot = glue.join("snapshots").join(&commit);
    let sst2 = snapshot.join("sst2");
    std::fs::create_dir_all(glue.join("refs")).unwrap();
    std::fs::create_dir_all(&sst2).unwrap();
    std::fs::write(glue.join("refs/main"), &commit).unwrap();
    let readme = "---\nconfigs:\n- config_name: sst2\n  data_files:\n  - split: train\n    path: sst2/train-*\n  - split: validation\n    path: sst2/dev*\n---\n";
    std::fs::write(snapshot.join("README.md"), readme).unwrap();
    for name in ["train-00000-of-00001.csv", "dev.csv"] {
        std::fs::write(sst2.join(name), "sentence,label\na,1\nb,0\n").unwrap();
    }
    let (card, _) = printed(&cached(home.path(), "dataset(\"hub:glue/sst2\")"));
    assert_eq!(
        card,
        "Dataset glue/sst2: 2 train, 2 validation, 0 test; 2 labels: 0, 1\n"
    );
    // A snapshot is named after its repository, not by its commit.
    let code = format!("dataset({:?}).name", sst2.to_str().unwrap());
    assert!(printed(&cached(home.path(), &code)).0.starts_with("sst2"));
}

#[test]
fn an_adapter_of_the_cache_is_named_after_its_repository() {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("models--o--nice-name/snapshots/{}", "0".repeat(40));
    let code = format!(
        "train(model(\"mini\"), dataset(\"films\").sample(8), #{{ adapter: \"lora\", epochs: 1 }}).save(\"{place}\", #{{ format: \"peft\" }})"
    );
    printed(&tureen(folder.path(), &["-e", &code]));
    // A published adapter has the library's files alone.
    std::fs::remove_file(folder.path().join(&place).join("tureen.json")).unwrap();
    let code = format!("load_adapter(\"{place}\").name");
    let (name, _) = printed(&tureen(folder.path(), &["-e", &code]));
    assert_eq!(name, "nice-name\n");
}
