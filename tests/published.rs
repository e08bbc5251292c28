//! Adapters that people have published, and adapters trained by the Python libraries on real data.

use std::path::Path;

use candle_core::{DType, Device};
use serde_json::Value;
use tureen::Context;
use tureen::adapter::formats::{self, Format};
use tureen::adapter::{Adapter, Labels, Selection};
use tureen::data::{Dataset, LoadOptions, Split};
use tureen::evaluate::{EvaluateOptions, evaluate};
use tureen::model::Model;
use tureen::sign::{Denominator, SignPlanes, sign_diff};
use tureen::soup::{Options, soup};

use crate::common::reference_data;

fn load(folder: &Path) -> Adapter {
    formats::load(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
}

/// Read without their bases, mixed with themselves, compared, saved and read again.
#[test]
fn published_adapters_are_read_mixed_and_saved_without_their_bases() {
    let Some(folder) = reference_data("adapters/published") else {
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let a = load(&entry.unwrap().path());
        seen += 1;
        let mixed = soup(
            &[a.clone(), a.clone()],
            &Options::default(),
            &Context::silent(),
        )
        .unwrap();
        let own = a.tensors().unwrap();
        assert!(mixed.parameter_count().unwrap() >= a.parameter_count().unwrap());
        assert!(own.values().all(|t| t.dtype() == DType::F32));
        let planes = SignPlanes::new(&own, &Selection::Matrices).unwrap();
        let pair = [("a", &planes), ("b", &planes)];
        assert_eq!(
            sign_diff(&pair, Denominator::default(), &Context::silent())
                .unwrap()
                .rate(),
            0.0
        );
        let out = tempfile::tempdir().unwrap();
        let saved = out.path().join("saved");
        formats::save(&a, &saved, None).unwrap();
        assert!(saved.join("README.md").is_file());
        let back = load(&saved);
        let again = back.tensors().unwrap();
        assert!(own.keys().eq(again.keys()), "{}", a.name());
        for (name, tensor) in own.iter() {
            let flat = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(flat(tensor), flat(&again[name]), "{name}");
        }
        assert_eq!(back.heads().len(), a.heads().len());
    }
    assert_eq!(seen, 8);
}

/// LoRAs of either layout in the other's, and back: the change is the same.
#[test]
fn conversions_keep_the_change_of_every_map() {
    let Some(folder) = reference_data("adapters/published") else {
        return;
    };
    for name in [
        "peft-bertgpt2-Hareshjethani",
        "peft-gpt2-be-great",
        "peft-sidkris",
    ] {
        let a = load(&folder.join(name));
        let out = tempfile::tempdir().unwrap();
        let (hub, peft) = (out.path().join("hub"), out.path().join("peft"));
        formats::save(&a, &hub, Some(Format::AdapterHub)).unwrap();
        let b = load(&hub);
        formats::save(&b, &peft, Some(Format::Peft)).unwrap();
        let deltas = [&a, &b, &load(&peft)].map(|x| tureen::adapter::deltas(x).unwrap());
        for other in &deltas[1..] {
            assert!(deltas[0].keys().eq(other.keys()), "{name}");
            for (map, delta) in &deltas[0] {
                let off = (delta - &other[map])
                    .unwrap()
                    .abs()
                    .unwrap()
                    .max_all()
                    .unwrap();
                assert!(off.to_scalar::<f32>().unwrap() < 1e-6, "{name} {map}");
            }
        }
    }
}

/// The accuracies and the very predictions that torch and adapters gave. A difference of 1e-3 in
/// the logits may turn a tie.
#[test]
fn trained_adapters_predict_what_they_predicted_in_python() {
    let (Some(folder), Some(base)) = (
        reference_data("adapters/trained"),
        reference_data("models/paraphrase-MiniLM-L3-v2"),
    ) else {
        return;
    };
    let model = Model::from_folder("mini", &base, DType::F32, &Device::Cpu).unwrap();
    let text = std::fs::read_to_string(folder.join("accuracies.json")).unwrap();
    let all: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    for (name, expected) in &all {
        let a = load(&folder.join(name));
        let file = folder.join(name).join("test.jsonl");
        let labels: Vec<String> = serde_json::from_value(expected["labels"].clone()).unwrap();
        // The heads have no names for their classes: their order is that of the training in Python.
        let options = LoadOptions {
            order: labels.clone(),
            ..LoadOptions::default()
        };
        let data = Dataset::load(&file, &options).unwrap();
        let options = EvaluateOptions {
            split: Some(Split::Test),
            max_length: Some(64),
        };
        let score = evaluate(&model, &a, &data, &options, &Context::silent()).unwrap();
        assert_eq!(score.labels, Labels::Named(labels), "{name}");
        let lines = std::fs::read_to_string(&file).unwrap();
        let mut off = 0;
        for (line, predicted) in lines.lines().zip(&score.predicted) {
            let row: Value = serde_json::from_str(line).unwrap();
            let logits: Vec<f64> = serde_json::from_value(row["logits"].clone()).unwrap();
            let best = logits.iter().copied().fold(f64::MIN, f64::max);
            let ties = logits.iter().filter(|l| best - **l < 1e-3).count() > 1;
            let same = row["predicted_id"].as_f64() == Some(*predicted);
            assert!(same || ties, "{name}: {line}");
            off += usize::from(!same);
        }
        let accuracy = expected["accuracy"].as_f64().unwrap();
        assert!(
            (score.accuracy().unwrap() - accuracy).abs() < 1e-9 || off > 0,
            "{name}"
        );
    }
}
