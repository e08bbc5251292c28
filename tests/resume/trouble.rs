//! Stores in trouble: shared, missing, damaged, not to be written.

use super::kills::{Files, Place, differing, left};

/// Short: what matters here is what the store does.
const STUDY: &str = r#"
study(#{ name: "short", seed: 5 });
let base = model("mini");
let domains = datasets(["films", "news"]).map(|d| d.sample(40, #{ seed: 1 }));
let adapters = train(base, domains, #{ epochs: 2, batch: 8, keep: 2 });
for a in adapters { a.save(`adapters/${a.name}`); }
let steps = adapters.map(|a| { let name = a.name; a.checkpoints.map(|c| [c.step, evaluate(base, c, if name == "films" { domains[0] } else { domains[1] }).accuracy]) });
record("steps", steps);
let rows = evaluate_all(base, soups(subsets(adapters, 1..=2)));
print(rows);
rows.save("rows.csv");
"#;

/// Names of the files that differ; the page tells the name of its run's folder.
fn unlike(a: &Files, b: &Files) -> Vec<String> {
    let mut names = differing(a, b);
    names.retain(|name| name != "report.html");
    names
}

/// All that does not depend on whether there is a store: its record tells what was taken.
fn without_store(mut files: Files) -> Files {
    let record = files.get_mut("run.json").unwrap();
    let mut fields: serde_json::Value = serde_json::from_slice(record).unwrap();
    fields["store"].take();
    *record = fields.to_string().into_bytes();
    files
}

#[test]
fn no_store_an_empty_one_a_warm_one_and_one_that_cannot_be_written_give_the_same_bytes() {
    let place = Place::of(STUDY);
    let (printed, empty) = place.run("empty", &[]);
    let (again, warm) = place.run("warm", &[]);
    assert_eq!(unlike(&warm, &empty), [""; 0]);
    let (none, no_store) = place.run("none", &["--no-store"]);
    assert!([again, none].iter().all(|text| *text == printed));
    let empty = without_store(empty);
    assert_eq!(unlike(&without_store(no_store), &empty), [""; 0]);

    // A file where the store's folder should be; another user's folder is the same trouble.
    std::fs::write(place.at("file"), b"not a folder").unwrap();
    let mut command = place.tureen(&["run", "study.rhai", "--out", "unkept"]);
    let (out, told) = place.done(command.env("TUREEN_STORE", place.at("file/store")));
    assert_eq!(
        told.matches("the store cannot be written").count(),
        1,
        "{told}"
    );
    assert_eq!(out, printed);
    let unkept = left(&place.at("unkept"));
    assert_eq!(unlike(&without_store(unkept), &empty), [""; 0]);
}

#[test]
fn two_runs_on_one_store_at_once_end_alike() {
    let place = Place::of(STUDY);
    let started: Vec<_> = ["a", "b"]
        .map(|out| {
            place
                .tureen(&["run", "study.rhai", "--out", out])
                .spawn()
                .unwrap()
        })
        .into();
    for child in started {
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        assert!(!told.contains("store"), "{told}");
    }
    let [a, b] = ["a", "b"].map(|out| left(&place.at(out)));
    assert_eq!(unlike(&a, &b), [""; 0]);
    place.verified();
    let (_, third) = place.run("c", &[]);
    assert_eq!(unlike(&a, &third), [""; 0]);
}

#[test]
fn damaged_entries_are_told_and_computed_anew() {
    let place = Place::of(STUDY);
    let (printed, expected) = place.run("first", &[]);
    let mut damaged = 0;
    for head in std::fs::read_dir(place.at("store")).unwrap().flatten() {
        if head.file_name().len() != 2 {
            continue;
        }
        for file in std::fs::read_dir(head.path()).unwrap().flatten() {
            let mut bytes = std::fs::read(file.path()).unwrap();
            // A bit that flipped, an end that is missing, a file without bytes.
            match damaged % 3 {
                0 => *bytes.last_mut().unwrap() ^= 1,
                1 => bytes.truncate(bytes.len() / 2),
                _ => bytes.clear(),
            }
            std::fs::write(file.path(), bytes).unwrap();
            damaged += 1;
        }
    }
    let mut command = place.tureen(&["run", "study.rhai", "--out", "second"]);
    let (out, told) = place.done(&mut command);
    assert_eq!(out, printed);
    assert!(
        told.contains("does not match its hash: it is computed anew"),
        "{told}"
    );
    let second = left(&place.at("second"));
    assert_eq!(unlike(&second, &expected), [""; 0]);
    place.verified();
}
