//! A row's result does not depend on the rows computed with it: any subset, any order and any
//! padded length gives each text the same bits, on every class of processors that this one has.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tureen::adapter::{Bottleneck, Ia3, Kind, Lora};
use tureen::compute::{Mask, random::Stream};
use tureen::model::{Encoding, Frozen, Inputs, Model, Noise, Sites};
use tureen::train::{track, tracked};

use crate::common::reference;
use crate::oracle::NodeByNode;
use crate::references::{Case, scattered};

/// Token ids of texts of 1 to 40 tokens, of those that every vocabulary here has.
fn texts() -> Vec<Encoding> {
    let mut stream = Stream::new(9, "test", "texts");
    let one = |length: u64| {
        let ids: Vec<u32> = (0..length).map(|_| 5 + stream.below(20) as u32).collect();
        Encoding {
            type_ids: vec![0; ids.len()],
            ids,
        }
    };
    [1, 40, 3, 17, 16, 33, 8, 24, 31, 15, 2, 9].map(one).into()
}

/// These texts in this order, padded to at least `length` tokens.
fn batch(model: &Model, texts: &[&Encoding], length: usize) -> Inputs {
    let inputs = model.pad(texts).unwrap();
    let (rows, seq) = inputs.dims();
    let more = length.saturating_sub(seq);
    let pad = |ids: &Tensor, value: u32| {
        let padding = Tensor::full(value, (rows, more), &Device::Cpu).unwrap();
        Tensor::cat(&[ids, &padding], 1).unwrap()
    };
    let lengths: Vec<usize> = texts.iter().map(|e| e.ids.len()).collect();
    Inputs {
        ids: pad(&inputs.ids, model.pad_id()),
        type_ids: pad(&inputs.type_ids, 0),
        mask: Mask::from_lengths(&lengths, seq + more),
    }
}

/// The bits of a text's states: of all its tokens, and of the summary.
fn states(model: &Model, sites: &dyn Sites, texts: &[&Encoding], length: usize) -> Vec<Vec<u64>> {
    let inputs = batch(model, texts, length);
    let all = model.forward(&inputs, sites, &Noise::default()).unwrap();
    let one = model.forward_summary(&inputs, sites, &Noise::default());
    let one = one.unwrap();
    let bits = |t: Tensor| -> Vec<u64> {
        let t = t.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
        t.to_vec1::<f64>()
            .unwrap()
            .into_iter()
            .map(f64::to_bits)
            .collect()
    };
    let rows = texts.iter().enumerate();
    rows.map(|(row, text)| {
        let own = all.get(row).unwrap().narrow(0, 0, text.ids.len()).unwrap();
        [bits(own), bits(one.get(row).unwrap())].concat()
    })
    .collect()
}

/// Every text among others has the bits it has alone.
fn holds(name: &str, model: &Model, sites: &dyn Sites, cases: u32) {
    let texts = texts();
    let alone: Vec<_> = texts
        .iter()
        .map(|text| states(model, sites, &[text], 0).remove(0))
        .collect();
    let rows: Vec<usize> = (0..texts.len()).collect();
    let some = (
        proptest::sample::subsequence(rows, 1..=12).prop_shuffle(),
        0usize..60,
    );
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    });
    let checked = runner.run(&some, |(rows, length)| {
        let members: Vec<&Encoding> = rows.iter().map(|&row| &texts[row]).collect();
        for (row, found) in rows.iter().zip(states(model, sites, &members, length)) {
            prop_assert!(
                found == alone[*row],
                "{name}: text {row} of {rows:?}, {length} tokens"
            );
        }
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}

fn kinds() -> [(&'static str, Arc<dyn Kind>); 5] {
    let config = |json: &str| -> Arc<dyn Kind> {
        tureen::adapter::kind::from_config(&serde_json::from_str(json).unwrap()).unwrap()
    };
    [
        ("pfeiffer", Arc::new(Bottleneck::pfeiffer())),
        ("houlsby", Arc::new(Bottleneck::houlsby())),
        ("lora", Arc::new(Lora::default())),
        ("ia3", Arc::new(Ia3::default())),
        (
            "dora",
            config(r#"{"architecture": "lora", "r": 4, "alpha": 8, "use_dora": true}"#),
        ),
    ]
}

fn every_kind(name: &str, model: &Model, cases: u32) {
    holds(name, model, &Frozen, cases);
    for (kind_name, kind) in kinds() {
        let Ok(tensors) = scattered(kind.as_ref(), model) else {
            continue;
        };
        let vars = track(&tensors, model).unwrap();
        let Ok(sites) = kind.sites(&tracked(&vars), model.config()) else {
            continue;
        };
        let label = format!("{name}, {kind_name}");
        holds(&label, model, sites.as_ref(), cases);
        holds(
            &format!("{label}, node by node"),
            model,
            &NodeByNode(sites),
            cases,
        );
    }
}

/// The test proper, in one class. `each_class` runs it again in the others.
#[test]
fn rows_do_not_depend_on_their_neighbours() {
    for name in ["mpnet", "modernbert", "deberta-v2"] {
        every_kind(name, &Case::new(name).model(), 4);
    }
    for name in [
        "bert",
        "roberta",
        "xlm-roberta",
        "distilbert",
        "electra",
        "gpt2",
    ] {
        let Some(folder) = reference("models").map(|all| all.join(name)) else {
            break;
        };
        let open = |folder: &Path| Model::from_folder(name, folder, DType::F32, &Device::Cpu);
        every_kind(name, &open(&folder).unwrap(), 4);
    }
    // Wide enough for products to be cut into parts and summed in several steps.
    let mini = Model::mini(DType::F32, &Device::Cpu).unwrap();
    every_kind("mini", &mini, 1);
    holds("mini, bf16", &mini.in_bf16().unwrap(), &Frozen, 1);
    let case = Case::new("modernbert");
    let wide = Model::from_folder("f64", &case.path("model"), DType::F64, &Device::Cpu).unwrap();
    holds("modernbert, f64", &wide, &Frozen, 4);
}

#[test]
fn each_class_keeps_rows_apart() {
    if std::env::var_os("TUREEN_KERNELS").is_some() {
        return;
    }
    for kernels in ["none", "avx2", "avx512"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "rows::rows_do_not_depend_on_their_neighbours"])
            .env("TUREEN_KERNELS", kernels)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && told.contains("1 passed"),
            "{kernels}: {told}"
        );
    }
}

/// Logits, states, embeddings and evaluations of the language, for texts alone and together.
#[test]
fn the_language_gives_each_text_the_same_numbers() {
    let script = r#"
        let base = model("mini");
        let films = dataset("films");
        let some = films.sample(48, #{ seed: 2 });
        let adapters = ["pfeiffer", "ia3"].map(|kind| train(base, some, #{ adapter: kind, epochs: 1 }));
        let texts = some.texts;
        let few = texts.len.min(24);
        let t = base.tokenize(texts);
        let row = |t, i| #{
            input_ids: t.input_ids.rows(i, i + 1), attention_mask: t.attention_mask.rows(i, i + 1)
        };
        let off = 0;
        let states = base.forward(t);
        let embedded = base.embed(texts);
        for i in 0..few {
            off += base.forward(row.call(t, i)).max_abs_diff(states.rows(i, i + 1));
            off += base.embed([texts[i]]).max_abs_diff(embedded.rows(i, i + 1));
        }
        for a in adapters {
            let logits = base.logits(a, t);
            for i in 0..few {
                off += base.logits(a, row.call(t, i)).max_abs_diff(logits.rows(i, i + 1));
            }
        }
        print(off);
    "#;
    let output = Command::new(env!("CARGO_BIN_EXE_tureen"))
        .args(["-e", script, "--no-store"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0.0");
}

#[test]
fn an_unknown_word_for_kernels_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_tureen"))
        .args(["-e", "1"])
        .env("TUREEN_KERNELS", "avx-2")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        told.contains("expected amx, avx512, avx2 or none"),
        "{told}"
    );
}
