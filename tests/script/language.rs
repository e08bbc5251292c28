//! The language as it was designed, whole: `language.rhai` runs, on a few rows of each domain.

use std::path::Path;

use tureen::data::{Label, Row, Split, bundled};
use tureen::script::{Interpreter, Mode, Session, Setup, check};

use super::Output;

/// How many rows of each split are kept.
const ROWS: usize = 32;

/// A folder a domain with a few rows of each split, and the files that the script reads.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for domain in ["films", "products", "news", "tweets"] {
        let data = bundled::load(domain).unwrap();
        let path = folder.path().join("few").join(domain);
        std::fs::create_dir_all(&path).unwrap();
        for (split, file) in [
            (Split::Train, "train.jsonl"),
            (Split::Validation, "validation.jsonl"),
            (Split::Test, "test.jsonl"),
        ] {
            let line = |row: &Row| {
                let Label::Class(class) = row.label else {
                    panic!("a row without a class")
                };
                let label = &data.labels()[class];
                format!(
                    "{}\n",
                    serde_json::json!({ "text": &*row.text, "label": label })
                )
            };
            let rows: String = data.split(split).iter().take(ROWS).map(line).collect();
            std::fs::write(path.join(file), rows).unwrap();
        }
    }
    std::fs::write(folder.path().join("notes.json"), r#"{"epochs": 3}"#).unwrap();
    folder
}

/// What the script finds there: an adapter of another run, tensors of another program.
const BEFORE: &str = r#"
let base = model("mini");
train(base, dataset("few/films"), #{ epochs: 1, seed: 1 }).save("hub-or-folder");
let inputs = base.tokenize(["a good film", "a film that is not good at all"]);
let tensors = #{
    input_ids: inputs.input_ids,
    attention_mask: inputs.attention_mask,
    last_hidden_state: base.forward(inputs),
    labels: tensor([0, 1]),
};
save_tensors("io.safetensors", tensors);
"#;

fn session(folder: &Path) -> (Session, Output) {
    let output = Output::default();
    let session = Session::new(Setup {
        mode: Mode::Script {
            path: folder.join("language.rhai"),
        },
        write_folder: folder.to_path_buf(),
        output: Box::new(output.clone()),
        ..Setup::default()
    });
    (session, output)
}

#[test]
fn the_language_runs_as_it_was_designed() {
    let folder = folder();
    let run = |code: &str| {
        let (session, output) = session(folder.path());
        let source = folder.path().join("language.rhai").display().to_string();
        let found: Vec<String> = check(&session, &source, code)
            .iter()
            .map(|finding| format!("{:#}", finding.diagnostic))
            .collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
        if let Err(diagnostic) = Interpreter::new(session).run(&source, code) {
            panic!("{diagnostic:#}");
        }
        output.text()
    };
    run(BEFORE);
    let printed = run(include_str!("language.rhai"));
    assert!(printed.contains("r = "), "{printed}");
    for file in [
        "out/films",
        "fig1.svg",
        "fig2.svg",
        "x.csv",
        "x.safetensors",
    ] {
        assert!(folder.path().join(file).exists(), "{file} was not written");
    }
}
