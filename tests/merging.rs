//! Soups as users make them: saved and made once more, chosen, learned, measured, from the command
//! line, and of whole models.

use std::path::Path;
use std::process::Command;

use candle_core::{Device, Tensor};
use tureen::Context;
use tureen::soup::checkpoints::{MergeOptions, merge};

/// Runs code in a folder with a store of its own; its standard output and error.
fn run(folder: &Path, code: &str) -> (bool, String, String) {
    tureen(folder, &["-e", code])
}

fn tureen(folder: &Path, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tureen"))
        .args(arguments)
        .current_dir(folder)
        .env("TUREEN_STORE", folder.join("store"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn lines(folder: &Path, script: &str) -> Vec<String> {
    let (ok, out, err) = run(folder, script);
    assert!(ok, "{out}{err}");
    out.lines().map(str::to_string).collect()
}

const TRAINED: &str = r#"
let base = model("mini");
let sets = ["films", "spam", "news"].map(|n| dataset(n).sample(48, #{ seed: 1 }));
let loras = base.train(sets, #{ adapter: "lora", epochs: 1, seed: 3 });
let bottlenecks = base.train(sets, #{ epochs: 1, seed: 3 });
"#;

#[test]
fn a_saved_soup_is_made_once_more_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let out = lines(
        folder.path(),
        &format!(
            r#"{TRAINED}
let inner = soup([loras[0], loras[1]], #{{ weights: [0.7, 0.3] }});
let nested = soup([inner, loras[2]], #{{ method: "ties", density: 0.5, lora: "svd", heads: "drop" }});
nested.save("nested", #{{ members: true }});
print(replay("nested").id == nested.id);
let t = soup(bottlenecks, #{{ method: "dare_ties", density: 0.4, seed: 9, base: "initial" }});
t.save("several");
print(replay("several").id == t.id);
print(load_adapter("several/films").id == t.with_head(t.heads[0]).id);
bottlenecks[0].save("films");
let again = load_adapter("films");
print(again.id == bottlenecks[0].id);
print(again.training.options.init_seed);
let d = 0.5 * again + 0.5 * load_adapter("films").delta();
print(d.recipe.base.initial);
"#
        ),
    );
    assert_eq!(out, ["true", "true", "true", "true", "0", "0"]);
    // Without the store, the saved members are what it is made of.
    std::fs::remove_dir_all(folder.path().join("store")).unwrap();
    assert_eq!(
        lines(folder.path(), r#"print(replay("nested").recipe.method);"#),
        ["ties"]
    );
    let (ok, _, err) = run(folder.path(), r#"replay("several");"#);
    assert!(!ok && err.contains("is not in the store"), "{err}");
    // A file that somebody changed is another adapter, and is not what the recipe makes.
    let file = folder.path().join("nested/adapter.safetensors");
    let file = match file.is_file() {
        true => file,
        false => folder.path().join("nested/adapter_model.safetensors"),
    };
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (ok, _, err) = run(folder.path(), r#"replay("nested");"#);
    assert!(!ok && err.contains("is not what the recipe makes"), "{err}");
}

#[test]
fn signs_are_seen_from_every_side() {
    let folder = tempfile::tempdir().unwrap();
    let out = lines(
        folder.path(),
        &format!(
            r#"{TRAINED}
let d = sign_diff(bottlenecks);
print(d.to_string().contains("for a shared initialisation with this drift"));
print(d.expected_shared < d.expected && d.drift > 0.0);
let all = d.subsets();
print([all.len, d.subsets(3..=3).column("non_unanimous")[0] == d.mixture]);
print(d.pairs.column("rate") == d.subsets(2..3).column("non_unanimous"));
print(d.by_site.column("conflicts").sum() == d.conflicts);
print(d.by_row.column("conflicts").sum() == d.conflicts);
print(d.conflict_mass >= d.cancelled_mass);
d.layer_heatmap().save("layers.svg");
let c = sign_diff(bottlenecks, #{{ base: "initial" }});
print([c.expected_shared, c.mixture > d.mixture]);
let w = weight_diff(bottlenecks);
print(w.column("sign_diff") == d.pairs.column("rate"));
print(weight_diff(loras, #{{ space: "delta", by: "layer" }}).columns);
let p = principal_angles(loras);
print([p.column("row_overlap")[0] > p.column("row_expected")[0], p.column("rank_a")[0]]);
let more = base.train(sets[0], #{{ from: bottlenecks[0], epochs: 1, seed: 4 }});
let f = sign_flips([bottlenecks[0], more], #{{ initial: true, steps: [0, 10, 20] }});
print(f.column("step"));
print(f.column("flips")[0] == f.column("since_start")[0] && f.column("rate")[0] > 0.0);
sign_flips([bottlenecks[0], more], #{{ initial: true, by: "layer" }})
    .line("step", "rate", #{{ color: "layer" }}).save("flips.svg");
"#
        ),
    );
    assert_eq!(
        out,
        [
            "true",
            "true",
            "[4, true]",
            "true",
            "true",
            "true",
            "true",
            "[(), true]",
            "true",
            "[\"a\", \"b\", \"layer\", \"entries\", \"sign_diff\", \"both_nonzero\", \"conflict_mass\", \"cancelled_mass\", \"cosine\", \"l2\", \"relative_l2\"]",
            "[true, 8]",
            "[10, 20]",
            "true",
        ]
    );
    assert!(
        folder.path().join("layers.svg.csv").is_file() && folder.path().join("flips.svg").is_file()
    );
}

#[test]
fn soups_are_chosen_learned_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let out = lines(
        folder.path(),
        &format!(
            r#"{TRAINED}
let g = greedy_soup(base, loras, sets[0]);
print(g.recipe.chosen.steps.len);
let s = greedy_soup(base, bottlenecks, sets[1], #{{ by: "sign_diff", budget: 2 }});
print([s.members.len, s.members[0].name]);
let few = greedy_soup(base, bottlenecks, sets[1], #{{ by: "sign_diff", threshold: 0.0 }});
print(few.members.len);
for search in ["cma_es", "coordinate"] {{
    let l = learned_soup(base, loras, sets[0], #{{ search: search, evaluations: 8 }});
    let c = l.recipe.chosen;
    print([c.evaluations, c.cost <= c.cost_uniform]);
}}
let e = learned_soup(base, loras, sets, #{{ by: "entropy", evaluations: 4 }});
print(e.recipe.chosen.by);
let f = soup(bottlenecks, #{{ method: "fisher", model: base, rows: 4 }});
let r = soup(bottlenecks, #{{ method: "regmean", model: base, rows: 4 }});
print([f.recipe.method, r.recipe.method]);
let x = bottlenecks[0];
for method in ["fisher", "regmean"] {{
    let same = soup([x, x], #{{ method: method, model: base, rows: 4 }});
    let n = "encoder.layer.0.output.adapter_up.weight";
    let n = x.tensors().keys().filter(|k| k.contains("adapter_up.weight"))[0];
    print((same.tensor(n) - x.tensor(n)).abs().max() < 1e-5);
}}
let m = merge_with([loras[0], loras[1]], |x, y| choose(abs(x) > abs(y), x, y), #{{ name: "larger" }});
print([m.recipe.rule, m.recipe.version]);
"#
        ),
    );
    assert_eq!(
        out,
        [
            "3",
            "[2, \"spam\"]",
            "1",
            "[8, true]",
            "[8, true]",
            "entropy",
            "[\"fisher\", \"regmean\"]",
            "true",
            "true",
            "[\"larger\", 1]",
        ]
    );
}

#[test]
fn operators_keep_what_was_done_to_a_soup() {
    let folder = tempfile::tempdir().unwrap();
    let out = lines(
        folder.path(),
        &format!(
            r#"{TRAINED}
let d = 0.5 * soup(bottlenecks, #{{ heads: "drop" }});
print(d.heads.len);
let s = soup(bottlenecks);
let h = 0.5 * s.with_head(s.heads[1]);
print([h.heads.len, h.members.len]);
print((0.5 * s).members.len);
let x = soup([bottlenecks[0], bottlenecks[1]], #{{ weights: [0.5, 0.25] }});
print((2.0 * x - bottlenecks[1]).recipe.weights);
"#
        ),
    );
    assert_eq!(out, ["0", "[1, 1]", "3", "[1.0, 0.5, -1.0]"]);
}

#[test]
fn what_has_no_effect_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = lines(
        folder.path(),
        &format!(
            r#"{TRAINED}
let refused = [
    || soup(bottlenecks, #{{ method: "ties", normalize: false }}),
    || soup(bottlenecks, #{{ method: "dare_ties", normalize: true, rule: "peft" }}),
    || greedy_soup(base, loras, sets[0], #{{ soup: #{{ method: "fisher" }} }}),
    || soup(bottlenecks, #{{ data: sets[0] }}),
    || soup(bottlenecks, #{{ model: base }}),
];
for f in refused {{
    try {{ f.call(); print("taken"); }} catch (e) {{ print(e); }}
}}
let l = learned_soup(base, loras, sets[0], #{{ bound: 0.125, evaluations: 1 }});
print(l.recipe.weights);
// IA3 begins as ones, whatever the seed.
let scales = [1, 2].map(|seed| base.train(sets[0], #{{ adapter: "ia3", epochs: 1, init_seed: seed }}));
print(soup(scales, #{{ method: "task_arithmetic" }}).recipe.base.initial);
"#
        ),
    );
    for line in &out[..2] {
        assert!(
            line.contains("option normalize") && line.contains("only rule: \"mergekit\""),
            "{line}"
        );
    }
    assert!(
        out[2].contains("fisher runs the model for every soup"),
        "{}",
        out[2]
    );
    assert!(
        out[3].contains("option data: the method linear has no such setting"),
        "{}",
        out[3]
    );
    assert!(
        out[4].contains("only fisher, regmean and mixtures of DoRAs"),
        "{}",
        out[4]
    );
    assert_eq!(out[5..], ["[0.125, 0.125, 0.125]", "0"]);
}

#[test]
fn a_soup_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let out = lines(
        folder.path(),
        &format!(
            r#"{TRAINED}
let inner = soup([loras[0], loras[1]], #{{ weights: [0.5, 0.25] }});
let e = soup([inner, loras[0]], #{{ weights: [1.0, -0.25] }}).explain();
print(e.leaves.column("weight"));
// They began alike, so A is nearly shared: mixed by roots, the change comes out twice as large.
let f = soup([loras[0], loras[1]], #{{ lora: "sqrt_factors" }}).explain();
print(f.cross_terms > 0.5 && f.cross_terms < 1.5);
print(soup([loras[0]], #{{ lora: "factors" }}).explain().cross_terms < 1e-6);
let p = bottlenecks[0].prune(0.5, #{{ by: "snip", model: base, data: sets[0], batches: 1 }});
print(p.sparsity > 0.49);
"#
        ),
    );
    assert_eq!(out, ["[0.25, 0.25]", "true", "true", "true"]);
}

#[test]
fn the_command_line_does_what_natives_do() {
    let folder = tempfile::tempdir().unwrap();
    lines(
        folder.path(),
        &format!(
            r#"{TRAINED}
for a in bottlenecks {{ a.save(a.name); }}
soup(bottlenecks, #{{ method: "ties", density: 0.2, heads: "drop", base: "zero" }}).save("script");
"#
        ),
    );
    let at = folder.path();
    let mix =
        "soup films spam news --method ties --density 0.2 --heads drop --base zero --out line";
    let (ok, out, err) = tureen(at, &mix.split(' ').collect::<Vec<_>>());
    assert!(ok, "{err}");
    assert!(out.starts_with("Adapter films+spam+news"), "{out}");
    assert!(
        out.ends_with("\nties: 1.0 films, 1.0 spam, 1.0 news\n"),
        "{out}"
    );
    let one = "soup films --weights 0.5 --out half";
    let (ok, out, err) = tureen(at, &one.split(' ').collect::<Vec<_>>());
    assert!(ok && out.ends_with("\nlinear: 0.5 films\n"), "{out}{err}");
    let measured =
        "soup films spam --method fisher --model mini --data films,spam --rows 2 --out f";
    let (ok, _, err) = tureen(at, &measured.split(' ').collect::<Vec<_>>());
    assert!(ok, "{err}");
    let bytes = |name: &str| std::fs::read(at.join(name).join("adapter.safetensors")).unwrap();
    // Tensors are named after the folder, so only the numbers are compared.
    let (a, b) = (bytes("script"), bytes("line"));
    let numbers = |b: &[u8]| {
        let head = u64::from_le_bytes(b[..8].try_into().unwrap()) as usize;
        b[8 + head..].to_vec()
    };
    assert_eq!(numbers(&a), numbers(&b));
    let (ok, out, err) = tureen(at, &["signs", "films", "spam", "news", "--out", "p.csv"]);
    assert!(ok && out.contains("spam"), "{out}{err}");
    assert_eq!(
        std::fs::read_to_string(at.join("p.csv"))
            .unwrap()
            .lines()
            .count(),
        4
    );
    let drawn = [
        "signs", "films", "spam", "--base", "initial", "--figure", "p.svg",
    ];
    let (ok, out, err) = tureen(at, &drawn);
    assert!(
        ok && out.contains("change since initialisation"),
        "{out}{err}"
    );
    let figure = std::fs::read_to_string(at.join("p.svg")).unwrap();
    assert!(figure.contains("share of entries in conflict"));
    let (ok, out, err) = tureen(at, &["prune", "films", "--sparsity", "0.9", "--out", "p"]);
    assert!(ok && out.contains("sparsity 0.900"), "{out}{err}");
    for (arguments, expected) in [
        ("soup films --method tyes --out x", "ties"),
        ("soup films nosuch --out x", "nosuch"),
        ("soup films --density 2 --out x", "density"),
        ("prune films --sparsity 2 --out x", "sparsity"),
        ("signs films", "2 values required"),
    ] {
        let (ok, _, err) = tureen(at, &arguments.split(' ').collect::<Vec<_>>());
        assert!(!ok && err.contains(expected), "{arguments}: {err}");
        assert!(!at.join("x").exists(), "{arguments} left something behind");
    }
}

/// A model's folder with two layers, embeddings, a buffer of whole numbers and a tokenizer.
fn checkpoint(folder: &Path, shift: f32, vocabulary: &str) {
    std::fs::create_dir_all(folder).unwrap();
    let tensor = |n: usize, seed: f32| -> Tensor {
        let values: Vec<f32> = (0..n)
            .map(|i| ((i as f32 * 0.37 + seed).sin()) + shift)
            .collect();
        Tensor::from_vec(values, (n / 4, 4), &Device::Cpu).unwrap()
    };
    let mut all = std::collections::HashMap::new();
    for layer in 0..2 {
        all.insert(
            format!("model.layers.{layer}.up.weight"),
            tensor(24, layer as f32),
        );
    }
    all.insert("model.embed_tokens.weight".into(), tensor(12, 5.0));
    all.insert("lm_head.weight".into(), tensor(12, 6.0));
    let buffer = Tensor::new(&[1i64, 2, 3], &Device::Cpu).unwrap();
    all.insert("model.position_ids".into(), buffer);
    candle_core::safetensors::save(&all, folder.join("model.safetensors")).unwrap();
    let config = r#"{"model_type": "llama", "hidden_size": 4, "num_attention_heads": 1, "num_hidden_layers": 2}"#;
    std::fs::write(folder.join("config.json"), config).unwrap();
    std::fs::write(folder.join("vocab.txt"), vocabulary).unwrap();
}

fn merged(folder: &Path, recipe: &str, shard: usize) -> tureen::Result<()> {
    let config = folder.join("merge.yml");
    std::fs::write(&config, recipe).unwrap();
    let find = |name: &str| Ok(folder.join(name));
    let options = MergeOptions {
        shard,
        ..MergeOptions::default()
    };
    merge(
        &config,
        &folder.join("out"),
        &find,
        &options,
        &Context::silent(),
    )
}

#[test]
fn whole_models_are_mixed_by_recipes_of_mergekit() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    checkpoint(&at.join("a"), 0.0, "x\ny\n");
    checkpoint(&at.join("b"), 1.0, "x\ny\n");
    let linear = "models:\n- {model: a, parameters: {weight: [1, 0]}}\n- {model: b, parameters: {weight: [0, 1]}}\nmerge_method: linear\n";
    merged(at, linear, usize::MAX).unwrap();
    let read = |path: &str| candle_core::safetensors::load(at.join(path), &Device::Cpu).unwrap();
    let (a, b, out) = (
        read("a/model.safetensors"),
        read("b/model.safetensors"),
        read("out/model.safetensors"),
    );
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let layer = |i: usize| format!("model.layers.{i}.up.weight");
    assert_eq!(values(&out[&layer(0)]), values(&a[&layer(0)]));
    assert_eq!(values(&out[&layer(1)]), values(&b[&layer(1)]));
    // What comes before the layers has depth 0, what comes after them 1; whole numbers are copied.
    for (name, of) in [("model.embed_tokens.weight", &a), ("lm_head.weight", &b)] {
        assert_eq!(values(&out[name]), values(&of[name]), "{name}");
    }
    assert_eq!(
        out["model.position_ids"].to_vec1::<i64>().unwrap(),
        [1, 2, 3]
    );
    assert!(at.join("out/vocab.txt").is_file() && at.join("out/README.md").is_file());

    // Layers from here and there; files of their own; numbers of two bytes.
    let sliced = "slices:\n- sources: [{model: a, layer_range: [0, 2]}]\n- sources: [{model: b, layer_range: [1, 2]}]\nmerge_method: passthrough\ndtype: bfloat16\n";
    std::fs::remove_dir_all(at.join("out")).unwrap();
    merged(at, sliced, 60).unwrap();
    let index = std::fs::read_to_string(at.join("out/model.safetensors.index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let file = index["weight_map"][layer(2)].as_str().unwrap().to_string();
    let third = &read(&format!("out/{file}"))[&layer(2)];
    assert_eq!(third.dtype(), candle_core::DType::BF16);
    let expected = b[&layer(1)].to_dtype(candle_core::DType::BF16).unwrap();
    let wide = |t: &Tensor| values(&t.to_dtype(candle_core::DType::F32).unwrap());
    assert_eq!(wide(third), wide(&expected));
    let config = std::fs::read_to_string(at.join("out/config.json")).unwrap();
    assert!(
        config.contains("\"num_hidden_layers\": 3") && config.contains("bfloat16"),
        "{config}"
    );
}

#[test]
fn models_that_do_not_fit_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    checkpoint(&at.join("a"), 0.0, "x\ny\n");
    checkpoint(&at.join("b"), 1.0, "x\nz\n");
    let recipe = |more: &str| {
        format!(
            "models: [{{model: a}}, {{model: b}}]\nmerge_method: linear\nparameters: {{weight: 1}}\n{more}"
        )
    };
    let error = merged(at, &recipe(""), usize::MAX).unwrap_err().to_string();
    assert!(
        error.contains("tokenizers of a (2 tokens) and b (2 tokens) differ, first at \"y\""),
        "{error}"
    );
    // Said before anything is computed.
    for (source, expected) in [
        ("union", "union is not supported"),
        ("c", "none of the models"),
    ] {
        let recipe = recipe(&format!("tokenizer_source: {source}\n"));
        let error = merged(at, &recipe, usize::MAX).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!at.join("out").exists());
    }
    merged(at, &recipe("tokenizer_source: base\n"), usize::MAX).unwrap();
    std::fs::remove_dir_all(at.join("out")).unwrap();
    let config = std::fs::read_to_string(at.join("b/config.json")).unwrap();
    let other = config
        .replace("llama", "qwen2")
        .replace("\"hidden_size\": 4", "\"hidden_size\": 5");
    std::fs::write(at.join("b/config.json"), other).unwrap();
    let error = merged(at, &recipe("tokenizer_source: base\n"), usize::MAX)
        .unwrap_err()
        .to_string();
    for part in [
        "model_type is \"llama\" in a and \"qwen2\" in b",
        "hidden_size is 4 in a and 5 in b",
    ] {
        assert!(error.contains(part), "{error}");
    }
    std::fs::write(at.join("b/config.json"), config).unwrap();
    let other = std::collections::HashMap::from([(
        "model.layers.0.up.weight".to_string(),
        Tensor::new(&[[1f32, f32::NAN]], &Device::Cpu).unwrap(),
    )]);
    candle_core::safetensors::save(&other, at.join("b/model.safetensors")).unwrap();
    let error = merged(at, &recipe("tokenizer_source: base\n"), usize::MAX)
        .unwrap_err()
        .to_string();
    assert!(error.contains("[6, 4] in a and [1, 2] in b"), "{error}");
    assert!(
        error.contains("b has no model.embed_tokens.weight"),
        "{error}"
    );
    assert!(!at.join("out").exists());
}
