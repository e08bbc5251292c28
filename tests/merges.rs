//! LoRAs as PEFT writes them, and its merges of them.

use std::path::Path;

use candle_core::{DType, Device};
use serde_json::{Value, json};
use tureen::Context;
use tureen::adapter::{Adapter, Head, deltas, formats, head_id};
use tureen::model::Model;
use tureen::soup::{LoraMixing, Options, Setting, Spec, soup};

use crate::common::reference;
use crate::conformance::{base, difference, inputs, json as read_json, logits, tensors};

const MODELS: [&str; 3] = ["bert", "gpt2", "roberta"];

/// The soup that a merge of the library asks for.
fn options(settings: &Value) -> Options {
    let kind = settings["combination_type"].as_str().unwrap();
    let lora = match settings["svd_rank"].as_u64() {
        Some(rank) => LoraMixing::Svd {
            rank: rank as usize,
        },
        None if kind == "cat" => LoraMixing::Delta,
        None => LoraMixing::SqrtFactors,
    };
    let method = match kind {
        "linear" | "cat" | "svd" => "linear",
        "ties" | "ties_svd" => "ties",
        "magnitude_prune" | "magnitude_prune_svd" => "magnitude",
        other => panic!("{other}: not one of the cases"),
    };
    let weights: Vec<f64> = serde_json::from_value(settings["weights"].clone()).unwrap();
    let mut options = Options {
        method: Spec::find(method).unwrap(),
        weights: Some(weights.into_iter().map(Setting::Number).collect()),
        lora: Some(lora),
        ..Options::default()
    };
    if let Some(density) = settings["density"].as_f64() {
        let density = vec![Setting::Number(density)];
        options.settings.numbers.insert("density", density);
    }
    if method == "ties" {
        let rule = match settings["majority_sign_method"].as_str() {
            Some("frequency") => "peft_frequency",
            _ => "peft",
        };
        options.settings.words.insert("rule", rule);
    }
    options
}

fn names(settings: &Value) -> Vec<String> {
    serde_json::from_value(settings["adapters"].clone()).unwrap()
}

fn mixed(members: &[Adapter], settings: &Value) -> Adapter {
    soup(members, &options(settings), &Context::silent()).unwrap()
}

/// The adapter of a folder as a LoRA without stabilisation: the same factors and scale.
fn plain(folder: &Path) -> Adapter {
    let copy = tempfile::tempdir().unwrap();
    let place = copy.path().join("plain");
    std::fs::create_dir(&place).unwrap();
    let weights = "adapter_model.safetensors";
    std::fs::copy(folder.join(weights), place.join(weights)).unwrap();
    let mut config = read_json(&folder.join("adapter_config.json"));
    let (r, alpha) = (config["r"].as_f64().unwrap(), config["lora_alpha"].as_f64());
    let scale = match config["use_rslora"] == true {
        true => alpha.unwrap() / r.sqrt(),
        false => alpha.unwrap() / r,
    };
    config["use_rslora"] = json!(false);
    config["lora_alpha"] = json!(scale * r);
    std::fs::write(place.join("adapter_config.json"), config.to_string()).unwrap();
    formats::load(&place).unwrap()
}

/// LoRAs as PEFT writes them, and its merges: none of the cases has a stabilised LoRA for its first,
/// where the library's would come out sqrt(rank) too large.
#[test]
fn logits_are_those_of_peft() {
    for name in MODELS {
        let (Some(folder), Some(model)) = (reference(&format!("peft/{name}")), base(name)) else {
            return;
        };
        let case = read_json(&folder.join("case.json"));
        let tolerance = case["tolerance"].as_f64().unwrap();
        let io = tensors(&folder.join("io.safetensors"));
        let inputs = inputs(&model, &io);
        let load = |n: &String| formats::load(&folder.join(n)).unwrap();
        let mut checked = 0;
        let mut check = |what: &str, adapter: &Adapter, head: &Head| {
            let found = difference(&logits(&model, adapter, head, &inputs), &io[what]);
            assert!(found <= tolerance, "{name} {what}: {found}");
            checked += 1;
        };
        let own: Vec<String> = serde_json::from_value(case["adapters"].clone()).unwrap();
        for own in &own {
            let adapter = load(own);
            check(&format!("logits.{own}"), &adapter, &adapter.heads()[0]);
        }
        for (merge, settings) in case["merges"].as_object().unwrap() {
            let what = format!("logits.{merge}");
            if !io.contains_key(&what) {
                assert!(settings["refused"].is_string(), "{name} {merge}");
                continue;
            }
            let members: Vec<Adapter> = names(settings).iter().map(load).collect();
            check(&what, &mixed(&members, settings), &members[0].heads()[0]);
        }
        let given = io.keys().filter(|k| k.starts_with("logits."));
        assert_eq!(checked, given.count(), "{name}");
    }
}

/// A language model whose last map is not its table of tokens must not be taken for one.
#[test]
fn untied_language_models_are_refused() {
    let (Some(folder), Some(from)) = (reference("peft/gpt2"), reference("models/gpt2")) else {
        return;
    };
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(
        from.join("model.safetensors"),
        copy.path().join("model.safetensors"),
    )
    .unwrap();
    let mut config = read_json(&from.join("config.json"));
    config["tie_word_embeddings"] = json!(false);
    std::fs::write(copy.path().join("config.json"), config.to_string()).unwrap();
    let model = Model::from_folder("untied", copy.path(), DType::F32, &Device::Cpu).unwrap();
    let a = formats::load(&folder.join("r4")).unwrap();
    let io = tensors(&folder.join("io.safetensors"));
    let sites = a
        .kind()
        .sites(&a.tensors().unwrap(), model.config())
        .unwrap();
    let found = a.heads()[0].logits(&model, &inputs(&model, &io), sites.as_ref());
    let message = found.unwrap_err().to_string();
    assert!(message.contains("tie_word_embeddings = false"), "{message}");
}

/// What the library refuses because of heads obeys the laws here, with stabilised LoRAs first, too:
/// a mixture depends on what its members change alone, however their scales are written; an
/// exact one changes the weighted sum; and every member's head is there.
#[test]
fn merges_obey_the_laws() {
    for name in MODELS {
        let Some(folder) = reference(&format!("peft/{name}")) else {
            return;
        };
        let case = read_json(&folder.join("case.json"));
        let turned = |settings: &Value| {
            let mut turned = settings.clone();
            for list in ["adapters", "weights"] {
                turned[list].as_array_mut().unwrap().reverse();
            }
            turned
        };
        let merges = case["merges"].as_object().unwrap().iter();
        for (merge, settings) in merges.flat_map(|(m, s)| [(m, s.clone()), (m, turned(s))]) {
            let settings = &settings;
            let names = names(settings);
            let load = |n: &String| formats::load(&folder.join(n)).unwrap();
            let members: Vec<Adapter> = names.iter().map(load).collect();
            let merged = mixed(&members, settings);
            let own: Vec<String> = merged.heads().iter().map(|h| head_id(h)).collect();
            for head in members.iter().flat_map(|m| m.heads()) {
                assert!(own.contains(&head_id(head)), "{name} {merge}");
            }
            let changes = deltas(&merged).unwrap();
            let same: Vec<Adapter> = names.iter().map(|n| plain(&folder.join(n))).collect();
            for (map, other) in &deltas(&mixed(&same, settings)).unwrap() {
                let off = difference(&changes[map], other);
                assert!(off < 1e-5, "{name} {merge} {map}: {off}");
            }
            // At full rank a singular value decomposition loses nothing.
            let kind = settings["combination_type"].as_str().unwrap();
            if kind != "cat" && kind != "svd" {
                continue;
            }
            let mut options = options(settings);
            if kind == "svd" {
                options.lora = Some(LoraMixing::Svd { rank: 32 });
            }
            let whole = soup(&members, &options, &Context::silent()).unwrap();
            let weights: Vec<f64> = serde_json::from_value(settings["weights"].clone()).unwrap();
            let own: Vec<_> = members.iter().map(|m| deltas(m).unwrap()).collect();
            for (map, change) in &deltas(&whole).unwrap() {
                let mut sum = change.zeros_like().unwrap();
                for (own, weight) in own.iter().zip(&weights) {
                    sum = (sum + (&own[map] * *weight).unwrap()).unwrap();
                }
                let off = difference(change, &sum);
                assert!(off < 1e-5, "{name} {merge} {map}: {off}");
            }
        }
    }
}
