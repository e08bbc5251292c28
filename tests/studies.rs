//! Studies as people keep them: runs listed and compared, inputs locked, results reproduced, the
//! store verified and cleaned.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A study that trains, reads a file and records what it finds.
const STUDY: &str = r#"
import "helpers" as helpers;
study(#{ name: "small", question: "Does it come out again?", seed: 3 });
let epochs = param("epochs", 1);
let base = model("mini");
let films = dataset("films").sample(64, #{ seed: 1 });
let a = train(base, films, #{ epochs: epochs });
let extra = read_table("extra.csv");
record("accuracy", evaluate(base, a, films).accuracy);
record("extra", extra.column("x"));
record("twice", helpers::twice(2));
a.save("adapter");
print("printed");
"#;

/// What a command did.
pub struct Ran {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

/// A folder with a study and a store of its own.
pub struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    /// A folder with nothing in it.
    pub fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A folder with the study and what it reads.
    pub fn new() -> Self {
        let place = Self::empty();
        place.write("study.rhai", STUDY);
        place.write("helpers.rhai", "fn twice(x) { 2 * x }\n");
        place.write("extra.csv", "x\n1\n2\n");
        place
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.at(name), text).unwrap();
    }

    pub fn tureen(&self, arguments: &[&str]) -> Ran {
        self.tureen_at("store", arguments)
    }

    /// With another store than its own.
    pub fn tureen_at(&self, store: &str, arguments: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_tureen"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TUREEN_STORE", self.at(store))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran {
            ok: output.status.success(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    pub fn done(&self, arguments: &[&str]) -> String {
        let ran = self.tureen(arguments);
        assert!(ran.ok, "{arguments:?}: {}{}", ran.out, ran.err);
        ran.out
    }

    pub fn refused(&self, arguments: &[&str]) -> String {
        let ran = self.tureen(arguments);
        assert!(!ran.ok, "{arguments:?}: {}", ran.out);
        ran.err
    }

    pub fn store_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for head in std::fs::read_dir(self.at("store")).unwrap().flatten() {
            if head.file_name().len() == 2 {
                let inside = std::fs::read_dir(head.path()).unwrap().flatten();
                files.extend(inside.map(|file| file.path()));
            }
        }
        files
    }
}

pub fn run_json(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder.join("run.json")).unwrap()).unwrap()
}

#[test]
fn a_run_is_listed_locked_reproduced_and_compared() {
    let place = Place::new();
    place.done(&["run", "study.rhai", "--out", "runs/first"]);
    let record = run_json(&place.at("runs/first"));
    for input in ["model mini", "dataset films", "file extra.csv"] {
        assert!(record["inputs"][input].is_string(), "{input}: {record:#}");
    }
    assert_eq!(record["store"].as_array().unwrap().len(), 2);
    let log = std::fs::read_to_string(place.at("runs/first/log.txt")).unwrap();
    assert_eq!(log, "printed\n");
    let page = std::fs::read_to_string(place.at("runs/first/report.html")).unwrap();
    assert!(page.contains("Does it come out again?") && page.contains("file extra.csv"));

    let list = place.done(&["runs"]);
    assert!(list.contains("first") && list.contains("done"), "{list}");
    assert!(place.done(&["runs", "--status", "failed"]).is_empty());
    let shown = place.done(&["runs", "fi"]);
    assert!(shown.contains("Does it come out again?"), "{shown}");

    // Locked, it runs as long as nothing has changed.
    place.done(&["lock", "study.rhai"]);
    place.done(&["run", "study.rhai", "--locked", "--out", "runs/locked"]);
    place.write("extra.csv", "x\n1\n3\n");
    let told = place.refused(&["run", "study.rhai", "--locked"]);
    assert!(told.contains("the file extra.csv has changed"), "{told}");
    place.write("helpers.rhai", "fn twice(x) { x + x + 0 }\n");
    let told = place.refused(&["run", "study.rhai", "--locked"]);
    assert!(told.contains("helpers.rhai has changed"), "{told}");
    place.write("study.rhai", &format!("{STUDY}\n// a word\n"));
    let told = place.refused(&["run", "study.rhai", "--locked"]);
    assert!(told.contains("the script has changed"), "{told}");
    let told = place.refused(&["reproduce", "first"]);
    assert!(told.contains("has changed since first"), "{told}");

    // Brought back, it comes out the same with another number of threads; else what differs is told.
    place.write("study.rhai", STUDY);
    place.write("helpers.rhai", "fn twice(x) { 2 * x }\n");
    let told = place.tureen(&["reproduce", "first", "--threads", "1"]);
    assert!(!told.ok && told.out.contains("extra[1]"), "{}", told.out);
    place.write("extra.csv", "x\n1\n2\n");
    let told = place.done(&["reproduce", "first", "--threads", "1"]);
    assert!(
        told.contains("reproduced: 4 values, all the same"),
        "{told}"
    );

    place.done(&[
        "run",
        "study.rhai",
        "--set",
        "epochs=2",
        "--out",
        "runs/second",
    ]);
    let told = place.done(&["diff", "first", "second"]);
    assert!(told.contains("parameter epochs"), "{told}");
    assert!(!told.contains(" is "), "{told}");

    place.write("broken.rhai", "let x = 1;\nthrow \"no\";");
    place.refused(&["run", "broken.rhai", "--out", "runs/broken"]);
    let told = place.done(&["diff", "first", "broken"]);
    assert!(
        told.contains("broken is failed") && told.contains("no"),
        "{told}"
    );
}

#[test]
fn the_store_is_verified_and_cleaned_and_what_is_damaged_computed_anew() {
    let place = Place::new();
    place.done(&["run", "study.rhai", "--out", "kept"]);
    place.done(&["run", "study.rhai", "--set", "epochs=2", "--out", "dropped"]);
    let all = place.store_files().len();
    assert!(place.done(&["store", "verify"]).contains("all sound"));
    assert!(
        place
            .done(&["store", "size"])
            .contains(&format!("{all} entries"))
    );

    // Only what the dropped run alone used goes.
    std::fs::remove_dir_all(place.at("dropped")).unwrap();
    place.done(&["store", "gc", "--dry-run"]);
    assert_eq!(place.store_files().len(), all);
    place.done(&["store", "gc"]);
    let kept = run_json(&place.at("kept"));
    assert_eq!(
        place.store_files().len(),
        kept["store"].as_array().unwrap().len()
    );

    let weights = |run: &str| {
        let file = Path::new(run).join("adapter/adapter.safetensors");
        std::fs::read(place.at(file.to_str().unwrap())).unwrap()
    };
    for file in place.store_files() {
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, bytes).unwrap();
    }
    let told = place.refused(&["store", "verify"]);
    assert!(told.contains("damaged"), "{told}");
    place.done(&["run", "study.rhai", "--out", "again"]);
    assert!(place.done(&["store", "verify"]).contains("all sound"));
    assert_eq!(run_json(&place.at("again"))["recorded"], kept["recorded"]);
    assert_eq!(weights("again"), weights("kept"));
}
