//! Signs of adapters: of changes, in both spaces, from files, of kinds whose numbers lie near one.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use tureen::Context;
use tureen::adapter::{
    Adapter, Base, FileTensors, Kind, Name, Parts, Selection, Tensors, Training, kind,
};
use tureen::compute::random::Stream;
use tureen::sign::{
    By, Denominator, Members, Planes, SignDiff, Space, View, expected_shared, flips, likeness,
    principal_angles, sign_diff,
};
use tureen::soup::Asked;
use tureen::study::Id;
use tureen::tensorfile::TensorFile;

fn adapter(name: &str, config: &Value, tensors: Tensors, seed: Option<u64>) -> Adapter {
    let kind: Arc<dyn Kind> = kind::from_config(config).unwrap();
    let content = tureen::adapter::content(&tensors);
    let training = seed.map(|init_seed| Training {
        dataset: name.into(),
        dataset_id: name.into(),
        init_seed: Some(init_seed),
        max_length: 8,
        best_epoch: 1,
        epochs: Vec::new(),
        options: Value::Null,
        step: None,
        checkpoints: Arc::default(),
    });
    let parts = Parts {
        name: name.into(),
        kind,
        base: Base {
            name: "test".into(),
            id: None,
            model_type: "bert".into(),
            hidden_size: 6,
        },
        id: Id::of_content("adapter", &content),
        heads: Vec::new(),
        mask: None,
        training,
        init_seed: None,
        domain: None,
        source: None,
        metadata: Default::default(),
    };
    Adapter::new(parts, tensors).unwrap()
}

fn bottleneck() -> Value {
    json!({"mh_adapter": false, "output_adapter": true, "reduction_factor": 3, "non_linearity": "relu"})
}

fn lora(dora: bool) -> Value {
    let peft = json!({"prefix": "bert.", "target_modules": ["query"], "bias": "none"});
    json!({"architecture": "lora", "r": 2, "alpha": 2, "use_dora": dora, "peft": peft})
}

fn named(values: &[(&str, &[f32], &[usize])]) -> Tensors {
    values
        .iter()
        .map(|(name, values, shape)| {
            let tensor = Tensor::from_slice(values, *shape, &Device::Cpu).unwrap();
            (Name::new(*name), tensor)
        })
        .collect()
}

fn compared(adapters: &[Adapter], view: &View) -> SignDiff {
    let members = Members::of(adapters, view).unwrap();
    let planes = members.planes(&Context::silent()).unwrap();
    let named: Vec<_> = members
        .names()
        .iter()
        .map(String::as_str)
        .zip(&planes)
        .collect();
    sign_diff(&named, Denominator::All, &Context::silent()).unwrap()
}

fn refused(adapters: &[Adapter], view: &View) -> String {
    Members::of(adapters, view).unwrap_err().to_string()
}

const DOWN: &str = "encoder.layer.0.output.adapter_down.weight";
const UP: &str = "encoder.layer.0.output.adapter_up.weight";

#[test]
fn changes_are_compared_from_a_base() {
    let of = |name: &str, values: [f32; 4]| {
        adapter(
            name,
            &bottleneck(),
            named(&[(DOWN, &values, &[2, 2])]),
            None,
        )
    };
    let (a, b) = (
        of("a", [1.0, 2.0, -1.0, 0.5]),
        of("b", [2.0, 1.0, -2.0, 0.5]),
    );
    let base = of("base", [1.5, 1.5, -1.5, 0.5]);
    assert_eq!(
        compared(&[a.clone(), b.clone()], &View::default()).conflicts(),
        0
    );
    let view = View {
        base: Some(Asked::Adapter(base)),
        ..View::default()
    };
    let diff = compared(&[a.clone(), b.clone()], &view);
    assert_eq!((diff.conflicts(), diff.counts().both_nonzero), (3, 3));
    let initial = View {
        base: Some(Asked::Initial),
        ..View::default()
    };
    let error = refused(&[a, b], &initial);
    assert!(
        error.starts_with("the initialisation of a is not recorded"),
        "{error}"
    );
}

/// What training changed is independent here, and the weights began alike: 300,000 positions give
/// a standard error below 0.001.
#[test]
fn a_shared_initialisation_gives_the_rate_that_theory_says() {
    let (rows, columns) = (500, 600);
    let kind = kind::from_config(&bottleneck()).unwrap();
    let trained = |name: &str, r: f64| {
        let shape = [rows, columns];
        let tensors = [DOWN, UP].map(|tensor| {
            let tensor = Name::new(tensor);
            let init = kind.initial(&tensor, &shape).unwrap();
            let start = init.drawn(5, &tensor, &shape).unwrap().unwrap();
            let mut stream = Stream::new(1, name, tensor.as_str());
            let drift = (0..rows * columns).map(|_| (0.02 * r * stream.normal()) as f32);
            let drift = Tensor::from_vec(drift.collect::<Vec<_>>(), &shape, &Device::Cpu);
            (tensor, (start + drift.unwrap()).unwrap())
        });
        adapter(name, &bottleneck(), tensors.into(), Some(5))
    };
    for (r, rate) in [(0.1, 0.045), (0.5, 0.205), (1.0, 0.333), (2.0, 0.436)] {
        let pair = [trained("a", r), trained("b", r)];
        let members = Members::of(&pair, &View::default()).unwrap();
        let planes = members.planes(&Context::silent()).unwrap();
        let shared = expected_shared(&members, &planes, Denominator::All, &Context::silent())
            .unwrap()
            .unwrap();
        let diff = compared(&pair, &View::default());
        assert!((shared.drift - r).abs() < 0.01 * r, "{shared:?}");
        assert!((shared.rate - rate).abs() < 0.002, "{shared:?}");
        assert!(
            (diff.rate() - shared.rate).abs() < 0.004,
            "{r}: {}",
            diff.rate()
        );
        // The changes themselves have nothing in common.
        let view = View {
            base: Some(Asked::Initial),
            ..View::default()
        };
        assert!((compared(&pair, &view).rate() - 0.5).abs() < 0.004);
        let changes = Members::of(&pair, &view).unwrap();
        let planes = changes.planes(&Context::silent()).unwrap();
        assert_eq!(
            expected_shared(&changes, &planes, Denominator::All, &Context::silent()).unwrap(),
            None
        );
    }
}

/// Which weights are pruned depends on where they began.
#[test]
fn nothing_is_expected_of_a_shared_initialisation_after_pruning() {
    let of = |name: &str, down: [f32; 4]| {
        let tensors = named(&[(DOWN, &down, &[2, 2]), (UP, &[1.0; 4], &[2, 2])]);
        adapter(name, &bottleneck(), tensors, Some(5))
    };
    let expected = |pair: &[Adapter]| {
        let members = Members::of(pair, &View::default()).unwrap();
        let planes = members.planes(&Context::silent()).unwrap();
        expected_shared(&members, &planes, Denominator::All, &Context::silent()).unwrap()
    };
    let (a, b) = (of("a", [1.0; 4]), of("b", [-1.0; 4]));
    let pruned = of("pruned", [1.0, 0.0, 1.0, 1.0]);
    assert!(expected(&[a.clone(), b]).is_some());
    assert_eq!(expected(&[a, pruned]), None);
}

const A: &str = "encoder.layer.0.attention.self.query.lora_A";
const B: &str = "encoder.layer.0.attention.self.query.lora_B";
const LENGTHS: &str = "encoder.layer.0.attention.self.query.lora_magnitude_vector";

#[test]
fn the_delta_does_not_depend_on_signs_that_factors_swap() {
    let of = |name: &str, sign: f32| {
        let a: Vec<f32> = [1.0, -2.0, 0.5, 3.0, 1.0, -1.0].map(|v| sign * v).to_vec();
        let b: Vec<f32> = [2.0, 1.0, -1.0, 0.5, 1.0, 1.0].map(|v| sign * v).to_vec();
        let tensors = named(&[(A, &a, &[2, 3]), (B, &b, &[3, 2])]);
        adapter(name, &lora(false), tensors, None)
    };
    let pair = [of("a", 1.0), of("b", -1.0)];
    assert_eq!(compared(&pair, &View::default()).rate(), 1.0);
    let delta = View {
        space: Space::Delta,
        ..View::default()
    };
    let diff = compared(&pair, &delta);
    assert_eq!((diff.conflicts(), diff.entries()), (0, 9));
    let members = Members::of(&pair, &delta).unwrap();
    assert_eq!(members.describe(), "the changes B A");
    let row = &likeness(&members, By::Whole, &Context::silent()).unwrap()[0];
    assert!((row.likeness.cosine() - 1.0).abs() < 1e-6);
    let angles = &principal_angles(&pair, &Context::silent()).unwrap()[0];
    assert!(angles.rows.overlap() > 1.0 - 1e-12 && angles.columns.ranks == [2, 2]);
}

#[test]
fn vectors_near_one_are_compared_less_one_and_lengths_are_refused() {
    let config = json!({"architecture": "lora", "composition_mode": "scale", "r": 1, "alpha": 1,
        "selfattn_lora": true, "attn_matrices": ["k"]});
    let key = "encoder.layer.0.attention.self.key.lora_B";
    let of = |name: &str, l: [f32; 3]| adapter(name, &config, named(&[(key, &l, &[3, 1])]), None);
    let pair = [of("a", [1.1, 0.9, 1.0]), of("b", [0.8, 0.7, 1.2])];
    let diff = compared(&pair, &View::default());
    assert_eq!((diff.conflicts(), diff.counts().both_nonzero), (1, 2));
    let members = Members::of(&pair, &View::default()).unwrap();
    assert_eq!(members.describe(), "the vectors less 1");
    let zero = View {
        base: Some(Asked::Zero),
        ..View::default()
    };
    assert!(refused(&pair, &zero).contains("lie near 1"));
    // They begin as ones, which is nothing less 1: what has no sign does not flip.
    let start = members.start_planes().unwrap();
    let planes = members.planes(&Context::silent()).unwrap();
    let checkpoints = [("start", &start), ("a", &planes[0])];
    let flipped = &flips(&checkpoints, By::Whole, &Context::silent()).unwrap()[0];
    assert_eq!((flipped.flips, flipped.grown, flipped.entries), (0, 2, 3));

    let of = |name: &str, m: f32| {
        let tensors = named(&[
            (A, &[1.0; 6], &[2, 3]),
            (B, &[1.0; 6], &[3, 2]),
            (LENGTHS, &[m, m + 1.0, 1.0], &[3]),
        ]);
        adapter(name, &lora(true), tensors, None)
    };
    let pair = [of("a", 1.0), of("b", 2.0)];
    assert_eq!(compared(&pair, &View::default()).entries(), 12);
    let all = View {
        selection: Selection::All,
        ..View::default()
    };
    assert!(
        refused(&pair, &all).contains("lengths of rows"),
        "{}",
        refused(&pair, &all)
    );
    let from = View {
        base: Some(Asked::Adapter(of("base", 1.5))),
        ..all
    };
    assert_eq!(compared(&pair, &from).conflicts(), 2);
}

#[test]
fn only_what_is_the_product_of_factors_is_compared_as_one() {
    let delta = View {
        space: Space::Delta,
        ..View::default()
    };
    let factors = |rank: usize| {
        named(&[
            (A, &vec![1.0; 3 * rank], &[rank, 3]),
            (B, &vec![1.0; 3 * rank], &[3, rank]),
        ])
    };
    let pair = |config: &Value| ["a", "b"].map(|name| adapter(name, config, factors(2), None));
    assert_eq!(compared(&pair(&lora(false)), &delta).entries(), 9);
    let mut dora = factors(2);
    dora.extend(named(&[(LENGTHS, &[1.0; 3], &[3])]));
    let dora = ["a", "b"].map(|name| adapter(name, &lora(true), dora.clone(), None));
    let error = refused(&dora, &delta);
    assert!(
        error.starts_with("a is a DoRA: its change is not B A"),
        "{error}"
    );
    assert_eq!(compared(&dora, &View::default()).entries(), 12);
    let mut biased = lora(false);
    biased["peft"]["bias"] = json!("lora_only");
    let error = refused(&pair(&biased), &delta);
    assert!(
        error.starts_with("a has biases beside its factors"),
        "{error}"
    );
    // Other kinds have their weights.
    let tensors = named(&[(DOWN, &[1.0; 4], &[2, 2])]);
    let pair = ["a", "b"].map(|name| adapter(name, &bottleneck(), tensors.clone(), None));
    assert_eq!(compared(&pair, &delta).entries(), 4);
}

#[test]
fn other_ranks_are_told_from_other_tensors() {
    let of = |name: &str, stem: &str, rank: usize| {
        let values = vec![1.0; 3 * rank];
        let (a, b) = (format!("{stem}.lora_A"), format!("{stem}.lora_B"));
        let tensors = named(&[(&a, &values, &[rank, 3]), (&b, &values, &[3, rank])]);
        adapter(name, &lora(false), tensors, None)
    };
    let query = A.trim_end_matches(".lora_A");
    let error = refused(&[of("a", query, 2), of("b", query, 4)], &View::default());
    for way in ["lora: \"svd\"", "\"factors\"", "space: \"delta\""] {
        assert!(error.contains(way), "{error}");
    }
    let key = query.replace("query", "key");
    let error = refused(&[of("a", query, 2), of("b", &key, 2)], &View::default());
    assert!(!error.contains("rank"), "{error}");
}

#[test]
fn any_tensors_are_chosen_by_patterns() {
    let tensors = || named(&[(DOWN, &[1.0; 4], &[2, 2]), (UP, &[1.0; 6], &[3, 2])]);
    let pair = ["a", "b"].map(|name| adapter(name, &bottleneck(), tensors(), None));
    let entries = |pattern: &str| {
        let view = View {
            selection: pattern.into(),
            ..View::default()
        };
        compared(&pair, &view).entries()
    };
    assert_eq!(
        ["*down*", "*adapter_up*", "*down* | *up*"].map(entries),
        [4, 6, 10]
    );
}

/// More than one part, and a last word that is not full.
#[test]
fn signs_of_a_file_are_those_of_its_tensors() {
    let n = 40_000 + 33;
    let mut stream = Stream::new(2, "signs test", "file");
    let mut values: Vec<f32> = (0..n)
        .map(|i| match i % 5 {
            0 => 0.0,
            1 => -0.0,
            _ => stream.normal() as f32,
        })
        .collect();
    values[7] = 1e-44;
    values[20_000] = -1e-44;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let open = || {
        let file = TensorFile::open(&path).unwrap();
        FileTensors::new(vec![file], |name| Ok(Some(Name::new(name)))).unwrap()
    };
    let name = Name::new("w");
    for dtype in [DType::F32, DType::F16, DType::BF16, DType::F64] {
        let tensor = Tensor::from_slice(&values, n, &Device::Cpu).unwrap();
        let tensor = tensor.to_dtype(dtype).unwrap();
        candle_core::safetensors::save(&[("w", tensor.clone())].into(), &path).unwrap();
        let whole = Planes::of(&name, &tensor).unwrap();
        assert_eq!(Planes::read(&open(), &name).unwrap(), whole, "{dtype:?}");
    }
    values[30_001] = f32::NAN;
    let tensor = Tensor::from_slice(&values, n, &Device::Cpu).unwrap();
    candle_core::safetensors::save(&[("w", tensor)].into(), &path).unwrap();
    let error = Planes::read(&open(), &name).unwrap_err().to_string();
    assert_eq!(error, "`w` is NaN at entry 30001: it has no sign");
}
