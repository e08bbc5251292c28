//! Training and evaluation of encoders that are computed node by node, batches in pieces.

use std::collections::BTreeMap;
use std::process::Command;

use super::Case;
use crate::training::files;

/// Words of the small models' vocabulary, in the order of their ids.
fn words() -> Vec<String> {
    let special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"];
    let plain = (special.len()..30).map(|i| format!("w{i}"));
    special.map(String::from).into_iter().chain(plain).collect()
}

/// `rows` texts of 4 to 16 words, whose first one tells the label.
fn texts(rows: usize) -> String {
    let mut all = "text,label\n".to_string();
    let words = words();
    for row in 0..rows {
        let length = 4 + row * 5 % 13;
        let text: Vec<&str> = (0..length)
            .map(|i| words[5 + (row * 7 + i * i * 3) % 25].as_str())
            .collect();
        all += &format!(
            "{} {},{}\n",
            ["w5", "w6"][row % 2],
            text.join(" "),
            ["no", "yes"][row % 2]
        );
    }
    all
}

#[test]
fn pieces_give_the_same_bytes_on_any_number_of_threads_and_within_a_budget() {
    for name in ["modernbert", "deberta-v2"] {
        let case = Case::new(name);
        case.write("model/vocab.txt", &words().join("\n"));
        let class = r#"{"tokenizer_class": "BertTokenizer"}"#;
        case.write("model/tokenizer_config.json", class);
        for (split, rows) in [("train", 80), ("validation", 4), ("test", 80)] {
            case.write(&format!("data/{split}.csv"), &texts(rows));
        }
        case.write(
            "s.rhai",
            r#"
                let base = model("model");
                let data = dataset("data");
                let options = #{ adapter: "lora", batch: 80, epochs: 2, warmup: 0.0, lr: 0.01 };
                let a = train(base, data, options);
                a.save("adapter");
                let s = evaluate(base, a, data);
                print(`${s.loss}\n${s.predictions}`);
            "#,
        );
        let run = |more: &[&str]| {
            let out = format!("out{}", more.concat());
            let output = Command::new(env!("CARGO_BIN_EXE_tureen"))
                .args(["run", "s.rhai", "--no-store", "--out", &out])
                .args(more)
                .current_dir(case.folder.path())
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: {told}");
            let (adapter, mut all) = (case.path(&out).join("adapter"), BTreeMap::new());
            files(&adapter, &adapter, &mut all);
            assert!(all.len() > 1, "{:?}", all.keys());
            (output.stdout, all)
        };
        let one = run(&["--threads", "1"]);
        assert!(one == run(&["--threads", "3"]), "{name}");
        if cfg!(target_os = "linux") {
            assert!(one == run(&["--threads", "2", "--memory", "4GB"]), "{name}");
        }
    }
}
