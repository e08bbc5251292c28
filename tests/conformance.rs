//! BERT and its adapters against what transformers and adapters (Python) compute.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use serde_json::Value;
use tureen::adapter::{
    Adapter, Head, Labels, Name, Selection, Tensors, formats, head_forward, on_model,
};
use tureen::model::{Frozen, Inputs, Model, Noise, read_safetensors};
use tureen::soup::{LoraMixing, soup};
use tureen::train::{AdamW, AdamWOptions, Targets, gradients, gradients_of, loss, track, tracked};

use crate::common::reference;

const ARCHITECTURES: [&str; 4] = ["seq_bn", "double_seq_bn", "par_bn", "lora"];

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn base() -> Option<Model> {
    let folder = reference("models/bert")?;
    Some(Model::from_folder("models/bert", &folder, DType::F32, &Device::Cpu).unwrap())
}

fn inputs(model: &Model, io: &BTreeMap<String, Tensor>) -> Inputs {
    let c = model.config();
    let limits = [c.vocab_size, c.type_vocab_size, c.max_position_embeddings];
    Inputs::from_tensors(&io["input_ids"], Some(&io["attention_mask"]), None, limits).unwrap()
}

fn logits(model: &Model, adapter: &Adapter, head: &Head, inputs: &Inputs) -> Tensor {
    adapter.fits(model).unwrap();
    let tensors = on_model(&adapter.tensors().unwrap(), model).unwrap();
    let sites = adapter.kind().sites(&tensors).unwrap();
    let hidden = model
        .forward_first(inputs, sites.as_ref(), &Noise::default())
        .unwrap();
    head.forward(&hidden, &Noise::default()).unwrap()
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let flat = |t: &Tensor| -> Vec<f64> {
        t.to_dtype(DType::F64)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap()
    };
    let pairs = flat(a).into_iter().zip(flat(b));
    pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

#[test]
fn the_last_hidden_state_is_transformers_own() {
    let (Some(folder), Some(model)) = (reference("forward/bert"), base()) else {
        return;
    };
    let case = json(&folder.join("case.json"));
    let io = read_safetensors(&folder.join("io.safetensors")).unwrap();
    let hidden = model
        .forward(&inputs(&model, &io), &Frozen, &Noise::default())
        .unwrap();
    let mask = io["attention_mask"]
        .to_dtype(DType::F32)
        .unwrap()
        .unsqueeze(2)
        .unwrap();
    let masked = |t: &Tensor| t.broadcast_mul(&mask).unwrap();
    let found = difference(&masked(&hidden), &masked(&io["last_hidden_state"]));
    assert!(found <= case["tolerance"].as_f64().unwrap(), "{found}");
}

#[test]
fn logits_and_mixtures_are_those_of_adapters() {
    let Some(model) = base() else { return };
    for arch in ARCHITECTURES {
        let Some(folder) = reference(&format!("adapter/bert/{arch}")) else {
            return;
        };
        let tolerance = json(&folder.join("case.json"))["tolerance"]
            .as_f64()
            .unwrap();
        let io = read_safetensors(&folder.join("io.safetensors")).unwrap();
        let inputs = inputs(&model, &io);
        let [a, b, c] = ["a", "b", "c"].map(|n| formats::load(&folder.join(n)).unwrap());
        let check = |what: &str, adapter: &Adapter, head: &Head| {
            let found = difference(&logits(&model, adapter, head, &inputs), &io[what]);
            assert!(found <= tolerance, "{arch} {what}: {found}");
        };
        for (name, adapter) in [("a", &a), ("b", &b), ("c", &c)] {
            check(&format!("logits.{name}"), adapter, &adapter.heads()[0]);
        }
        // The library's linear mixture of LoRAs is that of the factors, cross terms included.
        let how = if arch == "lora" {
            LoraMixing::Factors
        } else {
            LoraMixing::Delta
        };
        let head = &a.heads()[0];
        let all = [a.clone(), b.clone(), c.clone()];
        let weights = Some(&[0.5, 0.3, 0.2][..]);
        let mixed = |weights, how| soup(&all, weights, how).unwrap();
        check("logits.mix_uniform.head_a", &mixed(None, how), head);
        check("logits.mix_weighted.head_a", &mixed(weights, how), head);
        check(
            "logits.mix_pair.head_a",
            &soup(&all[..2], None, how).unwrap(),
            head,
        );
        if arch == "lora" {
            let svd = LoraMixing::Svd { rank: 8 };
            check(
                "logits.mix_lora_delta_w_svd.head_a",
                &mixed(weights, svd),
                head,
            );
            let negate = LoraMixing::NegateB;
            check(
                "logits.mix_lora_linear_only_negate_b.head_a",
                &mixed(weights, negate),
                head,
            );
            // Joined factors are the change itself: nothing is lost at full rank.
            let whole = mixed(weights, LoraMixing::Svd { rank: 24 });
            let exact = mixed(weights, LoraMixing::Delta);
            let (x, y) = (
                logits(&model, &whole, head, &inputs),
                logits(&model, &exact, head, &inputs),
            );
            assert!(difference(&x, &y) <= tolerance);
        }
    }
}

/// The library's name of a tensor of adapter `a`, made canonical by hand.
fn canonical(name: &str) -> Name {
    let name = name.strip_prefix("bert.").unwrap_or(name);
    let name = name.replace(".adapters.a.", ".").replace(".loras.a.", ".");
    Name::new(
        name.replace("adapter_down.0", "adapter_down")
            .replace("heads.a.", "heads."),
    )
}

#[test]
fn loss_and_gradients_are_those_of_adapters() {
    let Some(model) = base() else { return };
    for arch in ARCHITECTURES {
        let Some(folder) = reference(&format!("adapter/bert/{arch}")) else {
            return;
        };
        let case = json(&folder.join("case.json"));
        let tolerance = case["tolerance"].as_f64().unwrap();
        let io = read_safetensors(&folder.join("io.safetensors")).unwrap();
        let a = formats::load(&folder.join("a")).unwrap();
        let targets = Targets::Classes(io["labels"].to_dtype(DType::U32).unwrap());
        let found =
            gradients_of(&model, &a, &a.heads()[0], &inputs(&model, &io), &targets).unwrap();
        assert!((found.loss - case["loss"].as_f64().unwrap()).abs() <= tolerance);
        let expected = read_safetensors(&folder.join("grads.safetensors")).unwrap();
        assert_eq!(found.grads.len(), expected.len(), "{arch}");
        for (name, gradient) in &expected {
            let off = difference(&found.grads[&canonical(name)], gradient);
            assert!(off <= tolerance, "{arch} {name}: {off}");
        }
    }
}

#[test]
fn five_steps_of_adamw_are_those_of_torch() {
    let Some(model) = base() else { return };
    for arch in ARCHITECTURES {
        let Some(folder) = reference(&format!("adapter/bert/{arch}")) else {
            return;
        };
        let case = json(&folder.join("case.json"));
        let tolerance = case["tolerance"].as_f64().unwrap();
        let io = read_safetensors(&folder.join("io.safetensors")).unwrap();
        let inputs = inputs(&model, &io);
        let a = formats::load(&folder.join("a")).unwrap();
        let own = track(&a.tensors().unwrap(), &model).unwrap();
        let head = track(&a.heads()[0].tensors, &model).unwrap();
        let all: BTreeMap<Name, Var> = own
            .iter()
            .chain(&head)
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        let setting = |key: &str| case["adamw"][key].as_f64().unwrap();
        let options = AdamWOptions {
            eps: setting("eps"),
            weight_decay: setting("weight_decay"),
            ..AdamWOptions::default()
        };
        let mut optimizer = AdamW::new(&all, &Tensors::new(), options).unwrap();
        let targets = Targets::Classes(io["labels"].to_dtype(DType::U32).unwrap());
        let forward = || {
            let sites = a.kind().sites(&tracked(&own)).unwrap();
            let hidden = model
                .forward_first(&inputs, sites.as_ref(), &Noise::default())
                .unwrap();
            head_forward(&tracked(&head), &hidden, &Noise::default()).unwrap()
        };
        for expected in case["train_losses"].as_array().unwrap() {
            let mean = loss(&forward(), &targets).unwrap();
            let found = f64::from(mean.to_scalar::<f32>().unwrap());
            let off = (found - expected.as_f64().unwrap()).abs();
            assert!(off <= tolerance, "{arch}: {off}");
            let store = mean.backward().unwrap();
            optimizer
                .step(&gradients(&all, &store).unwrap(), setting("lr"))
                .unwrap();
        }
        let off = difference(&forward(), &io["logits.a.after_5_steps"]);
        assert!(off <= tolerance, "{arch}: {off} after five steps");
    }
}

/// What is saved is loaded again bit for bit, under the very names and settings that the Python
/// library writes.
#[test]
fn saved_adapters_come_back_and_look_like_the_librarys() {
    let Some(_) = base() else { return };
    for arch in ARCHITECTURES {
        let Some(folder) = reference(&format!("adapter/bert/{arch}")) else {
            return;
        };
        let theirs = folder.join("a");
        let a = formats::load(&theirs).unwrap();
        let temporary = tempfile::tempdir().unwrap();
        let ours = temporary.path().join("a");
        formats::save(&a, &ours).unwrap();
        for file in ["adapter.safetensors", "model_head.safetensors"] {
            let read = |f: &Path| read_safetensors(&f.join(file)).unwrap();
            let (x, y) = (read(&theirs), read(&ours));
            assert!(x.keys().eq(y.keys()), "{arch} {file}");
            for (name, tensor) in &x {
                assert_eq!(difference(tensor, &y[name]), 0.0, "{arch} {name}");
            }
        }
        let (x, y) = (
            json(&theirs.join("adapter_config.json")),
            json(&ours.join("adapter_config.json")),
        );
        assert_eq!(x["config"], y["config"], "{arch}");
        let back = formats::load(&ours).unwrap();
        assert_eq!(back.id(), a.id(), "{arch}");
        assert_eq!(back.heads()[0].labels, Labels::Counted(3));
    }
}

/// SNIP's and Fisher's scores on one batch, by the gradients found here.
#[test]
fn scores_are_the_reference_ones() {
    let (Some(folder), Some(model)) = (reference("scores"), base()) else {
        return;
    };
    let a = formats::load(&folder.join("a")).unwrap();
    let io = read_safetensors(&folder.join("io.safetensors")).unwrap();
    let targets = Targets::Classes(io["labels"].to_dtype(DType::U32).unwrap());
    let found = gradients_of(&model, &a, &a.heads()[0], &inputs(&model, &io), &targets).unwrap();
    let needs = tureen::prune::Inputs {
        gradients: Some(&found.grads),
        seed: 0,
    };
    for name in ["snip", "fisher"] {
        let by = tureen::prune::criterion(name).unwrap();
        let tensors = a.tensors().unwrap();
        let scores = tureen::prune::scores(&tensors, by, &needs, &Selection::Matrices).unwrap();
        let expected = read_safetensors(&folder.join("scores.safetensors")).unwrap();
        let mut seen = 0;
        for (full, tensor) in &expected {
            let Some(full) = full.strip_prefix(&format!("{name}.")) else {
                continue;
            };
            let off = difference(&scores[&canonical(full)], tensor);
            assert!(off < 1e-6, "{name} {full}: {off}");
            seen += 1;
        }
        assert_eq!(seen, scores.len());
    }
}
