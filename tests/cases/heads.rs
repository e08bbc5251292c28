//! Which head an evaluation uses.

use super::{case, printed, refused, tureen};

/// A published adapter with a trained head of 3 classes, and rows that it answers right.
const CASE: &str = "labels-by-position";

const PRELUDE: &str = "let b = model(\"base\"); let a = load_adapter(\"adapter3\"); ";

/// A run of this code in the folder of the case.
fn run(code: &str) -> std::process::Output {
    tureen(&case(CASE), &["-e", &format!("{PRELUDE}{code}")])
}

#[test]
fn training_goes_on_with_the_head_of_the_adapter() {
    // At this learning rate no weight changes.
    let (out, err) = printed(&run(r#"
        let order = ["LABEL_2", "LABEL_0", "LABEL_1"];
        let all = ["ints3.csv", "named3.csv", "names3.parquet"].map(|f| dataset(f));
        all.push(dataset("named3.csv", #{ labels: order, name: "reordered" }));
        for d in all {
            let t = train(b, d, #{ from: a, epochs: 1, lr: 1e-12 });
            let again = train(b, d, #{ from: t, epochs: 1, lr: 1e-12 });
            print(`${evaluate(b, a, d).accuracy} ${evaluate(b, t, d).accuracy} ${evaluate(b, again, d).accuracy} ${t.head.labels}`);
        }
    "#));
    assert_eq!(
        out,
        "1.0 1.0 1.0 [\"0\", \"1\", \"2\"]\n\
         1.0 1.0 1.0 [\"LABEL_0\", \"LABEL_1\", \"LABEL_2\"]\n\
         1.0 1.0 1.0 [\"entailment\", \"neutral\", \"contradiction\"]\n\
         1.0 1.0 1.0 [\"LABEL_0\", \"LABEL_1\", \"LABEL_2\"]\n"
    );
    assert!(
        err.contains("names3: the head adapter3 has no names"),
        "{err}"
    );
    assert!(!err.contains("new head"), "{err}");
}

#[test]
fn training_on_some_of_a_heads_classes_keeps_all_of_them() {
    let (out, _) = printed(&run(r#"
        let two = dataset("names3.parquet").filter(|r| r.label != "neutral");
        let t = train(b, two, #{ from: a, epochs: 1, lr: 1e-12 });
        print(t.head.labels);
        print(evaluate(b, t, two).accuracy);
    "#));
    assert_eq!(
        out,
        "[\"entailment\", \"LABEL_1\", \"contradiction\"]\n1.0\n"
    );
}

#[test]
fn a_notice_says_where_training_begins_with_a_new_head() {
    let (out, err) = printed(&run(r#"
        let rows = [#{ text: "the red fox", label: "x" }, #{ text: "a cat", label: "y" }];
        let two = dataset(rows, #{ name: "two" });
        print(train(b, two, #{ from: a, epochs: 1, batch: 1 }).head.labels);
    "#));
    assert_eq!(out, "[\"x\", \"y\"]\n");
    let told = "two: training begins with a new head: the head tells 3 labels apart, but two has 2 labels (x, y)";
    assert!(err.contains(told), "{err}");
}

/// Two adapters that change nothing, with heads of their own of the same labels.
const TWO: &str = r#"
    let rows = [];
    let texts = dataset("ints3.csv");
    for row in texts.test.table() { rows.push(#{ text: row.text, label: if row.label == "0" { "pos" } else { "neg" } }); }
    let products = dataset(rows.filter(|r| r.text.len % 2 == 0), #{ name: "products" });
    let news = dataset(rows, #{ name: "news" });
    let other = dataset(rows.filter(|r| r.text.len % 2 == 1), #{ name: "other" });
    let of = |data, seed| train(b, data, #{ adapter: "lora", epochs: 1, lr: 1e-12, init_seed: seed });
    let n = of.call(news, 1); let p = of.call(products, 2);
"#;

#[test]
fn a_soup_keeps_the_head_that_it_was_chosen_with() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("greedy");
    let code = format!(
        r#"{PRELUDE}{TWO}
        let g = greedy_soup(b, [n, p], products);
        print(g.members.map(|m| m.name));
        print(g.heads.map(|h| h.name));
        let score = evaluate(b, g, products, #{{ split: "validation" }});
        print(`${{score.accuracy == g.recipe.chosen.value}} ${{score.head}}`);
        print(evaluate(b, g, news).head);
        print(evaluate(b, n, products).accuracy == score.accuracy);
        g.save({to:?}, #{{ members: true }});
        let again = replay({to:?});
        print(again.heads.map(|h| h.name));
        print(again.id == g.id);
        let loaded = load_adapter({to:?});
        print(evaluate(b, loaded, products).accuracy == score.accuracy);
        "#
    );
    let arguments = ["--allow-read", "/", "--allow-write", "/", "-e", &code];
    let (out, err) = printed(&tureen(&case(CASE), &arguments));
    assert_eq!(
        out,
        "[\"news\"]\n[\"news\", \"products\"]\ntrue products\nnews\nfalse\n[\"news\", \"products\"]\ntrue\ntrue\n"
    );
    let told = "products: the head that is used was trained on news; no head of the adapter was trained on products";
    assert_eq!(err.matches(told).count(), 1, "{err}");
}

#[test]
fn a_learned_soup_keeps_the_head_that_it_was_chosen_with() {
    let (out, _) = printed(&run(&format!(
        r#"{TWO}
        let l = learned_soup(b, [n, p], products, #{{ by: "accuracy", evaluations: 5, penalty: 0.0 }});
        let score = evaluate(b, l, products, #{{ split: "validation" }});
        print(`${{-score.accuracy == l.recipe.chosen.cost}} ${{score.head}}`);
        "#
    )));
    assert_eq!(out, "true products\n");
}

#[test]
fn a_grid_takes_the_datasets_that_soups_were_chosen_on() {
    let (out, _) = printed(&run(&format!(
        r#"{TWO}
        let g = greedy_soup(b, [n, p], products);
        for domains in [#{{ products: products }}, [products]] {{
            let rows = evaluate_all(b, [g], #{{ domains: domains }});
            print(`${{rows.column("dataset")}} ${{rows[1].accuracy == evaluate(b, g, products).accuracy}} ${{rows[1].alone}}`);
        }}
        "#
    )));
    assert_eq!(out, "[\"news\", \"products\"] true \n".repeat(2));
    let error = refused(&run(&format!(
        r#"{TWO} evaluate_all(b, [greedy_soup(b, [n, p], products)], #{{ domains: #{{ other: other }} }})"#
    )));
    assert!(
        error.contains("no adapter of the grid is called other"),
        "{error}"
    );
}

#[test]
fn a_score_records_its_head_and_a_notice_tells_of_another_datasets() {
    let (out, err) = printed(&run(&format!(
        r#"{TWO}
        for adapter in [n, n, soup([n, n])] {{ print(evaluate(b, adapter, other).head); }}
        print(evaluate(b, soup([n, p]), news).head);
        print(evaluate(b, n, news.sample(10)).head);
        print(evaluate_all(b, [n], #{{ on: [other] }}).len);
        evaluate(b, n, other)
        "#
    )));
    let (heads, card) = out.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(heads, "news\nnews\nnews\nnews\nnews\n1");
    assert!(card.starts_with("Score on other (test): "), "{card}");
    assert!(card.ends_with(", head of news"), "{card}");
    let told = "other: the head that is used was trained on news";
    assert_eq!(err.matches(told).count(), 1, "{err}");
    assert_eq!(err.matches("the head that is used").count(), 1, "{err}");
}
