//! Archives: what goes in, the same bytes, and what is refused of those that come from anyone.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::study::files::{files_id, listed};
use crate::study::{Lock, Record, Run};

/// A study in `sub/` with a module, a file above it, and a run of it.
struct Place {
    folder: tempfile::TempDir,
    run: Run,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), text).unwrap();
        };
        write("sub/s.rhai", "let x = 1;");
        write("sub/lib/helpers.rhai", "fn f() { 1 }");
        write("mods/shared.rhai", "fn g() { 1 }");
        write("data/rows.csv", "x\n1\n");
        write("sub/set/train.csv", "text,label\na,b\n");
        write("run/run.json", "");
        write("run/figures/fig.svg", "<svg/>");
        write("run/.writing-1", "left by a crash");
        let script = at("sub/s.rhai");
        let mut record = Record::begin(&script, "let x = 1;", BTreeMap::new());
        let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
        record.imports = BTreeMap::from([
            ("lib/helpers.rhai".into(), hash("fn f() { 1 }")),
            (format!("{ON_PATH}shared.rhai"), hash("fn g() { 1 }")),
            ("stdlib/soups.rhai".into(), hash("x")),
        ]);
        let id = |name: &str| files_id(&at(name)).unwrap().to_string();
        record.inputs = BTreeMap::from([
            ("file ../data/rows.csv".into(), id("data/rows.csv")),
            ("dataset set".into(), id("sub/set")),
            ("dataset films".into(), "abc".into()),
            ("model roberta-base".into(), "def".into()),
        ]);
        record.end(Ok(()));
        record.save(&at("run")).unwrap();
        let run = Run {
            folder: at("run"),
            record,
        };
        Self { folder, run }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pack(&self, limit: u64, out: &str) -> crate::Result<Packed> {
        let carried =
            |kind: &str, name: &str| (kind == "module") || (kind == "dataset" && name == "films");
        Packing {
            script: &self.at("sub/s.rhai"),
            run: &self.run,
            lock: &Lock::of(&self.run.record),
            limit,
            module_path: &[self.at("mods")],
            carried: &carried,
        }
        .write(&self.at(out))
    }

    /// An archive of these files, with a manifest that lists them.
    fn archive(&self, files: &[(&str, &[u8])], link: Option<&str>) -> PathBuf {
        let path = self.at("odd.tureen");
        let mut zip = ZipWriter::new(std::fs::File::create(&path).unwrap());
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let mut manifest = Manifest {
            pack: 1,
            version: "1".into(),
            script: "study/s.rhai".into(),
            run: "run".into(),
            files: BTreeMap::new(),
            left_out: Vec::new(),
        };
        let script: (&str, &[u8]) = ("study/s.rhai", b"1");
        for (name, bytes) in [script].iter().chain(files) {
            zip.start_file(*name, stored).unwrap();
            zip.write_all(bytes).unwrap();
            let hash = blake3::hash(bytes).to_hex().to_string();
            manifest.files.insert((*name).to_string(), hash);
        }
        if let Some(target) = link {
            zip.add_symlink("study/link", target, stored).unwrap();
        }
        zip.start_file(MANIFEST, stored).unwrap();
        zip.write_all(&serde_json::to_vec(&manifest).unwrap())
            .unwrap();
        zip.finish().unwrap();
        path
    }
}

fn refused(path: &Path) -> String {
    match Pack::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_archive_holds_the_study_as_it_lies_and_the_same_contents_give_the_same_bytes() {
    let place = Place::new();
    let packed = place.pack(1000, "a.tureen").unwrap();
    let names: Vec<&str> = packed.manifest.files.keys().map(String::as_str).collect();
    insta::assert_snapshot!(names.join("\n"), @r"
    modules/shared.rhai
    run/figures/fig.svg
    run/run.json
    study/data/rows.csv
    study/sub/lib/helpers.rhai
    study/sub/s.rhai
    study/sub/s.rhai.lock
    study/sub/set/train.csv
    ");
    let left: Vec<&str> = packed
        .manifest
        .left_out
        .iter()
        .map(|l| l.what.as_str())
        .collect();
    assert_eq!(left, ["model roberta-base"]);
    place.pack(1000, "b.tureen").unwrap();
    let bytes = |name: &str| std::fs::read(place.at(name)).unwrap();
    assert_eq!(bytes("a.tureen"), bytes("b.tureen"));
    assert_eq!(bytes("a.tureen").len() as u64, packed.bytes);

    // It unpacks to what was packed, and its lock pins it.
    let mut pack = Pack::open(&place.at("a.tureen")).unwrap();
    let to = place.at("unpacked");
    pack.unpack(&to).unwrap();
    let script = pack.script(&to);
    assert_eq!(std::fs::read(&script).unwrap(), b"let x = 1;");
    let beside = script.parent().unwrap().join("../data/rows.csv");
    assert_eq!(std::fs::read(beside).unwrap(), b"x\n1\n");
    assert!(Pack::modules(&to).join("shared.rhai").is_file());
    assert_eq!(Lock::read(&script).unwrap(), pack.lock().unwrap());
    assert_eq!(
        pack.run().unwrap().record.script_hash,
        place.run.record.script_hash
    );
}

#[test]
fn what_is_large_is_left_out_and_can_be_given() {
    let place = Place::new();
    let packed = place.pack(10, "a.tureen").unwrap();
    let left: Vec<String> = packed
        .manifest
        .left_out
        .iter()
        .map(|l| format!("{} {:?} {:?}: {}", l.what, l.bytes, l.place, l.why))
        .collect();
    insta::assert_snapshot!(left.join("\n"), @r#"
    dataset set Some(15) Some("study/sub/set"): it is larger than the limit
    model roberta-base None None: it comes from the hub
    "#);
    let mut pack = Pack::open(&place.at("a.tureen")).unwrap();
    let mut missing = |given: Option<&Path>, to: &str| -> usize {
        let to = place.at(to);
        std::fs::create_dir(&to).unwrap();
        pack.unpack(&to).unwrap();
        pack.complete(&to, given).unwrap().len()
    };
    assert_eq!(missing(None, "without"), 1);
    assert_eq!(missing(Some(&place.at("sub")), "with"), 0);
    assert!(place.at("with/study/sub/set/train.csv").is_file());
}

#[test]
fn what_is_not_as_the_run_read_it_is_named() {
    let place = Place::new();
    let told = |name: &str, text: &str| {
        let before = std::fs::read(place.at(name)).unwrap();
        std::fs::write(place.at(name), text).unwrap();
        let error = place.pack(1000, "a.tureen").unwrap_err().to_string();
        std::fs::write(place.at(name), before).unwrap();
        assert!(!place.at("a.tureen").exists());
        error
    };
    assert!(told("sub/s.rhai", "2").contains("s.rhai has changed since run"));
    let error = told("sub/lib/helpers.rhai", "2");
    assert!(
        error.contains("the module lib/helpers.rhai has changed"),
        "{error}"
    );
    let error = told("data/rows.csv", "2");
    assert!(
        error.contains("the file ../data/rows.csv has changed"),
        "{error}"
    );
    std::fs::remove_file(place.at("mods/shared.rhai")).unwrap();
    std::fs::remove_file(place.at("data/rows.csv")).unwrap();
    let error = place.pack(1000, "a.tureen").unwrap_err().to_string();
    assert!(error.contains("is no more"), "{error}");
}

#[test]
fn every_changed_byte_of_an_archive_is_told() {
    let place = Place::new();
    place.pack(1000, "a.tureen").unwrap();
    let whole = std::fs::read(place.at("a.tureen")).unwrap();
    let mut opened = 0;
    for at in (0..whole.len()).step_by(29) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        std::fs::write(place.at("b.tureen"), &bytes).unwrap();
        let to = tempfile::tempdir().unwrap();
        let unpacked = Pack::open(&place.at("b.tureen")).and_then(|mut pack| {
            pack.unpack(to.path())?;
            Ok(pack.manifest().clone())
        });
        // What is left is what a zip says of itself alone, such as a file's time.
        if let Ok(manifest) = unpacked {
            opened += 1;
            for (name, hash) in &manifest.files {
                if let Ok(bytes) = std::fs::read(to.path().join(name)) {
                    assert_eq!(
                        blake3::hash(&bytes).to_hex().as_str(),
                        hash,
                        "{name} at {at}"
                    );
                }
            }
        }
    }
    assert!(opened < whole.len() / 29, "nothing was ever refused");
}

#[test]
fn an_archive_that_reaches_outside_its_folder_is_refused() {
    let place = Place::new();
    let inside = listed(place.folder.path()).unwrap();
    for name in [
        "../evil",
        "study/../../evil",
        "/evil",
        "study//evil",
        "study/./evil",
        "C:/evil",
        "study\\..\\..\\evil",
        "..",
    ] {
        let told = refused(&place.archive(&[(name, b"x")], None));
        assert!(told.contains("no path within it"), "{name}: {told}");
    }
    let told = refused(&place.archive(&[], Some("/etc/passwd")));
    assert!(
        told.contains("study/link, which is no plain file"),
        "{told}"
    );
    let told = refused(&place.archive(&[("study/S.rhai", b"x")], None));
    assert!(told.contains("twice"), "{told}");
    std::fs::remove_file(place.at("odd.tureen")).unwrap();
    assert_eq!(listed(place.folder.path()).unwrap(), inside);
}

#[test]
fn what_is_no_archive_of_a_study_is_told() {
    let place = Place::new();
    let path = place.at("x.tureen");
    std::fs::write(&path, "no zip").unwrap();
    assert!(refused(&path).contains("not a readable archive"));
    let mut zip = ZipWriter::new(std::fs::File::create(&path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file("a.txt", stored).unwrap();
    zip.finish().unwrap();
    assert!(refused(&path).contains("no tureen.json"));
    assert!(refused(&place.at("none.tureen")).contains("none.tureen"));
    // A script beside the manifest that the manifest does not list.
    let odd = place.archive(&[("study/t.rhai", b"x")], None);
    let bytes = std::fs::read(&odd).unwrap();
    let text = bytes
        .windows(14)
        .rposition(|w| w == b"\"study/t.rhai\"")
        .unwrap();
    let mut changed = bytes.clone();
    changed[text + 7] = b'u';
    std::fs::write(&odd, changed).unwrap();
    // The zip's checksum or the list: either way it is refused.
    refused(&odd);
}
