//! Attacks on a trained adapter: laws that hold whatever it learned, and the same bytes on any
//! number of threads.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device};
use tureen::adapter::{Adapter, Bottleneck};
use tureen::attack::{Attack, AttackOptions, Attempt, Outcome, Source, attack, recipe};
use tureen::context::Silent;
use tureen::data::{Dataset, Split, bundled};
use tureen::evaluate::{EvaluateOptions, evaluate};
use tureen::model::Model;
use tureen::soup::{Options, soup};
use tureen::study::Store;
use tureen::train::{TrainOptions, train};
use tureen::{Context, Kind};

fn model() -> Model {
    Model::mini(DType::F32, &Device::Cpu).unwrap()
}

fn films() -> Dataset {
    bundled::load("films").unwrap().sample(48, 1, None).unwrap()
}

fn trained(model: &Model, data: &Dataset, seed: u64) -> Adapter {
    let options = TrainOptions {
        epochs: 2,
        ..TrainOptions::new(Arc::new(Bottleneck::pfeiffer()), seed)
    };
    train(model, data, &options, &Context::silent()).unwrap()
}

fn options(name: &str, n: usize) -> AttackOptions {
    AttackOptions {
        recipe: recipe(name).unwrap(),
        n: Some(n),
        split: None,
        max_length: None,
        seed: 1,
        neighbors: Source::Carried,
        wordnet: None,
        encoder: None,
        keeps_first: None,
    }
}

/// What the words of a text are, near enough for these texts.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn attacks_keep_their_promises() {
    let (model, data) = (model(), films());
    let a = trained(&model, &data, 42);
    let context = Context::silent();
    let run = |name, n| attack(&model, &a, &data, &options(name, n), &context).unwrap();
    let score = evaluate(&model, &a, &data, &EvaluateOptions::default(), &context).unwrap();
    for name in ["textfooler", "textbugger", "deepwordbug"] {
        let found = run(name, 8);
        assert_eq!(found.n(), 8);
        let rows: Vec<usize> = found.attempts.iter().map(|a| a.row).collect();
        assert_eq!(rows, data.drawn(Split::Test, 8, 1));
        for attempt in &found.attempts {
            holds(attempt, &data, name);
            // What it begins from is what evaluate says.
            assert_eq!(attempt.predicted as f64, score.predicted[attempt.row]);
        }
        let count = |outcome| found.count(outcome);
        // Of eight texts letters alone may change none.
        assert!(
            count(Outcome::Successful) > 0 || name != "textfooler",
            "{name} changes no label"
        );
        // A text's attack does not depend on the others.
        let fewer = run(name, 3);
        for attempt in &fewer.attempts {
            assert!(
                found.attempts.contains(attempt),
                "{name}, row {}",
                attempt.row
            );
        }
    }
}

fn holds(attempt: &Attempt, data: &Dataset, name: &str) {
    let text = &*data.split(Split::Test)[attempt.row].text;
    let left = &attempt.perturbed.0;
    match attempt.outcome {
        Outcome::Successful => {
            assert_eq!(attempt.predicted, attempt.gold);
            assert_ne!(attempt.perturbed_predicted, attempt.gold);
            assert!(attempt.changed > 0 && !attempt.steps.is_empty());
        }
        Outcome::Failed => assert_eq!(attempt.perturbed_predicted, attempt.gold),
        Outcome::Skipped => {
            assert_ne!(attempt.predicted, attempt.gold);
            assert_eq!((attempt.queries, left.as_str()), (1, text));
        }
    }
    assert!(attempt.perturbed_p <= attempt.p);
    let mut changed: Vec<usize> = attempt.steps.iter().map(|step| step.word).collect();
    changed.sort_unstable();
    changed.dedup();
    assert_eq!(changed.len(), attempt.steps.len(), "a word is changed once");
    if name == "textfooler" {
        assert_eq!(words(left).len(), words(text).len());
        assert_eq!(attempt.changed, attempt.steps.len());
    }
}

#[test]
fn soups_are_attacked_and_attacks_are_kept() {
    let (model, data) = (model(), films());
    let members = [trained(&model, &data, 1), trained(&model, &data, 2)];
    let context = Context::silent();
    let both = soup(&members, &Options::default(), &context).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stored = Context::silent().with_store(Store::open(folder.path()));
    let run = |context: &Context, options: &AttackOptions| -> Attack {
        attack(&model, &both, &data, options, context).unwrap()
    };
    let options = options("deepwordbug", 4);
    let found = run(&stored, &options);
    assert_eq!(found, run(&context, &options));
    // From the store, it asks no model and so is not stopped either.
    let stop = Arc::new(AtomicBool::new(true));
    let stopped = Context::new(stop.clone(), Arc::new(Silent));
    let kept = stopped.clone().with_store(Store::open(folder.path()));
    assert_eq!(found, run(&kept, &options));
    let error = attack(&model, &both, &data, &options, &stopped).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    assert!(stop.load(Ordering::Relaxed));
    // Letters are drawn by the seed, and so are texts.
    let other = AttackOptions { seed: 2, ..options };
    assert_ne!(found, run(&stored, &other));
}

#[test]
fn attacks_give_the_same_bytes_on_any_number_of_threads() {
    let script = r#"
        study(#{ seed: 7 });
        let base = model("mini");
        let films = dataset("films").sample(40);
        let a = train(base, films, #{ epochs: 1 });
        for recipe in ["textfooler", "textbugger", "deepwordbug"] {
            let found = attack(base, a, films, #{ recipe: recipe, n: 4 });
            print(found);
            print(found.constraints);
            found.examples.save(`${recipe}.jsonl`);
        }
    "#;
    let run = |threads: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s.rhai"), script).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_tureen"))
            .args([
                "run",
                "s.rhai",
                "--out",
                "out",
                "--no-store",
                "--threads",
                threads,
            ])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let saved = ["textfooler", "textbugger", "deepwordbug"]
            .map(|name| std::fs::read(folder.path().join(format!("out/{name}.jsonl"))).unwrap());
        (String::from_utf8(output.stdout).unwrap(), saved)
    };
    let one = run("1");
    assert!(one.0.contains("no source of parts of speech"), "{}", one.0);
    assert!(one == run("3"));
}

#[test]
fn what_cannot_be_attacked_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    let row = |text: &str, label: &str| format!("{{\"text\": \"{text}\", \"label\": {label}}}\n");
    write(
        "rated.jsonl",
        &[row("a good film", "0.5"), row("a bad one", "1.5")].concat(),
    );
    write(
        "two.jsonl",
        &[row("a good film", "\"x\""), row("a bad one", "\"y\"")].concat(),
    );
    write("bad.txt", "good 1 2\nbad 1\n");
    let told = |code: &str| {
        let script = format!(
            "let base = model(\"mini\"); let two = dataset(\"two.jsonl\"); let rated = dataset(\"rated.jsonl\");\nlet a = train(base, two, #{{ epochs: 1 }});\n{code}"
        );
        write("s.rhai", &script);
        let output = Command::new(env!("CARGO_BIN_EXE_tureen"))
            .args(["run", "s.rhai", "--out", "out", "--no-store"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        let mut lines = text
            .lines()
            .filter(|line| !line.starts_with("note: ") && !line.starts_with("warning"));
        lines
            .find(|line| line.contains("error: "))
            .unwrap_or_default()
            .to_string()
    };
    assert_eq!(
        told("let b = train(base, rated, #{ epochs: 1 });\nattack(base, b, rated);"),
        "s.rhai:4:1: error: attack: rated has numbers as labels, and an attack changes classes"
    );
    assert_eq!(
        told("attack(base, a, two, #{ neighbors: \"bad.txt\" });"),
        "s.rhai:3:1: error: ./bad.txt: line 2: 1 numbers after \"bad\", expected 2"
    );
    let missing = told("attack(base, a, two, #{ neighbors: \"none.txt\" });");
    assert!(
        missing.contains("error: none.txt: no such file"),
        "{missing}"
    );
    let recipe = told("attack(base, a, two, #{ recipe: \"textfoler\" });");
    assert!(
        recipe.contains(
            "option recipe: expected one of \"textfooler\", \"textbugger\", \"deepwordbug\""
        ),
        "{recipe}"
    );
}
