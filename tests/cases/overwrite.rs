//! Output folders that already hold something.

use std::path::{Path, PathBuf};

use super::{case, printed, refused, tureen};

/// A folder with copies of the two adapters.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["lora-1", "lora-2"] {
        copy(&case("overwrite").join(name), &folder.path().join(name));
    }
    folder
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// The files of a folder with their contents.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push((path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    all.sort();
    all
}

fn line(folder: &Path, command: &str) -> std::process::Output {
    tureen(folder, &command.split(' ').collect::<Vec<_>>())
}

#[test]
fn inputs_are_not_overwritten_by_any_command() {
    let folder = place();
    let at = folder.path();
    std::os::unix::fs::symlink("lora-1", at.join("link")).unwrap();
    std::fs::create_dir(at.join("below")).unwrap();
    let before = files(at);
    for out in ["lora-1", "link", "below/../lora-1", "./lora-1/"] {
        for command in [
            format!("soup lora-1 lora-2 --out {out}"),
            format!("prune lora-1 --sparsity 0.9 --out {out}"),
            format!("convert --format peft lora-1 {out}"),
        ] {
            let told = refused(&line(at, &command));
            assert!(told.contains("is an input"), "{command}: {told}");
            assert!(told.contains("--force"), "{command}: {told}");
            assert_eq!(files(at), before, "{command}");
        }
    }
}

#[test]
fn folders_of_others_are_not_overwritten() {
    let folder = place();
    let at = folder.path();
    copy(&at.join("lora-2"), &at.join("theirs"));
    std::fs::write(at.join("theirs/README.md"), "licence: theirs\n").unwrap();
    std::fs::create_dir(at.join("notes")).unwrap();
    std::fs::write(at.join("notes/README.md"), "mine\n").unwrap();
    let before = files(at);
    for out in ["theirs", "notes", "."] {
        for command in [
            "soup lora-1 lora-2 --out",
            "prune lora-1 --sparsity 0.5 --out",
            "convert --format peft lora-1",
        ] {
            let told = refused(&line(at, &format!("{command} {out}")));
            assert!(told.contains("would be lost"), "{command} {out}: {told}");
            assert_eq!(files(at), before, "{command} {out}");
        }
    }
    // A file is no folder.
    let told = refused(&line(at, "convert --format peft lora-1 notes/README.md"));
    assert!(told.contains("is a file"), "{told}");
}

#[test]
fn force_overwrites_and_reads_the_input_first() {
    let folder = place();
    let at = folder.path();
    printed(&line(at, "prune lora-1 --sparsity 0.9 --out apart"));
    printed(&line(
        at,
        "prune lora-1 --sparsity 0.9 --out lora-1 --force",
    ));
    let weights =
        |name: &str| std::fs::read(at.join(name).join("adapter_model.safetensors")).unwrap();
    assert_eq!(weights("apart"), weights("lora-1"));
    printed(&line(at, "convert --format peft lora-2 lora-2 --force"));
    printed(&line(at, "soup lora-1 lora-2 --out lora-1 --force"));
    // The forms of another layout go, what is not an adapter's stays.
    std::fs::write(at.join("lora-2/notes.txt"), "mine\n").unwrap();
    printed(&line(
        at,
        "prune lora-2 --sparsity 0.5 --layout sparse --out lora-2 --force",
    ));
    let names = |name: &str| -> Vec<String> {
        let all = files(&at.join(name)).into_iter();
        all.map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    };
    let left = names("lora-2");
    assert!(left.contains(&"notes.txt".to_string()), "{left:?}");
    assert!(
        !left.contains(&"adapter_model.safetensors".to_string()),
        "{left:?}"
    );
    assert!(
        left.contains(&"adapter.sparse.safetensors".to_string()),
        "{left:?}"
    );
    assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
}

#[test]
fn the_same_command_may_run_again_and_an_edited_card_stays() {
    let folder = place();
    let at = folder.path();
    for command in [
        "soup lora-1 lora-2 --out soup",
        "prune lora-1 --sparsity 0.5 --out pruned",
        "convert --format peft lora-1 converted",
    ] {
        printed(&line(at, command));
        let first = files(at);
        printed(&line(at, command));
        assert_eq!(files(at), first, "{command}");
    }
    // Another adapter does not take its place.
    let told = refused(&line(at, "prune lora-1 --sparsity 0.6 --out pruned"));
    assert!(told.contains("holds another adapter"), "{told}");
    let card = at.join("pruned/README.md");
    let edited = std::fs::read_to_string(&card).unwrap() + "\nlicence: mine\n";
    std::fs::write(&card, &edited).unwrap();
    printed(&line(at, "prune lora-1 --sparsity 0.5 --out pruned"));
    assert_eq!(std::fs::read_to_string(&card).unwrap(), edited);
    printed(&line(at, "prune lora-1 --sparsity 0.5 --out pruned"));
    assert_eq!(std::fs::read_to_string(&card).unwrap(), edited);
    // Weights that somebody changed since are nobody's to replace.
    let weights = at.join("converted/adapter_model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let told = refused(&line(at, "convert --format peft lora-1 converted"));
    assert!(
        told.contains("adapter_model.safetensors would be lost"),
        "{told}"
    );
}

#[test]
fn what_a_session_writes_replaces_nothing_but_its_own() {
    let folder = place();
    let at = folder.path();
    for name in [
        "t.csv",
        "t.svg",
        "t.svg.csv",
        "m.safetensors",
        "x.safetensors",
        "n.txt",
    ] {
        std::fs::write(at.join(name), "theirs").unwrap();
    }
    let table = "let t = table([#{ x: 1, y: 2 }, #{ x: 2, y: 3 }]); ";
    let adapter = "let a = load_adapter(\"lora-1\"); ";
    let cases = [
        (table, "t.save(\"t.csv\"FORCE)"),
        (table, "t.line(\"x\", \"y\").save(\"t.svg\"FORCE)"),
        (adapter, "a.prune(0.5).mask.save(\"m.safetensors\"FORCE)"),
        (
            "",
            "save_tensors(\"x.safetensors\", #{ h: tensor([1.0]) }FORCE)",
        ),
        ("", "write_text(\"n.txt\", \"new\"FORCE)"),
        (adapter, "a.save(\"lora-2\"FORCE)"),
        (adapter, "a.save(\"lora-1\"FORCE)"),
        (adapter, "a.save(\"lora-2\", #{ layout: \"sparse\"MORE })"),
    ];
    let before = files(at);
    let code = |setup: &str, call: &str, force: bool| {
        let (plain, more) = match force {
            true => (", #{ force: true }", ", force: true"),
            false => ("", ""),
        };
        format!(
            "{setup}{};",
            call.replace("FORCE", plain).replace("MORE", more)
        )
    };
    for (setup, call) in cases {
        let told = refused(&tureen(at, &["-e", &code(setup, call, false)]));
        assert!(told.contains("force: true"), "{call}: {told}");
        assert_eq!(files(at), before, "{call}");
    }
    for (setup, call) in cases {
        printed(&tureen(at, &["-e", &code(setup, call, true)]));
        // What is the same already is not lost.
        if !call.contains("a.save(\"lora-1\"") {
            printed(&tureen(at, &["-e", &code(setup, call, false)]));
        }
    }
    // Within a session a file may be written again and again.
    let twice =
        "for x in 1..4 { table([#{ x: x }]).save(\"again.csv\"); } read_text(\"again.csv\")";
    assert_eq!(printed(&tureen(at, &["-e", twice])).0.trim(), "x\n3");
    let told = refused(&tureen(
        at,
        &[
            "-e",
            "let t = read_table(\"again.csv\"); t.add(\"y\", |r| 1).save(\"again.csv\");",
        ],
    ));
    assert!(told.contains("is an input"), "{told}");
    // A pattern of options that files do not have.
    let told = refused(&tureen(
        at,
        &[
            "-e",
            "table([#{ x: 1 }]).save(\"new.csv\", #{ layout: \"dense\" })",
        ],
    ));
    assert!(told.contains("unknown option layout"), "{told}");
}

const STUDY: &str = r#"
let rate = param("rate", 0.5);
let a = load_adapter("lora-1");
write_text("pruned/notes.txt", "of the run");
a.prune(rate).save("pruned");
table([#{ rate: rate }]).save("rates.csv");
table([#{ x: 1, y: rate }, #{ x: 2, y: 3.0 }]).line("x", "y").save("line.svg");
"#;

#[test]
fn a_study_runs_again_in_its_folder_and_in_nobody_elses() {
    let folder = place();
    let at = folder.path();
    std::fs::write(at.join("study.rhai"), STUDY).unwrap();
    let run = |out: &str, rate: &str| {
        let rate = format!("rate={rate}");
        tureen(at, &["run", "study.rhai", "--out", out, "--set", &rate])
    };
    // A rerun replaces what it wrote, also what came out otherwise.
    for rate in ["0.5", "0.5", "0.75"] {
        printed(&run("out", rate));
        let table = std::fs::read_to_string(at.join("out/rates.csv")).unwrap();
        assert_eq!(table, format!("rate\n{rate}\n"));
    }
    let card = at.join("out/pruned/README.md");
    std::fs::write(&card, "licence: mine\n").unwrap();
    printed(&run("out", "0.75"));
    assert_eq!(std::fs::read_to_string(&card).unwrap(), "licence: mine\n");
    let told = refused(&run("out", "0.5"));
    assert!(told.contains("holds another adapter"), "{told}");
    // A folder with files of somebody else is theirs.
    std::fs::create_dir(at.join("theirs")).unwrap();
    std::fs::write(at.join("theirs/rates.csv"), "mine\n").unwrap();
    let told = refused(&run("theirs", "0.5"));
    assert!(told.contains("is there already"), "{told}");
    assert_eq!(
        std::fs::read_to_string(at.join("theirs/rates.csv")).unwrap(),
        "mine\n"
    );
    std::fs::create_dir(at.join("report")).unwrap();
    std::fs::write(at.join("report/report.html"), "mine\n").unwrap();
    let told = refused(&run("report", "0.5"));
    assert!(told.contains("is no record of a run"), "{told}");
    assert_eq!(files(&at.join("report")).len(), 1);
    // An archive and a lock replace their like alone.
    printed(&line(
        at,
        "pack study.rhai --run out --folder . --out study.tureen",
    ));
    printed(&line(
        at,
        "pack study.rhai --run out --folder . --out study.tureen",
    ));
    std::fs::write(at.join("study.tureen"), "mine\n").unwrap();
    let told = refused(&line(
        at,
        "pack study.rhai --run out --folder . --out study.tureen",
    ));
    assert!(told.contains("is no archive"), "{told}");
    printed(&line(
        at,
        "pack study.rhai --run out --folder . --out study.tureen --force",
    ));
    printed(&line(at, "lock study.rhai --run out --folder ."));
    printed(&line(at, "lock study.rhai --run out --folder ."));
    std::fs::write(at.join("study.rhai.lock"), "mine\n").unwrap();
    let told = refused(&line(at, "lock study.rhai --run out --folder ."));
    assert!(told.contains("is no lock"), "{told}");
    printed(&line(at, "lock study.rhai --run out --folder . --force"));
    // Definition files.
    printed(&line(at, "doc --definitions definitions"));
    printed(&line(at, "doc --definitions definitions"));
    std::fs::write(at.join("definitions/global.d.rhai"), "mine\n").unwrap();
    let told = refused(&line(at, "doc --definitions definitions"));
    assert!(told.contains("is no definition file"), "{told}");
    printed(&line(at, "doc --definitions definitions --force"));
}

#[test]
fn signs_keep_the_files_that_are_there() {
    let folder = place();
    let at = folder.path();
    std::fs::write(at.join("p.csv"), "mine\n").unwrap();
    let told = refused(&line(at, "signs lora-1 lora-2 --out p.csv"));
    assert!(told.contains("is there already"), "{told}");
    printed(&line(at, "signs lora-1 lora-2 --out p.csv --force"));
    printed(&line(at, "signs lora-1 lora-2 --out p.csv"));
    let told = refused(&line(at, "signs lora-1 lora-2 --force"));
    assert!(told.contains("nothing is written"), "{told}");
}
