//! Bad input: one line that says what is wrong, where and what to do; exit code 1; nothing left.

use std::path::Path;
use std::process::{Command, Output};

use crate::common::reference;

/// A folder with awkward files, and the program to run in it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let two = b"{\"text\": \"a b\", \"label\": \"x\"}\n{\"text\": \"c d\", \"label\": \"y\"}\n";
        write("two.jsonl", two);
        write("empty.jsonl", b"");
        write(
            "broken.jsonl",
            b"{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \n",
        );
        write("nocolumn.csv", b"sentences,class\na,x\n");
        write("unseen/train.jsonl", two);
        write(
            "unseen/test.jsonl",
            b"{\"text\": \"a\", \"label\": \"z\"}\n",
        );
        let long = format!(
            "{{\"text\": \"{}\", \"label\": \"x\"}}\n",
            "word ".repeat(10_000)
        );
        write("long.jsonl", [long.as_bytes(), two].concat().as_slice());
        write("nomodel/readme.txt", b"no model here");
        write("an/own/adapter/adapter_config.json", b"{}");
        write(
            "cut/config.json",
            tureen::model::bundled::mini().config.as_bytes(),
        );
        write("cut/model.safetensors", &[255; 100]);
        write("cut/vocab.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n");
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, script: &str) -> Output {
        self.command(script, &["run", "s.rhai", "--out", "out"])
    }

    fn command(&self, script: &str, arguments: &[&str]) -> Output {
        std::fs::write(self.path().join("s.rhai"), script).unwrap();
        Command::new(env!("CARGO_BIN_EXE_tureen"))
            .args(arguments)
            .current_dir(self.path())
            .env("TUREEN_STORE", self.path().join("store"))
            .output()
            .unwrap()
    }

    /// What a failing script leaves on standard error, notices aside: where, what, and the hint,
    /// as one line.
    fn error(&self, script: &str) -> String {
        let output = self.run(script);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{script}: {text}");
        assert!(!text.contains("panicked"), "{text}");
        let mut lines = text.lines().filter(|l| !l.starts_with("note: "));
        let first = lines.next().unwrap().to_string();
        let rest: Vec<&str> = lines.collect();
        assert!(rest[2].trim_end().ends_with('^'), "{text}");
        assert!(rest.len() <= 4, "{script}: {text}");
        match rest.get(3) {
            Some(hint) => format!(
                "{first}; {}",
                hint.trim_start().trim_start_matches("= hint: ")
            ),
            None => first,
        }
    }
}

/// An adapter of two rows, trained in a moment.
const TRAINED: &str = "let base = model(\"mini\"); let two = dataset(\"two.jsonl\");\nlet a = train(base, two, #{ epochs: 1 });\n";

#[test]
fn bad_input_is_told_in_one_line() {
    let bench = Bench::new();
    let cases = [
        (
            "dataset(\"missing.jsonl\")",
            "s.rhai:1:9: error: no dataset \"missing.jsonl\": no such file or folder; it is looked for in .",
        ),
        (
            "dataset(\"filsm\")",
            "s.rhai:1:9: error: no dataset \"filsm\": no such file or folder; did you mean \"films\"?",
        ),
        (
            "dataset(\"empty.jsonl\")",
            "s.rhai:1:1: error: ./empty.jsonl: the dataset is empty, expected at least one row",
        ),
        (
            "dataset(\"unseen\")",
            "s.rhai:1:1: error: ./unseen/test.jsonl: line 1: column label: \"z\" is not among the labels of train: x, y",
        ),
        (
            "dataset(\"two.jsonl\", #{ labels: #{ x: \"a\" } })",
            "s.rhai:1:1: error: ./two.jsonl: line 2: column label: \"y\" has no name in the option labels, which has x",
        ),
        (
            "dataset(\"films\", #{ labels: #{ x: \"a\" } })",
            "s.rhai:1:29: error: dataset: option labels: films comes with the binary as it is; the option is for files",
        ),
        (
            "model(\"minni\")",
            "s.rhai:1:7: error: no model \"minni\"; did you mean \"mini\"?",
        ),
        (
            "load_adapter(\"an/own/adaptre\")",
            "s.rhai:1:14: error: no adapter \"an/own/adaptre\": no such folder; did you mean \"an/own/adapter\"?",
        ),
        (
            "model(\"an/own/adapter\")",
            "s.rhai:1:1: error: ./an/own/adapter/config.json: no such file; the folder holds an adapter: read it with load_adapter",
        ),
        (
            "load_adapter(\"cut\")",
            "s.rhai:1:1: error: ./cut/adapter_config.json: no such file; the folder holds a base model: read it with model",
        ),
        (
            "soup([])",
            "s.rhai:1:1: error: a soup of no adapters; give at least one",
        ),
        (
            "table([#{ loss: 1 }]).column(\"lass\")",
            "s.rhai:1:30: error: there is no column `lass`; did you mean `loss`? the columns are loss",
        ),
    ];
    for (script, expected) in cases {
        assert_eq!(bench.error(script), expected);
    }
    let starts = [
        (
            "dataset(\"broken.jsonl\")",
            "s.rhai:1:1: error: ./broken.jsonl: line 2",
        ),
        (
            "dataset(\"nocolumn.csv\")",
            "s.rhai:1:1: error: ./nocolumn.csv",
        ),
        (
            "model(\"nomodel\")",
            "s.rhai:1:1: error: ./nomodel/config.json: ",
        ),
        (
            "model(\"cut\")",
            "s.rhai:1:1: error: ./cut/model.safetensors: not a safetensors file",
        ),
    ];
    for (script, expected) in starts {
        let error = bench.error(script);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn wrong_calls_are_told_in_one_line() {
    let bench = Bench::new();
    let cases = [
        (
            "train(base, two, #{ epochz: 3 })",
            "s.rhai:3:21: error: train: unknown option epochz; did you mean epochs?",
        ),
        (
            "a.prune(1.5)",
            "s.rhai:3:9: error: sparsity is the share of weights set to zero, from 0 to 1, got 1.5; 0.9 means 90 %",
        ),
        (
            "a.prune(90)",
            "s.rhai:3:9: error: sparsity is the share of weights set to zero, from 0 to 1, got 90; 0.9 means 90 %",
        ),
        (
            "table([#{ x: 1 }]).rows()",
            "s.rhai:3:20: error: rows is a property of a Table; write .rows without ()",
        ),
        (
            "soup([a, a], #{ weights: [0, 0] })",
            "s.rhai:3:1: error: all weights of the soup are zero; 1/3 is 0 in integers: write 1.0/3",
        ),
        (
            "soup([a, a], #{ weights: [0.5] })",
            "s.rhai:3:1: error: 1 weights for 2 adapters; give one weight an adapter",
        ),
        (
            "soup([a, train(base, two, #{ adapter: \"lora\", epochs: 1 })])",
            "s.rhai:3:1: error: two and two cannot be mixed: they differ in kind (pfeiffer and lora)",
        ),
        (
            "evaluate(base, a, dataset(\"films\"))",
            "s.rhai:3:1: error: label \"negative\" of films is not among the head's: x, y",
        ),
        (
            "a.tensor(\"encoder.layer.0.output.adapter_dwn.weight\")",
            "s.rhai:3:3: error: adapter two has no tensor encoder.layer.0.output.adapter_dwn.weight; did you mean encoder.layer.0.output.adapter_down.weight?",
        ),
        (
            "sign_diff([a])",
            "s.rhai:3:1: error: a sign difference needs at least two members, got 1",
        ),
    ];
    for (call, expected) in cases {
        assert_eq!(bench.error(&format!("{TRAINED}{call}")), expected);
    }
    let error = bench.error(&format!("{TRAINED}train(base, \"films\")"));
    assert!(
        error.starts_with("s.rhai:3:1: error: train does not take (Model, text)"),
        "{error}"
    );
}

#[test]
fn a_long_text_is_cut_and_a_misfit_adapter_is_refused() {
    let bench = Bench::new();
    let script = "let base = model(\"mini\"); let d = dataset(\"long.jsonl\");\nlet a = train(base, d, #{ epochs: 1 }); print(evaluate(base, a, d).n);";
    let output = bench.run(script);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3\n");
    assert!(output.status.success());
    if let Some(folder) = reference("adapter/bert/seq_bn/a") {
        let script = format!(
            "{TRAINED}evaluate(base, load_adapter(\"{}\"), two)",
            folder.display()
        );
        assert_eq!(
            bench.error(&script),
            "s.rhai:3:1: error: adapter a is for bert of width 32 (models/bert), but mini is bert of width 384"
        );
    }
}

#[test]
fn nan_in_a_file_is_named_and_nothing_is_left_behind() {
    let bench = Bench::new();
    let script = format!("{TRAINED}a.save(\"saved\");");
    assert!(bench.run(&script).status.success());
    let file = bench.path().join("out/saved/adapter.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&file, bytes).unwrap();
    let error = bench.error("load_adapter(\"out/saved\").save(\"again\")");
    assert!(
        error.starts_with("s.rhai:1:1: error: ./out/saved/adapter.safetensors: tensor "),
        "{error}"
    );
    assert!(error.contains("holds NaN at entry "), "{error}");
    assert!(!bench.path().join("out/again").exists());
    let left: Vec<_> = walk(bench.path());
    assert!(left.iter().all(|f| !f.starts_with(".tmp")), "{left:?}");
}

#[test]
fn check_tells_all_mistakes_and_runs_nothing() {
    let bench = Bench::new();
    let script = format!(
        "{TRAINED}print(undefined_thing);\na.prune(90);\ntrain(base, two, #{{ epochz: 3 }});\na.save(\"saved\");"
    );
    let output = bench.command(&script, &["check", "s.rhai", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
    let told: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let places: Vec<_> = told
        .iter()
        .map(|t| {
            (
                t["line"].as_u64(),
                t["column"].as_u64(),
                t["end_column"].as_u64(),
            )
        })
        .collect();
    let place = |line, from, to| (Some(line), Some(from), Some(to));
    assert_eq!(places, [place(3, 7, 22), place(4, 9, 11), place(5, 21, 27)]);
    assert_eq!(
        told[2],
        serde_json::json!({
            "file": "s.rhai",
            "line": 5,
            "column": 21,
            "end_column": 27,
            "severity": "error",
            "message": "train: unknown option epochz",
            "hint": "did you mean epochs?",
            "stack": [],
        })
    );
    let output = bench.command(
        &format!("{TRAINED}a.save(\"saved\");"),
        &["check", "s.rhai"],
    );
    assert!(output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told, "s.rhai: nothing wrong found\n");
    assert!(
        !bench.path().join("store").exists(),
        "something was trained"
    );
}

#[test]
fn a_run_is_refused_before_it_spends_time_only_where_it_must_fail() {
    let bench = Bench::new();
    let output = bench.run("print(\"here\");\nlet x = sqrtt(2);\nlet y = 1 / 3;");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty() && !bench.path().join("out").exists());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("s.rhai:2:9: error: unknown function sqrtt(int)"),
        "{told}"
    );
    assert!(
        told.contains("s.rhai:3:11: error: 1 / 3 is not a whole number"),
        "{told}"
    );
    let output = bench.run("print(\"here\");\nif param(\"odd\", false) { sqrtt(2); }");
    assert!(output.status.success());
    assert_eq!(output.stdout, b"here\n");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.starts_with(
            "note: if the script gets there: s.rhai:2:26: error: unknown function sqrtt(int)"
        ),
        "{told}"
    );
}

#[test]
fn errors_of_a_run_and_of_code_are_told_as_json() {
    let bench = Bench::new();
    let script = "fn half(n) {\n    n / 2\n}\nprint(half(param(\"n\", 3)));";
    let output = bench.command(script, &["run", "s.rhai", "--json"]);
    let told = String::from_utf8(output.stderr).unwrap();
    let told = told.lines().find(|l| l.starts_with('{')).unwrap();
    let told: serde_json::Value = serde_json::from_str(told).unwrap();
    assert_eq!((&told["line"], &told["column"]), (&2.into(), &7.into()));
    assert_eq!(told["stack"][0]["function"], "half");
    assert_eq!(told["stack"][0]["line"], 4);
    let output = bench.command("", &["-e", "1 / 3", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((&told["file"], &told["line"]), (&"-e".into(), &1.into()));
}

fn walk(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path.file_name().unwrap().display().to_string());
        }
    }
    files
}
