//! Inputs that other tools, or earlier versions of this one, read or computed wrongly without a
//! message, each with the right result. A file covers one kind of fault; the inputs are in the
//! folders beside it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

mod bases;
mod defaults;
mod heads;
mod labels;
mod load_checks;
mod merges;
mod metadata;
mod names;
mod options;
mod overwrite;
mod peft;
mod pointers;
mod quantised;
mod readers;
mod saved_modules;
mod tables;
mod tasks;
mod tokenizers;

/// The folder of a case's inputs.
pub fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases")
        .join(name)
}

/// Runs the program with these arguments in `folder`, with a store of its own and no hub.
pub fn tureen(folder: &Path, arguments: &[&str]) -> Output {
    let store = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_tureen"))
        .args(arguments)
        .current_dir(folder)
        .env("TUREEN_STORE", store.path())
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap()
}

/// What a successful run printed to standard output and to standard error.
pub fn printed(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    (out, err)
}

/// The message of a run that failed.
pub fn refused(output: &Output) -> String {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "no error; standard error: {err}");
    err
}
