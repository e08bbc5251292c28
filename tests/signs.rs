//! Signs and masks against the reference cases, against brute force, and the values that
//! independence and a shared initialisation lead to.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use serde_json::Value;
use tureen::adapter::{Name, Selection, Tensors};
use tureen::compute::random::Stream;
use tureen::model::read_safetensors;
use tureen::prune::{PruneOptions, Scope, criterion, prune};
use tureen::sign::{Denominator, SignDiff, SignPlanes};

use crate::common::reference;

fn planes(values: &[f32]) -> SignPlanes {
    let tensor = Tensor::from_slice(values, values.len(), &Device::Cpu).unwrap();
    SignPlanes::of(&[(Name::new("w"), tensor)].into()).unwrap()
}

fn difference(rows: &[Vec<f32>], denominator: Denominator) -> SignDiff {
    let members: Vec<(String, SignPlanes)> = rows
        .iter()
        .enumerate()
        .map(|(i, row)| (i.to_string(), planes(row)))
        .collect();
    SignDiff::of(&members, denominator, "weights").unwrap()
}

#[test]
fn signs_equal_the_reference() {
    let Some(folder) = reference("sign") else {
        return;
    };
    let case: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
    let tensors = read_safetensors(&folder.join("weights.safetensors")).unwrap();
    let rows = tensors["w"].to_vec2::<f32>().unwrap();
    let members = |key: &str| -> Vec<Vec<f32>> {
        key.split(',')
            .map(|i| rows[i.parse::<usize>().unwrap()].clone())
            .collect()
    };
    let near = |a: f64, b: &Value| (a - b.as_f64().unwrap()).abs() < 1e-12;
    for (key, expected) in case["pairs"].as_object().unwrap() {
        let rows = members(key);
        let all = difference(&rows, Denominator::All);
        let pair = all.pair().unwrap();
        assert_eq!(Some(pair.conflicts), expected["conflict"].as_u64(), "{key}");
        assert!(near(all.rate().unwrap(), &expected["all"]), "{key}");
        let both = difference(&rows, Denominator::BothNonzero);
        assert!(
            near(both.rate().unwrap(), &expected["both_nonzero"]),
            "{key}"
        );
        let union = difference(&rows, Denominator::UnionNonzero);
        assert!(near(union.rate().unwrap(), &expected["union"]), "{key}");
        let tristate = pair.tristate as f64 / pair.entries as f64;
        assert!(near(tristate, &expected["tristate"]), "{key}");
    }
    for (key, expected) in case["mixtures"].as_object().unwrap() {
        let d = difference(&members(key), Denominator::All);
        assert!(near(d.mixture(), &expected["non_unanimous"]), "{key}");
        assert!(near(d.mean_pairwise(), &expected["mean_pairwise"]), "{key}");
        assert!(near(d.minority(), &expected["minority"]), "{key}");
    }
}

#[test]
fn masks_equal_the_reference() {
    let Some(folder) = reference("prune") else {
        return;
    };
    let case: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
    let weights: Tensors = read_safetensors(&folder.join("weights.safetensors"))
        .unwrap()
        .into_iter()
        .map(|(name, tensor)| (Name::new(name), tensor))
        .collect();
    let expected: BTreeMap<String, Tensor> =
        read_safetensors(&folder.join("masks.safetensors")).unwrap();
    let by = criterion("magnitude").unwrap();
    for sparsity in case["sparsities"].as_array().unwrap() {
        for (scope, label) in [(Scope::Layerwise, "layerwise"), (Scope::Global, "global")] {
            let options = PruneOptions {
                scope,
                tensors: Selection::All,
                ..PruneOptions::default()
            };
            let mask = prune(&weights, by, sparsity.as_f64().unwrap(), &options).unwrap();
            for (name, tensor) in mask.tensors().unwrap() {
                let key = format!("{label}.{sparsity}.{name}");
                let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(flat(&tensor), flat(&expected[&key]), "{key}");
            }
        }
    }
}

/// Independent random signs and a shared initialisation, as derived in closed form.
#[test]
fn statistics_are_those_of_theory() {
    let n = 200_000;
    let normal = |item: &str| -> Vec<f32> {
        let mut stream = Stream::new(7, "signs", item);
        (0..n).map(|_| stream.normal() as f32).collect()
    };
    let rows: Vec<Vec<f32>> = (0..5).map(|i| normal(&i.to_string())).collect();
    for (l, mixture, minority) in [(2, 0.5, 0.25), (3, 0.75, 0.25), (5, 0.9375, 0.3125)] {
        let d = difference(&rows[..l], Denominator::All);
        assert!(
            (d.mixture() - mixture).abs() < 0.005,
            "{l}: {}",
            d.mixture()
        );
        assert!(
            (d.expected() - mixture).abs() < 0.005,
            "{l}: {}",
            d.expected()
        );
        assert!((d.mean_pairwise() - 0.5).abs() < 0.005);
        assert!(
            (d.minority() - minority).abs() < 0.005,
            "{l}: {}",
            d.minority()
        );
    }
    let init = normal("init");
    for (r, rate) in [(0.1f32, 0.0449), (0.5, 0.2048), (1.0, 1.0 / 3.0)] {
        let drifted =
            |by: &[f32]| -> Vec<f32> { init.iter().zip(by).map(|(w, d)| w + r * d).collect() };
        let d = difference(&[drifted(&rows[0]), drifted(&rows[1])], Denominator::All);
        assert!(
            (d.rate().unwrap() - rate).abs() < 0.005,
            "{r}: {:?}",
            d.rate()
        );
    }
    // Pruning both to sparsity s leaves .5 (1 - s)^2 of all entries in conflict.
    let pruned = |row: &[f32], item: &str| -> Vec<f32> {
        let mut stream = Stream::new(8, "prune", item);
        row.iter()
            .map(|w| if stream.uniform() < 0.6 { 0.0 } else { *w })
            .collect()
    };
    let both = [pruned(&rows[0], "a"), pruned(&rows[1], "b")];
    let d = difference(&both, Denominator::All);
    assert!((d.rate().unwrap() - 0.5 * 0.16).abs() < 0.004);
    assert!((d.mixture_both_nonzero() - 0.5).abs() < 0.01);
}

proptest! {
    #[test]
    fn planes_equal_brute_force(
        rows in prop::collection::vec(
            prop::collection::vec(
                prop_oneof![Just(0.0f32), Just(-0.0), Just(1e-42), Just(-1e-42), -1.0f32..1.0],
                200,
            ),
            2..6,
        ),
        n in 1usize..200,
    ) {
        let rows: Vec<Vec<f32>> = rows.into_iter().map(|r| r[..n].to_vec()).collect();
        let d = difference(&rows, Denominator::All);
        let l = rows.len();
        let count = |i: usize, test: fn(f32) -> bool| rows.iter().filter(|r| test(r[i])).count();
        let (mut conflicts, mut minority) = (0, 0);
        for i in 0..n {
            let (p, q) = (count(i, |v| v > 0.0), count(i, |v| v < 0.0));
            conflicts += usize::from(p > 0 && q > 0);
            minority += p.min(q);
        }
        prop_assert_eq!(d.conflicts(), conflicts as u64);
        prop_assert!((d.minority() - minority as f64 / (l * n) as f64).abs() < 1e-12);
        for (row, (i, j)) in d.pairs().iter().zip((0..l).flat_map(|i| (i + 1..l).map(move |j| (i, j)))) {
            let pair = (0..n).filter(|k| rows[i][*k] as f64 * rows[j][*k] as f64 * 1e30 < 0.0).count();
            prop_assert_eq!(row.counts.conflicts, pair as u64);
            let union = (0..n).filter(|k| rows[i][*k] != 0.0 || rows[j][*k] != 0.0).count();
            prop_assert_eq!(row.counts.union_nonzero, union as u64);
        }
    }
}
