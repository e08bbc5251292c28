//! Against another program's results, and against what theory says of random signs.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::Deserialize;

use super::*;
use crate::adapter::Name;
use crate::compute::random::Stream;
use crate::{Context, Result};

/// The sign difference of two or more named tensors of one shape.
fn sign_diff_tensors(members: &[(&str, &Tensor)], denominator: Denominator) -> Result<SignDiff> {
    let name = Name::new("tensor");
    let planes: Vec<SignPlanes> = members
        .iter()
        .map(|(member, tensor)| {
            let planes = Planes::of(&name, tensor).map_err(|error| error.within(member))?;
            Ok(SignPlanes::from_iter([(name.clone(), planes)]))
        })
        .collect::<Result<_>>()?;
    let named: Vec<(&str, &SignPlanes)> = members
        .iter()
        .zip(&planes)
        .map(|((member, _), planes)| (*member, planes))
        .collect();
    sign_diff(&named, denominator, &Context::silent())
}

#[derive(Deserialize)]
struct Case {
    pairs: HashMap<String, Pair>,
    mixtures: HashMap<String, Mixture>,
}

#[derive(Deserialize)]
struct Pair {
    all: f64,
    both_nonzero: f64,
    conflict: u64,
    tristate: f64,
    union: f64,
}

#[derive(Deserialize)]
struct Mixture {
    mean_pairwise: f64,
    minority: f64,
    non_unanimous: f64,
}

fn close(ours: f64, theirs: f64, what: &str) {
    assert!(
        (ours - theirs).abs() <= 1e-12,
        "{what}: {ours} is not {theirs}"
    );
}

#[test]
fn conforms_to_brute_force() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/conformance/sign");
    let folder = Path::new(folder);
    if !folder.exists() {
        eprintln!("skipped: no {}", folder.display());
        return;
    }
    let case = std::fs::read_to_string(folder.join("case.json")).unwrap();
    let case: Case = serde_json::from_str(&case).unwrap();
    let file = folder.join("weights.safetensors");
    let rows = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    let rows = &rows["w"];
    let members: Vec<Tensor> = (0..rows.dim(0).unwrap())
        .map(|i| rows.get(i).unwrap())
        .collect();
    let planes: Vec<SignPlanes> = members
        .iter()
        .map(|w| SignPlanes::from_iter([(Name::new("w"), Planes::of(&Name::new("w"), w).unwrap())]))
        .collect();
    let named: Vec<(&str, &SignPlanes)> = planes.iter().map(|p| ("m", p)).collect();
    let index = MixtureIndex::new(&named).unwrap();
    let subset = |key: &str| -> Vec<usize> { key.split(',').map(|i| i.parse().unwrap()).collect() };
    let diff = |subset: &[usize]| {
        let chosen: Vec<(&str, &Tensor)> = subset.iter().map(|i| ("m", &members[*i])).collect();
        sign_diff_tensors(&chosen, Denominator::All).unwrap()
    };
    assert_eq!((case.pairs.len(), case.mixtures.len()), (15, 57));
    for (key, pair) in &case.pairs {
        let diff = diff(&subset(key));
        assert_eq!(diff.conflicts(), pair.conflict, "{key}");
        close(diff.rate(), pair.all, key);
        close(diff.both_nonzero(), pair.both_nonzero, key);
        close(diff.union_nonzero(), pair.union, key);
        close(diff.tristate(), pair.tristate, key);
    }
    for (key, mixture) in &case.mixtures {
        let members = subset(key);
        let diff = diff(&members);
        close(diff.mixture(), mixture.non_unanimous, key);
        close(diff.mean_pairwise(), mixture.mean_pairwise, key);
        close(diff.minority(), mixture.minority, key);
        assert_eq!(index.non_unanimous(&members).unwrap(), diff.mixture());
        assert_eq!(index.counts(&members).unwrap(), diff.counts());
    }
}

/// Enough entries for a standard error below 0.0008.
const ENTRIES: usize = 400_000;

fn normals(item: &str) -> Vec<f64> {
    let mut stream = Stream::new(7, "sign test", item);
    (0..ENTRIES).map(|_| stream.normal()).collect()
}

fn diff_of(members: &[Vec<f64>]) -> SignDiff {
    let tensors: Vec<Tensor> = members
        .iter()
        .map(|m| {
            let values: Vec<f32> = m.iter().map(|v| *v as f32).collect();
            Tensor::from_vec(values, ENTRIES, &Device::Cpu).unwrap()
        })
        .collect();
    let named: Vec<(&str, &Tensor)> = tensors.iter().map(|t| ("m", t)).collect();
    sign_diff_tensors(&named, Denominator::All).unwrap()
}

fn near(ours: f64, theory: f64) {
    assert!((ours - theory).abs() < 0.004, "{ours} is not near {theory}");
}

#[test]
fn independent_random_signs_differ_as_theory_says() {
    let members: Vec<Vec<f64>> = (0..13).map(|i| normals(&i.to_string())).collect();
    for (l, minority) in [(2, 0.25), (3, 0.25), (4, 0.3125), (5, 0.3125), (13, 0.387)] {
        let diff = diff_of(&members[..l]);
        near(diff.mixture(), 1.0 - 2f64.powi(1 - l as i32));
        near(diff.mean_pairwise(), 0.5);
        near(diff.minority(), minority);
        near(diff.expected(), diff.mixture());
    }
}

#[test]
fn a_tensor_of_many_blocks_is_counted_whole() {
    let sparse = |item: &str| -> Vec<f64> {
        let values = normals(item).into_iter();
        values
            .map(|w| if w.abs() < 0.5 { 0.0 } else { w })
            .collect()
    };
    let (a, b, dense) = (sparse("a"), sparse("b"), normals("c"));
    let conflicts =
        |x: &[f64], y: &[f64]| x.iter().zip(y).filter(|(x, y)| *x * *y < 0.0).count() as u64;
    let expected = [
        conflicts(&a, &b),
        conflicts(&a, &dense),
        conflicts(&b, &dense),
    ];
    let diff = diff_of(&[a.clone(), b.clone(), dense.clone()]);
    let pairs: Vec<u64> = diff.pairs().iter().map(|row| row.conflicts).collect();
    assert_eq!(pairs, expected);
    assert_eq!(diff_of(&[a, b]).conflicts(), expected[0]);
    // With three members at most one is in the minority.
    assert_eq!(diff.minority(), diff.mixture() / 3.0);
}

#[test]
fn a_shared_initialisation_lowers_the_difference() {
    let init = normals("init");
    for (ratio, rate) in [(0.1, 0.045), (0.5, 0.205), (1.0, 0.333), (2.0, 0.436)] {
        let trained = |name: &str| -> Vec<f64> {
            init.iter()
                .zip(normals(name))
                .map(|(w, d)| w + ratio * d)
                .collect()
        };
        near(diff_of(&[trained("a"), trained("b")]).mixture(), rate);
    }
}

#[test]
fn pruning_lowers_the_difference_over_all_but_not_over_both() {
    for sparsity in [0.5, 0.9] {
        let pruned = |name: &str| -> Vec<f64> {
            let mut keep = Stream::new(7, "sign test keep", name);
            normals(name)
                .into_iter()
                .map(|w| if keep.uniform() < sparsity { 0.0 } else { w })
                .collect()
        };
        let diff = diff_of(&[pruned("a"), pruned("b")]);
        near(diff.mixture(), 0.5 * (1.0 - sparsity) * (1.0 - sparsity));
        // Only 4,000 positions are left at 0.9: five standard errors.
        assert!(
            (diff.both_nonzero() - 0.5).abs() < 0.04,
            "{}",
            diff.both_nonzero()
        );
    }
}

#[test]
fn a_nan_names_its_member() {
    let bad = Tensor::new(&[1f32, f32::NAN], &Device::Cpu).unwrap();
    let error = sign_diff_tensors(&[("a", &bad), ("b", &bad)], Denominator::All).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a: `tensor` is NaN at entry 1: it has no sign"
    );
}
