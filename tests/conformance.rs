//! Base models and adapters against what transformers and adapters (Python) compute.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use serde_json::Value;
use tureen::Context;
use tureen::adapter::{
    Adapter, Head, Name, Selection, Tensors, formats, head_forward, head_states, on_model,
};
use tureen::model::{Frozen, Inputs, Model, Noise};
use tureen::soup::{LoraMixing, Options, Setting, soup};
use tureen::train::{
    AdamW, AdamWOptions, Targets, curvature_of, gradients, gradients_of, loss, track, tracked,
};

use crate::common::reference;

/// The base models, by architecture.
const MODELS: [&str; 6] = [
    "bert",
    "distilbert",
    "electra",
    "gpt2",
    "roberta",
    "xlm-roberta",
];

/// The kinds of adapter, as AdapterHub names them.
const KINDS: [&str; 5] = ["seq_bn", "double_seq_bn", "par_bn", "lora", "ia3"];

pub fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub fn base(name: &str) -> Option<Model> {
    base_on(name, &Device::Cpu)
}

fn base_on(name: &str, device: &Device) -> Option<Model> {
    let folder = reference(&format!("models/{name}"))?;
    Some(Model::from_folder(name, &folder, DType::F32, device).unwrap())
}

/// Every device that is there, with how many times a case's tolerance results may be off: a GPU
/// sums in another order.
fn places() -> Vec<(Device, f64)> {
    let mut all = vec![(Device::Cpu, 1.0)];
    match tureen::compute::device("cuda:0") {
        Ok(gpu) => all.push((gpu, 20.0)),
        Err(error) => eprintln!("skipped on a GPU: {error}"),
    }
    all
}

pub fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    tureen::tensorfile::read(path).unwrap()
}

pub fn inputs(model: &Model, io: &BTreeMap<String, Tensor>) -> Inputs {
    let c = model.config();
    let limits = [c.vocab_size, c.type_vocab_size, c.positions()];
    let ids = io["input_ids"].to_device(model.device()).unwrap();
    Inputs::from_tensors(&ids, Some(&io["attention_mask"]), None, limits).unwrap()
}

/// An adapter's logits; of a language model those of the first two rows, which the cases hold.
pub fn logits(model: &Model, adapter: &Adapter, head: &Head, inputs: &Inputs) -> Tensor {
    adapter.fits(model).unwrap();
    let tensors = on_model(&adapter.tensors().unwrap(), model).unwrap();
    let sites = adapter.kind().sites(&tensors, model.config()).unwrap();
    first_rows(head.logits(model, inputs, sites.as_ref()).unwrap())
}

fn first_rows(logits: Tensor) -> Tensor {
    match logits.dims().len() {
        3 => logits.narrow(0, 0, 2).unwrap(),
        _ => logits,
    }
}

/// A model with a kind of adapter, on a device.
struct Case {
    model: Model,
    kind: &'static str,
    folder: PathBuf,
    case: Value,
    tolerance: f64,
}

/// Every model with every kind of adapter, on every device.
fn cases() -> impl Iterator<Item = Case> {
    places().into_iter().flat_map(|(device, slack)| {
        let all = MODELS
            .into_iter()
            .flat_map(|name| KINDS.map(|kind| (name, kind)));
        all.filter_map(move |(name, kind)| {
            let folder = reference(&format!("adapter/{name}/{kind}"))?;
            let case = json(&folder.join("case.json"));
            Some(Case {
                model: base_on(name, &device)?,
                kind,
                tolerance: slack * case["tolerance"].as_f64().unwrap(),
                folder,
                case,
            })
        })
    })
}

fn targets(a: &Adapter, io: &BTreeMap<String, Tensor>, device: &Device) -> Targets {
    let labels = io["labels"].to_device(device).unwrap();
    match a.heads()[0].form.is_next_token() {
        true => Targets::Next(labels),
        false => Targets::Classes(labels.to_dtype(DType::U32).unwrap()),
    }
}

pub fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let flat = |t: &Tensor| -> Vec<f64> {
        t.to_device(&Device::Cpu)
            .unwrap()
            .to_dtype(DType::F64)
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
    let places = places();
    let all = MODELS
        .into_iter()
        .flat_map(|name| places.iter().map(move |place| (name, place)));
    for (name, (device, slack)) in all {
        let (Some(folder), Some(model)) =
            (reference(&format!("forward/{name}")), base_on(name, device))
        else {
            return;
        };
        let case = json(&folder.join("case.json"));
        let io = tensors(&folder.join("io.safetensors"));
        let hidden = model
            .forward(&inputs(&model, &io), &Frozen, &Noise::default())
            .unwrap();
        let mask = io["attention_mask"].to_dtype(DType::F32).unwrap();
        let mask = mask.unsqueeze(2).unwrap();
        let masked = |t: &Tensor| {
            let t = t.to_device(&Device::Cpu).unwrap();
            t.broadcast_mul(&mask).unwrap()
        };
        let found = difference(&masked(&hidden), &masked(&io["last_hidden_state"]));
        assert!(
            found <= slack * case["tolerance"].as_f64().unwrap(),
            "{name}: {found}"
        );
        assert_eq!(model.unused(), unused(name), "{name}");
    }
}

/// A sentence-transformers folder says after how many tokens a text is cut.
#[test]
fn embeddings_end_where_the_folder_says() {
    let Some(from) = reference("models/bert") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "modules.json",
        r#"[{"path": "", "type": "sentence_transformers.models.Transformer"}]"#,
    );
    let embed = || {
        let model = Model::from_folder("st", folder.path(), DType::F32, &Device::Cpu).unwrap();
        let texts = ["a b c d e f".into(), "a b c d x y".into()];
        let both = model.embed(&texts).unwrap();
        difference(&both.get(0).unwrap(), &both.get(1).unwrap())
    };
    assert!(embed() > 0.0);
    write("sentence_bert_config.json", r#"{"max_seq_length": 5}"#);
    assert_eq!(embed(), 0.0);
}

/// What the base models' files hold and nothing here reads.
fn unused(_: &str) -> [&'static str; 0] {
    []
}

/// A linear soup.
fn linear(members: &[Adapter], weights: Option<&[f64]>, lora: Option<LoraMixing>) -> Adapter {
    let weights = weights.map(|w| w.iter().copied().map(Setting::Number).collect());
    let options = Options {
        weights,
        lora,
        ..Options::default()
    };
    soup(members, &options, &Context::silent()).unwrap()
}

#[test]
fn logits_and_mixtures_are_those_of_adapters() {
    for Case {
        model,
        kind,
        folder,
        tolerance,
        ..
    } in cases()
    {
        let io = tensors(&folder.join("io.safetensors"));
        let inputs = inputs(&model, &io);
        let name = model.name().to_string();
        let [a, b, c] = ["a", "b", "c"].map(|n| formats::load(&folder.join(n)).unwrap());
        let head = &a.heads()[0];
        let mut checked = 0;
        let mut check = |what: &str, adapter: &Adapter, head: &Head| {
            let Some(expected) = io.get(what) else { return };
            let found = difference(&logits(&model, adapter, head, &inputs), expected);
            assert!(found <= tolerance, "{name} {kind} {what}: {found}");
            checked += 1;
        };
        for (n, adapter) in [("a", &a), ("b", &b), ("c", &c)] {
            check(&format!("logits.{n}"), adapter, &adapter.heads()[0]);
        }
        // The library's linear mixture of LoRAs is that of the factors, cross terms included.
        let how = match kind {
            "lora" => Some(LoraMixing::Factors),
            _ => None,
        };
        let all = [a.clone(), b.clone(), c.clone()];
        let weights = Some(&[0.5, 0.3, 0.2][..]);
        let mixed = |weights, how| linear(&all, weights, how);
        check("logits.mix_uniform.head_a", &mixed(None, how), head);
        check("logits.mix_weighted.head_a", &mixed(weights, how), head);
        let pair = linear(&all[..2], None, how);
        check("logits.mix_pair.head_a", &pair, head);
        if kind == "lora" {
            let svd = mixed(weights, Some(LoraMixing::Svd { rank: 8 }));
            check("logits.mix_lora_delta_w_svd.head_a", &svd, head);
            let negate = mixed(weights, Some(LoraMixing::NegateB));
            check("logits.mix_lora_linear_only_negate_b.head_a", &negate, head);
            // Joined factors are the change itself: nothing is lost at full rank.
            let whole = mixed(weights, Some(LoraMixing::Svd { rank: 24 }));
            let exact = mixed(weights, Some(LoraMixing::Delta));
            let x = logits(&model, &whole, head, &inputs);
            let y = logits(&model, &exact, head, &inputs);
            let off = difference(&x, &y);
            assert!(off <= tolerance, "{name}: {off}");
        }
        let expected = io
            .keys()
            .filter(|k| k.starts_with("logits.") && !k.ends_with("steps"));
        assert_eq!(checked, expected.count(), "{name} {kind}");
    }
}

#[test]
fn pickles_hold_the_same_adapters() {
    for Case {
        model,
        kind,
        folder,
        ..
    } in cases()
    {
        let [a, bin] = ["a", "a_bin"].map(|n| formats::load(&folder.join(n)).unwrap());
        assert_eq!(a.id(), bin.id(), "{} {kind}", model.name());
    }
}

/// The library's name of a tensor of adapter `a`, made canonical by hand.
fn canonical(name: &str) -> Name {
    let prefixes = [
        "bert.",
        "roberta.",
        "electra.",
        "distilbert.",
        "transformer.",
    ];
    let bare = prefixes.iter().find_map(|p| name.strip_prefix(p));
    let name = bare.unwrap_or(name);
    let name = name.replace(".adapters.a.", ".").replace(".loras.a.", ".");
    Name::new(
        name.replace("adapter_down.0", "adapter_down")
            .replace("heads.a.", "heads."),
    )
}

#[test]
fn loss_and_gradients_are_those_of_adapters() {
    for Case {
        model,
        kind,
        folder,
        case,
        tolerance,
    } in cases()
    {
        let io = tensors(&folder.join("io.safetensors"));
        let a = formats::load(&folder.join("a")).unwrap();
        let (head, targets) = (&a.heads()[0], targets(&a, &io, model.device()));
        let found = gradients_of(&model, &a, head, &inputs(&model, &io), &targets).unwrap();
        let name = model.name();
        let off = (found.loss - case["loss"].as_f64().unwrap()).abs();
        assert!(off <= tolerance, "{name} {kind}: {off}");
        let expected = tensors(&folder.join("grads.safetensors"));
        assert_eq!(found.grads.len(), expected.len(), "{name} {kind}");
        for (full, gradient) in &expected {
            let off = difference(&found.grads[&canonical(full)], gradient);
            assert!(off <= tolerance, "{name} {kind} {full}: {off}");
        }
    }
}

#[test]
fn five_steps_of_adamw_are_those_of_torch() {
    for Case {
        model,
        kind,
        folder,
        case,
        tolerance,
    } in cases()
    {
        let io = tensors(&folder.join("io.safetensors"));
        let inputs = inputs(&model, &io);
        let a = formats::load(&folder.join("a")).unwrap();
        let whole = &a.heads()[0];
        let own = track(&a.tensors().unwrap(), &model).unwrap();
        let mut head = track(&whole.tensors, &model).unwrap();
        let mut frozen = on_model(&whole.tensors, &model).unwrap();
        frozen.retain(|name, _| whole.form.is_frozen(name));
        head.retain(|name, _| !frozen.contains_key(name));
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
        let targets = targets(&a, &io, model.device());
        let forward = || {
            let config = model.config();
            let sites = a.kind().sites(&tracked(&own), config).unwrap();
            let noise = Noise::default();
            let states = head_states(&whole.form, &model, &inputs, sites.as_ref(), &noise);
            let mut tensors = tracked(&head);
            tensors.extend(frozen.clone());
            head_forward(&whole.form, &tensors, &model, &states.unwrap(), &noise).unwrap()
        };
        let name = model.name();
        for expected in case["train_losses"].as_array().unwrap() {
            let mean = loss(&forward(), &targets).unwrap();
            let found = f64::from(mean.to_scalar::<f32>().unwrap());
            let off = (found - expected.as_f64().unwrap()).abs();
            assert!(off <= tolerance, "{name} {kind}: {off}");
            let store = mean.backward().unwrap();
            optimizer
                .step(&gradients(&all, &store).unwrap(), setting("lr"))
                .unwrap();
        }
        let off = difference(&first_rows(forward()), &io["logits.a.after_5_steps"]);
        assert!(off <= tolerance, "{name} {kind}: {off} after five steps");
    }
}

/// What is saved is loaded again bit for bit, under the very names and settings that the Python
/// library writes.
#[test]
fn saved_adapters_come_back_and_look_like_the_librarys() {
    for Case {
        model,
        kind,
        folder,
        ..
    } in cases()
    {
        let theirs = folder.join("a");
        let a = formats::load(&theirs).unwrap();
        let temporary = tempfile::tempdir().unwrap();
        let ours = temporary.path().join("a");
        formats::save(&a, &ours, None).unwrap();
        let case = format!("{} {kind}", model.name());
        for file in ["adapter.safetensors", "model_head.safetensors"] {
            let (x, y) = (tensors(&theirs.join(file)), tensors(&ours.join(file)));
            assert!(x.keys().eq(y.keys()), "{case} {file}");
            for (name, tensor) in &x {
                assert_eq!(difference(tensor, &y[name]), 0.0, "{case} {name}");
            }
        }
        for file in ["adapter_config.json", "head_config.json"] {
            let (x, y) = (json(&theirs.join(file)), json(&ours.join(file)));
            for key in [
                "config",
                "model_class",
                "model_type",
                "hidden_size",
                "version",
            ] {
                assert_eq!(x[key], y[key], "{case} {file}");
            }
        }
        let back = formats::load(&ours).unwrap();
        assert_eq!(back.id(), a.id(), "{case}");
        assert_eq!(back.heads()[0].labels, a.heads()[0].labels);
    }
}

/// SNIP's, GraSP's and Fisher's scores on one batch, by the gradients found here.
#[test]
fn scores_are_the_reference_ones() {
    let (Some(folder), Some(model)) = (reference("scores"), base("bert")) else {
        return;
    };
    let a = formats::load(&folder.join("a")).unwrap();
    let io = tensors(&folder.join("io.safetensors"));
    let targets = Targets::Classes(io["labels"].to_dtype(DType::U32).unwrap());
    let found = gradients_of(&model, &a, &a.heads()[0], &inputs(&model, &io), &targets).unwrap();
    let every = Selection::Matrices;
    let along = (&inputs(&model, &io), &targets);
    let curvature = curvature_of(&model, &a, &a.heads()[0], along, &every).unwrap();
    for (name, evidence) in [
        ("snip", &found.grads),
        ("fisher", &found.grads),
        ("grasp", &curvature),
    ] {
        let needs = tureen::prune::Inputs {
            evidence: Some(evidence),
            seed: 0,
        };
        let by = tureen::prune::criterion(name).unwrap();
        let own = a.tensors().unwrap();
        let scores = tureen::prune::scores(&own, by, &needs, &Selection::Matrices).unwrap();
        let expected = tensors(&folder.join("scores.safetensors"));
        let mut seen = 0;
        for (full, tensor) in &expected {
            let Some(full) = full.strip_prefix(&format!("{name}.")) else {
                continue;
            };
            let off = difference(&scores[&canonical(full)], tensor);
            eprintln!("{name} {full}: {off:e}");
            assert!(off < 1e-7, "{name} {full}: {off}");
            seen += 1;
        }
        assert_eq!(seen, scores.len());
    }
}
