//! Adapters of these models.

use std::path::Path;
use std::sync::Arc;

use candle_core::DType;
use tureen::adapter::formats::{Format, load, save};
use tureen::adapter::{Adapter, Base, Bottleneck, Ia3, Kind, Lora, Parts};
use tureen::model::{Frozen, LinearSite, Noise};
use tureen::study::Id;
use tureen::tensorfile;
use tureen::train::{Targets, gradients_of};

use super::{Case, cases, pass, prefix, scattered};
use crate::conformance::{difference, inputs, logits};

#[test]
fn a_lora_its_loss_and_gradients_are_those_of_peft() {
    for case in cases() {
        let model = case.model();
        let inputs = inputs(&model, &case.io);
        let adapter = load(&case.path("lora")).unwrap();
        assert_eq!(adapter.base().model_type, case.name);
        let head = &adapter.heads()[0];
        let off = difference(
            &logits(&model, &adapter, head, &inputs),
            &case.io["lora_logits"],
        );
        assert!(off <= 1e-5, "{}: {off}", case.name);
        let labels = case.io["labels"].to_dtype(DType::U32).unwrap();
        let targets = Targets::Classes(labels);
        let found = gradients_of(&model, &adapter, head, &inputs, &targets).unwrap();
        let loss = case.io["loss"].to_scalar::<f32>().unwrap();
        assert!((found.loss - f64::from(loss)).abs() <= 1e-5);
        let expected = case.under("grads/base_model.model.");
        assert_eq!(found.grads.len(), expected.len(), "{}", case.name);
        for (full, gradient) in &expected {
            let name = canonical(full, prefix(case.name));
            let own = found.grads.iter().find(|(n, _)| n.as_str() == name);
            let (_, own) = own.unwrap_or_else(|| panic!("{}: {name}", case.name));
            let off = difference(own, gradient);
            assert!(off <= 1e-5, "{} {full}: {off}", case.name);
        }
    }
}

/// The library's name of a tensor, made canonical by hand.
fn canonical(full: &str, prefix: &str) -> String {
    let heads = [
        ("classifier.dense.", "heads.1."),
        ("classifier.out_proj.", "heads.4."),
        ("pooler.dense.", "heads.1."),
        ("head.dense.", "heads.1."),
        ("head.norm.", "heads.3."),
    ];
    for (theirs, ours) in heads {
        if let Some(part) = full.strip_prefix(theirs) {
            return format!("{ours}{part}");
        }
    }
    if let Some(part) = full.strip_prefix("classifier.") {
        let last = if prefix == "model." { 5 } else { 4 };
        return format!("heads.{last}.{part}");
    }
    let own = full.strip_prefix(prefix).unwrap();
    own.strip_suffix(".weight").unwrap().to_string()
}

/// What is saved comes back with its head, in PEFT's layout where AdapterHub's library has no such
/// models.
#[test]
fn saved_loras_come_back() {
    for case in cases() {
        let adapter = load(&case.path("lora")).unwrap();
        let out = case.path("out");
        save(&adapter, &out, None).unwrap();
        let back = load(&out).unwrap();
        assert_eq!(back.id(), adapter.id(), "{}", case.name);
        let names = |folder: &Path| -> Vec<String> {
            let file = folder.join("adapter_model.safetensors");
            tensorfile::read(&file).unwrap().into_keys().collect()
        };
        assert_eq!(names(&out), names(&case.path("lora")), "{}", case.name);
    }
}

/// PEFT saves no more of a classifier than it is told: the rest is the base's own.
#[test]
fn a_classifier_is_read_without_its_pooler() {
    for name in ["modernbert", "deberta-v2"] {
        let case = Case::new(name);
        let mut own = case.under("lora/");
        own.retain(|n, _| !n.contains("model.head.") && !n.contains("model.pooler."));
        case.write_tensors("lora/adapter_model.safetensors", own);
        let adapter = load(&case.path("lora")).unwrap();
        let head = &adapter.heads()[0];
        assert!(head.form.layers().unwrap().pooler);
        let model = case.model();
        let inputs = inputs(&model, &case.io);
        logits(&model, &adapter, head, &inputs);
        let prefix = prefix(name);
        case.write_tensors(
            "model/model.safetensors",
            case.under(&format!("model/{prefix}")),
        );
        let error = head.logits(&case.model(), &inputs, &Frozen).unwrap_err();
        assert!(
            error.to_string().contains("reads the base's pooler"),
            "{error}"
        );
    }
}

fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(Bottleneck::pfeiffer()),
        Arc::new(Bottleneck::houlsby()),
        Arc::new(Ia3::default()),
        Arc::new(Lora::new(2, 4.0, LinearSite::ALL.to_vec()).unwrap()),
    ]
}

#[test]
fn kinds_without_a_place_are_refused() {
    for case in cases() {
        let model = case.model();
        let inputs = inputs(&model, &case.io);
        for kind in kinds() {
            if case.name == "deberta-v2" || kind.name() == "lora" {
                for gradient in &pass(&model, kind.as_ref(), &inputs, true)[1..] {
                    let largest = gradient.abs().unwrap().max_all().unwrap();
                    assert!(largest.to_scalar::<f32>().unwrap() > 0.0);
                }
                continue;
            }
            let error = scattered(kind.as_ref(), &model).unwrap_err().to_string();
            let what = format!("AdapterHub's library has no {} models", case.name);
            assert!(error.contains(&what), "{error}");
        }
    }
}

fn trained(case: &Case, kind: Arc<dyn Kind>) -> Adapter {
    let model = case.model();
    let tensors = scattered(kind.as_ref(), &model).unwrap();
    let parts = Parts {
        name: "a".into(),
        kind,
        base: Base {
            name: case.name.into(),
            id: Some(model.id().into()),
            model_type: case.name.into(),
            hidden_size: model.config().hidden_size,
        },
        id: Id::of_content("adapter", b"a"),
        heads: Vec::new(),
        mask: None,
        training: None,
        init_seed: None,
        domain: None,
        source: None,
        metadata: Default::default(),
    };
    Adapter::new(parts, tensors).unwrap()
}

/// A LoRA made here is saved in a layout that has its model, and is the same change there.
#[test]
fn loras_made_here_are_saved_for_peft() {
    for case in cases() {
        let lora = Lora::new(2, 4.0, vec![LinearSite::Query, LinearSite::Output]).unwrap();
        let adapter = trained(&case, Arc::new(lora));
        let (model, out) = (case.model(), case.path("out"));
        let inputs = inputs(&model, &case.io);
        save(&adapter, &out, Some(Format::Peft)).unwrap();
        let back = load(&out).unwrap();
        let of = |adapter: &Adapter| {
            let sites = adapter
                .kind()
                .sites(&adapter.tensors().unwrap(), model.config());
            let sites = sites.unwrap();
            model
                .forward_summary(&inputs, sites.as_ref(), &Noise::default())
                .unwrap()
        };
        assert!(
            difference(&of(&adapter), &of(&back)) < 1e-6,
            "{}",
            case.name
        );
        let hub = save(&adapter, &case.path("hub"), Some(Format::AdapterHub));
        match case.name {
            "deberta-v2" => assert!(hub.is_ok()),
            _ => {
                let error = hub.unwrap_err().to_string();
                assert!(
                    error.contains("AdapterHub's library has no class"),
                    "{error}"
                );
                save(&adapter, &case.path("own"), None).unwrap();
                assert!(case.path("own/adapter_model.safetensors").is_file());
            }
        }
    }
}
