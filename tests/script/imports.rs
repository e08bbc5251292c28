//! Where imports are looked for, and what is recorded of them.

use std::path::{Path, PathBuf};

use tureen::script::{Interpreter, Mode, Session, Setup};

fn write(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

fn interpreter(folder: &Path, module_path: Vec<PathBuf>) -> Interpreter {
    Interpreter::new(Session::new(Setup {
        mode: Mode::Script {
            path: folder.join("study/study.rhai"),
        },
        write_folder: folder.join("run"),
        module_path,
        ..Setup::default()
    }))
}

#[test]
fn a_module_is_found_beside_the_script_before_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(&root.join("study/mine.rhai"), "fn place() { \"beside\" }");
    write(&root.join("first/mine.rhai"), "fn place() { \"first\" }");
    write(&root.join("first/lab/other.rhai"), "fn place() { \"lab\" }");
    write(&root.join("second/lab/other.rhai"), "fn place() { \"no\" }");
    write(
        &root.join("second/deep.rhai"),
        "import \"near\" as near; fn place() { near::place() }",
    );
    write(&root.join("second/near.rhai"), "fn place() { \"near\" }");
    let path = vec![root.join("first"), root.join("second")];
    let mut interpreter = interpreter(root, path);
    let script = r#"
        import "mine" as mine; import "lab/other" as other; import "deep" as deep;
        [mine::place(), other::place(), deep::place()]
    "#;
    let value = interpreter.run("study", script).unwrap();
    assert_eq!(interpreter.text(&value), r#"["beside", "lab", "near"]"#);

    let imports = interpreter.session().imports();
    let files: Vec<PathBuf> = imports.iter().map(|i| i.path.clone()).collect();
    let expected = [
        "study/mine.rhai",
        "first/lab/other.rhai",
        "second/deep.rhai",
        "second/near.rhai",
    ];
    assert_eq!(files, expected.map(|file| root.join(file)));
    let hash = blake3::hash(b"fn place() { \"beside\" }")
        .to_hex()
        .to_string();
    assert_eq!(imports[0].hash, hash);
}

#[test]
fn a_module_of_the_binary_is_recorded_with_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let mut interpreter = interpreter(folder.path(), Vec::new());
    let _value = interpreter
        .run("study", r#"import "std/soups" as soups;"#)
        .unwrap();
    let imports = interpreter.session().imports();
    let files: Vec<&Path> = imports.iter().map(|i| i.path.as_path()).collect();
    let expected = ["stdlib/soups.rhai", "stdlib/stats.rhai"];
    assert_eq!(files, expected.map(Path::new));
    assert!(imports.iter().all(|import| import.hash.len() == 64));
}

#[test]
fn what_is_not_found_is_told_with_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(&root.join("lab/x.rhai"), "fn f() { 1 }");
    let outcome = |script: &str| {
        let mut interpreter = interpreter(root, vec![root.join("lab/inner")]);
        interpreter.run("study", script).unwrap_err().to_string()
    };
    assert_eq!(
        outcome(r#"import "soups" as s;"#),
        "study:1:8: error: import: no module \"soups\": no such file; did you mean \"std/soups\"?"
    );
    assert_eq!(
        outcome(r#"import "std/stat" as s;"#),
        "study:1:8: error: import: no module \"std/stat\": no such file; did you mean \"std/stats\"?"
    );
    // A search path is no way out of its folder.
    let error = outcome(r#"import "../x" as x;"#);
    assert!(error.contains("no module \"../x\""), "{error}");
    let error = outcome(r#"let p = "../la"; import p + "b/x" as x;"#);
    assert!(error.contains("may not be read"), "{error}");
}
