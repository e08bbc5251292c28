//! Gradients of whole models against finite differences, in f64.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use tureen::adapter::{
    Adapter, Base, Bottleneck, Form, Head, Ia3, Kind, Labels, Lora, Modules, Name, Names, Parts,
    Reduction, Residual, Scaling, Targets as Chosen, Tensors,
};
use tureen::compute::random::Stream;
use tureen::model::{Inputs, LinearSite, Model};
use tureen::study::Id;
use tureen::train::{Targets, gradients_of};

const CONFIG: &str = r#"{"model_type": "bert", "hidden_size": 12, "num_hidden_layers": 2,
    "num_attention_heads": 3, "intermediate_size": 20, "max_position_embeddings": 16,
    "vocab_size": 30, "type_vocab_size": 2, "hidden_act": "gelu"}"#;

fn random(name: &str, shape: &[usize], scale: f64) -> Tensor {
    let mut stream = Stream::new(3, "test", name);
    let n = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|_| (scale * stream.normal()) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// A small random BERT in a folder of its own, in f64.
pub fn model(folder: &std::path::Path) -> Model {
    let mut shapes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut put = |name: String, shape: &[usize]| shapes.insert(name, shape.to_vec());
    for (name, rows) in [("word", 30), ("position", 16), ("token_type", 2)] {
        put(format!("embeddings.{name}_embeddings.weight"), &[rows, 12]);
    }
    put("embeddings.LayerNorm.weight".into(), &[12]);
    put("embeddings.LayerNorm.bias".into(), &[12]);
    for l in 0..2 {
        for site in LinearSite::ALL {
            let (input, output) = site.widths(12, 20);
            let path = format!("encoder.layer.{l}.{}", site.path());
            put(format!("{path}.weight"), &[output, input]);
            put(format!("{path}.bias"), &[output]);
        }
        for norm in ["attention.output", "output"] {
            put(format!("encoder.layer.{l}.{norm}.LayerNorm.weight"), &[12]);
            put(format!("encoder.layer.{l}.{norm}.LayerNorm.bias"), &[12]);
        }
    }
    let tensors: BTreeMap<String, Tensor> = shapes
        .into_iter()
        .map(|(n, s)| (n.clone(), random(&n, &s, 0.4)))
        .collect();
    std::fs::write(folder.join("config.json"), CONFIG).unwrap();
    let bytes = tureen::tensorfile::encode(&tensors, None).unwrap();
    std::fs::write(folder.join("model.safetensors"), bytes).unwrap();
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"].join("\n");
    std::fs::write(folder.join("vocab.txt"), words).unwrap();
    Model::from_folder("small", folder, DType::F64, &Device::Cpu).unwrap()
}

fn adapter(kind: &Arc<dyn Kind>, model: &Model, tensors: Tensors, head: Tensors) -> Adapter {
    let labels = Labels::Counted(3);
    let parts = Parts {
        name: "test".into(),
        kind: kind.clone(),
        base: Base {
            name: "small".into(),
            id: Some(model.id().to_string()),
            model_type: "bert".into(),
            hidden_size: 12,
        },
        id: Id::of_content("test", b""),
        heads: vec![std::sync::Arc::new(Head {
            name: "test".into(),
            dataset: None,
            labels,
            form: Form::default(),
            tensors: head,
        })],
        mask: None,
        training: None,
        init_seed: None,
        domain: None,
        source: None,
        metadata: Default::default(),
    };
    Adapter::new(parts, tensors).unwrap()
}

/// The same tensors with one entry moved.
fn moved(tensors: &Tensors, name: &Name, entry: usize, by: f64) -> Tensors {
    let mut moved = tensors.clone();
    let old = &tensors[name];
    let mut values = old
        .to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f64>()
        .unwrap();
    values[entry] += by;
    moved.insert(
        name.clone(),
        Tensor::from_vec(values, old.shape(), &Device::Cpu).unwrap(),
    );
    moved
}

#[test]
fn finite_differences_agree_for_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let ids = Tensor::new(&[[2u32, 7, 8, 9, 3], [2, 11, 3, 0, 0]], &Device::Cpu).unwrap();
    let mask = Tensor::new(&[[1u32, 1, 1, 1, 1], [1, 1, 1, 0, 0]], &Device::Cpu).unwrap();
    let inputs = Inputs::from_tensors(&ids, Some(&mask), None, [30, 2, 16]).unwrap();
    let targets = Targets::Classes(Tensor::new(&[2u32, 0], &Device::Cpu).unwrap());
    let all = LinearSite::ALL
        .into_iter()
        .filter(|s| *s != LinearSite::AttentionOutput)
        .collect();
    let small = |kind: Bottleneck| Bottleneck {
        reduction: Reduction::All(3.0),
        ..kind
    };
    let everything = Bottleneck {
        ln_before: true,
        ln_after: true,
        residual: Residual::AfterSum,
        adapter_residual_before_ln: true,
        scaling: Scaling::Channel,
        non_linearity: "mish".into(),
        ..small(Bottleneck::pfeiffer())
    };
    let learned = Bottleneck {
        ln_after: true,
        residual: Residual::AfterNorm,
        scaling: Scaling::Learned,
        original_ln_after: false,
        non_linearity: "leakyrelu".into(),
        ..small(Bottleneck::pfeiffer())
    };
    let named = |feedforward: Option<&str>| {
        let list = |names: &[&str]| Chosen::List(names.iter().map(ToString::to_string).collect());
        Modules::Names(Names {
            target_modules: list(&["query", "value", "output.dense"]),
            feedforward_modules: feedforward.map(|f| list(&[f])),
            lora_bias: true,
            bias: "lora_only".into(),
            ..Names::default()
        })
    };
    let with_biases = Lora {
        modules: named(None),
        stabilised: true,
        ..Lora::new(2, 4.0, vec![LinearSite::Query]).unwrap()
    };
    let of_peft = Ia3 {
        modules: named(Some("output.dense")),
        ..Ia3::default()
    };
    let kinds: [Arc<dyn Kind>; 10] = [
        Arc::new(everything),
        Arc::new(learned),
        Arc::new(Ia3::default()),
        Arc::new(of_peft),
        Arc::new(with_biases),
        Arc::new(small(Bottleneck::pfeiffer())),
        Arc::new(small(Bottleneck::houlsby())),
        Arc::new(small(Bottleneck::parallel())),
        Arc::new(Lora::new(2, 4.0, vec![LinearSite::Query, LinearSite::Value]).unwrap()),
        Arc::new(Lora::new(2, 4.0, all).unwrap()),
    ];
    for kind in kinds {
        let wide = |t: Tensor| t.to_dtype(DType::F64).unwrap();
        let tensors: Tensors = kind
            .parameters(model.config())
            .unwrap()
            .into_iter()
            .map(|p| (p.name.clone(), wide(random(p.name.as_str(), &p.shape, 0.3))))
            .collect();
        let head: Tensors = Form::default()
            .parameters(12, &Labels::Counted(3))
            .unwrap()
            .into_iter()
            .map(|p| (p.name.clone(), wide(random(p.name.as_str(), &p.shape, 0.3))))
            .collect();
        let of = |tensors: &Tensors, head: &Tensors| {
            let a = adapter(&kind, &model, tensors.clone(), head.clone());
            gradients_of(&model, &a, &a.heads()[0], &inputs, &targets).unwrap()
        };
        let found = of(&tensors, &head);
        assert_eq!(found.grads.len(), tensors.len() + head.len());
        for (name, gradient) in &found.grads {
            let values = gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            assert!(
                values.iter().any(|g| *g != 0.0),
                "no gradient reaches {name}"
            );
            // A few entries of each tensor, spread over it.
            for entry in [0, values.len() / 2, values.len() - 1] {
                let step = 1e-5;
                let loss = |by: f64| match tensors.contains_key(name) {
                    true => of(&moved(&tensors, name, entry, by), &head).loss,
                    false => of(&tensors, &moved(&head, name, entry, by)).loss,
                };
                let expected = (loss(step) - loss(-step)) / (2.0 * step);
                let off = (values[entry] - expected).abs();
                assert!(
                    off <= 1e-6 * expected.abs().max(1e-2),
                    "{} {name}[{entry}]: {} against {expected}",
                    kind.name(),
                    values[entry]
                );
            }
        }
    }
}
