//! Tensors that disagree with the configuration they are loaded with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use tureen::adapter::formats::{self, Format};

use super::{case, peft, printed, refused, tureen};

/// What loading a folder says.
fn told(folder: &Path) -> String {
    match formats::load(folder) {
        Ok(adapter) => panic!("{}: loaded as {adapter}", folder.display()),
        Err(error) => {
            let message = error.to_string();
            for rust in ["Some(", "None"] {
                assert!(!message.contains(rust), "{message}");
            }
            message
        }
    }
}

/// A copy of a PEFT folder with other tensors and another configuration.
fn variant(
    from: &Path,
    out: &Path,
    change: impl FnOnce(&mut BTreeMap<String, Tensor>, &mut Value),
) -> PathBuf {
    let (mut tensors, mut config) = (peft::tensors(from), peft::config(from));
    change(&mut tensors, &mut config);
    peft::write(out, &tensors, &config);
    out.to_path_buf()
}

fn ones(shape: &[usize]) -> Tensor {
    Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap()
}

const QUERY: &str = "base_model.model.bert.encoder.layer.0.attention.self.query";

#[test]
fn a_rank_that_the_tensors_do_not_have_is_refused() {
    let message = told(&case("peft-rank-disagrees").join("wrong"));
    let expected = format!(
        "tensor {QUERY}.lora_A.weight has shape [4, 16], expected [8, 16]: r is 8 in the configuration"
    );
    assert!(message.contains(&expected), "{message}");
    formats::load(&case("peft-rank-disagrees").join("adapter")).unwrap();
    let message = told(&case("rank-mismatch").join("r8-config-r4-tensors"));
    assert!(
        message.contains("has shape [4, 32], expected [8, 32]"),
        "{message}"
    );
    let message = told(&case("rank-mismatch").join("missing-B"));
    assert!(
        message.contains("lora_B is missing, while base_model.model."),
        "{message}"
    );
    formats::load(&case("rank-mismatch").join("other")).unwrap();
}

#[test]
fn empty_shards_and_lost_halves_are_refused() {
    let message = told(&case("peft-empty-tensors").join("emptied"));
    for part in [".lora_A.weight has shape [0]", "one rank of ZeRO-3 or FSDP"] {
        assert!(message.contains(part), "{message}");
    }
    let message = told(&case("peft-empty-tensors").join("halved"));
    assert!(message.contains(".lora_A is missing, while"), "{message}");
    formats::load(&case("peft-empty-tensors").join("adapter")).unwrap();
    // On the command line, in one line, and with nothing written.
    let folder = tempfile::tempdir().unwrap();
    let input = case("peft-empty-tensors").join("halved");
    let arguments = [
        "prune",
        input.to_str().unwrap(),
        "--sparsity",
        "0.5",
        "--out",
        "out",
    ];
    refused(&tureen(folder.path(), &arguments));
    assert!(!folder.path().join("out").exists());
}

/// Each change of a LoRA in PEFT's layout is refused, with a word on the tensor.
#[test]
fn every_tensor_of_a_lora_is_compared_with_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let from = case("peft-rank-disagrees").join("adapter");
    let a = format!("{QUERY}.lora_A.weight");
    let b = format!("{QUERY}.lora_B.weight");
    let value = QUERY.replace("query", "value");
    type Change<'a> = Box<dyn Fn(&mut BTreeMap<String, Tensor>, &mut Value) + 'a>;
    let changes: Vec<(&str, Change<'_>)> = vec![
        (
            "rank_pattern says rank 2 there",
            Box::new(|_, c| c["rank_pattern"] = json!({"query": 2})),
        ),
        (
            "expected [16, 4]",
            Box::new(|t, _| drop(t.insert(b.clone(), ones(&[16, 5])))),
        ),
        (
            "has shape [64], expected [4, in]",
            Box::new(|t, _| drop(t.insert(a.clone(), ones(&[64])))),
        ),
        (
            "has the adapter's name, default, inside",
            Box::new(|t, _| {
                let tensor = t.remove(&a).unwrap();
                t.insert(format!("{QUERY}.lora_A.default.weight"), tensor);
            }),
        ),
        (
            "its module is not among those that target_modules names",
            Box::new(|_, c| c["target_modules"] = json!(["query"])),
        ),
        (
            "encoder.layer.0.attention.self.key has no tensors, which target_modules names",
            Box::new(|_, c| c["target_modules"] = json!(["query", "key", "value"])),
        ),
        (
            "encoder.layer.0.attention.self.value has no tensors",
            Box::new(|t, _| t.retain(|name, _| !name.starts_with(&value))),
        ),
        (
            "lora_magnitude_vector is missing",
            Box::new(|_, c| c["use_dora"] = json!(true)),
        ),
        (
            "use_dora is false in the configuration",
            Box::new(|t, _| {
                drop(t.insert(format!("{QUERY}.lora_magnitude_vector"), ones(&[16])));
            }),
        ),
        (
            "has shape [8], expected [16]",
            Box::new(|t, c| {
                c["use_dora"] = json!(true);
                for (stem, n) in [(QUERY, 8), (&value, 16)] {
                    t.insert(format!("{stem}.lora_magnitude_vector"), ones(&[n]));
                }
            }),
        ),
        (
            "lora_bias is false in the configuration",
            Box::new(|t, _| drop(t.insert(format!("{QUERY}.lora_B.bias"), ones(&[16])))),
        ),
        (
            "lora_B.bias is missing",
            Box::new(|_, c| c["lora_bias"] = json!(true)),
        ),
        (
            "a LoRA has no such tensor",
            Box::new(|t, _| drop(t.insert(format!("{QUERY}.lora_E"), ones(&[4, 1])))),
        ),
        (
            "cannot be matched",
            Box::new(|_, c| c["alpha_pattern"] = json!({"(?=(.+)+)(.+)+[a]0Z": 4})),
        ),
    ];
    for (i, (expected, change)) in changes.iter().enumerate() {
        let out = variant(&from, &folder.path().join(i.to_string()), |t, c| {
            change(t, c)
        });
        let message = told(&out);
        assert!(message.contains(expected), "{expected}: {message}");
    }
    // Ranks and scales of their own are fine where the tensors have them.
    let out = variant(&from, &folder.path().join("fine"), |t, c| {
        c["rank_pattern"] = json!({"layer.0.attention.self.query": 2});
        t.insert(a.clone(), ones(&[2, 16]));
        t.insert(b.clone(), ones(&[16, 2]));
    });
    formats::load(&out).unwrap();
}

#[test]
fn every_tensor_of_an_ia3_is_compared_with_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let stem = "base_model.model.encoder.layer.0";
    let write = |name: &str, key: &[usize], inner: &[usize], config: Value| {
        let tensors = BTreeMap::from([
            (format!("{stem}.attention.self.key.ia3_l"), ones(key)),
            (format!("{stem}.intermediate.dense.ia3_l"), ones(inner)),
        ]);
        let mut json = json!({"peft_type": "IA3", "target_modules": ["key", "intermediate.dense"],
            "feedforward_modules": ["intermediate.dense"], "base_model_name_or_path": "bert"});
        for (key, value) in config.as_object().unwrap() {
            json[key] = value.clone();
        }
        let out = folder.path().join(name);
        peft::write(&out, &tensors, &json);
        out
    };
    formats::load(&write("fine", &[16, 1], &[1, 16], json!({}))).unwrap();
    let row = told(&write("row", &[1, 16], &[1, 16], json!({})));
    assert!(
        row.contains("has shape [1, 16], expected [out, 1]"),
        "{row}"
    );
    let none = json!({"feedforward_modules": []});
    let column = told(&write("column", &[16, 1], &[1, 16], none));
    assert!(
        column.contains("expected [out, 1]: it scales the output"),
        "{column}"
    );
    let less = json!({"target_modules": ["key"], "feedforward_modules": []});
    let extra = told(&write("extra", &[16, 1], &[16, 1], less));
    assert!(
        extra.contains("not among those that target_modules names"),
        "{extra}"
    );
}

/// The same of AdapterHub's layout: bottlenecks, LoRAs and IA3s.
#[test]
fn every_tensor_of_adapterhubs_is_compared_with_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let code = format!(
        "let b = model({:?}); let d = dataset({:?});
         for kind in [\"pfeiffer\", \"houlsby\", \"lora\", \"ia3\"] {{
             train(b, d, #{{ adapter: kind, epochs: 1, batch: 60 }}).save(kind, #{{ format: \"adapterhub\" }});
         }}",
        case("foreign-adapter-other-base").join("base"),
        case("peft-token-classifier").join("rows.csv"),
    );
    printed(&tureen(folder.path(), &["-e", &code]));
    let own = |kind: &str| folder.path().join(kind);
    let altered = |kind: &str, from: &str, to: &str| {
        let path = own(kind).join("adapter_config.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let message = told(&own(kind));
        std::fs::write(&path, text).unwrap();
        message
    };
    let width = altered(
        "pfeiffer",
        "\"reduction_factor\": 16",
        "\"reduction_factor\": 4",
    );
    assert!(
        width.contains("expected [4, 16]: hidden_size 16 and reduction_factor"),
        "{width}"
    );
    let hidden = altered("houlsby", "\"hidden_size\": 16", "\"hidden_size\": 32");
    assert!(hidden.contains("expected [2, 32]"), "{hidden}");
    let less = altered("houlsby", "\"mh_adapter\": true", "\"mh_adapter\": false");
    assert!(less.contains("its module is not among those"), "{less}");
    let more = altered("pfeiffer", "\"mh_adapter\": false", "\"mh_adapter\": true");
    assert!(more.contains("attention.output has no tensors"), "{more}");
    let norm = altered("pfeiffer", "\"ln_after\": false", "\"ln_after\": true");
    assert!(
        norm.contains("adapter_norm_after.weight is missing"),
        "{norm}"
    );
    let rank = altered("lora", "\"r\": 8", "\"r\": 4");
    assert!(
        rank.contains("lora_A has shape [8, 16], expected [4, 16]"),
        "{rank}"
    );
    let dora = altered("lora", "\"use_dora\": false", "\"use_dora\": true");
    assert!(dora.contains("m.weight is missing"), "{dora}");
    let sites = altered(
        "ia3",
        "\"intermediate_lora\": true",
        "\"intermediate_lora\": false",
    );
    assert!(sites.contains("its module is not among those"), "{sites}");
    for kind in ["pfeiffer", "houlsby", "lora", "ia3"] {
        formats::load(&own(kind)).unwrap();
        let path = own(kind).join("adapter.safetensors");
        let mut tensors = tureen::tensorfile::read(&path).unwrap();
        let first = tensors.keys().next().unwrap().clone();
        tensors.insert(first.clone(), ones(&[0]));
        std::fs::write(&path, tureen::tensorfile::encode(&tensors, None).unwrap()).unwrap();
        let message = told(&own(kind));
        assert!(message.contains("has shape [0]"), "{message}");
        tensors.remove(&first);
        std::fs::write(&path, tureen::tensorfile::encode(&tensors, None).unwrap()).unwrap();
        let message = told(&own(kind));
        let lost = message.contains("is missing") || message.contains("has no tensors");
        assert!(lost, "{message}");
    }
}

/// Keys that only say how A and B began, how they were trained, or where.
#[test]
fn keys_that_change_nothing_are_accepted() {
    let plain = formats::load(&case("peft-harmless-keys").join("adapter")).unwrap();
    for name in ["eva", "tying", "loftq"] {
        let a = formats::load(&case("peft-harmless-keys").join(name)).unwrap();
        assert_eq!(a.kind().config(), plain.kind().config(), "{name}");
        let (own, theirs) = (a.tensors().unwrap(), plain.tensors().unwrap());
        assert!(own.iter().all(|(n, t)| peft::same(t, &theirs[n])), "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    let from = case("peft-harmless-keys").join("adapter");
    let with = |key: &str, value: &Value| {
        let out = folder.path().join(key);
        variant(&from, &out, |_, config| config[key] = value.clone())
    };
    for (key, value) in [
        ("exclude_modules", Value::Null),
        ("runtime_config", json!({"ephemeral_gpu_offload": true})),
        ("megatron_config", json!({"tensor_model_parallel_size": 2})),
        ("init_lora_weights", json!("mica")),
        ("corda_config", json!({"corda_method": "ipm"})),
        ("velora_config", json!({"num_groups": 64})),
        ("monteclora_config", json!({"num_samples": 8})),
        ("enable_lora", Value::Null),
        ("merge_weights", json!(true)),
    ] {
        let a = formats::load(&with(key, &value)).unwrap_or_else(|e| panic!("{key}: {e}"));
        assert_eq!(a.kind().config(), plain.kind().config(), "{key}");
    }
    for (key, value) in [
        ("init_lora_weights", json!("pissa_niter_4")),
        ("init_lora_weights", json!("corda")),
        ("init_lora_weights", json!("olora")),
        ("init_lora_weights", json!("loftq")),
        ("init_lora_weights", json!("lora_ga")),
        ("alora_invocation_tokens", json!([1, 2])),
        ("arrow_config", json!({"top_k": 3})),
        ("kasa_config", json!({"beta": 0.0001})),
        ("layer_replication", json!([[0, 1]])),
        ("target_parameters", json!(["experts.gate_up_proj"])),
        ("use_bdlora", json!({"nblocks": 2})),
        ("use_qalora", json!(true)),
        ("something_of_a_later_version", json!(3)),
    ] {
        let message = told(&with(key, &value));
        assert!(message.contains(key), "{key}: {message}");
    }
}

/// What is saved here passes its own checks, in either layout and after a mixture.
#[test]
fn what_is_written_is_loaded_again() {
    let folder = tempfile::tempdir().unwrap();
    let from = case("peft-rank-disagrees").join("adapter");
    let a = formats::load(&from).unwrap();
    for format in [Format::Peft, Format::AdapterHub] {
        let out = folder.path().join(format!("{format:?}"));
        formats::save(&a, &out, Some(format)).unwrap();
        formats::load(&out).unwrap();
        for lora in ["delta", "factors"] {
            let mixed = folder.path().join(format!("{format:?}-{lora}"));
            let path = out.to_str().unwrap();
            let arguments = ["soup", path, path, "--lora", lora, "--out"];
            let arguments = [&arguments[..], &[mixed.to_str().unwrap()]].concat();
            printed(&tureen(folder.path(), &arguments));
            formats::load(&mixed).unwrap();
        }
    }
}
