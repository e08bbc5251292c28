//! Pruning as users do it: by every criterion, in training, within a budget, saved small.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use candle_core::{DType, Device, Tensor, Var};
use tureen::Context;
use tureen::adapter::{Adapter, Name, Selection, Tensors, formats, with_values};
use tureen::compute::random::Stream;
use tureen::data::bundled;
use tureen::model::Model;
use tureen::prune::{Inputs, Mask, Plan, criterion, prune};
use tureen::train::{AdamW, AdamWOptions};

use crate::script::{check, outcome};

const START: &str = r#"
let base = model("mini");
let few = dataset("films").sample(48, #{ seed: 1 });
let a = untrained(base, few);
let lora = untrained(base, few, #{ adapter: "lora" });
"#;

fn cases(cases: &[(&str, &str)]) {
    let whole: Vec<(String, &str)> = cases
        .iter()
        .map(|(script, expected)| (format!("{START}{script}"), *expected))
        .collect();
    let whole: Vec<(&str, &str)> = whole.iter().map(|(s, e)| (s.as_str(), *e)).collect();
    check(&whole);
}

#[test]
fn every_criterion_prunes_what_was_asked() {
    cases(&[
        ("a.prune(0.75, #{ by: \"random\" }).sparsity", "0.75"),
        (
            "let p = a.prune(0.75, #{ by: \"grasp\", model: base, scope: \"global\" }); p.sparsity",
            "0.75",
        ),
        (
            "a.prune(0.5, #{ by: \"fisher\", model: base, batches: 2 }).sparsity",
            "0.5",
        ),
        ("a.prune(0.75, #{ by: \"synflow\" }).sparsity", "0.75"),
        ("a.prune(#{ by: \"er\", keep: 1234 }).mask.kept", "1234"),
        (
            "a.prune(#{ count: 234 }).mask.entries - a.prune(#{ count: 234 }).mask.kept",
            "234",
        ),
        (
            "let b = train(base, few, #{ epochs: 1 }); b.prune(0.5, #{ by: \"movement\" }).sparsity",
            "0.5",
        ),
        // Every conflict of two is gone where as much is pruned as is in conflict.
        (
            "let b = untrained(base, few, #{ init_seed: 7 }); let set = [a, b]; \
             let rate = sign_diff(set).rate; \
             let pruned = map(set, |x| x.prune(rate + 0.001, #{ by: \"conflict\", among: set, scope: \"global\" })); \
             [rate > 0.4, sign_diff(pruned).conflicts]",
            "[true, 0]",
        ),
        // What was pruned goes first, and stays.
        (
            "let p = a.prune(0.5, #{ by: \"random\", seed: 1 }).prune(0.75, #{ by: \"random\", seed: 2 }); p.sparsity",
            "0.75",
        ),
        (
            "let p = a.prune(0.5, #{ tensors: \"*layer.0*\" }).prune(0.5, #{ tensors: \"*layer.1*\" }); \
             [p.mask.density, p.mask.names.len]",
            "[0.5, 8]",
        ),
        (
            "let p = a.prune(0.5, #{ grain: \"units\" }); let q = p.tensors(); let n = p.mask.names; [p.mask.sparsity, n.len]",
            "[0.5, 9]",
        ),
    ]);
}

#[test]
fn what_cannot_be_ranked_is_refused_with_the_reason() {
    let degenerate = |what: &str| {
        let by = match what {
            "conflict" => "by: \"conflict\", among: [lora]".to_string(),
            "movement" => "by: \"movement\", start: lora".to_string(),
            "snip" | "grasp" | "fisher" => format!("by: \"{what}\", model: base"),
            _ => format!("by: \"{what}\""),
        };
        outcome(&format!("{START}lora.prune(0.5, #{{ {by} }})"))
    };
    for by in [
        "magnitude",
        "snip",
        "grasp",
        "synflow",
        "conflict",
        "movement",
    ] {
        let error = degenerate(by);
        assert!(
            error.contains("lora_B` and all like it are zero, as before training")
                && error.contains(by)
                && error.contains("warmup"),
            "{error}"
        );
    }
    let error = degenerate("fisher");
    assert!(
        error.contains("lora_A` and all like it score zero") && error.contains("warmup"),
        "{error}"
    );
    cases(&[
        ("lora.prune(0.5, #{ by: \"random\" }).mask.sparsity", "0.5"),
        (
            "let p = lora.prune(0.5, #{ by: \"snip\", model: base, warmup: 3 }); \
             [p.mask.density, p.tensor(\"encoder.layer.0.attention.self.query.lora_B\").norm()]",
            "[0.5, 0.0]",
        ),
    ]);
    let told = |script: &str, expected: &str| {
        let error = outcome(&format!("{START}{script}"));
        assert!(error.ends_with(expected), "{script}: {error}");
    };
    told(
        "a.prune(#{})",
        "how much is not said; a.prune(0.9), or one of the options sparsity, count, keep and bytes",
    );
    told(
        "a.prune(0.5, #{ keep: 3 })",
        "prune: option keep: how much goes is said twice",
    );
    told(
        "a.prune(0.5, #{ among: [a] })",
        "prune: option among: magnitude looks at no other adapters",
    );
    told(
        "a.prune(0.5, #{ by: \"er\", scope: \"global\" })",
        "prune: option scope: er has densities of its own",
    );
    told(
        "a.prune(0.5, #{ by: \"movement\" })",
        "are where they started: movement cannot rank their entries; take the scores after some steps of training (warmup), or prune by random or er",
    );
    told(
        "a.prune(0.5, #{ warmup: 3 })",
        "prune: option model: warm-up needs it: #{ warmup: 20, model: base }",
    );
    told("a.prune(#{ keep: 100000000 })", "weights");
    // Before anything is trained for it.
    told("a.prune(#{ keep: 100000000, warmup: 3 })", "weights");
    told(
        "a.prune(0.5, #{ by: \"er\", scope: \"global\" })",
        "prune: option scope: er has densities of its own",
    );
}

#[test]
fn what_lies_near_one_is_never_pruned() {
    let scaled = "let s = untrained(base, few, #{ adapter: \"ia3\" });";
    let dora = "let d = untrained(base, few, #{ adapter: \"dora\" });";
    for script in [
        format!("{scaled} s.prune(0.5)"),
        format!("{scaled} s.prune(0.5, #{{ tensors: \"all\" }})"),
        format!("{scaled} s.apply(mask_of(s.tensors()))"),
        "train(base, few, #{ adapter: \"ia3\", sparsity: 0.5, epochs: 1 })".into(),
        format!("{scaled} train(base, few, #{{ from: s, sparsity: 0.5, epochs: 1 }})"),
        format!("{dora} d.prune(0.5, #{{ by: \"random\", tensors: \"all\" }})"),
        format!("{dora} d.apply(mask_of(d.tensors()))"),
    ] {
        let error = outcome(&format!("{START}{script}"));
        assert!(
            error.contains("lies near 1, not near 0") && error.contains("not pruned"),
            "{script}: {error}"
        );
    }
    // A DoRA's matrices are near 0.
    cases(&[(
        "untrained(base, few, #{ adapter: \"dora\" }).prune(0.5, #{ by: \"random\" }).mask.sparsity",
        "0.5",
    )]);
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    with_values(tensor, |v| v.iter().map(|v| v.to_bits()).collect()).unwrap()
}

#[test]
fn a_mask_holds_through_a_thousand_steps_of_adamw() {
    let name = Name::new("w.weight");
    let mut stream = Stream::new(5, "test", "adamw");
    let mut normal = |n: usize| -> Vec<f32> { (0..n).map(|_| stream.normal() as f32).collect() };
    let start = Tensor::from_vec(normal(600), (20, 30), &Device::Cpu).unwrap();
    let tensors: Tensors = [(name.clone(), start.clone())].into();
    let by = criterion("magnitude").unwrap();
    let mask = prune(
        &tensors,
        by,
        &Inputs::default(),
        &Plan::of(0.9),
        &Context::silent(),
    )
    .unwrap();
    let vars = BTreeMap::from([(name.clone(), Var::from_tensor(&start).unwrap())]);
    let options = AdamWOptions {
        weight_decay: 0.1,
        max_norm: Some(1.0),
        ..AdamWOptions::default()
    };
    // Nothing is pruned for the first steps, so that the moments of what goes are there.
    let mut optimizer = AdamW::new(&vars, &Tensors::new(), options).unwrap();
    for step in 0..1000 {
        if step == 10 {
            optimizer.restrict(&mask).unwrap();
        }
        let gradient: Vec<f64> = normal(600).into_iter().map(f64::from).collect();
        let gradients = BTreeMap::from([(name.clone(), gradient)]);
        optimizer.step(&gradients, 1e-2).unwrap();
    }
    let kept = mask.tensors().unwrap();
    let kept = bits(&kept[&name]);
    for (i, (value, kept)) in bits(&vars[&name]).into_iter().zip(kept).enumerate() {
        match kept {
            0 => assert_eq!(value, 0, "entry {i}"),
            _ => assert_ne!(value << 1, 0, "entry {i}"),
        }
    }
}

#[test]
fn adapters_grow_sparse_in_training() {
    cases(&[
        (
            "let t = train(base, few, #{ sparsity: 0.875, epochs: 4, batch: 8 }); \
             [t.sparsity, t.mask.density, t.training.options.gradual.by]",
            "[0.875, 0.125, \"magnitude\"]",
        ),
        (
            "let t = train(base, few, #{ adapter: \"lora\", sparsity: 0.5, prune_by: \"movement\", prune_scope: \"global\", epochs: 3, batch: 8 }); \
             t.sparsity",
            "0.5",
        ),
        // Sparse from the first step, and no less so by the last.
        (
            "let p = a.prune(0.5); let t = train(base, few, #{ from: p, sparsity: 0.75, epochs: 2 }); \
             [t.sparsity, (t.mask & !p.mask).kept]",
            "[0.75, 0]",
        ),
    ]);
    let error = outcome(&format!(
        "{START}train(base, few, #{{ prune_by: \"movement\" }})"
    ));
    assert!(
        error.ends_with("nothing is pruned without a sparsity"),
        "{error}"
    );
}

fn same(a: &Adapter, b: &Adapter) {
    let (x, y) = (a.tensors().unwrap(), b.tensors().unwrap());
    assert!(x.keys().eq(y.keys()));
    for (name, tensor) in x.iter() {
        assert_eq!(tensor.dims(), y[name].dims());
        assert_eq!(bits(tensor), bits(&y[name]), "{name}");
    }
    assert_eq!(a.heads().len(), b.heads().len());
    for (x, y) in a.heads().iter().zip(b.heads()) {
        assert_eq!(x.labels, y.labels);
        for (name, tensor) in &x.tensors {
            assert_eq!(bits(tensor), bits(&y.tensors[name]), "{name}");
        }
    }
}

fn pruned(kind: &str, sparsity: f64) -> Adapter {
    let model = Model::mini(DType::F32, &Device::Cpu).unwrap();
    let data = bundled::load("films").unwrap();
    let kind: std::sync::Arc<dyn tureen::adapter::Kind> = match kind {
        "lora" => std::sync::Arc::new(tureen::adapter::Lora::default()),
        _ => std::sync::Arc::new(tureen::adapter::Bottleneck::houlsby()),
    };
    let start = tureen::train::untrained(&model, &data, kind, 3).unwrap();
    let tensors = start.tensors().unwrap();
    let by = criterion("random").unwrap();
    let mask = prune(
        &tensors,
        by,
        &Inputs::default(),
        &Plan::of(sparsity),
        &Context::silent(),
    )
    .unwrap();
    let mut tensors = mask.apply(&tensors).unwrap();
    // A kept entry may be zero, of either sign; an unmasked one, too.
    for (name, tensor) in &mut tensors {
        let mut values: Vec<f32> = with_values(tensor, <[f32]>::to_vec).unwrap();
        let kept = mask
            .words(name)
            .map_or(0, |w| w[0].trailing_zeros() as usize);
        if let Some(value) = values.get_mut(kept) {
            *value = -0.0;
        }
        *tensor = Tensor::from_vec(values, tensor.dims(), &Device::Cpu).unwrap();
    }
    let mut parts = start.parts().clone();
    parts.mask = Some(std::sync::Arc::new(mask));
    Adapter::new(parts, tensors).unwrap()
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[test]
fn sparse_files_are_small_and_come_back_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["houlsby", "lora"] {
        let adapter = pruned(kind, 0.9);
        let [sparse, dense] = ["sparse", "dense"].map(|l| folder.path().join(kind).join(l));
        formats::sparse::save(&adapter, &sparse).unwrap();
        formats::save(&adapter, &dense, None).unwrap();
        let back = formats::load(&sparse).unwrap();
        same(&adapter, &back);
        assert_eq!(back.mask(), adapter.mask());
        assert_eq!(back.id(), adapter.id());
        assert_eq!(back.kind().config(), adapter.kind().config());
        // The dense one has the same weights; what was pruned is there as zeros.
        let whole = formats::load(&dense).unwrap();
        same(&adapter, &whole);
        let (small, large) = (
            size(&sparse.join("adapter.sparse.safetensors")),
            size(&dense.join("adapter.safetensors")),
        );
        let ratio = small as f64 / large as f64;
        assert!(ratio <= 0.2, "{kind}: {ratio}");
        eprintln!("{kind}: {small} of {large} bytes, {ratio:.3}");
        let error = formats::save(&adapter, &sparse, None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("in the sparse layout; choose"), "{error}");
        let error = formats::sparse::save(&adapter, &dense)
            .unwrap_err()
            .to_string();
        assert!(error.contains("in another layout; choose"), "{error}");
    }
    // Without a mask what is zero is packed all the same, and loads without one.
    let mut parts = pruned("houlsby", 0.9).parts().clone();
    parts.mask = None;
    let bare = Adapter::new(
        parts,
        pruned("houlsby", 0.9).tensors().unwrap().as_ref().clone(),
    )
    .unwrap();
    let at = folder.path().join("bare");
    formats::sparse::save(&bare, &at).unwrap();
    let back = formats::load(&at).unwrap();
    same(&bare, &back);
    assert!(back.mask().is_none());
    let nonzero = Mask::of(&back.tensors().unwrap(), &Selection::Matrices).unwrap();
    assert!(nonzero.sparsity() > 0.89);
}

#[test]
fn a_damaged_sparse_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("a");
    formats::sparse::save(&pruned("houlsby", 0.9), &at).unwrap();
    let file = at.join("adapter.sparse.safetensors");
    let whole = std::fs::read(&file).unwrap();
    let head = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let text = String::from_utf8(whole[8..head].to_vec()).unwrap();
    let with_head = |text: String| {
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.into_bytes());
        bytes.extend(&whole[head..]);
        bytes
    };
    let mut flipped = whole.clone();
    // The first tensor's bits come before its values.
    flipped[head] ^= 1;
    let cases = [
        (whole[..whole.len() - 5].to_vec(), "the file ends early"),
        (flipped, "bits are set for"),
        (
            with_head(text.replace("\\\"version\\\":1", "\\\"version\\\":2")),
            "version 2 is not known",
        ),
        (
            with_head(text.replace(
                "\\\"layout\\\":\\\"sparse\\\"",
                "\\\"layout\\\":\\\"spares\\\"",
            )),
            "layout \"spares\"",
        ),
        (
            with_head(text.replacen("\\\"shape\\\":[24,384]", "\\\"shape\\\":[24,385]", 1)),
            "does not fit",
        ),
        (
            with_head(text.replacen(
                "\\\"shape\\\":[24,384]",
                "\\\"shape\\\":[9223372036854775807,384]",
                1,
            )),
            "does not fit",
        ),
    ];
    for (bytes, expected) in cases {
        std::fs::write(&file, &bytes).unwrap();
        let error = formats::load(&at).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(error.contains("adapter.sparse.safetensors"), "{error}");
    }
}

#[test]
fn the_command_line_prunes_within_a_budget() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    formats::save(&pruned("houlsby", 0.0), &at.join("films"), None).unwrap();
    formats::save(&pruned("houlsby", 0.0), &at.join("other"), None).unwrap();
    let tureen = |arguments: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_tureen"))
            .args(arguments.split(' '))
            .current_dir(at)
            .env("TUREEN_STORE", at.join("store"))
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments}: {error}");
        String::from_utf8(output.stdout).unwrap()
    };
    let all = "prune films --layout sparse --scope global";
    tureen(&format!("{all} --bytes 60000 --out small"));
    let bytes = size(&at.join("small/adapter.sparse.safetensors"));
    assert!((59_900..=60_000).contains(&bytes), "{bytes}");
    tureen("prune films --keep 500 --by conflict --among other --out few");
    let few = formats::load(&at.join("few")).unwrap();
    let kept = Mask::of(&few.tensors().unwrap(), &Selection::Matrices).unwrap();
    assert_eq!(kept.kept(), 500);
}

#[test]
fn recipes_tell_the_warm_up_of_training_from_that_of_scores() {
    let recipe = |last: &str| format!("{START}import \"std/pruning\" as pruning; {last}");
    let found = outcome(&recipe(
        "let t = pruning::sparse_adapter(base, few, 0.5, #{ adapter: \"lora\", epochs: 1, \
         warmup: 0.5, score_warmup: 2, seed: 3 }); \
         [t.mask.sparsity, t.training.options.warmup, t.training.options.seed]",
    ));
    assert_eq!(found, "[0.5, 0.5, 3]");
    // Random scores move with the seed.
    let found = outcome(&recipe(
        "let how = #{ by: \"random\", epochs: 1, seed: 1 }; \
         let one = pruning::sparse_adapter(base, few, 0.5, how).mask; how.seed = 2; \
         one == pruning::sparse_adapter(base, few, 0.5, how).mask",
    ));
    assert_eq!(found, "false");
    let found = outcome(&recipe(
        "let t = pruning::lottery_ticket(base, few, 0.5, #{ epochs: 1, share: 0.3, by: \"movement\" }); \
         [t.rounds, t.adapter.sparsity]",
    ));
    assert_eq!(found, "[2, 0.5]");
}
