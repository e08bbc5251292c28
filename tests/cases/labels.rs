//! The order and the names of a dataset's and a head's labels.

use std::path::Path;

use super::{case, printed, refused, tureen};

/// Two published adapters whose heads have no names for their 3 and 12 classes, and rows that they
/// answer right.
const CASE: &str = "labels-by-position";

const PRELUDE: &str = "let b = model(\"base\"); \
    let a3 = load_adapter(\"adapter3\"); let a12 = load_adapter(\"adapter12\"); ";

/// A run of this code in the folder of the case.
fn run(code: &str) -> std::process::Output {
    tureen(&case(CASE), &["-e", &format!("{PRELUDE}{code}")])
}

#[test]
fn a_head_without_names_is_matched_by_the_order_that_a_dataset_declares() {
    let (out, err) = printed(&run(r#"
        let ints3 = dataset("ints3.csv"); let names3 = dataset("names3.parquet");
        let names = ["entailment", "neutral", "contradiction"];
        let map = #{ "0": names[0], "1": names[1], "2": names[2] };
        print(names3.labels);
        print(evaluate(b, a3, ints3).accuracy);
        print(evaluate(b, a3, names3).accuracy);
        print(evaluate(b, a3, dataset("ints3.csv", #{ labels: map })).accuracy);
        print(evaluate(b, a3, dataset("ints3.csv", #{ labels: names })).accuracy);
        print(evaluate(b, a12, dataset("ints12.csv")).accuracy);
        print(attack(b, a3, names3, #{ recipe: "deepwordbug", n: 20 }).original_accuracy);
        let pruned = |data, by| prune(a3, 0.5, #{ by: by, model: b, data: data }).mask;
        print(pruned.call(names3, "snip").overlap(pruned.call(ints3, "snip")));
        print(pruned.call(names3, "grasp").overlap(pruned.call(ints3, "grasp")));
        print(evaluate_all(b, [a3], #{ on: [names3] })[0].accuracy);
    "#));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], r#"["entailment", "neutral", "contradiction"]"#);
    assert!(lines[1..].iter().all(|line| *line == "1.0"), "{out}");
    assert_eq!(lines.len(), 10);
    // Once a dataset, whichever function it is.
    let told = "names3: the head adapter3 has no names for its classes, so they are taken in the order of the dataset: 0 entailment, 1 neutral, 2 contradiction";
    assert_eq!(err.matches(told).count(), 1, "{err}");
}

#[test]
fn soups_by_evidence_read_labels_in_the_order_that_is_declared() {
    let (out, _) = printed(&run(r#"
        let all = [dataset("ints3.csv"), dataset("names3.parquet")];
        let mixed = |data, method| {
            let s = soup([a3, a3], #{ method: method, model: b, data: [data, data] });
            s.tensors()
        };
        for method in ["fisher", "regmean"] {
            let one = mixed.call(all[0], method); let other = mixed.call(all[1], method);
            let off = 0.0;
            for name in one.keys() { off += one[name].max_abs_diff(other[name]); }
            print(`${method} ${off}`);
        }
        let costs = [];
        for data in all {
            let g = greedy_soup(b, [a3], data, #{ split: "test" });
            let l = learned_soup(b, [a3, a3], data, #{ evaluations: 4, split: "test" });
            costs.push(l.recipe.chosen.cost_uniform);
            print(`${g.recipe.chosen.value} ${evaluate(b, g, data).accuracy}`);
        }
        print(costs[0] == costs[1]);
    "#));
    assert_eq!(out, "fisher 0.0\nregmean 0.0\n1.0 1.0\n1.0 1.0\ntrue\n");
}

#[test]
fn a_head_without_names_asks_for_the_order_where_none_is_declared() {
    let rows = r#"
        let rows = [];
        for row in dataset("names3.parquet").test.table() { rows.push(#{ text: row.text, label: row.label }); }
        let d = dataset(rows, #{ name: "mine" });
    "#;
    let expected = "the head has no names for its 3 classes, and mine declares no order of its labels: \
        contradiction, entailment, neutral";
    let hint = "give the labels in the order of the head's classes: dataset(.., #{ labels: [\"..\", \"..\"] })";
    for call in [
        "evaluate(b, a3, d)",
        "evaluate_all(b, [a3], #{ on: [d] })",
        "attack(b, a3, d, #{ recipe: \"deepwordbug\", n: 2 })",
        "prune(a3, 0.5, #{ by: \"snip\", model: b, data: d })",
        "prune(a3, 0.5, #{ by: \"grasp\", model: b, data: d })",
        "soup([a3, a3], #{ method: \"fisher\", model: b, data: [d, d] })",
        "soup([a3, a3], #{ method: \"regmean\", model: b, data: [d, d] })",
        "greedy_soup(b, [a3], d)",
        "learned_soup(b, [a3, a3], d, #{ evaluations: 2 })",
        "train(b, d, #{ from: a3 })",
    ] {
        let error = refused(&run(&format!("{rows} {call}")));
        assert!(error.contains(expected), "{call}: {error}");
        assert!(error.contains(hint), "{call}: {error}");
    }
    let ordered = r#"print(evaluate(b, a3, dataset(rows, #{ labels: ["entailment", "neutral", "contradiction"] })).accuracy)"#;
    let (out, _) = printed(&run(&format!("{rows} {ordered}")));
    assert_eq!(out, "1.0\n");
    // Names of a map whose keys are no numbers come without an order.
    let map = r#"evaluate(b, a3, dataset(rows, #{ labels: #{ entailment: "e", neutral: "n", contradiction: "c" } }))"#;
    let error = refused(&run(&format!("{rows} {map}")));
    assert!(
        error.contains("declares no order of its labels: c, e, n"),
        "{error}"
    );
}

#[test]
fn another_number_of_classes_is_an_error() {
    for data in ["ints3.csv", "names3.parquet"] {
        let error = refused(&run(&format!("evaluate(b, a12, dataset(\"{data}\"))")));
        assert!(
            error.contains("the head tells 12 labels apart, but"),
            "{error}"
        );
    }
}

#[test]
fn a_class_without_rows_keeps_its_place() {
    let (out, _) = printed(&run(r#"
        let two = dataset("two_of_three.parquet");
        print(two.labels);
        print(evaluate(b, a3, two).accuracy);
        let kept = dataset("names3.parquet").filter(|r| r.label != "neutral");
        print(kept.labels);
        print(evaluate(b, a3, kept).accuracy);
        print(kept.id == two.id);
        let ints = dataset("ints12.csv").filter(|r| r.label != "3" && r.label != "11");
        print(ints.labels);
        print(evaluate(b, a12, ints).accuracy);
        print(evaluate(b, a12, dataset("ints12.csv").sample(9, #{ seed: 1 })).accuracy);
    "#));
    assert_eq!(
        out,
        "[\"entailment\", \"contradiction\"]\n1.0\n[\"entailment\", \"contradiction\"]\n1.0\ntrue\n\
         [\"0\", \"1\", \"2\", \"4\", \"5\", \"6\", \"7\", \"8\", \"9\", \"10\"]\n1.0\n1.0\n"
    );
}

/// The rows of a file of texts and integers.
fn rows_of(file: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(case(CASE).join(file)).unwrap();
    let row = |line: &str| {
        let (text, label) = line.split_once(',').unwrap();
        (text.to_string(), label.to_string())
    };
    text.lines().skip(1).map(row).collect()
}

#[test]
fn integers_are_in_their_own_order_in_every_format() {
    let rows = rows_of("ints12.csv");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let lines = |row: &dyn Fn(&(String, String)) -> String, separator: &str| {
        let rows: Vec<String> = rows.iter().map(row).collect();
        rows.join(separator)
    };
    let json = |end: &'static str| {
        move |(text, label): &(String, String)| {
            format!("{{\"text\": \"{text}\", \"label\": {label}{end}}}")
        }
    };
    let write = |name: &str, content: String| {
        let path = path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    let separated = |separator: &str| {
        let own = lines(&|(text, label)| format!("{text}{separator}{label}"), "\n");
        format!("text{separator}label\n{own}\n")
    };
    write("a.tsv", separated("\t"));
    write("b.csv", separated(";"));
    write("c.jsonl", lines(&json(""), "\n"));
    write("d.jsonl", lines(&json(".0"), "\n"));
    write("e.json", format!("[{}]", lines(&json(""), ", ")));
    write("f/train.csv", separated(","));
    write("f/test.jsonl", lines(&json(""), "\n"));
    let mut code = format!(
        "let b = model({:?}); let a = load_adapter({:?}); let all = [dataset({:?})];",
        case(CASE).join("base"),
        case(CASE).join("adapter12"),
        case(CASE).join("ints12.parquet"),
    );
    code += r#"
        for name in ["a.tsv", "b.csv", "c.jsonl", "d.jsonl", "e.json", "f"] { all.push(dataset(name)); }
        let maps = [];
        for row in dataset("c.jsonl").test.table() { maps.push(#{ text: row.text, label: parse_int(row.label) }); }
        all.push(dataset(maps));
        for data in all { print(`${data.labels.len} ${data.labels[10]} ${evaluate(b, a, data).accuracy}`); }
        let first = all[0].id;
        print(all.map(|d| d.id).filter(|id| id == first).len);
    "#;
    let arguments = ["--allow-read", "/", "-e", &code];
    let (out, _) = printed(&tureen(folder.path(), &arguments));
    // The folder of splits has another id.
    assert_eq!(out, "12 10 1.0\n".repeat(8) + "7\n");
}

#[test]
fn the_splits_of_a_dataset_have_one_order() {
    let (out, _) = printed(&run(r#"
        let saved = dataset("saved");
        print(saved.labels);
        let score = evaluate(b, a3, saved);
        print(`${score.n} ${score.accuracy}`);
    "#));
    assert_eq!(
        out,
        "[\"entailment\", \"neutral\", \"contradiction\"]\n37 1.0\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(case(CASE).join("names3.parquet"), data.join("test.parquet")).unwrap();
    let named: String = rows_of("ints3.csv")
        .iter()
        .map(|(text, label)| {
            let names = ["entailment", "neutral", "contradiction"];
            format!("{text},{}\n", names[label.parse::<usize>().unwrap()])
        })
        .collect();
    // The order that one split declares counts for all.
    std::fs::write(data.join("train.csv"), format!("text,label\n{named}")).unwrap();
    let code = "let d = dataset(\"data\"); print(d.labels);";
    let (out, _) = printed(&tureen(folder.path(), &["-e", code]));
    assert_eq!(out, "[\"entailment\", \"neutral\", \"contradiction\"]\n");
    // A class that train does not have is an error, declared or not.
    std::fs::copy(
        case(CASE).join("two_of_three.parquet"),
        data.join("train.parquet"),
    )
    .unwrap();
    std::fs::remove_file(data.join("train.csv")).unwrap();
    let error = refused(&tureen(folder.path(), &["-e", code]));
    assert!(
        error.contains("\"neutral\" is not among the labels of train: entailment, contradiction"),
        "{error}"
    );
}

#[test]
fn the_order_of_labels_counts_in_the_id() {
    let (out, _) = printed(&run(r#"
        let rows = [#{ text: "one", label: "x" }, #{ text: "two", label: "y" }];
        let plain = dataset(rows);
        print(plain.id == dataset(rows, #{ labels: ["x", "y"] }).id);
        print(plain.id == dataset(rows, #{ labels: ["y", "x"] }).id);
        print(plain.id == dataset(rows, #{ labels: ["x", "z", "y"] }).id);
        print(dataset(rows, #{ labels: ["y", "x"] }).labels);
    "#));
    assert_eq!(out, "true\nfalse\nfalse\n[\"y\", \"x\"]\n");
}

#[test]
fn what_is_not_among_the_listed_labels_is_named() {
    for (labels, expected) in [
        (
            "[\"a\", \"b\"]",
            "class 2, but the option labels has 2 names, counted from 0",
        ),
        ("[0, 1]", "class 2, but the option labels has 2 names"),
        ("[\"a\", \"a\"]", "a is in the list twice"),
        ("[]", "names no label"),
        ("[#{}]", "in the list, expected a name"),
        ("\"a\"", "expected a map or a list of names"),
    ] {
        let error = refused(&run(&format!(
            "dataset(\"ints3.csv\", #{{ labels: {labels} }})"
        )));
        assert!(error.contains(expected), "{labels}: {error}");
    }
}

/// A training of a small adapter on these rows, saved and loaded again.
const SAVED: &str = "let b = model(base); let f = dataset(\"films.csv\"); let m = dataset(\"mail.csv\"); \
    let a = train(b, f, #{ adapter: \"lora\", epochs: 1, batch: 1 });";

fn mails(folder: &Path) {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("films.csv", "text,label\nthe red fox,pos\na cat,neg\n");
    write("mail.csv", "text,label\nthe red fox,spam\na cat,ham\n");
}

#[test]
fn label_names_come_back_from_the_folders_of_both_libraries() {
    let folder = tempfile::tempdir().unwrap();
    mails(folder.path());
    let base = case(CASE).join("base");
    for format in ["peft", "adapterhub"] {
        let code = |end: &str| {
            format!(
                "let base = {base:?}; {SAVED} a.save(\"{format}\", #{{ format: \"{format}\" }}); let r = load_adapter(\"{format}\"); {end}"
            )
        };
        let run = |end: &str| {
            let arguments = ["--allow-read", "/", "-e", &code(end)];
            let output = tureen(folder.path(), &arguments);
            std::fs::remove_dir_all(folder.path().join(format)).unwrap();
            output
        };
        let (out, _) = printed(&run(
            "print(r.head.labels); print(evaluate(b, r, f).accuracy == evaluate(b, a, f).accuracy);",
        ));
        assert_eq!(out, "[\"neg\", \"pos\"]\ntrue\n", "{format}");
        for adapter in ["a", "r"] {
            let error = refused(&run(&format!("evaluate(b, {adapter}, m)")));
            let expected = "label \"ham\" of mail is not among the head's: neg, pos";
            assert!(error.contains(expected), "{format} {adapter}: {error}");
        }
    }
}

#[test]
fn a_peft_folder_alone_has_no_names() {
    let folder = tempfile::tempdir().unwrap();
    mails(folder.path());
    let base = case(CASE).join("base");
    let save = format!("let base = {base:?}; {SAVED} a.save(\"x\", #{{ format: \"peft\" }});");
    printed(&tureen(folder.path(), &["--allow-read", "/", "-e", &save]));
    std::fs::remove_file(folder.path().join("x/tureen.json")).unwrap();
    let load = format!(
        "let b = model({base:?}); let r = load_adapter(\"x\"); print(r.head.labels); evaluate(b, r, dataset(\"mail.csv\"))"
    );
    let error = refused(&tureen(folder.path(), &["--allow-read", "/", "-e", &load]));
    assert!(
        error.contains("mail declares no order of its labels: ham, spam"),
        "{error}"
    );
}

#[test]
fn heads_of_trained_adapters_are_in_the_order_of_integers() {
    let folder = tempfile::tempdir().unwrap();
    let code = format!(
        "let b = model({:?}); let d = dataset({:?}); \
         let a = train(b, d, #{{ adapter: \"lora\", epochs: 1 }}); print(a.head.labels[10]); \
         a.save(\"h\", #{{ format: \"adapterhub\" }}); print(load_adapter(\"h\").head.labels == a.head.labels);",
        case(CASE).join("base"),
        case(CASE).join("ints12.csv"),
    );
    let (out, _) = printed(&tureen(folder.path(), &["--allow-read", "/", "-e", &code]));
    assert_eq!(out, "10\ntrue\n");
}

#[test]
fn an_adapterhub_head_of_made_up_names_is_matched_by_position() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("hub");
    let save = format!(
        "a3.save({to:?}, #{{ format: \"adapterhub\" }}); let h = load_adapter({to:?}); \
         print(evaluate(b, h, dataset(\"ints3.csv\")).accuracy); \
         print(evaluate(b, h, dataset(\"names3.parquet\")).accuracy); \
         print(evaluate(b, h, dataset(\"named3.csv\")).accuracy);"
    );
    let output = tureen(
        &case(CASE),
        &[
            "--allow-read",
            "/",
            "--allow-write",
            "/",
            "-e",
            &format!("{PRELUDE}{save}"),
        ],
    );
    let (out, _) = printed(&output);
    assert_eq!(out, "1.0\n1.0\n1.0\n");
    let config = std::fs::read_to_string(to.join("head_config.json")).unwrap();
    assert!(config.contains("\"LABEL_2\": 2"), "{config}");
}

/// A class of the head without a row in the dataset is an answer, too: a wrong one.
#[test]
fn a_dataset_of_one_class_is_no_easier_for_that() {
    let (out, _) = printed(&run(r#"
        let rows = read_table("ints3.csv");
        let one = [];
        for text in rows.column("text") { one.push(#{ text: text, label: "1" }); }
        let data = dataset(one, #{ labels: ["0", "1", "2"] });
        let s = evaluate(b, a3, data);
        print(rows.column("label").filter(|label| label == 1).len);
        print(s.predictions.column("correct").filter(|right| right).len);
        print(s.predictions.column("predicted").filter(|label| label == "2").len
            == rows.column("label").filter(|label| label == 2).len);
        print(s.confusion.len);
        let found = attack(b, a3, data, #{ recipe: "deepwordbug" });
        print(found.original_accuracy == s.accuracy);
        print(evaluate_all(b, [a3], #{ on: [data] })[0].accuracy == s.accuracy);
    "#));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], lines[1], "{out}");
    assert_eq!(lines[2..], ["true", "3", "true", "true"], "{out}");
}
