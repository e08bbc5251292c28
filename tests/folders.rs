//! What lies in folders: nothing is lost there, and what was saved is found again.

use crate::studies::{Place, run_json};

#[test]
fn a_figure_leaves_a_table_of_its_name_alone() {
    let place = Place::empty();
    let script = "
        let t = table([#{ a: \"x\", v: 1, w: 2 }, #{ a: \"x\", v: 3, w: 4 }]);
        t.save(\"r.csv\");
        t.bar(\"a\", \"v\").save(\"r.svg\");
        print(read_table(\"r.csv\").columns);
        print(read_table(\"r.svg.csv\").len);";
    place.write("both.rhai", script);
    assert_eq!(place.done(&["check", "both.rhai"]), "");
    let out = place.done(&["run", "both.rhai", "--out", "out"]);
    assert_eq!(out, "[\"a\", \"v\", \"w\"]\n1\n");
}

#[test]
fn a_run_does_not_take_the_place_of_another_studys() {
    let place = Place::empty();
    place.write("one.rhai", "record(\"x\", 1);");
    place.write("two.rhai", "record(\"x\", 2);");
    place.done(&["run", "one.rhai", "--out", "out"]);
    let told = place.refused(&["run", "two.rhai", "--out", "out"]);
    assert!(
        told.contains("out holds a run of one.rhai, which would be lost; choose another folder"),
        "{told}"
    );
    assert_eq!(run_json(&place.at("out"))["recorded"]["x"], 1);
    place.write("one.rhai", "record(\"x\", 3);");
    place.done(&["run", "one.rhai", "--out", "out"]);
    assert_eq!(run_json(&place.at("out"))["recorded"]["x"], 3);
}

#[test]
fn a_run_that_was_killed_is_told_as_interrupted() {
    let place = Place::empty();
    place.write("one.rhai", "record(\"x\", 1);");
    place.done(&["run", "one.rhai", "--out", "runs/one"]);
    let path = place.at("runs/one/run.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"done\"", "\"running\"")).unwrap();
    let told = place.done(&["runs"]);
    assert_eq!(told.contains("interrupted"), cfg!(unix), "{told}");
    assert_eq!(told.contains("running"), !cfg!(unix), "{told}");
}

/// Three adapters, two of which were trained on rows of one name.
const TRAINED: &str = r#"
let base = model("mini");
let films = dataset("films").sample(96, #{ seed: 1 });
let news = dataset("news").sample(96, #{ seed: 1 });
let a = train(base, films, #{ epochs: 1 });
let b = train(base, news, #{ epochs: 1 });
let s = soup([a, b]);
s.save("mixed");
"#;

#[test]
fn a_soup_with_several_heads_comes_back_as_one() {
    let place = Place::empty();
    let read = r#"
        let again = load_adapter("out/mixed");
        print(again.name);
        let each = ["films", "news"].map(|n| load_adapter(`out/mixed/${n}`).id);
        print(again.heads.len == 2 && again.id == s.id && each[0] != each[1]);
        print(evaluate(base, again, films).accuracy == evaluate(base, s, films).accuracy);
        // Other rows of the same dataset have the same head.
        let others = dataset("news").sample(16, #{ seed: 2 });
        print(evaluate(base, again, others).n);
    "#;
    place.write("mix.rhai", &format!("{TRAINED}{read}"));
    let out = place.done(&["run", "mix.rhai", "--out", "out", "--allow-read", "out"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..3], ["mixed", "true", "true"], "{out}");

    // Files that were changed are no longer that soup's.
    let told = place.done(&["signs", "out/mixed", "out/mixed/news"]);
    assert!(told.contains("mixed"), "{told}");
    let weights = |of: &str| place.at(&format!("out/mixed/{of}/adapter.safetensors"));
    let mut bytes = std::fs::read(weights("news")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(weights("news"), bytes).unwrap();
    let told = place.refused(&["signs", "out/mixed", "out/mixed/films"]);
    assert!(
        told.contains("several adapters, not one; name one of them"),
        "{told}"
    );
}

#[test]
fn attacks_are_planned_kept_and_written_down_like_evaluations() {
    let place = Place::empty();
    let attack = r#"
        let found = attack(base, a, films, #{ recipe: "deepwordbug", n: 2 });
        record("under attack", found.accuracy_under_attack);
        print(found.n);
    "#;
    place.write("attack.rhai", &format!("{TRAINED}{attack}"));
    place.write("train.rhai", TRAINED);
    place.done(&["run", "train.rhai", "--out", "runs/train"]);
    let stored = place.store_files().len();
    let told = place.tureen(&["run", "attack.rhai", "--dry-run"]);
    assert!(
        told.ok && told.err.contains("left to compute: 1 attack"),
        "{}",
        told.err
    );
    assert_eq!(place.store_files().len(), stored);

    let first = place.done(&["run", "attack.rhai", "--out", "runs/first"]);
    let again = place.done(&["run", "attack.rhai", "--out", "runs/again"]);
    assert_eq!((first.as_str(), again.as_str()), ("2\n", "2\n"));
    let read = |run: &str, name: &str| {
        std::fs::read_to_string(place.at("runs").join(run).join(name)).unwrap()
    };
    for name in ["metrics.jsonl", "recipes.jsonl"] {
        assert_eq!(read("first", name), read("again", name), "{name}");
    }
    assert!(read("first", "metrics.jsonl").contains("\"attack\":\"films\""));
    let told = place.done(&["why", "first", "films on films under deepwordbug"]);
    assert!(
        told.contains("attack/3") && told.contains("adapter films"),
        "{told}"
    );
    let told = place.done(&["why", "again", "films on films under deepwordbug"]);
    assert!(told.contains("taken from the store"), "{told}");
}

#[test]
fn what_a_name_says_is_the_callers_whatever_the_store_has() {
    let place = Place::empty();
    let rows = "text\tlabel\nso good\tpos\nso bad\tneg\nfine\tpos\nawful\tneg\n";
    let script = "
        let base = model(\"mini\");
        let data = dataset(param(\"data\", \"\"));
        let a = train(base, data, #{ epochs: 1 });
        print(a.name);
        print(evaluate(base, a, data));
        print(attack(base, a, data, #{ recipe: \"deepwordbug\", n: 1 }).dataset);";
    place.write("named.rhai", script);
    let run = |name: &str, more: &[&str]| {
        std::fs::create_dir_all(place.at(name)).unwrap();
        for split in ["train", "validation", "test"] {
            place.write(&format!("{name}/{split}.tsv"), rows);
        }
        let data = format!("data={name}");
        let arguments = ["run", "named.rhai", "--set", &data, "--allow-read", name];
        place.done(&[&arguments[..], more].concat())
    };
    let one = run("one", &[]);
    let kept = run("two", &[]);
    let computed = run("two", &["--no-store"]);
    assert!(one.contains("one") && !one.contains("two"), "{one}");
    assert_eq!(kept, computed);
}
