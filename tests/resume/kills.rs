//! Runs that are killed: a short form of `scripts/kill_runs.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Contents by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Trains, keeps checkpoints, saves, evaluates, draws, gathers.
const STUDY: &str = r#"
study(#{ name: "killed", seed: 5 });
let base = model("mini");
let domains = datasets(["films", "news"]).map(|d| d.sample(120, #{ seed: 1 }));
let adapters = train(base, domains, #{ epochs: 4, batch: 16, keep: "epochs" });
for a in adapters { a.save(`adapters/${a.name}`); }
let flips = concat(adapters.map(|a| sign_flips(a.checkpoints, #{ initial: true }).add("name", |r| a.name)));
flips.save("flips.csv");
flips.line("step", "rate", #{ color: "name" }).save("flips.svg");
let sets = subsets(adapters, 1..=2);
let rows = grid(#{ density: [0.3, 0.6] }, |c| evaluate_all(base, soups(sets, #{ method: "ties", density: c.density })));
print(rows);
rows.save("rows.csv");
rows.scatter("accuracy", "drop", #{ color: "dataset" }).save("rows.svg");
record("rows", rows);
"#;

/// A folder with the study, a store and runs.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self::of(STUDY)
    }

    pub fn of(study: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("study.rhai"), study).unwrap();
        Self { folder }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command in the folder, with the store in `store` there.
    pub fn tureen(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tureen"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TUREEN_STORE", self.at("store"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What a command that ends well says on standard output and standard error.
    pub fn done(&self, command: &mut Command) -> (String, String) {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{out}{err}");
        (out, err)
    }

    /// Runs the study into a folder; what it prints and all it leaves there.
    pub fn run(&self, out: &str, more: &[&str]) -> (String, Files) {
        let arguments = [&["run", "study.rhai", "--out", out], more].concat();
        let (printed, _) = self.done(&mut self.tureen(&arguments));
        (printed, left(&self.at(out)))
    }

    pub fn verified(&self) {
        let (out, _) = self.done(&mut self.tureen(&["store", "verify"]));
        assert!(out.contains("all sound"), "{out}");
    }
}

/// The files of a run's folder. Of its record, the times and the program's own are left out.
pub fn left(folder: &Path) -> Files {
    let mut found = BTreeMap::new();
    gather(folder, folder, &mut found);
    let record = found.get_mut("run.json").unwrap();
    let mut fields: serde_json::Value = serde_json::from_slice(record).unwrap();
    for time in ["started", "ended"] {
        assert!(fields[time].take().is_string());
    }
    // What the store had already, and where the run was to be.
    for field in ["found", "arguments"] {
        fields[field].take();
    }
    *record = fields.to_string().into_bytes();
    found
}

fn gather(root: &Path, folder: &Path, found: &mut Files) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

/// Names of the files that differ.
pub fn differing(a: &Files, b: &Files) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let differs = |name: &&&String| a.get(**name) != b.get(**name);
    names
        .iter()
        .filter(differs)
        .map(|name| name.to_string())
        .collect()
}

#[test]
fn a_run_that_is_killed_ends_with_the_bytes_of_an_undisturbed_one() {
    let calm = Place::new();
    let start = Instant::now();
    let (printed, expected) = calm.run("out", &[]);
    let whole = start.elapsed();
    assert!(expected.len() > 15, "{:?}", expected.keys());

    let killed = Place::new();
    // Early and late in what is left of the run each time.
    for share in [0.3, 0.5, 0.2, 0.4, 0.6, 0.1] {
        let mut child = killed
            .tureen(&["run", "study.rhai", "--out", "out"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole.mul_f64(share));
        child.kill().unwrap();
        child.wait().unwrap();
        killed.verified();
    }
    let (again, found) = killed.run("out", &[]);
    assert_eq!(differing(&found, &expected), [""; 0]);
    assert_eq!(again, printed);
    let (size, _) = killed.done(&mut killed.tureen(&["store", "size"]));
    assert!(!size.contains("unfinished"), "{size}");
}

#[cfg(unix)]
#[test]
fn a_folder_that_a_run_writes_to_is_refused_until_it_ends() {
    let place = Place::new();
    let mut child = place
        .tureen(&["run", "study.rhai", "--out", "out"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !place.at("out/run.json").exists() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = place
        .tureen(&["run", "study.rhai", "--out", "out"])
        .output();
    child.kill().unwrap();
    child.wait().unwrap();
    let second = second.unwrap();
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && told.contains("another run is writing here"),
        "{told}"
    );
}
