//! What a stranger's study cannot do: leave its folders, run without end, eat the machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tureen::script::{Interpreter, Limits, Mode, Session, Setup};

/// A folder with a script's own folder in it, and beside that what the script may not touch.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("own/data")).unwrap();
        std::fs::create_dir(folder.path().join("else")).unwrap();
        std::fs::write(folder.path().join("else/secret.txt"), "secret").unwrap();
        std::fs::write(folder.path().join("own/data/plain.txt"), "plain").unwrap();
        Self { folder }
    }

    fn own(&self, name: &str) -> PathBuf {
        self.folder.path().join("own").join(name)
    }

    fn other(&self, name: &str) -> PathBuf {
        self.folder.path().join("else").join(name)
    }

    fn setup(&self) -> Setup {
        Setup {
            mode: Mode::Script {
                path: self.own("study.rhai"),
            },
            write_folder: self.own("run"),
            output: Box::new(std::io::sink()),
            allow_hub: false,
            ..Setup::default()
        }
    }

    fn run(&self, setup: Setup, script: &str) -> String {
        let mut interpreter = Interpreter::new(Session::new(setup));
        match interpreter.run("t", script) {
            Ok(value) => interpreter.text(&value),
            Err(diagnostic) => {
                let here = self.folder.path().display().to_string();
                diagnostic.to_string().replace(&here, "HERE")
            }
        }
    }

    fn outcome(&self, script: &str) -> String {
        self.run(self.setup(), script)
    }

    fn tureen(&self, arguments: &[&str], script: &str) -> Output {
        std::fs::write(self.own("study.rhai"), script).unwrap();
        Command::new(env!("CARGO_BIN_EXE_tureen"))
            .args(["run", "study.rhai", "--out", "run", "--no-store"])
            .args(arguments)
            .current_dir(self.own(""))
            .env("TUREEN_STORE", self.folder.path().join("store"))
            .output()
            .unwrap()
    }

    /// The error and the advice of a run that a limit ends, and how it stands in its record.
    fn ended(&self, arguments: &[&str], script: &str) -> (String, String) {
        let output = self.tureen(arguments, script);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        let line = |part: &str| {
            let found = errors.lines().find(|line| line.contains(part));
            found.unwrap_or_else(|| panic!("{errors}")).trim()
        };
        let told = format!("{} {}", line("error:"), line("hint:"));
        let record = std::fs::read_to_string(self.own("run/run.json")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        let status = record["status"].as_str().unwrap().to_string();
        (told, status)
    }
}

fn limited(limits: Limits) -> Setup {
    Setup {
        limits,
        ..Setup::default()
    }
}

#[cfg(unix)]
fn link(target: &Path, at: &Path) {
    std::os::unix::fs::symlink(target, at).unwrap();
}

#[test]
fn computed_paths_read_within_the_scripts_folder_alone() {
    let place = Place::new();
    let secret = place.other("secret.txt").display().to_string();
    for path in ["../else/secret.txt", "data/../../else/secret.txt", &secret] {
        let (head, tail) = path.split_at(3);
        let script = format!("read_text(\"{head}\" + \"{tail}\")");
        let told = place.outcome(&script);
        assert!(
            told.contains("a computed path outside the script's folder may not be read"),
            "{path}: {told}"
        );
        // As a literal it is named, for everyone to see.
        assert_eq!(place.outcome(&format!("read_text(\"{path}\")")), "secret");
    }
    assert_eq!(
        place.outcome("read_text(\"data/\" + \"plain.txt\")"),
        "plain"
    );
    let wide = Setup {
        allow_read: vec![place.other("")],
        ..place.setup()
    };
    let script = "read_text(\"../else/\" + \"secret.txt\")";
    assert_eq!(place.run(wide, script), "secret");
}

#[test]
fn nothing_is_written_outside_the_runs_folder() {
    let place = Place::new();
    let target = place.other("new.txt").display().to_string();
    for path in [
        "../new.txt",
        "a/../../new.txt",
        "../../else/new.txt",
        &target,
    ] {
        for write in [
            format!("write_text(\"{path}\", \"x\")"),
            format!("table([#{{ a: 1 }}]).save(\"{path}.csv\")"),
            format!("save_tensors(\"{path}\", #{{ a: tensor([1.0]) }})"),
            format!("table([#{{ a: 1, b: 2 }}]).bar(\"a\", \"b\").save(\"{path}.svg\")"),
        ] {
            let told = place.outcome(&write);
            assert!(
                told.contains("a script writes only under"),
                "{write}: {told}"
            );
        }
    }
    assert_eq!(std::fs::read_dir(place.other("")).unwrap().count(), 1);
    let wide = Setup {
        allow_write: vec![place.other("")],
        ..place.setup()
    };
    place.run(wide, &format!("write_text(\"{target}\", \"x\")"));
    assert!(place.other("new.txt").exists());
}

#[test]
fn a_run_keeps_its_own_record() {
    let place = Place::new();
    for name in ["run.json", "script.rhai", "report.html", "log.txt"] {
        let told = place.outcome(&format!("write_text(\"{name}\", \"x\")"));
        assert!(told.contains("is the run's own"), "{told}");
    }
}

#[test]
#[cfg(unix)]
fn links_lead_nowhere() {
    let place = Place::new();
    std::fs::create_dir(place.own("run")).unwrap();
    link(&place.other(""), &place.own("data/away"));
    link(&place.other("secret.txt"), &place.own("data/file"));
    link(&place.other(""), &place.own("run/away"));
    link(&place.other("made.txt"), &place.own("run/file.txt"));
    for path in ["away/secret.txt", "file"] {
        let told = place.outcome(&format!("read_text(\"data/\" + \"{path}\")"));
        assert!(told.contains("may not be read"), "{told}");
    }
    // A folder whose files lie elsewhere is read only by its name.
    let told = place.outcome("dataset(\"da\" + \"ta\")");
    assert!(
        told.contains("leads out of what a computed path may read"),
        "{told}"
    );
    for path in ["away/x.txt", "file.txt"] {
        let told = place.outcome(&format!("write_text(\"{path}\", \"x\")"));
        assert!(told.contains("a script writes only under"), "{told}");
    }
    assert_eq!(std::fs::read_dir(place.other("")).unwrap().count(), 1);
}

/// Another program that swaps a folder for a link all the time: what the script writes then fails
/// or lands in its own folder. It could still lose the race between the look and the write, which
/// no script can bring about by itself.
#[test]
#[cfg(unix)]
fn a_link_in_place_of_a_file_is_replaced_and_not_followed() {
    let place = Place::new();
    std::fs::create_dir(place.own("run")).unwrap();
    let target = place.other("secret.txt");
    // The file is looked at, is none, and becomes a link before it is written.
    let session = Session::new(place.setup());
    let file = session.write_path("late.txt").unwrap();
    link(&target, &file);
    tureen::study::files::write_atomic(&file, b"x").unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "secret");
    assert!(!file.is_symlink());
    // The log is written to all along: what a link there points to is safe.
    let log = place.own("run/log.txt");
    link(&target, &log);
    session.keep_output(&log).unwrap();
    session.print("printed");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "secret");
}

#[test]
#[cfg(unix)]
fn devices_pipes_and_folders_are_no_text() {
    let place = Place::new();
    let pipe = place.own("data/pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let cases = [
        ("read_text(\"/dev/zero\")", "is neither a file nor a folder"),
        ("read_text(\"data/pipe\")", "is neither a file nor a folder"),
        (
            "load_tensors(\"/dev/zero\")",
            "is neither a file nor a folder",
        ),
        (
            "dataset(\"/dev/urandom\")",
            "is neither a file nor a folder",
        ),
        // A pipe within a folder would never end, either.
        ("dataset(\"data\")", "is neither a file nor a folder"),
        ("read_text(\"..\")", "is a folder, not a file"),
    ];
    for (script, expected) in cases {
        let told = place.outcome(script);
        assert!(told.contains(expected), "{script}: {told}");
    }
}

#[test]
fn imports_stay_inside_too() {
    let place = Place::new();
    std::fs::write(place.other("lib.rhai"), "fn f() { 1 }").unwrap();
    let told = place.outcome("import \"../else/\" + \"lib\" as lib; lib::f()");
    assert!(told.contains("may not be read"), "{told}");
    // Modules that import each other without an end, each by another name.
    for i in 0..70 {
        let text = format!("import \"m{}\" as next;", i + 1);
        std::fs::write(place.own(&format!("m{i}.rhai")), text).unwrap();
    }
    let told = place.outcome("import \"m0\" as m;");
    assert!(
        told.contains("modules import each other too deeply, at most 64 levels"),
        "{told}"
    );
}

#[test]
fn the_hub_learns_no_computed_name() {
    let place = Place::new();
    for script in [
        "model(\"someone/\" + \"secret\")",
        "dataset(\"hub:someone/\" + \"secret\")",
        "load_adapter(\"hub:someone/\" + \"secret\")",
    ] {
        let told = place.outcome(script);
        assert!(
            told.contains("a computed name is not looked for on the hub"),
            "{told}"
        );
    }
}

#[test]
fn no_program_is_run_and_no_code_is_text() {
    let place = Place::new();
    for call in [
        "system(\"ls\")",
        "exec(\"ls\")",
        "eval(\"1\")",
        "env(\"HOME\")",
    ] {
        let told = place.outcome(call);
        assert!(told.contains("error"), "{call}: {told}");
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_made() {
    let place = Place::new();
    let limits = || Limits {
        array: 1000,
        string: 1000,
        ..Limits::default()
    };
    let begun = Instant::now();
    let mut told = String::new();
    for script in [
        "let x = []; x.pad(1000000000000, 0)",
        "let x = []; x.pad(500, [1, 2, 3])",
        "let x = [1]; loop { x += x; }",
        "let x = [1]; loop { x.append(x); }",
        "let x = [1]; loop { x = x + x; }",
        "let x = []; loop { x.push(0); }",
        "let x = []; loop { x += 0; }",
        "let x = []; loop { x.insert(0, 0); }",
        "let x = \"\"; x.pad(1000000000000, 'x')",
        "let x = \"\"; x.pad(1000000000000, \"xy\")",
        "let x = \"x\"; loop { x += x; }",
        "let x = \"x\"; loop { x = x + x; }",
        "let x = \"\"; x.pad(900, \"x\"); x.replace(\"x\", x)",
        "blob(1000000000000)",
        "let x = blob(1); x.pad(1000000000000, 0)",
        "steps(0, 1, 0.0000001)",
        "linspace(0, 1, 1000000000000)",
        "subsets((0..40).to_list(), 20)",
        "let x = steps(1, 100, 1); grid(#{ a: x, b: x, c: x }, |c| table([c]))",
        "let t = table(steps(1, 100, 1).map(|i| #{ k: 1, v: i })); t.join(t, [\"k\"])",
        "let t = table(steps(1, 100, 1).map(|i| #{ k: i, v: i })); t.pivot(\"k\", \"v\", \"v\")",
        "let x = \"\"; x.pad(1000, \"x\"); write_text(\"x\", x); write_text(\"y\", read_text(\"x\") + \"x\")",
    ] {
        let script = script.replace("(0..40).to_list()", "steps(1, 40, 1)");
        let setup = Setup {
            limits: limits(),
            ..place.setup()
        };
        told.push_str(&format!("{script}\n  {}\n", place.run(setup, &script)));
    }
    insta::assert_snapshot!("too_large", told);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_fits_is_as_it_was() {
    let place = Place::new();
    let cases = [
        ("let x = [1]; x.pad(3, 0); x.pad(2, 5); x", "[1, 0, 0]"),
        (
            "let x = [1]; x += 2; x += [3, 4]; x.append([5]); x",
            "[1, 2, 3, 4, 5]",
        ),
        (
            "let x = [1, 3]; x.insert(1, 2); x.insert(-9, 0); x.insert(99, 4); x",
            "[0, 1, 2, 3, 4]",
        ),
        ("let x = [1, 2]; x.insert(-1, 9); x", "[1, 9, 2]"),
        ("let x = []; x.push([1]); x.push(#{ a: 2 }); x.len", "2"),
        ("[1] + [] + [2]", "[1, 2]"),
        ("let x = \"ab\"; x.pad(5, \"xyz\"); x", "abxyz"),
        ("let x = \"ab\"; x.pad(6, \"xyz\"); x", "abxyzx"),
        ("let x = \"ä\"; x.pad(3, '-'); x.pad(1, '-'); x", "ä--"),
        (
            "let x = \"a\"; x += \"b\"; x += 'c'; x += 1; x + \"d\" + 2",
            "abc1d2",
        ),
        (
            "let x = \"aXbX\"; x.replace(\"X\", \"yy\"); x.replace('y', 'z'); x",
            "azzbzz",
        ),
        (
            "let x = \"aXb\"; x.replace('X', \"--\"); x.replace(\"--\", '+'); x",
            "a+b",
        ),
        ("let x = blob(2, 258); x.pad(3, 1); x.len", "3"),
        ("sleep(0); sleep(0.001); 1", "1"),
    ];
    for (script, expected) in cases {
        assert_eq!(place.outcome(script), expected, "{script}");
    }
}

#[test]
fn a_limit_cannot_be_caught() {
    let place = Place::new();
    let limits = Limits {
        operations: 1000,
        array: 10,
        ..Limits::default()
    };
    for script in [
        "try { loop {} } catch { } 1",
        "try { linspace(0, 1, 11) } catch { } 1",
        "let n = 0; try { [1, 2, 3].for_each(|x| { loop { } }); } catch { } 1",
    ] {
        let told = place.run(limited(limits.clone()), script);
        assert!(told.contains("raise the limit with"), "{script}: {told}");
    }
}

/// The engine forgets what closures did once they return; the count does not.
#[test]
fn operations_in_closures_count_and_natives_do_not() {
    let place = Place::new();
    let setup = || {
        limited(Limits {
            operations: 20_000,
            ..Limits::default()
        })
    };
    let many = "steps(1, 1000, 1).for_each(|i| { for j in 0..100 { } })";
    let told = place.run(setup(), many);
    assert!(told.contains("more than 20000 operations"), "{told}");
    // The sum of two million numbers is one.
    assert_eq!(place.run(setup(), "linspace(0, 1, 2000000).len"), "2000000");
    let cells = "grid(#{ a: steps(1, 100, 1), b: steps(1, 20, 1) }, |c| table([#{ v: 1 }])).len";
    assert_eq!(place.run(setup(), cells), "2000");
}

#[test]
fn each_input_at_the_prompt_has_the_whole_limit() {
    let setup = limited(Limits {
        operations: 5000,
        ..Limits::default()
    });
    let mut interpreter = Interpreter::new(Session::new(setup));
    for _ in 0..3 {
        let done = interpreter.run("t", "for i in 0..1000 { }").unwrap();
        assert!(done.is_unit());
        assert!(interpreter.run("t", "loop { }").is_err());
    }
}

#[test]
fn an_end_that_a_limit_brings_is_told_with_its_place_and_flag() {
    let place = Place::new();
    let mut told = String::new();
    for (arguments, script) in [
        (
            &["--max-operations", "1000"][..],
            "let x = 1;\nloop { x += 1; }",
        ),
        (&["--max-depth", "20"], "fn f(n) {\n    f(n + 1)\n}\nf(0)"),
        (&["--max-array", "99"], "let x = 1;\nlinspace(0, 1, 100);"),
        (&["--max-string", "9B"], "print(\n  \"12345\" + \"67890\");"),
        (&["--max-time", "0.2s"], "print(1);\nsleep(100);"),
        (
            &["--max-disk", "10kB"],
            "let x = \"x\";\nx.pad(20000, \"x\");\nwrite_text(\"x\", x);",
        ),
        (
            &["--max-disk", "10kB"],
            "loop {\n print(\"again and again\");\n}",
        ),
    ] {
        let (line, status) = place.ended(arguments, script);
        told.push_str(&format!("{}\n  {line}\n  {status}\n", arguments.join(" ")));
    }
    insta::assert_snapshot!("limits", told);
    // Where a loop is when its time is over depends on the machine.
    let (line, _) = place.ended(&["--max-time", "0.2s"], "let x = 1;\nloop { x += 1; }");
    assert!(line.contains("the run takes longer than 0.2s"), "{line}");
    assert!(!place.own("run/x").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn memory_ends_a_run_before_the_machine_does() {
    let place = Place::new();
    // Texts put together in back-ticks, lists of lists and maps grow unseen.
    for script in [
        "let x = \"0123456789\";\nloop { x = `${x}${x}`; }",
        "let x = [1];\nloop { x = [x, x]; }",
        "let x = #{};\nlet r = steps(1, 10000, 1);\nlet i = 0;\nloop { x[`key ${i}`] = r; i += 1; }",
    ] {
        let output = place.tureen(&["--max-memory", "300MB"], script);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        // Where it comes too fast to be asked to stop, the place in the script is missing.
        assert!(
            told.contains("error: the run takes more than 300 MB of memory"),
            "{told}"
        );
        assert!(
            told.contains("raise the limit with --max-memory SIZE"),
            "{told}"
        );
    }
}

#[test]
fn deep_calls_have_room_on_the_stack() {
    let place = Place::new();
    let nested = format!("{}n{}", "(1 + ".repeat(50), ")".repeat(50));
    let script = format!(
        "fn f(n) {{ if n == 0 {{ return 0; }} {} }}\nprint(f(1000));",
        nested.replace('n', "f(n - 1)")
    );
    let output = place.tureen(&["--max-depth", "1100"], &script);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let (line, _) = place.ended(&["--max-depth", "500"], &script);
    assert!(
        line.contains("f calls itself too deeply, at most 500 levels"),
        "{line}"
    );
    // A value as deep as a loop can make it in a second.
    let script = "let x = [];\nfor i in 0..3000 { x = [x]; }\nprint(\"built\"); print(`${x}`.len);";
    let output = place.tureen(&[], script);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}

#[test]
fn flags_that_are_no_limit_are_refused() {
    let place = Place::new();
    for (flag, value) in [
        ("--max-operations", "1e9"),
        ("--max-depth", "0"),
        ("--max-depth", "9999"),
        ("--max-memory", "10"),
        ("--max-time", "soon"),
    ] {
        let output = place.tureen(&[flag, value], "1");
        assert_eq!(output.status.code(), Some(2), "{flag} {value}");
    }
    let all = [
        "--max-operations",
        "none",
        "--max-time",
        "none",
        "--max-disk",
        "none",
    ];
    assert!(place.tureen(&all, "1").status.success());
}
