//! The identity of a base model, and adapters that meet another base than their own.

mod relations {
    use std::path::Path;

    use crate::cases::{case, peft, printed, refused, tureen};

    /// Mixes two adapters; the program's output.
    fn mixed(a: &Path, b: &Path) -> std::process::Output {
        let temporary = tempfile::tempdir().unwrap();
        let out = temporary.path().join("out");
        let paths = [a, b, &out].map(|p| p.to_str().unwrap());
        let arguments = ["soup", paths[0], paths[1], "--out", paths[2]];
        tureen(temporary.path(), &arguments)
    }

    #[test]
    fn other_bases_of_the_same_shape_get_a_notice() {
        let folder = case("different-bases");
        let (_, told) = printed(&mixed(&folder.join("llama"), &folder.join("qwen2")));
        let line = "was made for someone/llama, qwen2 for someone/qwen2";
        assert_eq!(told.matches(line).count(), 1, "{told}");
        // By operators and methods too, once for all of them.
        let code = "let a = load_adapter(\"llama\"); let b = load_adapter(\"qwen2\");
            let s = 0.5 * a + 0.5 * b; let t = soup([a, b], #{ method: \"ties\", density: 0.5 }); t.id;";
        let (_, told) = printed(&tureen(&folder, &["-e", code]));
        assert_eq!(told.matches(line).count(), 1, "{told}");
        let (_, told) = printed(&mixed(&folder.join("llama"), &folder.join("llama")));
        assert!(!told.contains("was made for"), "{told}");
    }

    #[test]
    fn adapters_that_cannot_act_in_one_model_are_refused() {
        let llama = case("different-bases/llama");
        let temporary = tempfile::tempdir().unwrap();
        let other = |name: &str, base: &str, rename: &dyn Fn(&str) -> String, wide: bool| {
            let mut config = peft::config(&llama);
            config["base_model_name_or_path"] = base.into();
            let tensors = peft::tensors(&llama).into_iter().map(|(name, tensor)| {
                let a = name.ends_with("lora_A.weight") && wide;
                let tensor = match a {
                    true => tensor.pad_with_zeros(1, 0, 8).unwrap(),
                    false => tensor,
                };
                (rename(&name), tensor)
            });
            let out = temporary.path().join(name);
            peft::write(&out, &tensors.collect(), &config);
            out
        };
        let opt = other(
            "opt",
            "facebook/opt-125m",
            &|n| n.replace(".layers.", ".decoder.layers."),
            false,
        );
        let message = refused(&mixed(&llama, &opt));
        assert!(message.contains("no module in common"), "{message}");
        let wide = other("wide", "someone/llama", &|n| n.into(), true);
        let message = refused(&mixed(&llama, &wide));
        assert!(message.contains("q_proj"), "{message}");
        assert!(
            message.contains("40") && message.contains("32"),
            "{message}"
        );
        let deep = other("deep", "someone/other", &|n| n.into(), false);
        let mut tensors = peft::tensors(&deep);
        let more: Vec<_> = tensors
            .iter()
            .filter(|(n, _)| n.contains(".layers.1."))
            .map(|(n, t)| (n.replace(".layers.1.", ".layers.2."), t.clone()))
            .collect();
        tensors.extend(more);
        peft::write(&deep, &tensors, &peft::config(&deep));
        let message = refused(&mixed(&llama, &deep));
        assert!(
            message.contains("all 2 layers") && message.contains("all 3 layers"),
            "{message}"
        );
        // Of one base, adapters of different modules add up.
        let keys = other(
            "keys",
            "someone/llama",
            &|n| n.replace("q_proj", "k_proj").replace("v_proj", "o_proj"),
            false,
        );
        let mut config = peft::config(&keys);
        config["target_modules"] = serde_json::json!(["k_proj", "o_proj"]);
        peft::write(&keys, &peft::tensors(&keys), &config);
        let (_, told) = printed(&mixed(&llama, &keys));
        assert!(!told.contains("was made for"), "{told}");
    }

    #[test]
    fn an_adapter_in_another_base_than_its_own_gets_a_notice() {
        let folder = case("foreign-adapter-other-base");
        let evaluated = |base: &str| {
            let code = format!(
                "let a = load_adapter(\"adapter\"); let d = dataset(\"rows.csv\");
                 let m = model(\"{base}\");
                 print(evaluate(m, a, d).accuracy); print(evaluate(m, a, d).accuracy);"
            );
            printed(&tureen(&folder, &["-e", &code]))
        };
        let (out, told) = evaluated("base");
        assert!(out.starts_with("1.0"), "{out}");
        assert!(!told.contains("was made for"), "{told}");
        let (out, told) = evaluated("other");
        assert!(out.starts_with("0.4"), "{out}");
        let line = "adapter was made for base and acts here in other";
        assert_eq!(told.matches(line).count(), 1, "{told}");
    }

    /// The same folder at another place has the name that the adapter's configuration gives.
    #[test]
    fn a_copy_of_the_base_is_the_base() {
        let folder = case("foreign-adapter-other-base");
        let temporary = tempfile::tempdir().unwrap();
        let copy = temporary.path().join("models/base");
        std::fs::create_dir_all(&copy).unwrap();
        for file in std::fs::read_dir(folder.join("base")).unwrap().flatten() {
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        let code = format!(
            "let a = load_adapter({:?}); let d = dataset({:?}); print(evaluate(model(\"models/base\"), a, d).accuracy)",
            folder.join("adapter"),
            folder.join("rows.csv")
        );
        let read = ["--allow-read", folder.to_str().unwrap(), "-e", &code];
        let (_, told) = printed(&tureen(temporary.path(), &read));
        assert!(!told.contains("was made for"), "{told}");
    }
}

use std::path::Path;

use tureen::tensorfile::{Number, Part, Streamed, TensorFile, write_streamed};

use super::{case, printed, refused, tureen};

/// A tensor of a file: name, type, shape and bytes.
pub(super) type Raw = (String, Number, Vec<usize>, Vec<u8>);

/// The tensors of a model's folder.
pub(super) fn tensors(folder: &Path) -> Vec<Raw> {
    let file = TensorFile::open(&folder.join("model.safetensors")).unwrap();
    let raw = |(name, shape): (&String, &[usize])| {
        let (number, bytes) = (file.number(name).unwrap(), file.raw(name).unwrap());
        (name.clone(), number, shape.to_vec(), bytes)
    };
    file.shapes().map(raw).collect()
}

/// Copies a model's folder, with its tensors as `change` makes them.
pub(super) fn rewritten(from: &Path, to: &Path, change: impl FnOnce(&mut Vec<Raw>)) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    let mut all = tensors(from);
    change(&mut all);
    let streamed = all.iter().map(|(name, number, shape, bytes)| Streamed {
        name: name.clone(),
        shape: shape.clone(),
        number: *number,
        parts: vec![Part {
            size: bytes.len(),
            make: Box::new(|| Ok(bytes.clone())),
        }],
    });
    write_streamed(&to.join("model.safetensors"), streamed.collect(), None).unwrap();
}

/// Puts a model type before the names.
pub(super) fn prefixed(all: &mut [Raw], prefix: &str) {
    all.iter_mut()
        .for_each(|raw| raw.0 = format!("{prefix}{}", raw.0));
}

/// Spells the norms' tensors as checkpoints of the first years do.
pub(super) fn as_gamma(all: &mut [Raw]) {
    for raw in all {
        for (new, old) in [("weight", "gamma"), ("bias", "beta")] {
            if let Some(stem) = raw.0.strip_suffix(&format!("LayerNorm.{new}")) {
                raw.0 = format!("{stem}LayerNorm.{old}");
            }
        }
    }
}

/// Adds the buffer of positions that transformers wrote until 4.30.
pub(super) fn with_position_ids(all: &mut Vec<Raw>) {
    let bytes = (0..32i64).flat_map(i64::to_le_bytes).collect();
    all.push((
        "embeddings.position_ids".into(),
        Number::I64,
        vec![1, 32],
        bytes,
    ));
}

fn floats(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}

/// The ids of models in folders, and what evaluating an adapter of `base` says on each.
fn ids(folder: &Path, models: &[&str]) -> Vec<String> {
    let names = serde_json::to_string(models).unwrap();
    let script = format!("for n in {names} {{ print(model(n).id) }}");
    let (out, _) = printed(&tureen(folder, &["-e", &script]));
    out.lines().map(str::to_string).collect()
}

#[test]
fn what_a_base_does_not_compute_with_leaves_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let base = case("base-id-of-unused-tensors").join("base");
    rewritten(&base, &at("base"), |_| {});
    rewritten(&base, &at("prefix"), |all| prefixed(all, "bert."));
    rewritten(&base, &at("gamma"), |all| as_gamma(all));
    rewritten(&base, &at("position_ids"), with_position_ids);
    rewritten(&base, &at("heads"), |all| {
        prefixed(all, "bert.");
        for (name, shape) in [
            ("cls.predictions.bias", vec![39]),
            ("cls.predictions.decoder.weight", vec![39, 16]),
            ("qa_outputs.weight", vec![2, 16]),
            ("classifier.weight", vec![2, 16]),
        ] {
            let bytes = floats((0..shape.iter().product()).map(|i: usize| i as f32));
            all.push((name.into(), Number::F32, shape, bytes));
        }
    });
    // A type that holds every value of the first.
    rewritten(&base, &at("f64"), |all| {
        for (_, number, _, bytes) in all {
            let values = number.decode(bytes).unwrap();
            (*number, *bytes) = (Number::F64, Number::F64.encode(&values).unwrap());
        }
    });
    // One file as two shards.
    rewritten(&base, &at("shards"), |_| {});
    std::fs::rename(at("shards/model.safetensors"), at("shards/all.safetensors")).unwrap();
    let names = tensors(&base)
        .into_iter()
        .map(|raw| (raw.0, "all.safetensors".into()));
    let index = serde_json::json!({"weight_map": names.collect::<serde_json::Map<_, _>>()});
    std::fs::write(at("shards/model.safetensors.index.json"), index.to_string()).unwrap();
    // Without the pooler, which an adapter need not read.
    rewritten(&base, &at("no_pooler"), |all| {
        all.retain(|raw| !raw.0.starts_with("pooler."));
    });
    rewritten(&base, &at("rounded"), |all| {
        for (_, number, _, bytes) in all {
            let values = number.decode(bytes).unwrap();
            (*number, *bytes) = (Number::F16, Number::F16.encode(&values).unwrap());
        }
    });
    let same = [
        "base",
        "prefix",
        "gamma",
        "position_ids",
        "heads",
        "f64",
        "shards",
    ];
    let found = ids(folder.path(), &same);
    assert!(found[0].starts_with("v2-"), "{found:?}");
    for (name, id) in same.iter().zip(&found) {
        assert_eq!(*id, found[0], "{name}");
    }
    let others = ids(folder.path(), &["no_pooler", "rounded"]);
    assert!(
        found[0].starts_with(&format!("{}-", others[0])),
        "{others:?}"
    );
    assert_ne!(others[1], found[0]);

    std::fs::copy(
        case("base-id-of-unused-tensors").join("rows.csv"),
        at("rows.csv"),
    )
    .unwrap();
    let script = r#"let d = dataset("rows.csv"); let a = train(model("base"), d, #{ epochs: 1 });
        for n in ["prefix", "position_ids", "heads", "no_pooler"] {
            print(evaluate(model(n), a, d).n) }"#;
    let (out, _) = printed(&tureen(folder.path(), &["-e", script]));
    assert_eq!(out, "6\n6\n6\n6\n");
}

#[test]
fn buffers_of_a_causal_model_leave_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let gpt = case("merge-other-names-same-model").join("gpt_one");
    rewritten(&gpt, &at("plain"), |_| {});
    rewritten(&gpt, &at("buffers"), |all| {
        let mask = (0..256usize).map(|i| f32::from(i % 16 <= i / 16));
        all.push((
            "transformer.h.0.attn.bias".into(),
            Number::F32,
            vec![1, 1, 16, 16],
            floats(mask),
        ));
        let least = floats([-1e4].into_iter());
        all.push((
            "transformer.h.0.attn.masked_bias".into(),
            Number::F32,
            vec![],
            least,
        ));
    });
    rewritten(&gpt, &at("tied"), |all| {
        let words = all
            .iter()
            .find(|raw| raw.0.ends_with("wte.weight"))
            .unwrap();
        let head = (
            "lm_head.weight".to_string(),
            words.1,
            words.2.clone(),
            words.3.clone(),
        );
        all.push(head);
    });
    rewritten(&gpt, &at("bare"), |all| {
        for raw in all {
            raw.0 = raw.0.trim_start_matches("transformer.").to_string();
        }
    });
    let found = ids(folder.path(), &["plain", "buffers", "tied", "bare"]);
    assert!(found.iter().all(|id| *id == found[0]), "{found:?}");
}

#[test]
fn an_id_of_an_earlier_scheme_is_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    rewritten(
        &case("base-id-of-unused-tensors").join("base"),
        &at("base"),
        |_| {},
    );
    std::fs::copy(
        case("base-id-of-unused-tensors").join("rows.csv"),
        at("rows.csv"),
    )
    .unwrap();
    let script = r#"let d = dataset("rows.csv"); let a = train(model("base"), d, #{ epochs: 1 });
        a.save("a");"#;
    printed(&tureen(folder.path(), &["-e", script]));
    let mut replaced = 0;
    for name in ["adapter_config.json", "tureen.json"] {
        let path = at("a").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let old = ids(folder.path(), &["base"]).remove(0);
        replaced += usize::from(text.contains(&old));
        std::fs::write(&path, text.replace(&old, &"0".repeat(32))).unwrap();
    }
    assert!(replaced > 0);
    let script = r#"print(evaluate(model("base"), load_adapter("a"), dataset("rows.csv")).n)"#;
    let (out, err) = printed(&tureen(folder.path(), &["-e", script]));
    assert_eq!(out, "6\n");
    assert!(!err.contains("was made for"), "{err}");
    // On a base of another name, the names are all that can be compared.
    rewritten(&at("base"), &at("other"), |_| {});
    let script = script.replace("base", "other");
    let (_, err) = printed(&tureen(folder.path(), &["-e", &script]));
    assert!(
        err.contains("was made for") && err.contains("acts here in other"),
        "{err}"
    );
    // Beside one of the new scheme it is mixed.
    let script = r#"let d = dataset("rows.csv"); let n = train(model("base"), d, #{ epochs: 1 });
        print(soup([n, load_adapter("a")], #{ heads: "drop" }).members.len)"#;
    let (out, _) = printed(&tureen(folder.path(), &["-e", script]));
    assert_eq!(out, "2\n");
}

#[test]
fn a_base_with_a_value_that_is_not_finite_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let base = case("base-id-of-unused-tensors").join("base");
    for value in [f32::NAN, f32::INFINITY] {
        rewritten(&base, &folder.path().join("base"), |all| {
            let raw = all
                .iter_mut()
                .find(|raw| raw.0.ends_with("query.weight"))
                .unwrap();
            raw.3[..4].copy_from_slice(&value.to_le_bytes());
        });
        let message = refused(&tureen(folder.path(), &["-e", "model(\"base\")"]));
        assert!(message.contains("query.weight holds"), "{message}");
    }
}
