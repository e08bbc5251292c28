//! Soups: the laws each method keeps for each kind, and golden values.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use serde_json::{Value, json};
use tureen::Context;
use tureen::adapter::{Adapter, Base, Gram, Kind, Name, Parts, Tensors, deltas, kind};
use tureen::model::{Inputs, Noise};
use tureen::soup::{
    Asked, Heads, LoraMixing, METHODS, On, Options, Setting, Spec, combine, dense, fisher, regmean,
    soup,
};
use tureen::study::Id;

/// Numbers between -2 and 2, some of them zero, from a seed.
fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut stream = tureen::compute::random::Stream::new(seed, "test", "numbers");
    let one = |_| match stream.below(5) {
        0 => 0.0,
        _ => (4.0 * stream.uniform() - 2.0) as f32,
    };
    (0..n).map(one).collect()
}

fn tensor(seed: u64, shape: &[usize]) -> Tensor {
    let values = numbers(seed, shape.iter().product());
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn adapter(name: &str, config: Value, tensors: Tensors) -> Adapter {
    let kind: Arc<dyn Kind> = kind::from_config(&config).unwrap();
    let content = tureen::adapter::content(&tensors);
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
        training: None,
        init_seed: None,
        domain: None,
        source: None,
        metadata: Default::default(),
    };
    Adapter::new(parts, tensors).unwrap()
}

/// The kinds that the table of laws tells apart.
const KINDS: &[&str] = &["bottleneck", "lora", "rslora", "dora", "ia3"];

fn config(kind: &str, r: usize, alpha: f64) -> Value {
    let peft = json!({"prefix": "bert.", "target_modules": ["query", "value", "output.dense"], "bias": "none"});
    match kind {
        "bottleneck" => {
            json!({"mh_adapter": false, "output_adapter": true, "reduction_factor": 3, "non_linearity": "relu"})
        }
        "ia3" => {
            json!({"architecture": "lora", "composition_mode": "scale", "r": 1, "alpha": 1, "selfattn_lora": true, "attn_matrices": ["k", "v"]})
        }
        "rslora" => {
            json!({"architecture": "lora", "r": r, "alpha": alpha, "use_rslora": true, "peft": peft})
        }
        _ => {
            json!({"architecture": "lora", "r": r, "alpha": alpha, "use_dora": kind == "dora", "peft": peft})
        }
    }
}

/// A random adapter of a kind. `shape`: the input, output and rank of LoRAs.
fn random(kind: &str, seed: u64, (input, output, r): (usize, usize, usize), alpha: f64) -> Adapter {
    let mut tensors = Tensors::new();
    let mut put = |name: String, shape: &[usize]| {
        let own = seed.wrapping_mul(1000) + tensors.len() as u64;
        tensors.insert(Name::new(name), tensor(own, shape));
    };
    for layer in 0..2 {
        let stem = format!("encoder.layer.{layer}");
        match kind {
            "bottleneck" => {
                put(format!("{stem}.output.adapter_down.weight"), &[2, 6]);
                put(format!("{stem}.output.adapter_down.bias"), &[2]);
                put(format!("{stem}.output.adapter_up.weight"), &[6, 2]);
                put(format!("{stem}.output.adapter_up.bias"), &[6]);
            }
            "ia3" => {
                put(format!("{stem}.attention.self.key.lora_B"), &[6, 1]);
                put(format!("{stem}.attention.self.value.lora_B"), &[6, 1]);
            }
            _ => {
                for map in ["query", "value"] {
                    let stem = format!("{stem}.attention.self.{map}");
                    put(format!("{stem}.lora_A"), &[r, input]);
                    put(format!("{stem}.lora_B"), &[output, r]);
                    if kind == "dora" {
                        put(format!("{stem}.lora_magnitude_vector"), &[output]);
                    }
                }
            }
        }
    }
    adapter(&format!("{kind}{seed}"), config(kind, r, alpha), tensors)
}

/// The adapter with its change times a factor: LoRA's B, else every tensor.
fn times(adapter: &Adapter, factor: f32) -> Adapter {
    let lora = adapter.kind().name() == "lora";
    let own = adapter.tensors().unwrap();
    let scaled = own.iter().map(|(name, t)| {
        let stays = lora && name.as_str().ends_with("lora_A");
        let scaled = (t * f64::from(if stays { 1.0 } else { factor })).unwrap();
        (name.clone(), scaled)
    });
    self::adapter(adapter.name(), adapter.kind().config(), scaled.collect())
}

/// The LoRA at some of its maps alone, and with zeros at the others.
fn limited(adapter: &Adapter, maps: &[&str]) -> (Adapter, Adapter) {
    let own = adapter.tensors().unwrap();
    let stays = |name: &Name| {
        let stem = name.as_str().rsplit_once('.').unwrap().0;
        maps.iter().any(|m| stem.ends_with(m))
    };
    let mut config = adapter.kind().config();
    let part = own
        .iter()
        .filter(|(n, _)| stays(n))
        .map(|(n, t)| (n.clone(), t.clone()));
    let zeroed = own.iter().map(|(n, t)| match stays(n) {
        true => (n.clone(), t.clone()),
        false => (n.clone(), t.zeros_like().unwrap()),
    });
    let zeroed = self::adapter("zeroed", config.clone(), zeroed.collect());
    config["peft"]["target_modules"] = json!(maps);
    (self::adapter("part", config, part.collect()), zeroed)
}

/// The tensors that a LoRA asks for in a model of two layers.
fn chosen(adapter: &Adapter) -> Vec<Name> {
    let config = json!({
        "model_type": "bert", "hidden_size": 6, "num_hidden_layers": 2, "num_attention_heads": 1,
        "intermediate_size": 8, "vocab_size": 9, "max_position_embeddings": 8, "hidden_act": "gelu",
        "type_vocab_size": 2, "pad_token_id": 0, "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    });
    let config: tureen::model::Config = serde_json::from_value(config).unwrap();
    let all = adapter.kind().parameters(&config).unwrap();
    all.into_iter().map(|p| p.name).collect()
}

/// Options for a method that trim nothing, everything else default.
fn options(method: &str) -> Options {
    let plain = Options {
        method: Spec::find(method).unwrap(),
        base: match method {
            "task_arithmetic" => Some(Asked::Zero),
            _ => None,
        },
        ..Options::default()
    };
    match plain.method.numbers.iter().any(|n| n.name == "density") {
        true => with(plain, "density", 1.0),
        false => plain,
    }
}

fn with(mut options: Options, name: &'static str, value: f64) -> Options {
    options
        .settings
        .numbers
        .insert(name, vec![Setting::Number(value)]);
    options
}

fn rule(mut options: Options, word: &'static str) -> Options {
    options.settings.words.insert("rule", word);
    options
}

fn weights(mut options: Options, weights: &[f64]) -> Options {
    options.weights = Some(weights.iter().copied().map(Setting::Number).collect());
    options
}

fn mix(members: &[Adapter], options: &Options) -> Adapter {
    soup(members, options, &Context::silent()).unwrap()
}

/// What an adapter does to its model: a LoRA's changes, else its tensors.
fn effect(adapter: &Adapter) -> BTreeMap<Name, Vec<f32>> {
    let all = match adapter.kind().name() {
        "lora" => deltas(adapter).unwrap(),
        _ => (*adapter.tensors().unwrap()).clone(),
    };
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    all.iter().map(|(n, t)| (n.clone(), flat(t))).collect()
}

fn distance(a: &BTreeMap<Name, Vec<f32>>, b: &BTreeMap<Name, Vec<f32>>) -> f32 {
    assert!(a.keys().eq(b.keys()), "{:?} {:?}", a.keys(), b.keys());
    let pairs = a.values().flatten().zip(b.values().flatten());
    pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

/// The sum of effects, each times its weight.
fn sum_of(members: &[Adapter], weights: &[f64]) -> BTreeMap<Name, Vec<f32>> {
    let mut sum: BTreeMap<Name, Vec<f32>> = BTreeMap::new();
    for (member, weight) in members.iter().zip(weights) {
        for (name, values) in effect(member) {
            let own = sum.entry(name).or_insert_with(|| vec![0.0; values.len()]);
            own.iter_mut()
                .zip(values)
                .for_each(|(s, x)| *s += *weight as f32 * x);
        }
    }
    sum
}

/// The laws of the table in `LAWS.md`, by method, with the options under which they hold.
fn kept(method: &str, law: &str) -> bool {
    let table = include_str!("../src/soup/LAWS.md");
    let head: Vec<&str> = table
        .lines()
        .find(|l| l.starts_with("| method |"))
        .unwrap()
        .split('|')
        .map(str::trim)
        .collect();
    let row = table
        .lines()
        .find(|l| l.starts_with(&format!("| `{method}` |")))
        .unwrap_or_else(|| panic!("no row for {method}"));
    let at = head
        .iter()
        .position(|h| *h == law)
        .unwrap_or_else(|| panic!("no column {law}"));
    row.split('|').nth(at).unwrap().trim().starts_with("yes")
}

fn close(found: f32, scale: f32) -> bool {
    found <= 1e-4 * scale.max(1.0)
}

fn size(effect: &BTreeMap<Name, Vec<f32>>) -> f32 {
    effect.values().flatten().fold(0.0, |m, x| m.max(x.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// One adapter with weight 1 is the same function.
    #[test]
    fn identity(seed in 0u64..10_000, input in 3usize..9, output in 3usize..9, r in 1usize..4, alpha in 1u8..9) {
        for kind in KINDS {
            let x = random(kind, seed, (input, output, r), f64::from(alpha));
            let expected = effect(&x);
            for spec in METHODS {
                let same = distance(&effect(&mix(std::slice::from_ref(&x), &options(spec.name))), &expected);
                let holds = close(same, size(&expected));
                prop_assert!(holds == kept(spec.name, "identity") || holds, "{} {kind}: {same}", spec.name);
            }
        }
    }

    /// The soup of x and x is x, with weights that sum to one.
    #[test]
    fn idempotence(seed in 0u64..10_000, input in 3usize..9, output in 3usize..9, r in 1usize..4, alpha in 1u8..9) {
        for kind in KINDS {
            let x = random(kind, seed, (input, output, r), f64::from(alpha));
            let expected = effect(&x);
            for spec in METHODS.iter().filter(|s| kept(s.name, "idempotence")) {
                let mut options = options(spec.name);
                if spec.weighted && !spec.share && spec.name == "task_arithmetic" {
                    options = weights(options, &[0.25, 0.75]);
                }
                let found = distance(&effect(&mix(&[x.clone(), x.clone()], &options)), &expected);
                prop_assert!(close(found, size(&expected)), "{} {kind}: {found}", spec.name);
            }
        }
    }

    /// Permuting the members changes nothing but rounding.
    #[test]
    fn permutation(seed in 0u64..10_000, input in 3usize..9, output in 3usize..9, r in 1usize..4, density in 0.2f64..0.9) {
        for kind in KINDS {
            let own = |i: u64| random(kind, seed + i, (input, output, r), 4.0);
            let members = [own(0), own(1), own(2)];
            let turned = [own(2), own(0), own(1)];
            for spec in METHODS.iter().filter(|s| s.most > 2 && kept(s.name, "permutation")) {
                let mut options = options(spec.name);
                if spec.numbers.iter().any(|n| n.name == "density") {
                    options = with(options, "density", density);
                }
                if spec.name.starts_with("della") {
                    options = with(options, "epsilon", 0.05);
                }
                let (x, y) = (effect(&mix(&members, &options)), effect(&mix(&turned, &options)));
                prop_assert!(close(distance(&x, &y), size(&x)), "{} {kind}", spec.name);
            }
        }
    }

    /// Linear in delta space, for different ranks, negative and zero-sum weights; subtraction is
    /// exact.
    #[test]
    fn linearity(seed in 0u64..10_000, w in proptest::collection::vec(prop_oneof![0.1f64..3.0, -3f64..-0.1], 3), ranks in proptest::collection::vec(1usize..4, 3)) {
        for kind in KINDS.iter().filter(|k| **k != "dora") {
            let members: Vec<Adapter> = (0..3)
                .map(|i| random(kind, seed + i as u64, (5, 7, ranks[i]), 1.0 + i as f64))
                .collect();
            for w in [w.clone(), vec![1.0, -1.0, 0.0], vec![0.5, 0.5, -1.0]] {
                let expected = sum_of(&members, &w);
                for method in ["linear", "task_arithmetic"] {
                    let found = effect(&mix(&members, &weights(options(method), &w)));
                    prop_assert!(close(distance(&found, &expected), size(&expected)), "{method} {kind}");
                }
                let terms: Vec<(f64, Adapter)> = w.iter().copied().zip(members.iter().cloned()).collect();
                let found = effect(&combine(&terms, &Context::silent()).unwrap());
                prop_assert!(close(distance(&found, &expected), size(&expected)), "operators {kind}");
            }
            let gone = combine(
                &[(1.0, members[0].clone()), (-1.0, members[0].clone())],
                &Context::silent(),
            ).unwrap();
            prop_assert!(close(size(&effect(&gone)), size(&effect(&members[0]))), "{kind}");
        }
    }

    /// A mixture of small changes is the small mixture: nothing depends on what counts as nothing.
    #[test]
    fn scale(seed in 0u64..10_000, r in 1usize..4, density in 0.3f64..0.9, down in 0i32..24) {
        for kind in KINDS {
            let members: Vec<Adapter> = (0..2).map(|i| random(kind, seed + i, (5, 4, r), 3.0)).collect();
            let factor = 0.5f32.powi(down);
            let small: Vec<Adapter> = members.iter().map(|m| times(m, factor)).collect();
            for spec in METHODS {
                let mut options = options(spec.name);
                if spec.on != On::Values {
                    options.base = Some(Asked::Zero);
                }
                if !spec.random && spec.numbers.iter().any(|n| n.name == "density") {
                    options = with(options, "density", density);
                }
                let (x, y) = (effect(&mix(&members, &options)), effect(&mix(&small, &options)));
                let grown = y.into_iter().map(|(n, v)| (n, v.iter().map(|v| v / factor).collect())).collect();
                prop_assert!(close(distance(&x, &grown), size(&x)), "{} {kind}: {x:?} {grown:?}", spec.name);
            }
        }
    }

    /// LoRAs may differ in scale and maps: a member that leaves a map as it is changes it by zero.
    #[test]
    fn maps(seed in 0u64..10_000, ranks in proptest::collection::vec(1usize..4, 3), density in 0.3f64..0.9) {
        let whole = random("lora", seed, (5, 7, ranks[0]), 3.0);
        let stabilised = random("rslora", seed + 1, (5, 7, ranks[1]), 2.0);
        for at in [&["query"][..], &["layer.0.attention.self.value", "layer.1.attention.self.query"]] {
            let few = random("lora", seed + 2, (5, 7, ranks[2]), 1.0);
            let (part, zeroed) = limited(&few, at);
            for spec in METHODS.iter().filter(|s| s.most > 2) {
                let mut options = options(spec.name);
                if !spec.random && spec.name != "ties" && spec.numbers.iter().any(|n| n.name == "density") {
                    options = with(options, "density", density);
                }
                let [x, y] = [&part, &zeroed].map(|last| {
                    mix(&[whole.clone(), stabilised.clone(), last.clone()], &options)
                });
                let (own, expected) = (effect(&x), effect(&y));
                prop_assert!(close(distance(&own, &expected), size(&expected)), "{}", spec.name);
            }
            let pair = mix(&[part.clone(), limited(&few, &["layer.1.attention.self.value"]).0], &Options::default());
            prop_assert_eq!(chosen(&pair), pair.shapes().unwrap().into_keys().collect::<Vec<_>>());
        }
    }

    /// A cut by singular values at full rank loses nothing, and at a lower one what the best
    /// approximation loses.
    #[test]
    fn singular_values(seed in 0u64..10_000, r in 1usize..4, w in proptest::collection::vec(-2f64..2.0, 2)) {
        for kind in ["lora", "rslora"] {
            let members = [random(kind, seed, (8, 9, r), 3.0), random(kind, seed + 1, (8, 9, r + 1), 2.0)];
            let exact = weights(options("linear"), &w);
            let expected = effect(&mix(&members, &exact));
            let whole = Options { lora: Some(LoraMixing::Svd { rank: 2 * r + 1 }), ..exact };
            let found = effect(&mix(&members, &whole));
            prop_assert!(close(distance(&found, &expected), size(&expected)), "{kind}");
        }
    }

    /// Trims keep the same share of tensors of any size; entries of zero stay zero.
    #[test]
    fn trims(seed in 0u64..10_000, density in 0.1f64..0.9) {
        let x = random("bottleneck", seed, (0, 0, 0), 0.0);
        let all = [x.clone()];
        let count = |e: &BTreeMap<Name, Vec<f32>>| e.values().flatten().filter(|v| **v != 0.0).count();
        let whole = effect(&x);
        let entries = whole.values().flatten().count();
        let kept_of = |n: usize| (density * n as f64) as usize;
        let by_tensor = effect(&mix(&all, &with(options("magnitude"), "density", density)));
        for (name, values) in &by_tensor {
            let nonzero = whole[name].iter().filter(|v| **v != 0.0).count();
            let found = values.iter().filter(|v| **v != 0.0).count();
            prop_assert_eq!(found, kept_of(values.len()).min(nonzero), "{}", name);
        }
        let found = count(&effect(&mix(&all, &with(options("ties"), "density", density))));
        let stay = (density * entries as f64).round_ties_even() as usize;
        prop_assert_eq!(found, stay.min(count(&whole)));
    }
}

/// Where no choice of PEFT's says which maps a mixture changes, they are named one by one.
#[test]
fn maps_that_no_choice_says_are_named() {
    let at = |map: &str, layer: usize, seed| {
        let whole = random("lora", seed, (6, 6, 2), 2.0);
        let (part, _) = limited(&whole, &[&format!("layer.{layer}.attention.self.{map}")]);
        let mut config = part.kind().config();
        config["peft"]["target_modules"] = json!([map]);
        config["peft"]["layers_to_transform"] = json!([layer]);
        let tensors = (*part.tensors().unwrap()).clone();
        adapter(map, config, tensors)
    };
    let (a, b, c) = (at("query", 0, 1), at("value", 1, 2), at("query", 1, 3));
    for members in [
        vec![a.clone(), b.clone()],
        vec![a.clone(), c.clone()],
        vec![a, b, c],
    ] {
        let mixed = mix(&members, &Options::default());
        let own: Vec<Name> = mixed.shapes().unwrap().into_keys().collect();
        assert_eq!(own.len(), 2 * members.len());
        assert_eq!(chosen(&mixed), own);
    }
    let hub = |letter: &str, leave_out: &[usize]| {
        let whole = random("lora", 1, (6, 6, 2), 2.0);
        let config = json!({"architecture": "lora", "r": 2, "alpha": 2, "attn_matrices": [letter], "leave_out": leave_out});
        let path = if letter == "q" { "query" } else { "value" };
        let own = whole.tensors().unwrap();
        let own = own.iter().filter(|(n, _)| {
            n.as_str().contains(path) && !n.layer().is_some_and(|l| leave_out.contains(&l))
        });
        adapter(
            letter,
            config,
            own.map(|(n, t)| (n.clone(), t.clone())).collect(),
        )
    };
    for pair in [
        [hub("q", &[0]), hub("q", &[])],
        [hub("q", &[1]), hub("v", &[1])],
    ] {
        let mixed = mix(&pair, &Options::default());
        assert_eq!(
            chosen(&mixed),
            mixed.shapes().unwrap().into_keys().collect::<Vec<_>>()
        );
    }
    let error = soup(
        &[hub("q", &[0]), hub("v", &[])],
        &Options::default(),
        &Context::silent(),
    );
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("different maps in different layers"),
        "{error}"
    );
}

/// With the model, a DoRA is mixed by what it does to the weights.
#[test]
fn doras_are_mixed_by_their_changes_to_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = crate::gradients::model(folder.path());
    let dora = |seed: u64| {
        let peft =
            json!({"prefix": "bert.", "target_modules": ["query", "output.dense"], "bias": "none"});
        let config =
            json!({"architecture": "lora", "r": 2, "alpha": 3.0, "use_dora": true, "peft": peft});
        let all = kind::from_config(&config)
            .unwrap()
            .parameters(model.config())
            .unwrap();
        let own = all
            .into_iter()
            .zip(seed * 1000..)
            .map(|(p, seed)| (p.name, tensor(seed, &p.shape)));
        let own = adapter("dora", config, own.collect());
        let mut parts = own.parts().clone();
        parts.base.hidden_size = 12;
        own.with_parts(parts)
    };
    let ids = Tensor::new(&[[2u32, 7, 8, 9, 3]], &Device::Cpu).unwrap();
    let inputs = Inputs::from_tensors(&ids, None, None, [30, 2, 16]).unwrap();
    let hidden = |a: &Adapter| -> Vec<f64> {
        let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
        let tensors = a
            .tensors()
            .unwrap()
            .iter()
            .map(|(n, t)| (n.clone(), wide(t)))
            .collect();
        let sites = a.kind().sites(&tensors, model.config()).unwrap();
        let out = model.forward(&inputs, &*sites, &Noise::default()).unwrap();
        out.flatten_all().unwrap().to_vec1().unwrap()
    };
    let off = |a: &Adapter, b: &Adapter| {
        let pairs = hidden(a).into_iter().zip(hidden(b));
        pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
    };
    let (x, y) = (dora(1), dora(2));
    let dense_of = |a: &Adapter| dense(a, &model).unwrap();
    for dora in [&x, &y] {
        assert!(
            off(dora, &dense_of(dora)) < 1e-4,
            "{}",
            off(dora, &dense_of(dora))
        );
    }
    assert!(off(&x, &y) > 0.1);
    let half = mix(&[dense_of(&x), dense_of(&x)], &Options::default());
    assert!(off(&x, &half) < 1e-4);
    // Ranks add up to the full one at most.
    assert_eq!(half.kind().config()["r"], 12);
    let both = [dense_of(&x), dense_of(&y)];
    let found = effect(&mix(&both, &weights(options("linear"), &[0.5, -0.25])));
    let expected = sum_of(&both, &[0.5, -0.25]);
    assert!(close(distance(&found, &expected), size(&expected)));
    let config = json!({"architecture": "lora", "r": 2, "alpha": 3, "use_dora": true, "attn_matrices": ["q"], "output_lora": true});
    let own = x.tensors().unwrap();
    // AdapterHub has no word for the attention's output.
    let known = |name: &Name| !name.as_str().contains("attention.output");
    let own = own.iter().filter(|(name, _)| known(name)).map(|(name, t)| {
        match name.as_str().strip_suffix("lora_magnitude_vector") {
            Some(stem) => (
                Name::new(format!("{stem}m.weight")),
                t.unsqueeze(1).unwrap(),
            ),
            None => (name.clone(), t.clone()),
        }
    });
    let mut hub = x.parts().clone();
    hub.kind = kind::from_config(&config).unwrap();
    let hub = Adapter::new(hub, own.collect()).unwrap();
    let error = dense(&hub, &model).unwrap_err().to_string();
    assert!(error.contains("scales the map's bias too"), "{error}");
    let lora = random("lora", 1, (4, 4, 2), 2.0);
    assert!(
        dense(&lora, &model)
            .unwrap_err()
            .to_string()
            .contains("no DoRA")
    );
}

/// Three vectors as adapters: IA3 has a kind for them.
fn vectors(all: &[&[f32]]) -> Vec<Adapter> {
    let name = "encoder.layer.0.attention.self.key.lora_B";
    let one = |(i, values): (usize, &&[f32])| {
        let tensor = Tensor::from_slice(values, (values.len(), 1), &Device::Cpu).unwrap();
        adapter(
            &format!("v{i}"),
            config("ia3", 1, 1.0),
            [(Name::new(name), tensor)].into(),
        )
    };
    all.iter().enumerate().map(one).collect()
}

fn golden(members: &[Adapter], options: Options, expected: &[f32]) {
    let base = match options.method.on {
        tureen::soup::On::Values => None,
        _ => Some(Asked::Zero),
    };
    let mixed = mix(
        members,
        &Options {
            base,
            ..options.clone()
        },
    );
    let found: Vec<f32> = effect(&mixed).into_values().flatten().collect();
    let off = found
        .iter()
        .zip(expected)
        .map(|(x, y)| (x - y).abs())
        .fold(0.0, f32::max);
    assert!(
        off < 1e-5,
        "{}: {found:?}, expected {expected:?}",
        options.method.name
    );
}

#[test]
fn ties_gives_the_golden_values() {
    let abc = vectors(&[
        &[1.0, -2.0, 0.5, 3.0, -0.1, 0.0],
        &[-1.5, -1.0, 0.6, -2.0, 0.2, 1.0],
        &[0.2, 4.0, -0.7, -0.9, 0.3, -1.0],
    ]);
    let ties = |word| {
        weights(
            rule(with(options("ties"), "density", 2.0 / 3.0), word),
            &[0.5, 0.3, 0.2],
        )
    };
    golden(&abc, ties("peft"), &[-0.45, 0.80, -0.14, 1.50, 0.0, 0.30]);
    golden(
        &abc,
        ties("peft_frequency"),
        &[0.50, -0.65, 0.25, -0.39, 0.0, 0.30],
    );
    golden(
        &abc,
        ties("mergekit"),
        &[1.00, -1.625, 0.50, 3.00, 0.0, 1.00],
    );
    let mut plain = ties("mergekit");
    plain.settings.flags.insert("normalize", false);
    golden(&abc, plain, &[0.50, -1.30, 0.25, 1.50, 0.0, 0.30]);
    let magnitude = weights(
        with(options("magnitude"), "density", 2.0 / 3.0),
        &[0.5, 0.3, 0.2],
    );
    golden(&abc, magnitude, &[0.05, -0.50, 0.11, 0.72, 0.0, 0.10]);
    // By hand: trimmed to [1 -2 .5 3 0 0], [-1.5 -1 0 -2 0 1], [0 4 -.7 -.9 0 -1] the sums are
    // [-.5 1 -.2 .1 0 0]; equal terms of the last one go against each other.
    let paper = with(options("ties"), "density", 2.0 / 3.0);
    golden(&abc, paper.clone(), &[-1.5, 4.0, -0.7, 3.0, 0.0, 0.0]);
    golden(
        &abc,
        with(paper, "lambda", 0.5),
        &[-0.75, 2.0, -0.35, 1.5, 0.0, 0.0],
    );
}

#[test]
fn the_formulas_of_mergekit_by_hand() {
    // Slerp of perpendicular vectors: sin((1-t) pi/2), sin(t pi/2).
    let pair = vectors(&[&[2.0, 0.0], &[0.0, 1.0]]);
    let (a, b) = (0.25f64, 0.75f64);
    let quarter = std::f64::consts::FRAC_PI_2;
    let expected = [2.0 * (b * quarter).sin() as f32, (a * quarter).sin() as f32];
    golden(&pair, with(options("slerp"), "t", 0.25), &expected);
    // Along one direction the circle is a line.
    let line = vectors(&[&[1.0, 1.0], &[3.0, 3.0]]);
    golden(&line, with(options("slerp"), "t", 0.25), &[1.5, 1.5]);
    // Karcher of perpendicular vectors: half way between the directions, the mean length.
    let half = 1.5 * std::f32::consts::FRAC_1_SQRT_2;
    golden(&pair, options("karcher"), &[half, half]);
    // Opposite directions have no mean.
    let against = vectors(&[&[2.0, 0.0], &[-1.0, 0.0]]);
    golden(&against, options("karcher"), &[0.0, 0.0]);
    // Model stock of changes at 60 degrees: cos .5, t = 2 * .5 / 1.5 = 2/3 of the mean.
    let s = 3f32.sqrt() / 2.0;
    let sixty = vectors(&[&[1.0, 0.0], &[0.5, s]]);
    golden(&sixty, options("model_stock"), &[0.5, s / 3.0]);
    // SCE: variances [1, 0, 4], half of two varying entries is the last; mean squares 14/3 and
    // 38/3 of what is left: [0 0 1] and [0 0 5] give 1/3 and 25/3, weights 1/26 and 25/26.
    let two = vectors(&[&[2.0, 3.0, 1.0], &[0.0, 3.0, 5.0]]);
    golden(
        &two,
        with(options("sce"), "density", 0.5),
        &[0.0, 0.0, 126.0 / 26.0],
    );
    // Breadcrumbs: of ten the largest falls, of the rest the smallest until five are left.
    let ten: Vec<f32> = (1..=10).map(|i| i as f32).collect();
    let crumbs = with(with(options("breadcrumbs"), "density", 0.5), "gamma", 0.1);
    golden(
        &vectors(&[&ten]),
        crumbs,
        &[0., 0., 0., 0., 5., 6., 7., 8., 9., 0.],
    );
    // With less than one entry to fall, none of the large ones does.
    let few = with(with(options("breadcrumbs"), "density", 0.5), "gamma", 0.01);
    golden(
        &vectors(&[&ten]),
        few,
        &[0., 0., 0., 0., 0., 6., 7., 8., 9., 10.],
    );
}

#[test]
fn fisher_and_regmean_by_hand() {
    let pair = vectors(&[&[1.0, 2.0], &[3.0, 6.0]]);
    let name = pair[0].shapes().unwrap().into_keys().next().unwrap();
    let information = |values: [f32; 2]| -> Tensors {
        let tensor = Tensor::from_slice(&values, (2, 1), &Device::Cpu).unwrap();
        [(name.clone(), tensor)].into()
    };
    // (2 1 1 + 1 3 3) / (2 1 + 3); where nothing is known, the mean by weights.
    let all = [information([1.0, 0.0]), information([3.0, 0.0])];
    let mixed = fisher(
        &pair,
        &[2.0, 1.0],
        &all,
        &json!({}),
        Heads::Keep,
        &Context::silent(),
    )
    .unwrap();
    let found: Vec<f32> = effect(&mixed).into_values().flatten().collect();
    for (x, y) in found.iter().zip([11.0 / 5.0, 10.0 / 3.0]) {
        assert!((x - y).abs() < 1e-5, "{found:?}");
    }
    // G of the one [2 1; 1 2], off the diagonal 0.9, of the other the identity: the sum times w is
    // [2 .9] + [0 1].
    let name = Name::new("encoder.layer.0.output.adapter_down.weight");
    let map = |values: [f32; 2]| {
        let tensor = Tensor::from_slice(&values, (1, 2), &Device::Cpu).unwrap();
        adapter(
            "map",
            config("bottleneck", 0, 0.0),
            [(name.clone(), tensor)].into(),
        )
    };
    let gram = |values: [f64; 4]| {
        let gram = Gram {
            width: 2,
            values: values.to_vec(),
        };
        BTreeMap::from([(name.clone(), gram)])
    };
    let inputs = [gram([2.0, 1.0, 1.0, 2.0]), gram([1.0, 0.0, 0.0, 1.0])];
    let members = [map([1.0, 0.0]), map([0.0, 1.0])];
    let mixed = regmean(
        &members,
        &inputs,
        &json!({}),
        Heads::Keep,
        &Context::silent(),
    )
    .unwrap();
    let found: Vec<f32> = effect(&mixed).into_values().flatten().collect();
    for (x, y) in found.iter().zip([4.29 / 8.19, 3.9 / 8.19]) {
        assert!((x - y).abs() < 1e-5, "{found:?}");
    }
}

#[test]
fn random_methods_keep_the_share_and_the_expectation() {
    let values: Vec<f32> = (0..4000).map(|i| (i % 17) as f32 - 8.0).collect();
    let x = vectors(&[&values]);
    let total: f32 = values.iter().map(|v| v.abs()).sum();
    for (method, rescale) in [
        ("dare", "probability"),
        ("dare", "l1"),
        ("della", "l1"),
        ("della_linear", "probability"),
    ] {
        let mut options = with(options(method), "density", 0.4);
        options.settings.words.insert("rescale", rescale);
        options.base = Some(Asked::Zero);
        let found: Vec<f32> = effect(&mix(&x, &options)).into_values().flatten().collect();
        let stay = found.iter().filter(|v| **v != 0.0).count() as f32 / 3765.0;
        assert!((stay - 0.4).abs() < 0.06, "{method}: {stay}");
        let sum: f32 = found.iter().map(|v| v.abs()).sum();
        let off = (sum / total - 1.0).abs();
        assert!(
            off < if rescale == "l1" { 1e-4 } else { 0.08 },
            "{method} {rescale}: {off}"
        );
        // The same seed gives the same bytes, another other ones.
        let again: Vec<f32> = effect(&mix(&x, &options)).into_values().flatten().collect();
        assert_eq!(found, again);
        options.settings.seed = Some(1);
        let other: Vec<f32> = effect(&mix(&x, &options)).into_values().flatten().collect();
        assert_ne!(found, other);
    }
}

#[test]
fn weights_may_depend_on_the_layer_and_the_name() {
    let members = [
        random("bottleneck", 1, (0, 0, 0), 0.0),
        random("bottleneck", 2, (0, 0, 0), 0.0),
    ];
    let read = |v: Value| Setting::read(&v).unwrap();
    let options = Options {
        weights: Some(vec![
            read(json!([1.0, 0.0])),
            read(json!({"*layer.1.*": 1.0, "*": 0.0})),
        ]),
        ..Options::default()
    };
    let mixed = effect(&mix(&members, &options));
    for (name, values) in &mixed {
        let of = usize::from(name.as_str().contains("layer.1"));
        assert_eq!(values, &effect(&members[of])[name], "{name}");
    }
}

#[test]
fn what_cannot_be_mixed_is_said() {
    let context = Context::silent();
    let lora = |seed, shape| random("lora", seed, shape, 2.0);
    let fails = |members: &[Adapter], options: &Options| {
        soup(members, options, &context).unwrap_err().to_string()
    };
    let two = [lora(1, (4, 4, 2)), lora(2, (4, 4, 2))];
    let ties = |density: f64| with(options("ties"), "density", density);
    assert!(fails(&two, &ties(1.5)).contains("density is 1.5, expected a number from 0 to 1"));
    assert!(fails(&two, &weights(options("slerp"), &[1.0, 1.0])).contains("takes no weights"));
    assert!(fails(&two, &weights(options("linear"), &[1.0])).contains("1 weights for 2 adapters"));
    assert!(
        fails(&two, &with(options("linear"), "density", 0.5))
            .contains("linear has no setting density")
    );
    let three = [two[0].clone(), two[1].clone(), lora(3, (4, 4, 2))];
    assert!(fails(&three, &options("slerp")).contains("at most 2 adapters, got 3"));
    let bottlenecks = [random("bottleneck", 1, (0, 0, 0), 0.0)];
    let mut asked = options("task_arithmetic");
    asked.base = None;
    assert!(fails(&bottlenecks, &asked).contains("initialisation of bottleneck1 is not recorded"));
    let wide = [two[0].clone(), lora(4, (5, 4, 2))];
    let error = soup(&wide, &Options::default(), &context)
        .unwrap()
        .tensors()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is [4, 4] in lora1 and [4, 5] in lora4"),
        "{error}"
    );
    // Tensor by tensor the scale of the change is everybody's.
    let doras = [(2.0, 2), (4.0, 3)].map(|(alpha, r)| random("dora", 1, (4, 4, r), alpha));
    let error = fails(&doras, &Options::default());
    assert!(
        error.contains("they differ in alpha (2 and 4), r (2 and 3)"),
        "{error}"
    );
    let mut parts = bottlenecks[0].parts().clone();
    parts.base.model_type = "roberta".into();
    parts.base.hidden_size = 8;
    parts.kind = kind::from_config(&json!({"mh_adapter": true, "output_adapter": true, "reduction_factor": 3, "non_linearity": "gelu"})).unwrap();
    let other = bottlenecks[0].with_parts(parts);
    let error = fails(&[bottlenecks[0].clone(), other], &Options::default());
    let expected = "the base's type (bert and roberta), the base's width (6 and 8), kind (pfeiffer and bottleneck)";
    assert!(error.contains(expected), "{error}");
    let dora = random("dora", 1, (4, 4, 2), 2.0);
    let delta = Options {
        lora: Some(LoraMixing::Delta),
        ..Options::default()
    };
    assert!(fails(&[dora.clone(), dora], &delta).contains("needs the weights of its base"));
}
