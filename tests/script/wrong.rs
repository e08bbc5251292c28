//! Wrong scripts, with what the user is told: by `check`, and by a run.
//!
//! A file of `wrong/` holds many scripts, each below a line `//// title`; a line `//// --set` gives
//! its parameters. A snapshot shows each with its diagnostics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tureen::script::{Diagnostic, Interpreter, Mode, Session, Setup, check};

use super::Output;

/// A script, its title and parameters.
struct Case {
    title: String,
    code: String,
    params: BTreeMap<String, String>,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("//// "), cases.last_mut()) {
            (Some(head), Some(case)) if head.starts_with("--set ") => {
                let (name, value) = head["--set ".len()..].split_once('=').unwrap();
                case.params.insert(name.into(), value.into());
            }
            (Some(title), _) => cases.push(Case {
                title: title.into(),
                code: String::new(),
                params: BTreeMap::new(),
            }),
            (None, Some(case)) => case.code.push_str(&format!("{line}\n")),
            (None, None) => panic!("a script without a title: {line}"),
        }
    }
    cases
}

/// A folder with the modules and files that the scripts name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "helpers.rhai",
        "fn twice(x) {\n    2 * x\n}\n\nfn half(x) {\n    x / 2\n}\n",
    );
    write("broken.rhai", "fn first(list) {\n    lst[0]\n}\n");
    write("unread.rhai", "fn first(list) {\n    list[0\n}\n");
    write("odd.csv", "sentences,class\na,x\n");
    folder
}

fn session(folder: &Path, case: &Case) -> Session {
    Session::new(Setup {
        mode: Mode::Script {
            path: folder.join("s.rhai"),
        },
        write_folder: folder.join("run"),
        params: case.params.clone(),
        output: Box::new(Output::default()),
        ..Setup::default()
    })
}

fn told(folder: &Path, case: &Case) -> String {
    let clean = |diagnostic: &Diagnostic| {
        format!("{diagnostic:#}\n").replace(&folder.display().to_string(), ".")
    };
    let source = folder.join("s.rhai").display().to_string();
    let found: Vec<String> = check(&session(folder, case), &source, &case.code)
        .iter()
        .map(|finding| clean(&finding.diagnostic))
        .collect();
    let session = session(folder, case);
    let run = Interpreter::new(session.clone())
        .run(&source, &case.code)
        .and_then(|_| {
            session
                .check_params()
                .map_err(|error| Box::new(Diagnostic::of(&source, error)))
        });
    let run = match run {
        Ok(()) => "runs\n".to_string(),
        Err(diagnostic) if found.contains(&clean(&diagnostic)) => "the same\n".to_string(),
        Err(diagnostic) => clean(&diagnostic),
    };
    format!(
        "==== {}\n{}---- check\n{}---- run\n{run}",
        case.title,
        case.code,
        found.concat()
    )
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/script/wrong");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

/// Runs a test with a stack as the program's own thread has it.
fn with_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(8 << 20);
    if let Err(panic) = thread.spawn(test).unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn wrong_scripts_are_told_what_to_do() {
    with_stack(compare_with_snapshots);
}

fn compare_with_snapshots() {
    let folder = folder();
    let mut count = 0;
    for file in files() {
        let cases = cases(&std::fs::read_to_string(&file).unwrap());
        count += cases.len();
        let pages: Vec<String> = cases.iter().map(|case| told(folder.path(), case)).collect();
        let name = format!("wrong_{}", file.file_stem().unwrap().display());
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, pages.join("\n"));
        });
    }
    assert!(count >= 60, "only {count} scripts are left");
}

#[test]
fn a_script_that_runs_has_no_mistake_that_is_certain() {
    with_stack(run_all);
}

fn run_all() {
    let folder = folder();
    for file in files() {
        for case in cases(&std::fs::read_to_string(&file).unwrap()) {
            let source = folder.path().join("s.rhai").display().to_string();
            let runs = Interpreter::new(session(folder.path(), &case))
                .run(&source, &case.code)
                .is_ok();
            let found = check(&session(folder.path(), &case), &source, &case.code);
            let certain = found
                .iter()
                .any(|finding| finding.certain && finding.diagnostic.place.is_some());
            assert!(!(runs && certain), "{}: {found:?}", case.title);
        }
    }
}
