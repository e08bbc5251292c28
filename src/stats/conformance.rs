//! Values and p values against SciPy's.

use serde_json::Value;

use super::*;
use crate::Context;

fn close(ours: f64, theirs: f64, what: &str) {
    let tolerance = 1e-9 * theirs.abs().max(1e-300);
    assert!(
        (ours - theirs).abs() <= tolerance,
        "{what}: {ours:e} against {theirs:e}"
    );
}

fn agrees(ours: Correlation, r: f64, p: f64, what: &str) {
    close(ours.r, r, what);
    close(ours.p, p, what);
}

/// The shared case; none where it is not at hand.
fn case() -> Option<Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/conformance/stats/case.json"
    );
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skipped: no conformance cases beside this checkout");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn numbers(case: &Value, key: &str) -> Vec<f64> {
    let values = case[key].as_array().unwrap();
    values.iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn the_shared_case_is_matched() {
    let Some(case) = case() else { return };
    let column = |key: &str| numbers(&case, key);
    let (x, y, z, tied) = (column("x"), column("y"), column("z"), column("x_ties"));
    let check = |ours: Result<Correlation, crate::Error>, key: &str| {
        let expected = column(key);
        agrees(ours.unwrap(), expected[0], expected[1], key);
    };
    check(pearson(&x, &y), "pearson");
    check(spearman(&x, &y), "spearman");
    check(kendall(&x, &y), "kendall");
    check(spearman(&tied, &y), "spearman_ties");
    check(kendall(&tied, &y), "kendall_ties");
    check(
        partial(&x, &y, &[Named::new("z", &z)]),
        "partial_pearson_given_z",
    );

    let line = linregress(&x, &y).unwrap();
    let ours = [line.slope, line.intercept, line.r, line.p, line.stderr];
    for (ours, theirs) in ours.into_iter().zip(column("linregress")) {
        close(ours, theirs, "linregress");
    }

    let (a, b) = (column("a"), column("b"));
    for (test, key) in [
        (PairedTest::T, "paired_t"),
        (PairedTest::Wilcoxon, "wilcoxon"),
    ] {
        let ours = paired(&a, &b, test).unwrap();
        close(ours.statistic, column(key)[0], key);
        close(ours.p, column(key)[1], key);
    }
}

/// x, y and two controls: x = sin i, y = x / 2 + z1 + 0.3 sin i².
fn waves() -> [Vec<f64>; 4] {
    let of = |f: fn(f64) -> f64| (0..20).map(|i| f(f64::from(i))).collect::<Vec<f64>>();
    [
        of(f64::sin),
        of(|i| 0.5 * i.sin() + (2.0 * i).cos() + 0.3 * (i * i).sin()),
        of(|i| (2.0 * i).cos()),
        of(|i| i % 5.0),
    ]
}

#[test]
fn partial_correlations_are_those_of_residuals() {
    let [x, y, z1, z2] = waves();
    let (z1, z2) = (Named::new("z1", &z1), Named::new("z2", &z2));
    let two = partial(&x, &y, &[z1, z2]).unwrap();
    agrees(
        two,
        0.8981699908069689,
        4.205398080813508e-7,
        "two controls",
    );
    assert_eq!((two.n, two.df), (20, Some(16)));

    let groups: Vec<usize> = (0..20).map(|i| i % 3).collect();
    let mut problem = Correlate::new(Named::new("x", &x), Named::new("y", &y), Method::Pearson);
    problem.within = Some(&groups);
    let within = problem.run().unwrap();
    agrees(within, 0.6968652940614655, 0.001310308640821598, "within");
    problem.given = vec![z1];
    let both = problem.run().unwrap();
    agrees(
        both,
        0.9048183783194093,
        6.062420182816048e-7,
        "within, given",
    );
    assert_eq!(both.df, Some(15));

    problem.method = Method::Spearman;
    problem.within = None;
    let ranked = problem.run().unwrap();
    agrees(
        ranked,
        0.7707443924221947,
        0.0001124450331281848,
        "spearman given",
    );
}

#[test]
fn small_samples_with_and_without_ties() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let y = [2.0, 1.0, 4.0, 3.0, 6.0, 8.0, 5.0, 7.0];
    let tied = [2.0, 2.0, 4.0, 3.0, 6.0, 6.0, 6.0, 7.0];
    agrees(
        kendall(&x, &y).unwrap(),
        0.6428571428571428,
        0.03115079365079365,
        "exact",
    );
    agrees(
        kendall(&x, &tied).unwrap(),
        0.8486684247915055,
        0.004734864859576419,
        "tied",
    );

    let a = [
        1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0,
    ];
    let b = [
        1.0, 2.0, 3.5, 3.0, 6.0, 4.0, 7.0, 7.5, 8.0, 12.0, 10.0, 11.0, 12.0, 12.0,
    ];
    let limit = wilcoxon(&a, &b).unwrap();
    assert_eq!(limit.statistic, 19.5);
    close(limit.p, 0.11979128024232757, "wilcoxon, tied");
    let exact = wilcoxon(&a[..9], &b[..9]).unwrap();
    assert_eq!((exact.statistic, exact.p), (7.0, 0.328125));
    let t = paired_t(&a, &b).unwrap();
    close(t.p, 0.13831331002309877, "t");
    close(t.lo, -0.17087863581779306, "lo");
    close(t.hi, 1.0994500643892215, "hi");

    let d: Vec<f64> = (0..60).map(|i| (f64::from(i) * 1.7).sin() + 0.2).collect();
    let zero = vec![0.0; 60];
    close(
        wilcoxon(&d, &zero).unwrap().p,
        0.03590012321587811,
        "wilcoxon, 60",
    );
    close(
        wilcoxon(&d[..50], &zero[..50]).unwrap().p,
        0.03453081197041463,
        "wilcoxon, 50",
    );
}

#[test]
fn what_has_no_answer_is_refused_by_name() {
    let x = [1.0, 2.0, 3.0, 4.0];
    let y = [2.0, 1.0, 4.0, 3.0];
    let line = |result: crate::Result<Correlation>| result.unwrap_err().to_string();
    for method in [pearson, spearman, kendall] {
        assert_eq!(
            line(method(&x, &[5.0; 4])),
            "`y` is constant: it varies with nothing"
        );
        assert!(method(&x, &y[..3]).is_err());
        assert!(method(&x[..2], &y[..2]).is_err());
        assert!(method(&x, &[1.0, f64::NAN, 2.0, 3.0]).is_err());
    }
    let double: Vec<f64> = x.iter().map(|v| 2.0 * v + 1.0).collect();
    let text = line(partial(&x, &y, &[Named::new("double", &double)]));
    assert_eq!(text, "`x` follows wholly from the controls");
    let wide = [1.0, 5.0, 2.0, 2.0];
    let (first, again) = (Named::new("wide", &wide), Named::new("again", &wide));
    assert!(line(partial(&x, &y, &[first, again])).contains("too few"));
    assert!(paired_t(&x, &double[..3]).is_err());
    assert!(paired_t(&x, &[0.0, 1.0, 2.0, 3.0]).is_err());
    assert_eq!(wilcoxon(&x, &x).unwrap().p, 1.0);
    assert!(linregress(&[1.0; 4], &y).is_err());
}

#[test]
fn the_interval_holds_the_coefficient_and_follows_the_seed() {
    let [x, y, z, _] = waves();
    let mut problem = Correlate::new(Named::new("x", &x), Named::new("y", &y), Method::Pearson);
    problem.given = vec![Named::new("z", &z)];
    let context = Context::silent();
    let draw = |seed| {
        problem
            .run_with_interval(500, None, seed, &context)
            .unwrap()
    };
    let first = draw(1);
    let (lo, hi) = (first.lo.unwrap(), first.hi.unwrap());
    assert!(lo < first.r && first.r < hi && hi - lo < 0.5, "{first:?}");
    assert_eq!(first, draw(1));
    assert_ne!(first, draw(2));

    problem.given.clear();
    problem.method = Method::Kendall;
    let clusters: Vec<usize> = (0..20).map(|i| i / 4).collect();
    let tau = problem
        .run_with_interval(200, Some(&clusters), 1, &context)
        .unwrap();
    assert!(tau.lo.unwrap() <= tau.r && tau.r <= tau.hi.unwrap());
}

#[test]
fn a_correlation_reads_in_one_line() {
    let x = [1.0, 2.0, 3.0, 4.0];
    let mut shown = pearson(&x, &[1.0, 3.0, 2.0, 4.0]).unwrap();
    assert_eq!(shown.to_string(), "pearson r = 0.8000, p = 0.2000, n = 4");
    shown.p = 1.23456e-5;
    (shown.lo, shown.hi) = (Some(0.5), Some(0.9));
    assert_eq!(
        shown.to_string(),
        "pearson r = 0.8000 (95 % interval 0.5000 to 0.9000), p = 1.235e-5, n = 4"
    );
    let names = ["pearson", "spearman", "kendall"];
    for name in names {
        assert_eq!(name.parse::<Method>().unwrap().name(), name);
    }
    for name in ["wilcoxon", "t"] {
        assert_eq!(name.parse::<PairedTest>().unwrap().name(), name);
    }
}
