//! The card of every kind of value, alone and in one line, at several widths.

use tureen::report::Screen;

use crate::script::interpreter;

/// How each kind of value is made, after [`BEFORE`].
const VALUES: &[(&str, &str)] = &[
    ("model", "base"),
    ("dataset", "films"),
    ("split", "films.test"),
    ("adapter", "a"),
    ("lora", "l"),
    ("soup", "soup([a, b], #{ method: \"ties\", density: 0.2 })"),
    ("pruned", "a.prune(0.9)"),
    ("head", "a.head"),
    ("score", "score"),
    ("predictions", "score.predictions"),
    ("sign_diff", "sign_diff(a, b)"),
    ("sign_diff of three", "sign_diff([a, b, a])"),
    ("mask", "a.prune(0.5).mask"),
    ("table", "rows"),
    ("wide table", "wide"),
    ("groups", "rows.group([\"name\"])"),
    ("correlation", "rows.correlate(\"size\", \"share\")"),
    ("figure", "rows.scatter(\"size\", \"share\")"),
    (
        "tensor",
        "tensor([[1.0, -2.5, 0.000001], [0.0, 100.0, 3.0]])",
    ),
    ("vector", "tensor(linspace(0, 1, 50))"),
    ("weights", "a.tensors().values()[0]"),
    ("number", "1.0 / 3.0"),
    ("text", "\"a text\""),
    (
        "long text",
        "let t = \"\"; for i in 0..300 { t += \"word \" } t",
    ),
    ("list", "steps(0, 299, 1).map(|x| x * x)"),
    ("list of texts", "films.test.texts"),
    ("list of adapters", "[a, b, l]"),
    ("list of lists", "[[1, 2], [3, 4]]"),
    ("map", "#{ lr: 0.001, epochs: 3 }"),
    (
        "long map",
        "#{ base: base, films: films, adapter: a, table: rows, list: [1, 2, 3], nested: #{ a: 1, \"b c\": 2 } }",
    ),
    ("training", "a.training"),
    ("tensors", "a.tensors()"),
    ("range", "0..3"),
    ("function", "|x| x + 1"),
    ("empty list", "[]"),
    ("empty map", "#{}"),
    ("empty table", "rows.where(#{ size: 99 })"),
];

const BEFORE: &str = r#"
let base = model("mini");
let films = dataset("films").sample(120, #{ seed: 1 });
let news = dataset("news").sample(120, #{ seed: 1 });
let a = train(base, films, #{ epochs: 1, seed: 1 });
let b = train(base, news, #{ epochs: 1, seed: 1 });
let l = train(base, films, #{ adapter: "lora", epochs: 1, seed: 1 });
let score = evaluate(base, a, films);
let rows = table([
    #{ name: "a rather long name of a soup", size: 2, share: 0.25, note: () },
    #{ name: "b", size: 10, share: 0.0000125, note: "x" },
    #{ name: "c", size: 3, share: 1.0, note: "y" },
], ["name", "size", "share", "note"]);
let wide = table([#{ soup: "films+news+products+tweets", members: ["films", "news"], size: 4, dataset: "films",
    accuracy: 0.8725, alone: 0.91, drop: 0.0375, sign_diff: 0.4917, both_nonzero: 0.4917, n: 400, seed: 1 }],
    ["soup", "members", "size", "dataset", "accuracy", "alone", "drop", "sign_diff", "both_nonzero", "n", "seed"]);
"#;

#[test]
fn every_value_has_a_card_at_every_width() {
    let (mut interpreter, _) = interpreter(&[]);
    let _prepared = interpreter.run("t", BEFORE).unwrap();
    let made: Vec<_> = VALUES
        .iter()
        .map(|(name, code)| (*name, interpreter.run("t", code).unwrap()))
        .collect();
    for width in [60, 80, 120] {
        let screen = Screen {
            width,
            ..Screen::default()
        };
        let mut page = String::new();
        for (name, value) in &made {
            let card = interpreter.card(value, &screen);
            let line = interpreter.line(value, width);
            // A text alone is shown whole: the terminal breaks it.
            let whole = value.is_string();
            for shown in card.lines().filter(|_| !whole).chain(line.lines()) {
                assert!(shown.chars().count() <= width, "{name} at {width}: {shown}");
            }
            assert_eq!(line.lines().count(), 1, "{name}: {line}");
            page += &format!("== {name}\n{card}\n-- in a list\n{line}\n");
        }
        let mut settings = insta::Settings::clone_current();
        // Which instructions the machine has counts in the id of what is trained.
        settings.add_filter(r"(id +)(v2-)?[0-9a-f]+(-[0-9a-f]+)?", "${1}ID");
        settings.add_filter(r"\b[01]\.\d{4,}\b", "0.DIGITS");
        settings.add_filter(r"sparsity 0\.\d+", "sparsity 0.DIGITS");
        settings.add_filter(r"(conflicts +)[\d_]+", "${1}COUNT");
        settings.add_filter(r"(?m)^( +\d +18432 +)\d+", "${1}COUNT");
        settings.bind(|| insta::assert_snapshot!(format!("cards_{width}"), page));
    }
}
