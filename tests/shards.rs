//! Grids shared among runs, and told before they are computed.

use crate::studies::Place;

/// A study of three domains whose grid is computed, recorded, saved and looked at.
const GRID: &str = r#"
let base = model("mini");
let domains = datasets(["films", "products", "news"]).map(|d| d.sample(32, #{ seed: 1 }));
let rows = grid(#{ kind: ["pfeiffer", "lora"] }, |c| {
    let adapters = train(base, domains, #{ adapter: c.kind, epochs: 1 });
    adapters[0].save(`saved/${c.kind}`);
    evaluate_all(base, soups(subsets(adapters, 2..=3)))
});
let means = rows.group("size").agg(#{ drop: "mean" });
record("drop", means);
means.save("means.csv");
means.bar("size", "drop_mean").save("drop.svg");
print(rows.len);
"#;

fn place() -> Place {
    let place = Place::new();
    place.write("grid.rhai", GRID);
    place
}

/// The number before a word in a line.
fn number(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap().trim_end();
    let digits = before.rsplit(' ').next().unwrap().replace(',', "");
    digits.parse().unwrap_or_else(|_| panic!("{word}: {text}"))
}

#[test]
fn shards_leave_to_each_other_and_come_out_as_one_run() {
    let place = place();
    let alone = place.tureen_at("alone", &["run", "grid.rhai", "--out", "runs/alone"]);
    assert!(alone.ok, "{}", alone.err);

    // Three domains alone, and the members' evaluations of three pairs and one triple, twice.
    let told = place.tureen(&["run", "grid.rhai", "--dry-run"]);
    assert!(told.ok && told.out.starts_with("pending"), "{}", told.err);
    assert_eq!(number(&told.err, " trainings"), 6, "{}", told.err);
    assert_eq!(number(&told.err, " evaluations"), 2 * (3 + 3 * 2 + 3));
    assert!(told.err.contains("on this machine"), "{}", told.err);
    // Nothing was written but the lines above.
    assert!(!place.at("runs/grid").exists() && !place.at("store").exists());

    let first = place.tureen(&["run", "grid.rhai", "--shard", "1/2", "--out", "runs/1"]);
    assert!(first.ok, "{}", first.err);
    let left = number(&first.err, " evaluations; ");
    assert!((1..24).contains(&left), "{}", first.err);
    assert!(first.out.starts_with("pending"));
    let record = std::fs::read_to_string(place.at("runs/1/run.json")).unwrap();
    assert!(record.contains("\"status\": \"pending\""), "{record}");
    assert!(!place.at("runs/1/means.csv").exists());

    // The last shard finds what the first made, and has everything.
    let second = place.tureen(&["run", "grid.rhai", "--shard", "2/2", "--out", "runs/2"]);
    assert!(second.err.contains("nothing is left"), "{}", second.err);
    assert_eq!(second.out, alone.out);
    for file in ["means.csv", "drop.svg", "drop.svg.csv"] {
        let read = |run: &str| std::fs::read(place.at(run).join(file)).unwrap();
        assert_eq!(read("runs/2"), read("runs/alone"), "{file}");
    }
    let again = place.tureen(&["run", "grid.rhai", "--dry-run"]);
    assert!(again.err.contains("nothing is left"), "{}", again.err);
}

#[test]
fn a_script_that_must_know_what_is_left_waits_and_says_where() {
    let place = place();
    let more = format!("{GRID}if means[0].drop_mean > 0.5 {{ print(\"large\"); }}\n");
    place.write("grid.rhai", &more);
    let told = place.tureen(&["run", "grid.rhai", "--dry-run"]);
    assert!(told.ok, "{}", told.err);
    assert!(told.err.contains("waits at grid.rhai:14:"), "{}", told.err);
    let refused = place.refused(&["run", "grid.rhai", "--dry-run", "--no-store"]);
    assert!(refused.contains("--no-store"), "{refused}");
    assert!(
        place
            .refused(&["run", "grid.rhai", "--shard", "3/2"])
            .contains("3/2")
    );
}

#[test]
fn the_example_study_runs_at_a_small_size() {
    let place = Place::empty();
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/paper");
    let small = ["train=64", "rows=16", "epochs=1"];
    let studies: [(&str, &[&str]); 4] = [
        ("mixtures", &["most=3", "kinds=[\"pfeiffer\"]"]),
        ("greedy", &["most=2", "draws=1"]),
        (
            "pruning",
            &["draws=2", "size=2", "sparsities=[0.0, 0.9]", "texts=3"],
        ),
        ("robustness", &["texts=3", "draws=1", "sizes=[2]"]),
    ];
    for (name, own) in studies {
        let script = format!("{scripts}/{name}.rhai");
        let mut arguments = vec!["run", &script, "--out", name];
        for set in small.iter().chain(own) {
            arguments.extend(["--set", set]);
        }
        place.done(&arguments);
        let found = std::fs::read_dir(place.at(name)).unwrap().flatten();
        let tables = found.filter(|f| f.path().extension().is_some_and(|e| e == "csv"));
        assert!(tables.count() > 0, "{name}");
    }
}
