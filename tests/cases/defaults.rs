//! Methods whose trimming is off by default, and options that cannot act in a call.

use std::path::Path;

use super::{case, printed, refused, tureen};

fn eval(folder: &Path, code: &str) -> std::process::Output {
    let path = |name: &str| case("overwrite").join(name).display().to_string();
    let members = format!(
        "let m = [load_adapter({:?}), load_adapter({:?})];",
        path("lora-1"),
        path("lora-2")
    );
    tureen(folder, &["-e", &format!("{members} {code}")])
}

#[test]
fn a_method_that_would_trim_nothing_asks_for_its_density() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for method in [
        "dare",
        "dare_ties",
        "della",
        "della_linear",
        "breadcrumbs",
        "breadcrumbs_ties",
        "magnitude",
        "sce",
    ] {
        let told = refused(&eval(at, &format!("soup(m, #{{ method: \"{method}\" }})")));
        assert!(
            told.contains(&format!("the method {method} needs a density")),
            "{told}"
        );
        // With a density it is another mixture than the uniform average.
        let code = format!(
            "let s = soup(m, #{{ method: \"{method}\", density: 0.5 }}); \
             print(s.recipe.density); \
             print(weight_diff([s, soup(m, #{{ lora: \"svd\", rank: 16 }})], #{{ space: \"delta\" }}).column(\"relative_l2\")[0] > 0.1);"
        );
        let out = printed(&eval(at, &code)).0;
        assert_eq!(out, "0.5\ntrue\n", "{method}");
    }
    // TIES takes the density of its paper.
    let out = printed(&eval(
        at,
        "let s = soup(m, #{ method: \"ties\" }); \
         print(s.recipe.density); print(s == soup(m, #{ method: \"ties\", density: 0.2 }));",
    ));
    assert_eq!(out.0, "0.2\ntrue\n");
    // A search says so before it evaluates anything.
    let code =
        "greedy_soup(model(\"mini\"), m, dataset(\"films\"), #{ soup: #{ method: \"dare\" } })";
    let told = refused(&eval(at, code));
    assert!(told.contains("the method dare needs a density"), "{told}");
}

#[test]
fn a_recipe_shows_what_acted() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (options, shown) in [
        ("method: \"ties\"", false),
        ("method: \"ties\", rule: \"peft\"", false),
        ("method: \"ties\", rule: \"mergekit\"", true),
        ("method: \"dare_ties\", density: 0.5", false),
        (
            "method: \"dare_ties\", density: 0.5, rule: \"mergekit\"",
            true,
        ),
        ("method: \"della\", density: 0.5", true),
        ("method: \"task_arithmetic\"", true),
    ] {
        let code = format!(
            "let s = soup(m, #{{ {options} }}); s.save(\"s\", #{{ force: true }}); \
             print(\"normalize\" in s.recipe); print(replay(\"s\") == s);"
        );
        let out = printed(&eval(at, &code)).0;
        assert_eq!(out, format!("{shown}\ntrue\n"), "{options}");
    }
}

#[test]
fn a_training_that_goes_on_keeps_the_kind_of_its_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let start = "let base = model(\"mini\"); let films = dataset(\"films\").sample(8); \
                 let a = untrained(base, films, #{ adapter: \"lora\" }); ";
    for option in [
        "rslora: true",
        "rslora: false",
        "r: 8",
        "alpha: 8",
        "adapter: \"lora\"",
        "init_seed: 0",
        "targets: [\"query\"]",
        "reduction: 16",
    ] {
        let code = format!("{start} train(base, films, #{{ from: a, epochs: 1, {option} }})");
        let told = refused(&tureen(folder.path(), &["-e", &code]));
        assert!(
            told.contains("the adapter in `from` decides it"),
            "{option}: {told}"
        );
    }
    let code = format!("{start} train(base, films, #{{ from: a, epochs: 1 }}).kind");
    assert_eq!(printed(&tureen(folder.path(), &["-e", &code])).0, "lora\n");
}

#[test]
fn the_command_line_refuses_what_cannot_act() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (case("overwrite/lora-1"), case("overwrite/lora-2"));
    let (one, two) = (one.display().to_string(), two.display().to_string());
    let cases: &[(&str, &str)] = &[
        (
            "soup ONE TWO --out o --rank 2",
            "only lora: \"svd\" keeps a rank",
        ),
        (
            "soup ONE TWO --out o --density 0.5",
            "the method linear has no such setting",
        ),
        (
            "soup ONE TWO --out o --seed 3",
            "the method linear has no such setting",
        ),
        (
            "soup ONE TWO --out o --rows 3",
            "the method linear has no such setting",
        ),
        (
            "soup ONE TWO --out o --layout sparse --format peft",
            "the sparse layout is no library's",
        ),
        (
            "prune ONE --sparsity 0.5 --out o --seed 3",
            "magnitude draws no numbers",
        ),
        (
            "prune ONE --sparsity 0.5 --out o --batches 3",
            "magnitude needs no gradients",
        ),
        (
            "prune ONE --sparsity 0.5 --out o --model mini",
            "magnitude looks at no model",
        ),
        (
            "prune ONE --sparsity 0.5 --out o --by random --warmup 3 --model mini",
            "random does not look at the weights",
        ),
    ];
    for (command, expected) in cases {
        let command: Vec<String> = command
            .split(' ')
            .map(|word| word.replace("ONE", &one).replace("TWO", &two))
            .collect();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let told = refused(&tureen(folder.path(), &command));
        assert!(told.contains(expected), "{command:?}: {told}");
        assert!(!folder.path().join("o").exists(), "{command:?}");
    }
}

/// A model of two tensors.
fn model(folder: &Path, name: &str, scale: f32) {
    use candle_core::{Device, Tensor};
    let at = folder.join(name);
    std::fs::create_dir_all(&at).unwrap();
    let values = |n: usize| -> Vec<f32> { (0..n).map(|i| scale * (i as f32 - 3.0)).collect() };
    let tensors = std::collections::HashMap::from([(
        "w.weight".to_string(),
        Tensor::from_vec(values(8), (2, 4), &Device::Cpu).unwrap(),
    )]);
    candle_core::safetensors::save(&tensors, at.join("model.safetensors")).unwrap();
    let config = "{\"model_type\": \"bert\", \"hidden_size\": 4, \"num_hidden_layers\": 1}";
    std::fs::write(at.join("config.json"), config).unwrap();
}

#[test]
fn a_merge_of_models_keeps_mergekits_default_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (name, scale) in [("base", 0.1), ("a", 1.0), ("b", -0.5)] {
        model(at, name, scale);
    }
    let recipe = |method: &str, more: &str| {
        format!(
            "merge_method: {method}\nbase_model: base\nmodels:\n- model: a\n  parameters: {{weight: 0.5}}\n- model: b\n  parameters: {{weight: 0.5}}\n{more}"
        )
    };
    for method in ["dare_linear", "della", "breadcrumbs", "ties"] {
        std::fs::write(at.join("m.yml"), recipe(method, "")).unwrap();
        let (_, err) = printed(&tureen(at, &["merge", "m.yml", method]));
        assert!(err.contains("nothing is trimmed"), "{method}: {err}");
        let more = match method {
            "della" => "parameters: {density: 0.5, epsilon: 0.1}\n",
            _ => "parameters: {density: 0.5}\n",
        };
        std::fs::write(at.join("m.yml"), recipe(method, more)).unwrap();
        let out = format!("{method}-trimmed");
        let (_, err) = printed(&tureen(at, &["merge", "m.yml", &out]));
        assert!(!err.contains("nothing is trimmed"), "{method}: {err}");
    }
    // A seed for a recipe that draws nothing.
    std::fs::write(
        at.join("m.yml"),
        recipe("ties", "parameters: {density: 0.5}\n"),
    )
    .unwrap();
    let told = refused(&tureen(at, &["merge", "m.yml", "seeded", "--seed", "3"]));
    assert!(told.contains("makes no random choices"), "{told}");
    assert!(!at.join("seeded").exists());
    // The same merge may run again; other files are nobody's to overwrite.
    printed(&tureen(at, &["merge", "m.yml", "again"]));
    printed(&tureen(at, &["merge", "m.yml", "again"]));
    let card = at.join("again/README.md");
    std::fs::write(&card, "licence: mine\n").unwrap();
    let told = refused(&tureen(at, &["merge", "m.yml", "again"]));
    assert!(
        told.contains("or was changed since") && told.contains("--force"),
        "{told}"
    );
    assert_eq!(std::fs::read_to_string(&card).unwrap(), "licence: mine\n");
    std::fs::write(at.join("again/model-00001-of-00002.safetensors"), "old").unwrap();
    printed(&tureen(at, &["merge", "m.yml", "again", "--force"]));
    assert!(!at.join("again/model-00001-of-00002.safetensors").exists());
    assert_ne!(std::fs::read_to_string(&card).unwrap(), "licence: mine\n");
    for out in ["a", "./base"] {
        let told = refused(&tureen(at, &["merge", "m.yml", out, "--force"]));
        assert!(told.contains("one of the models"), "{told}");
    }
}
