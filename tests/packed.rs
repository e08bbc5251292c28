//! Studies that were packed by an earlier version of the program.

use std::path::Path;
use std::process::Command;

/// Every archive opens, is run again from nothing kept, and gives what it recorded: to the bit where
/// neither the class of processors nor the version of an operation differs, which is said.
#[test]
fn earlier_archives_are_reproduced() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packed");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let pack = entry.unwrap().path();
        let place = tempfile::tempdir().unwrap();
        // Accuracies are of four or eight texts: one answer more or less is a fifth.
        let output = Command::new(env!("CARGO_BIN_EXE_tureen"))
            .args(["reproduce", "--tolerance", "0.26"])
            .arg(&pack)
            .current_dir(place.path())
            .env("TUREEN_STORE", place.path().join("store"))
            .env("HF_HUB_OFFLINE", "1")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let name = pack.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(output.status.success(), "{name}: {out}{err}");
        let changed = out.contains("new version: ");
        match name.as_str() {
            // Nothing but weights, whose operations have their first versions.
            "weights" => {
                let exact = match out.contains("computed by  x86-64-amx") {
                    // Another class of processors, for which a tolerance is taken.
                    true => "1 the same, 0 not",
                    false => "to the last bit",
                };
                assert!(!changed && out.contains(exact), "{out}");
            }
            _ => assert!(changed && out.contains("reproduced: "), "{name}: {out}"),
        }
        seen += 1;
    }
    assert_eq!(seen, 10);
}
