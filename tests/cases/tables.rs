//! Cells that are missing or not a number.

use super::{case, printed, refused, tureen};

#[test]
fn a_missing_number_is_no_text() {
    for file in ["scores.csv", "scores_na.csv"] {
        let code =
            format!("read_table(\"{file}\").group([]).agg(#{{ score: [\"mean\", \"n\"] }})[0]");
        let (out, _) = printed(&tureen(&case("table-nan-cell"), &["-e", &code]));
        assert!(out.contains("\"score_mean\": 2.0"), "{file}: {out}");
        let code = format!("read_table(\"{file}\").column(\"score\")");
        let (out, _) = printed(&tureen(&case("table-nan-cell"), &["-e", &code]));
        assert_eq!(out, "[1.5, (), 2.5]\n");
    }
}

#[test]
fn a_cell_that_is_no_number_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("odd.csv", b"run,score\na,1.5\nb,oops\nc,2.5\n");
    write("ragged.csv", b"run,score\na,1.5\nb\n");
    write("latin.csv", b"run,score\ncaf\xe9,1.5\n");
    write("odd_label.csv", b"text,label\na,0.5\nb,oops\n");
    let run = |code: &str| tureen(folder.path(), &["-e", code]);
    let (_, err) = printed(&run("read_table(\"odd.csv\")"));
    assert!(
        err.contains("odd.csv: line 3: column score: `oops` is not a number"),
        "{err}"
    );
    let mean = "read_table(\"odd.csv\").group([]).agg(#{ score: [\"mean\"] })";
    let error = refused(&run(mean));
    assert!(error.contains("`oops`"), "{error}");
    let typed = refused(&run(
        "read_table(\"odd.csv\", #{ types: #{ score: \"number\" } })",
    ));
    assert!(
        typed.contains("odd.csv: line 3: column score: `oops`, expected a number"),
        "{typed}"
    );
    let label = refused(&run("dataset(\"odd_label.csv\")"));
    assert!(
        label.contains("odd_label.csv: line 3: column label: \"oops\""),
        "{label}"
    );
    for read in ["read_table", "dataset"] {
        let ragged = refused(&run(&format!("{read}(\"ragged.csv\")")));
        assert!(
            ragged.contains("ragged.csv: line 3: 1 columns, expected 2 as in the header"),
            "{ragged}"
        );
        let latin = refused(&run(&format!("{read}(\"latin.csv\")")));
        assert!(
            latin.contains("latin.csv: line 2: not UTF-8 text"),
            "{latin}"
        );
    }
}

#[test]
fn missing_labels_of_numbers_are_no_labels() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("a.csv"),
        "text,label\na,0.0\nb,nan\nc,1.0\n",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("b.csv"),
        "text,label\nNA,None\nnull,yes\n",
    )
    .unwrap();
    let error = refused(&tureen(folder.path(), &["-e", "dataset(\"a.csv\")"]));
    assert!(
        error.contains("a.csv: line 3: column label: no label (1 such rows)"),
        "{error}"
    );
    let code = "let d = dataset(\"b.csv\"); print(d.texts); print(d.train.labels);";
    let (out, _) = printed(&tureen(folder.path(), &["-e", code]));
    assert_eq!(out, "[\"NA\", \"null\"]\n[\"None\", \"yes\"]\n");
}
