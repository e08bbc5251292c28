//! Studies that travel: packed, run elsewhere from the archive alone, compared; and why a result
//! was computed.

use std::path::Path;

use crate::studies::{Place, run_json};

/// Packs the study after a run of it, and gives another place that has nothing but the archive.
fn moved(arguments: &[&str]) -> (Place, Place, String) {
    let place = Place::new();
    let run = ["run", "study.rhai", "--out", "runs/first"];
    place.done(&[&run[..], arguments].concat());
    let told = place.done(&["pack", "study.rhai"]);
    let other = Place::empty();
    std::fs::copy(place.at("study.tureen"), other.at("study.tureen")).unwrap();
    (place, other, told)
}

fn files_under(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path().is_dir() {
            true => all.extend(files_under(&entry.path())),
            false => all.push(entry.path().display().to_string()),
        }
    }
    all.sort();
    all
}

#[test]
fn a_packed_study_runs_from_its_archive_alone() {
    let (place, other, told) = moved(&["--set", "epochs=2"]);
    insta::with_settings!({filters => vec![
        (r"[0-9.]+ [kM]?B", "SIZE"), (r"id [0-9a-f]{8}", "id ID"),
    ]}, {
        insta::assert_snapshot!(told, @r"
        study.tureen: 16 files, SIZE, id ID
        with the run first (epochs=2)
        ");
    });
    // The same run packs to the same bytes.
    place.done(&["pack", "study.rhai", "--out", "again.tureen"]);
    let read = |name: &str| std::fs::read(place.at(name)).unwrap();
    assert_eq!(read("study.tureen"), read("again.tureen"));

    // With nothing else there it gives what was recorded, with the parameters it was run with.
    let out = other.done(&["run", "study.tureen", "--out", "runs/here"]);
    assert_eq!(out, "printed\n");
    let (first, here) = (
        run_json(&place.at("runs/first")),
        run_json(&other.at("runs/here")),
    );
    for field in [
        "recorded",
        "parameters",
        "inputs",
        "imports",
        "script_hash",
        "seed",
    ] {
        assert_eq!(first[field], here[field], "{field}");
    }
    assert_eq!(here["script"], "study.tureen");
    for file in [
        "adapter/adapter.safetensors",
        "metrics.jsonl",
        "recipes.jsonl",
    ] {
        let read = |folder: std::path::PathBuf| std::fs::read(folder.join(file)).unwrap();
        let (first, here) = (read(place.at("runs/first")), read(other.at("runs/here")));
        assert!(first == here, "{file}");
    }
    let told = other.done(&["diff", "study.tureen", "here"]);
    assert!(told.contains("recorded: 4 the same, 0 not"), "{told}");

    // It is compared with the run in it; a run of it with itself.
    let told = other.done(&["reproduce", "study.tureen", "--threads", "1"]);
    assert!(
        told.contains("reproduced: 4 values, all the same"),
        "{told}"
    );
    let told = other.done(&["reproduce", "here"]);
    assert!(told.contains("reproduced: 4 values"), "{told}");

    // Parameters can be given anew; what is printed of it tells how it is run again.
    other.done(&[
        "run",
        "study.tureen",
        "--set",
        "epochs=1",
        "--out",
        "runs/one",
    ]);
    assert_eq!(run_json(&other.at("runs/one"))["parameters"]["epochs"], "1");
    let page = std::fs::read_to_string(other.at("runs/here/report.html")).unwrap();
    assert!(page.contains("tureen run study.tureen") && !page.contains("tureen lock"));
    assert!(
        other
            .refused(&["lock", "study.tureen"])
            .contains("holds its lock")
    );
    assert!(other.done(&["check", "study.tureen"]).is_empty());
}

/// Changes a file of an archive of stored files, and its hash in the manifest if `forged`.
fn tampered(archive: &Path, name: &str, from: &str, to: &str, forged: bool) {
    use std::io::{Read, Write};
    let mut zip = zip::ZipArchive::new(std::fs::File::open(archive).unwrap()).unwrap();
    let mut files = std::collections::BTreeMap::new();
    for at in 0..zip.len() {
        let mut entry = zip.by_index(at).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(entry.name().unwrap().into_owned(), bytes);
    }
    let text = String::from_utf8(files[name].clone()).unwrap();
    assert!(text.contains(from), "{name} has no {from}");
    let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
    let changed = text.replacen(from, to, 1);
    if forged {
        let manifest = String::from_utf8(files["tureen.json"].clone()).unwrap();
        let manifest = manifest.replace(&hash(&text), &hash(&changed));
        files.insert("tureen.json".into(), manifest.into_bytes());
    }
    // Files with the same text have one hash: forged, they all change.
    for (other, bytes) in &mut files {
        if other == name || forged && *bytes == text.as_bytes() {
            *bytes = changed.clone().into_bytes();
        }
    }
    let mut zip = zip::ZipWriter::new(std::fs::File::create(archive).unwrap());
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in files {
        zip.start_file(name, stored).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn what_was_changed_in_an_archive_is_named() {
    let (place, other, _) = moved(&[]);
    let whole = std::fs::read(place.at("study.tureen")).unwrap();
    let told = |name: &str, from: &str, to: &str, forged: bool| {
        std::fs::write(other.at("study.tureen"), &whole).unwrap();
        tampered(&other.at("study.tureen"), name, from, to, forged);
        other.refused(&["run", "study.tureen"])
    };
    for (name, from, to) in [
        ("study/study.rhai", "let epochs", "let  epochs"),
        ("study/helpers.rhai", "2 * x", "3 * x"),
        ("study/extra.csv", "2", "3"),
        ("run/run.json", "0.", "1."),
    ] {
        let told = told(name, from, to, false);
        assert!(
            told.contains(&format!("{name} has changed since it was packed")),
            "{told}"
        );
    }
    // A manifest that was changed along does not help: the lock has the hashes too.
    let script = told("study/study.rhai", "let epochs", "let  epochs", true);
    assert!(script.contains("the script has changed"), "{script}");
    let module = told("study/helpers.rhai", "2 * x", "3 * x", true);
    assert!(
        module.contains("the module helpers.rhai has changed"),
        "{module}"
    );
    let input = told("study/extra.csv", "2", "3", true);
    assert!(input.contains("the file extra.csv has changed"), "{input}");
    // Nothing ran that should not have, and nothing stays unpacked.
    assert!(
        !files_under(other.folder.path())
            .iter()
            .any(|f| f.ends_with("adapter.safetensors"))
    );
}

#[test]
fn a_packed_study_is_kept_in_its_folder_and_what_it_lacks_can_be_given() {
    let place = Place::empty();
    std::fs::create_dir_all(place.at("deep/sub")).unwrap();
    place.write("secret.csv", "x\n7\n");
    place.write("deep/near.csv", "x\n1\n");
    place.write("deep/sub/far.csv", "x\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let secret = place.at("secret.csv").display().to_string();
    let script = format!(
        "study(#{{ name: \"reads\" }});
        let all = [read_table(\"../near.csv\").len, read_table(\"far.csv\").len];
        if param(\"more\", false) {{ all.push(read_table(\"{secret}\").len); }}
        record(\"all\", all);"
    );
    place.write("deep/sub/reads.rhai", &script);
    place.done(&["run", "deep/sub/reads.rhai", "--out", "runs/r"]);
    let told = place.done(&[
        "pack",
        "deep/sub/reads.rhai",
        "--limit",
        "10B",
        "--out",
        "r.tureen",
    ]);
    assert!(
        told.contains("file far.csv") && told.contains("larger than the limit"),
        "{told}"
    );

    let other = Place::empty();
    std::fs::copy(place.at("r.tureen"), other.at("r.tureen")).unwrap();
    let told = other.refused(&["run", "r.tureen"]);
    assert!(
        told.contains("without file far.csv") && told.contains("far.csv: no such file"),
        "{told}"
    );
    let inputs = place.at("deep/sub").display().to_string();
    other.done(&["run", "r.tureen", "--inputs", &inputs, "--out", "runs/r"]);
    let recorded = &run_json(&other.at("runs/r"))["recorded"]["all"];
    assert_eq!(*recorded, serde_json::json!([1, 8]));
    other.done(&["reproduce", "r.tureen", "--inputs", &inputs]);

    // A file that it names by its place on the machine is not read, though it is there.
    let more = ["run", "r.tureen", "--inputs", &inputs, "--set", "more=true"];
    let told = other.refused(&more);
    assert!(told.contains("reads only what its archive holds"), "{told}");
    // Given leave it may, if the lock knows the file.
    let told = other.refused(&[&more[..], &["--allow-read", &secret]].concat());
    assert!(told.contains("is not in the lock"), "{told}");
}

#[test]
fn why_tells_what_was_computed_and_what_differs() {
    let place = Place::new();
    place.done(&["run", "study.rhai", "--out", "runs/a"]);
    let first = place.done(&["why", "a", "films"]);
    assert!(
        first.contains("no earlier run here made a value of this name"),
        "{first}"
    );
    place.done(&["run", "study.rhai", "--out", "runs/b"]);
    let told = place.done(&["why", "b", "films"]);
    assert!(
        told.contains("taken from the store: its recipe is that of a"),
        "{told}"
    );
    place.done(&["run", "study.rhai", "--no-store", "--out", "runs/c"]);
    let told = place.done(&["why", "c", "films on films"]);
    assert!(told.contains("the run used no store"), "{told}");
    place.done(&["run", "study.rhai", "--set", "epochs=2", "--out", "runs/d"]);
    let told = place.done(&["why", "d", "accuracy", "--against", "a"]);
    for part in [
        "made after 2 trainings, evaluations and attacks, 2 of them computed in this run",
        "it is another in a",
        "setting epochs",
        "parameter epochs: 2 here, 1 there",
    ] {
        assert!(told.contains(part), "{part} is missing: {told}");
    }
    let told = place.done(&["why", "d", "films on films"]);
    for part in [
        "was computed: the store had no result of this recipe",
        "that of c differs:",
        "setting epochs",
        "the store has it now",
        "├─ adapter films",
        "│  └─ data films",
    ] {
        assert!(told.contains(part), "{part} is missing: {told}");
    }
    // What follows from the number of epochs is not told as a difference of its own.
    assert!(!told.contains("setting head"), "{told}");
    let told = place.refused(&["why", "d", "acuracy"]);
    assert!(told.contains("did you mean accuracy?"), "{told}");

    // What the store lost is computed again, and that is said.
    for file in place.store_files() {
        std::fs::remove_file(file).unwrap();
    }
    let told = place.done(&["why", "d", "films"]);
    assert!(told.contains("the store does not have it now"), "{told}");
    place.done(&["run", "study.rhai", "--set", "epochs=2", "--out", "runs/e"]);
    let told = place.done(&["why", "e", "films"]);
    assert!(
        told.contains("though its recipe is that of d: the store did not have it"),
        "{told}"
    );
}

#[test]
fn metrics_and_recipes_are_the_same_bytes_whatever_was_kept() {
    let place = Place::new();
    let run = |out: &str, more: &[&str]| {
        let all = ["run", "study.rhai", "--set", "epochs=2", "--out", out];
        place.done(&[&all[..], more].concat());
        let read = |name: &str| std::fs::read_to_string(place.at(out).join(name)).unwrap();
        (read("metrics.jsonl"), read("recipes.jsonl"))
    };
    let cold = run("cold", &["--threads", "2"]);
    assert_eq!(cold, run("warm", &["--threads", "1"]));
    assert_eq!(cold, run("none", &["--no-store", "--threads", "1"]));
    let lines: Vec<serde_json::Value> = cold
        .0
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[0]["train"], &lines[1]["epoch"]),
        (&"films".into(), &2.into())
    );
    assert!(lines[1]["loss"].as_f64() < lines[0]["loss"].as_f64());
    assert_eq!(lines[2]["evaluate"], "films");
    let recorded = &run_json(&place.at("cold"))["recorded"]["accuracy"];
    assert_eq!(&lines[2]["accuracy"], recorded);
    // Which of them were computed stands in the record.
    let found = |out: &str| run_json(&place.at(out))["found"].as_array().unwrap().len();
    assert_eq!((found("cold"), found("warm"), found("none")), (0, 2, 0));
}
