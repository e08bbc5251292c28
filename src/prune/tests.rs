//! Against torch's masks, and the rules of counting and choosing.

use std::path::Path;

use serde::Deserialize;

use super::*;

fn set(tensors: &[(&str, &[f32])]) -> Tensors {
    tensors
        .iter()
        .map(|(name, values)| (Name::new(name), Tensor::new(*values, &Device::Cpu).unwrap()))
        .collect()
}

fn by_magnitude(tensors: &Tensors, sparsity: f64, scope: Scope) -> Result<Mask> {
    let plan = Plan {
        scope,
        ..Plan::of(sparsity)
    };
    prune(
        tensors,
        &Magnitude,
        &Inputs::default(),
        &plan,
        &Context::silent(),
    )
}

fn kept(mask: &Mask, name: &str) -> Vec<u8> {
    mask.bits()[&Name::new(name)].iter().map(u8::from).collect()
}

#[derive(Deserialize)]
struct Case {
    sparsities: Vec<f64>,
}

#[test]
fn conforms_to_torch() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/conformance/prune");
    let folder = Path::new(folder);
    if !folder.exists() {
        eprintln!("skipped: no {}", folder.display());
        return;
    }
    let case = std::fs::read_to_string(folder.join("case.json")).unwrap();
    let case: Case = serde_json::from_str(&case).unwrap();
    let load =
        |file: &str| candle_core::safetensors::load(folder.join(file), &Device::Cpu).unwrap();
    let masks = load("masks.safetensors");
    let weights: Tensors = load("weights.safetensors")
        .into_iter()
        .map(|(name, tensor)| (Name::new(name), tensor))
        .collect();
    let mut compared = 0;
    for sparsity in &case.sparsities {
        for (scope, label) in [(Scope::Layerwise, "layerwise"), (Scope::Global, "global")] {
            let mask = by_magnitude(&weights, *sparsity, scope).unwrap();
            for name in weights.keys() {
                let theirs = &masks[&format!("{label}.{sparsity}.{name}")];
                let theirs =
                    with_values(theirs, |m| m.iter().map(|m| *m as u8).collect::<Vec<_>>());
                assert_eq!(
                    kept(&mask, name.as_str()),
                    theirs.unwrap(),
                    "{label} {sparsity} {name}"
                );
                compared += 1;
            }
        }
    }
    assert_eq!(compared, masks.len());
}

#[test]
fn counts_round_half_to_even() {
    let values: Vec<f32> = (0..10).map(|i| i as f32).collect();
    let tensors = set(&[("w.weight", &values)]);
    for (sparsity, pruned) in [
        (0.0, 0),
        (0.05, 0),
        (0.15, 2),
        (0.25, 2),
        (0.35, 4),
        (0.9, 9),
        (1.0, 10),
    ] {
        for scope in [Scope::Layerwise, Scope::Global] {
            let mask = by_magnitude(&tensors, sparsity, scope).unwrap();
            assert_eq!(mask.entries() - mask.kept(), pruned, "{sparsity}");
        }
    }
}

#[test]
fn a_scope_says_what_is_ranked_together() {
    let tensors = set(&[
        ("a.weight", &[-5.0, 6.0, 7.0, 8.0]),
        ("b.weight", &[1.0, -2.0, 3.0, 4.0]),
    ]);
    let layerwise = by_magnitude(&tensors, 0.5, Scope::Layerwise).unwrap();
    assert_eq!(kept(&layerwise, "a.weight"), [0, 0, 1, 1]);
    assert_eq!(kept(&layerwise, "b.weight"), [0, 0, 1, 1]);
    let global = by_magnitude(&tensors, 0.5, Scope::Global).unwrap();
    assert_eq!(kept(&global, "a.weight"), [1, 1, 1, 1]);
    assert_eq!(kept(&global, "b.weight"), [0, 0, 0, 0]);
}

#[test]
fn ties_fall_in_name_order_then_index() {
    let tensors = set(&[
        ("layer.10.weight", &[1.0, 1.0]),
        ("layer.2.weight", &[1.0, -1.0]),
    ]);
    let mask = by_magnitude(&tensors, 0.75, Scope::Global).unwrap();
    assert_eq!(kept(&mask, "layer.2.weight"), [0, 0]);
    assert_eq!(kept(&mask, "layer.10.weight"), [0, 1]);
}

#[test]
fn biases_are_pruned_only_when_asked() {
    let tensors = set(&[("a.weight", &[1.0, 2.0]), ("a.bias", &[0.1, 0.2])]);
    let names = |include: &Selection| -> Vec<String> {
        let plan = Plan {
            include: include.clone(),
            ..Plan::of(0.5)
        };
        let mask = prune(
            &tensors,
            &Magnitude,
            &Inputs::default(),
            &plan,
            &Context::silent(),
        );
        mask.unwrap()
            .shapes()
            .map(|(name, _)| name.to_string())
            .collect()
    };
    assert_eq!(names(&Selection::default()), ["a.weight"]);
    assert_eq!(names(&Selection::All), ["a.bias", "a.weight"]);
}

#[test]
fn a_percentage_is_refused_with_advice() {
    let tensors = set(&[("a.weight", &[1.0, 2.0])]);
    for sparsity in [1.5, 90.0, -0.1, f64::NAN] {
        let error = by_magnitude(&tensors, sparsity, Scope::Global)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            format!(
                "sparsity is the share of weights set to zero, from 0 to 1, got {sparsity}; 0.9 means 90 %"
            )
        );
    }
}

#[test]
fn a_nan_weight_names_its_tensor() {
    let tensors = set(&[("a.weight", &[1.0]), ("b.weight", &[0.0, f32::NAN])]);
    let error = by_magnitude(&tensors, 0.5, Scope::Layerwise).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the score of `b.weight` is NaN at entry 1: it has no rank"
    );
}

#[test]
fn gradients_are_asked_for_and_used() {
    let tensors = set(&[("a.weight", &[1.0, 2.0, 3.0, 4.0])]);
    let gradients = set(&[("a.weight", &[-9.0, 1.0, 2.0, 0.5])]);
    let by = |criterion: &dyn Criterion, gradients: Option<&Tensors>| {
        let inputs = Inputs {
            evidence: gradients,
            seed: 0,
        };
        prune(
            &tensors,
            criterion,
            &inputs,
            &Plan::of(0.5),
            &Context::silent(),
        )
    };
    assert_eq!(
        kept(&by(&Snip, Some(&gradients)).unwrap(), "a.weight"),
        [1, 0, 1, 0]
    );
    assert_eq!(
        kept(&by(&Fisher, Some(&gradients)).unwrap(), "a.weight"),
        [1, 0, 1, 0]
    );
    let message = |gradients: Option<&Tensors>| by(&Snip, gradients).unwrap_err().to_string();
    assert!(message(None).starts_with("pruning by snip needs the gradient of every tensor;"));
    assert_eq!(
        message(Some(&set(&[("b.weight", &[1.0])]))),
        "pruning by snip needs the gradient of `a.weight`, and there is none"
    );
    assert_eq!(
        message(Some(&set(&[("a.weight", &[1.0])]))),
        "the gradient of `a.weight` is [1], the tensor [4]"
    );
}

#[test]
fn an_untrained_second_matrix_is_refused_where_it_cannot_be_ranked() {
    let tensors = set(&[
        ("q.lora_A", &[1.0, 2.0]),
        ("q.lora_B", &[0.0, -0.0]),
        ("v.lora_B", &[0.0, 0.0]),
    ]);
    let error = by_magnitude(&tensors, 0.5, Scope::Global)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "`q.lora_B` and all like it are zero, as before training: magnitude cannot rank their entries; \
         take the scores after some steps of training (warmup), or prune by random or er"
    );
    let global = Plan {
        scope: Scope::Global,
        ..Plan::of(0.5)
    };
    let random = prune(
        &tensors,
        &Random,
        &Inputs::default(),
        &global,
        &Context::silent(),
    );
    assert_eq!(random.unwrap().kept(), 3);
    let trained = set(&[("q.lora_B", &[0.0, 1.0]), ("v.lora_B", &[0.0, 0.0])]);
    assert!(by_magnitude(&trained, 0.5, Scope::Global).is_ok());
}

#[test]
fn what_nothing_ranks_is_refused_under_a_mask_too() {
    let tensors = set(&[
        ("q.lora_A", &[1.0, 2.0, 3.0, 4.0]),
        ("q.lora_B", &[0.0, -0.0, 0.0, 0.0]),
    ]);
    let silent = Context::silent();
    let random = prune(
        &tensors,
        &Random,
        &Inputs::default(),
        &Plan::of(0.5),
        &silent,
    )
    .unwrap();
    let further = |criterion: &dyn Criterion, inputs: &Inputs<'_>| {
        let plan = Plan {
            before: Some(&random),
            ..Plan::of(0.75)
        };
        prune(&tensors, criterion, inputs, &plan, &silent)
    };
    let error = further(&Magnitude, &Inputs::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("`q.lora_B` and all like it are zero, as before training: magnitude"),
        "{error}"
    );
    // Gradients where the mask keeps nothing do not help.
    let gradient: Vec<f32> = (0..4)
        .map(|i| f32::from(u8::from(kept(&random, "q.lora_A")[i] == 0)))
        .collect();
    let gradients = set(&[("q.lora_A", &gradient), ("q.lora_B", &[1.0, 2.0, 3.0, 4.0])]);
    let inputs = Inputs {
        evidence: Some(&gradients),
        seed: 0,
    };
    let error = further(&Fisher, &inputs).unwrap_err().to_string();
    assert!(
        error.starts_with("`q.lora_A` and all like it score zero"),
        "{error}"
    );
    assert_eq!(further(&Random, &Inputs::default()).unwrap().kept(), 2);
}

/// Random scores rank zeros, and single entries that are left of each matrix too.
#[test]
fn chance_ranks_what_little_is_left() {
    let tensors = set(&[("q.lora_B", &[0.0; 4]), ("v.lora_B", &[0.0; 4])]);
    let by_chance = |sparsity, before: Option<&Mask>| {
        let plan = Plan {
            before,
            ..Plan::of(sparsity)
        };
        prune(
            &tensors,
            &Random,
            &Inputs::default(),
            &plan,
            &Context::silent(),
        )
        .unwrap()
    };
    let one_each = by_chance(0.75, None);
    assert_eq!(one_each.kept(), 2);
    assert_eq!(by_chance(0.75, Some(&one_each)), one_each);
    assert_eq!(by_chance(1.0, Some(&one_each)).kept(), 0);
}

#[test]
fn what_never_moved_is_told_as_such() {
    let tensors = set(&[
        ("x.adapter_down.weight", &[1.0, 2.0]),
        ("x.adapter_up.weight", &[3.0, 4.0]),
    ]);
    let inputs = Inputs {
        evidence: Some(&tensors),
        seed: 0,
    };
    let silent = Context::silent();
    let error = prune(&tensors, &Movement, &inputs, &Plan::of(0.5), &silent).unwrap_err();
    assert!(
        error.to_string().starts_with(
            "`x.adapter_down.weight` and all like it are where they started: movement cannot rank"
        ),
        "{error}"
    );
}

#[test]
fn a_pruned_set_has_the_zeros_of_its_mask() {
    let tensors = set(&[
        ("a.weight", &[0.5, -2.0, 3.0, 4.0, 1.0]),
        ("a.bias", &[0.0]),
    ]);
    let mask = by_magnitude(&tensors, 0.4, Scope::Layerwise).unwrap();
    let pruned = mask.apply(&tensors).unwrap();
    assert_eq!(Mask::of(&pruned, &Selection::Matrices).unwrap(), mask);
    assert_eq!(
        pruned[&Name::new("a.weight")].to_vec1::<f32>().unwrap(),
        [0.0, -2.0, 3.0, 4.0, 0.0]
    );
}
