//! RegMean: per linear map, the weight whose outputs are nearest to each member's own on what flows
//! into it.
//!
//! W^T = (sum_i G_i)^-1 sum_i G_i W_i^T with G_i = X_i^T X_i, its entries off the diagonal times
//! 0.9; other tensors are averaged. LoRA's A and B are two maps. Source: Jin et al. 2022, with the
//! paper's factor. A ridge of 1e-6 times the mean of the diagonal draws to the members' mean
//! what nothing flows into.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use faer::Mat;
use faer::linalg::solvers::Solve;
use serde_json::Value;

use crate::adapter::{Adapter, Gram, Name, with_values};
use crate::{Context, Result, bail};

use super::heads::Heads;
use super::mixture::weighted_sum;
use super::ready::ready;
use super::saved::Saved;

/// What entries off the diagonal are multiplied by.
const SHRINK: f64 = 0.9;

/// The ridge, as a share of the mean of the diagonal.
const RIDGE: f64 = 1e-6;

/// The mixture of `members` by the inputs of each. `details` goes into the recipe.
pub fn regmean(
    members: &[Adapter],
    inputs: &[BTreeMap<Name, Gram>],
    details: &Value,
    heads: Heads,
    context: &Context,
) -> Result<Adapter> {
    if inputs.len() != members.len() {
        bail!("{} members, {} sets of inputs", members.len(), inputs.len());
    }
    ready(
        "regmean",
        members,
        details,
        (heads, Saved::Keep),
        context,
        |name, own| {
            let grams: Option<Vec<&Gram>> = inputs.iter().map(|all| all.get(name)).collect();
            let mixed = match grams {
                Some(grams) => regressed(own, &grams)?,
                None => {
                    let all = own
                        .iter()
                        .map(|t| with_values(t, <[f32]>::to_vec))
                        .collect::<Result<Vec<_>>>()?;
                    weighted_sum(&all, &vec![1.0 / own.len() as f64; own.len()])
                }
            };
            Ok(Tensor::from_vec(mixed, own[0].dims(), &Device::Cpu)?)
        },
    )
}

fn regressed(weights: &[Tensor], grams: &[&Gram]) -> Result<Vec<f32>> {
    let (out, width) = weights[0].dims2()?;
    let mut left = Mat::<f64>::zeros(width, width);
    let mut right = Mat::<f64>::zeros(width, out);
    for (weight, gram) in weights.iter().zip(grams) {
        if gram.width != width {
            bail!("inputs of width {} for a map of {width}", gram.width);
        }
        let own = Mat::from_fn(width, width, |i, j| {
            let x = gram.values[i * width + j];
            if i == j { x } else { SHRINK * x }
        });
        let transposed = with_values(weight, |w| {
            Mat::from_fn(width, out, |i, j| f64::from(w[j * width + i]))
        })?;
        right += &own * transposed;
        left += own;
    }
    let mean = (0..width).map(|i| left[(i, i)]).sum::<f64>() / width.max(1) as f64;
    if mean <= 0.0 {
        bail!("nothing flows into this map");
    }
    // What nothing flows into is left to the ridge, which draws to the members' mean.
    let ridge = RIDGE * mean;
    let mut averaged = Mat::<f64>::zeros(width, out);
    for weight in weights {
        with_values(weight, |w| {
            for i in 0..width {
                for j in 0..out {
                    averaged[(i, j)] += f64::from(w[j * width + i]) / weights.len() as f64;
                }
            }
        })?;
    }
    let right = Mat::from_fn(width, out, |i, j| right[(i, j)] + ridge * averaged[(i, j)]);
    for i in 0..width {
        left[(i, i)] += ridge;
    }
    let solved = match left.llt(faer::Side::Lower) {
        Ok(factored) => factored.solve(&right),
        Err(_) => bail!("the inputs' products could not be inverted"),
    };
    let mut values = vec![0f32; out * width];
    for i in 0..width {
        for j in 0..out {
            values[j * width + i] = solved[(i, j)] as f32;
        }
    }
    Ok(values)
}
