//! SCE: select the entries that vary most among the members, weigh members by their mean square,
//! erase what goes against the elected sign.
//!
//! Source: Wan et al. 2024; mergekit 0.1.5, where density is called `select_topk` and members whose
//! mean squares add up to less than 1e-6 all weigh the same.

use std::sync::Arc;

use crate::Result;

use super::method::{Entrywise, Group, On, PLAIN, Spec, Work};
use super::sparsify::keep_largest;
use super::ties::DENSITY;

/// The method.
pub const SPEC: Spec = Spec {
    name: "sce",
    doc: "where members vary most: the mean of those with the elected sign, weighed by their mean squares",
    on: On::Changes,
    numbers: &[DENSITY],
    weighted: false,
    advice: "density: 0.1 selects the tenth of the entries that varies most; density: 1 selects all",
    make: |_| Ok(Work::Entrywise(Arc::new(Sce))),
    ..PLAIN
};

#[derive(Debug)]
struct Sce;

impl Entrywise for Sce {
    fn mix(&self, mut group: Group<'_>) -> Result<Vec<f32>> {
        let density = group.at.number("density")?;
        let n = group.members.len() as f64;
        // One member varies nowhere, and so would lose all: it stays what it is.
        if density < 1.0 && group.members.len() > 1 {
            let mut variance = variance(&group.members, n);
            let varying = variance.iter().filter(|v| **v != 0.0).count();
            keep_largest(&mut variance, (density * varying as f64) as usize);
            for change in &mut group.members {
                for (x, v) in change.iter_mut().zip(&variance) {
                    *x = if *v == 0.0 { 0.0 } else { *x };
                }
            }
        }
        let squares = group.members.iter().map(|change| {
            let sum: f64 = change.iter().map(|x| f64::from(*x).powi(2)).sum();
            sum / change.len().max(1) as f64
        });
        let squares: Vec<f64> = squares.collect();
        let total: f64 = squares.iter().sum();
        let weights: Vec<f64> = match total > 0.0 {
            true => squares.iter().map(|s| s / total).collect(),
            false => vec![1.0 / n; squares.len()],
        };
        let mut mixed = vec![0f32; group.members.first().map_or(0, Vec::len)];
        for (j, out) in mixed.iter_mut().enumerate() {
            let at = || group.members.iter().map(|c| f64::from(c[j]));
            let positive = at().sum::<f64>() >= 0.0;
            let (mut sum, mut weight) = (0.0, 0.0);
            for (x, w) in at().zip(&weights) {
                if x != 0.0 && (x > 0.0) == positive {
                    sum += w * x;
                    weight += w;
                }
            }
            *out = if weight > 0.0 {
                (sum / weight) as f32
            } else {
                0.0
            };
        }
        Ok(mixed)
    }
}

fn variance(members: &[Vec<f32>], n: f64) -> Vec<f32> {
    let mut all = vec![0f32; members.first().map_or(0, Vec::len)];
    for (j, out) in all.iter_mut().enumerate() {
        let at = || members.iter().map(|c| f64::from(c[j]));
        let mean = at().sum::<f64>() / n;
        *out = (at().map(|x| (x - mean).powi(2)).sum::<f64>() / n) as f32;
    }
    all
}
