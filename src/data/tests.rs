//! Whole folders, in the layouts that benchmarks are published in.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::Result;
use crate::report::table::laws::odd_text;
use crate::report::table::{Format, Table, Value};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}

fn load_with(files: &[(&str, &str)], options: &LoadOptions) -> Result<Dataset> {
    Dataset::load(folder(files).path(), options)
}

fn load(files: &[(&str, &str)]) -> Dataset {
    load_with(files, &LoadOptions::default()).unwrap()
}

fn card(data: &Dataset) -> String {
    let card = data.to_string();
    card.split_once(": ").unwrap().1.to_string()
}

#[test]
fn cola_is_read_without_a_header() {
    let data = load(&[
        (
            "train.tsv",
            "gj04\t1\t\tIt is.\nks08\t0\t*\tIs it not is.\n",
        ),
        ("dev.tsv", "gj04\t1\t\tIt was.\n"),
        ("test.tsv", "index\tsentence\n0\tIt will be.\n"),
    ]);
    assert_eq!(
        card(&data),
        "2 train, 1 validation, 1 test (hidden labels); 2 labels: 0, 1"
    );
    let texts: Vec<&str> = data.texts().collect();
    assert_eq!(texts, ["It is.", "Is it not is.", "It was.", "It will be."]);
}

#[test]
fn mrpc_and_qqp_are_pairs() {
    let data = load(&[
        (
            "train.tsv",
            "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\t\"a\tb\n0\t9\t9\tc\td\n",
        ),
        (
            "test.tsv",
            "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\te\tf\n",
        ),
    ]);
    assert_eq!(
        card(&data),
        "2 train, 0 validation, 1 test (hidden labels); 2 labels: 0, 1"
    );
    assert_eq!(data.row(0).unwrap().text_b.as_deref(), Some("b"));
    let header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n";
    let broken = format!("{header}1\t1\t2\ta\tb\t0\n2\t3\t4\tcut\n3\t5\t6\tc\td\t1\n");
    let qqp = load(&[("train.tsv", &broken)]);
    assert_eq!(card(&qqp), "2 rows in every role; 2 labels: 0, 1");
}

#[test]
fn mnli_is_evaluated_on_what_matches() {
    let header = "index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n";
    let rows = |labels: &[&str]| {
        let rows = labels.iter().map(|l| format!("0\tg\ta\tb\tx\t{l}\n"));
        format!("{header}{}", rows.collect::<String>())
    };
    let data = load(&[
        ("train.tsv", &rows(&["neutral", "entailment", "-"])),
        ("dev_matched.tsv", &rows(&["neutral"])),
        ("dev_mismatched.tsv", &rows(&["entailment", "neutral"])),
        ("test_matched.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n"),
        ("test_mismatched.tsv", "index\tsentence1\tsentence2\n"),
    ]);
    assert_eq!(
        card(&data),
        "2 train, 1 validation, 1 test (hidden labels); 2 labels: entailment, neutral"
    );
}

#[test]
fn the_other_tasks_have_plain_headers() {
    let sts = load(&[(
        "train.tsv",
        "index\tgenre\tsentence1\tsentence2\tscore\n0\tg\ta\tb\t5.000\n1\tg\tc\td\t3.25\n",
    )]);
    assert_eq!(card(&sts), "2 rows in every role; regression");
    let qnli = load(&[(
        "train.tsv",
        "index\tquestion\tsentence\tlabel\n0\tq\ts\tentailment\n1\tr\tt\tnot_entailment\n",
    )]);
    assert!(qnli.is_paired());
    assert_eq!(qnli.labels(), ["entailment", "not_entailment"]);
}

#[test]
fn entity_pairs_keep_their_marks() {
    let pair = |label| format!("COL title VAL a b COL year VAL 1999 \tCOL title VAL a\t{label}\n");
    let train = [pair(0), pair(1)].concat();
    let data = load(&[
        ("train.txt", &train),
        ("valid.txt", &pair(0)),
        ("test.txt", &pair(1)),
    ]);
    assert_eq!(card(&data), "2 train, 1 validation, 1 test; 2 labels: 0, 1");
    let row = data.row(0).unwrap();
    assert_eq!(&*row.text, "COL title VAL a b COL year VAL 1999");
    assert_eq!(row.text_b.as_deref(), Some("COL title VAL a"));
}

#[test]
fn shards_are_one_split() {
    let data = load(&[
        ("data/train-00000-of-00002.csv", "text,label\na,x\n"),
        ("data/train-00001-of-00002.csv", "text,label\nb,y\n"),
        ("data/test-00000-of-00001.csv", "text,label\nc,y\n"),
    ]);
    assert_eq!(card(&data), "2 train, 0 validation, 1 test; 2 labels: x, y");
    let options = LoadOptions {
        labels: [("x".to_string(), "X".to_string())].into(),
        ..LoadOptions::default()
    };
    let second = [
        ("train-00000-of-00002.csv", "text,label\na,x\n"),
        ("train-00001-of-00002.csv", "text,label\nb,x\nb,y\n"),
    ];
    let error = load_with(&second, &options).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "train-00001-of-00002.csv: line 3: column label: \"y\" has no name in the option labels, which has x"
        ),
        "{error}"
    );
}

#[test]
fn labels_are_renamed_in_every_split() {
    let options = LoadOptions {
        labels: [("0", "bad"), ("1", "good")]
            .map(|(a, b)| (a.to_string(), b.to_string()))
            .into(),
        ..LoadOptions::default()
    };
    let files = [
        ("train.csv", "text,label\na,1\nb,0\n"),
        ("dev.jsonl", "{\"text\": \"c\", \"label\": 1.0}\n"),
        ("test.csv", "text,label\nd,-1\n"),
    ];
    let data = load_with(&files, &options).unwrap();
    assert_eq!(
        card(&data),
        "2 train, 1 validation, 1 test (hidden labels); 2 labels: bad, good"
    );
    assert_eq!(data.split(Split::Validation)[0].label, Label::Class(1));
}

#[test]
fn unlabeled_files_are_texts_only() {
    let lines = "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\"}\n";
    let alone = load(&[("unlabeled.jsonl", lines)]);
    assert_eq!(card(&alone), "2 rows in every role; no labels");
    assert!(alone.is_hidden(Split::Train) && alone.shared_roles());
    assert_eq!(alone.split(Split::Test)[0].label, Label::Hidden);
    let sample = alone.sample(1, 0, None).unwrap();
    assert!(sample.is_hidden(Split::Train) && sample.len() == 1);
    let beside = load(&[
        ("unlabeled.jsonl", lines),
        ("train.csv", "text,label\na,x\n"),
    ]);
    assert_eq!(card(&beside), "1 rows in every role; 1 label: x");
    let marked = load(&[("test.csv", "text,label\na,-1\nb,-1\n")]);
    assert_eq!(card(&marked), "2 rows in every role; no labels");
}

/// The folder of real datasets beside the checkout; none, with a message, where it is not.
fn shared() -> Option<PathBuf> {
    let folder = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/data/datasets"
    ));
    if folder.is_dir() {
        return Some(folder.to_path_buf());
    }
    eprintln!("skipped: no {}", folder.display());
    None
}

#[test]
fn every_dataset_beside_the_checkout_loads() {
    let Some(shared) = shared() else {
        return;
    };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(shared)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    for folder in folders {
        let data = Dataset::load(&folder, &LoadOptions::default()).unwrap();
        println!("{data}{}", if data.is_paired() { " (pairs)" } else { "" });
        assert!(
            Split::ALL.iter().all(|split| !data.is_hidden(*split)),
            "{data}"
        );
        match data.task() {
            Task::Classification { labels, .. } => assert!(labels.len() > 1, "{data}"),
            Task::Regression => {
                let rated = ["stsb", "vader-"];
                assert!(
                    rated.iter().any(|name| data.name().starts_with(name)),
                    "{data}"
                );
            }
        }
        let words = |row: &Row| row.text.len() + row.text_b.as_ref().map_or(0, |b| b.len());
        assert!(
            data.rows().map(words).sum::<usize>() > 20 * data.len(),
            "{data}"
        );
        let unlabeled = folder.join("unlabeled.jsonl.gz");
        if unlabeled.exists() {
            let texts = Dataset::load(&unlabeled, &LoadOptions::default()).unwrap();
            assert!(texts.is_hidden(Split::Test) && texts.labels().is_empty());
        }
    }
}

proptest! {
    #[test]
    fn a_saved_table_is_read_as_the_same_dataset(
        rows in proptest::collection::vec((odd_text(), any::<bool>()), 1..8),
        pairs in any::<bool>(),
    ) {
        let texts: Vec<Value> = rows.iter().map(|(text, _)| Value::text(text)).collect();
        let labels = rows.iter().map(|(_, yes)| Value::text(if *yes { "yes" } else { "no" }));
        let mut columns = vec![("text", texts.clone()), ("label", labels.collect())];
        if pairs {
            columns.push(("text_b", texts));
        }
        let table = Table::from_columns(columns).unwrap();
        for (format, name) in [
            (Format::Csv, "x.csv"),
            (Format::Tsv, "x.tsv"),
            (Format::Jsonl, "x.jsonl"),
        ] {
            let bytes = table.encode(format).unwrap().into_bytes();
            let data = Dataset::from_bytes(name, bytes, &LoadOptions::default()).unwrap();
            prop_assert_eq!(data.len(), rows.len());
            for (row, (text, _)) in data.rows().zip(&rows) {
                prop_assert_eq!(&*row.text, text.as_str());
                prop_assert_eq!(row.text_b.as_deref(), pairs.then_some(text.as_str()));
            }
        }
    }
}

#[test]
fn no_corruption_of_an_arrow_file_panics_or_fills_memory() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/arrow-columns");
    let mut stream = crate::compute::random::Stream::new(1, "corrupt", "");
    for name in ["stream.arrow", "file.arrow"] {
        let whole = std::fs::read(folder.join(name)).unwrap();
        let read = |bytes| Dataset::from_bytes(name, bytes, &LoadOptions::default());
        assert_eq!(read(whole.clone()).unwrap().len(), 4);
        for at in 0..whole.len() {
            let mut order: Vec<u8> = (1..=255).collect();
            stream.shuffle(&mut order);
            for flip in [order[0], 0xff, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                if let Ok(data) = read(bytes) {
                    assert!(data.len() <= whole.len());
                }
            }
            let _ = read(whole[..at].to_vec());
        }
    }
}
