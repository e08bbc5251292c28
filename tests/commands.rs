//! Commands around studies: beginning one, what is at hand, shells.

use crate::studies::{Place, run_json};

#[test]
fn a_new_study_runs_as_it_stands_and_nothing_is_overwritten() {
    let place = Place::empty();
    let told = place.done(&["new", "conflict"]);
    assert!(
        told.contains("cd conflict && tureen run study.rhai"),
        "{told}"
    );
    let told = place.refused(&["new", "conflict"]);
    assert!(
        told.contains("is there already; nothing was written"),
        "{told}"
    );
    assert!(place.done(&["check", "conflict/study.rhai"]).is_empty());
    place.done(&[
        "run",
        "conflict/study.rhai",
        "--set",
        "rows=48",
        "--out",
        "out",
    ]);
    let record = run_json(&place.at("out"));
    assert_eq!(record["name"], "conflict");
    assert!(record["recorded"]["mixtures"].is_array());
    for file in ["mixtures.csv", "drop.svg", "report.html"] {
        assert!(place.at("out").join(file).is_file(), "{file}");
    }

    place.done(&["new", "deep/one.rhai"]);
    let script = std::fs::read_to_string(place.at("deep/one.rhai")).unwrap();
    assert!(script.contains("name: \"one\""), "{script}");
    for bad in ["a b", "..", ".rhai", "x\"y", "-x"] {
        let told = place.refused(&["new", "--", bad]);
        assert!(told.contains("no name for a study"), "{bad}: {told}");
    }
}

#[test]
fn what_is_at_hand_is_listed() {
    let place = Place::empty();
    let cache = "hub/models--org--small/snapshots/c0ffee";
    std::fs::create_dir_all(place.at(cache)).unwrap();
    place.write(
        &format!("{cache}/config.json"),
        "{\"model_type\": \"bert\"}",
    );
    let listed = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tureen"))
            .args(arguments)
            .env("HF_HUB_CACHE", place.at("hub"))
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    insta::assert_snapshot!(listed(&["models"]), @r"
    name              what                           size     from
    ────────────────────────────────────────────────────────────────────────────────
    mini              model: paraphrase-MiniLM-L3-…  18.4 MB  the binary, Apache-2.0
    org/small@c0ffee  model: bert                    22 B     the hub's cache
    ");
    insta::assert_snapshot!(listed(&["datasets"]), @r"
    name          what                             size      from
    ────────────────────────────────────────────────────────────────────────────────
    films         sentences of film reviews, neg…  99.9 kB   the binary, CC BY 4.0
    products      sentences of product reviews, …  72.4 kB   the binary, MIT
    news          sentences of newspaper editori…  100.0 kB  the binary, MIT
    tweets        tweets, rated negative or posi…  75.4 kB   the binary, MIT
    subjectivity  sentences on films, objective …  112.4 kB  the binary, CC BY 4.0
    reviews       sentences of customer reviews …  77.1 kB   the binary, CC BY 4.0
    spam          text messages, ham or spam       81.8 kB   the binary, CC BY 4.0
    glosses       dictionary definitions of noun…  60.6 kB   the binary, WordNet 3.0
    ");
    for (command, count, first) in [("models", 2, "mini"), ("datasets", 8, "films")] {
        let lines = listed(&[command, "--json"]);
        let lines: Vec<serde_json::Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!((lines.len(), &lines[0]["name"]), (count, &first.into()));
        assert!(lines.iter().all(|line| line["bytes"].as_u64() > Some(0)));
    }
}

#[test]
fn shells_get_their_completions() {
    let place = Place::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = place.done(&["completions", shell]);
        for word in ["reproduce", "completions", "no-store"] {
            assert!(text.contains(word), "{shell} does not know {word}");
        }
    }
    assert!(
        place
            .refused(&["completions", "tcsh"])
            .contains("possible values")
    );
}

#[test]
fn runs_are_filtered_and_opened() {
    let place = Place::empty();
    place.write("good.rhai", "record(\"x\", 1);");
    place.write("bad.rhai", "throw \"no\";");
    place.done(&["run", "good.rhai", "--out", "runs/one"]);
    place.refused(&["run", "bad.rhai", "--out", "runs/two"]);
    let paths = |more: &[&str]| place.done(&[&["runs", "--path"][..], more].concat());
    assert_eq!(paths(&["--study", "good"]), "runs/one\n");
    assert_eq!(paths(&["--status", "failed"]), "runs/two\n");
    assert_eq!(paths(&["tw"]), "runs/two\n");
    let all = place.done(&["runs", "--json"]);
    assert_eq!(all.lines().count(), 2);
    let told = place.tureen(&["runs", "--study", "none"]).err;
    assert!(told.contains("no such runs in runs"), "{told}");
}
