//! Fisher-weighted mean: per weight, members count by how much their own task depends on it.
//!
//! sum_i w_i F_i T_i / sum_i w_i F_i with F_i the diagonal of the Fisher information of member i on
//! its data, here the empirical one (squared gradients at the gold labels, a row at a time). Where
//! no member's is above the floor of 1e-6 times their largest, the plain weighted mean. LoRAs are
//! mixed factor by factor. Source: Matena & Raffel 2021.

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::adapter::{Adapter, Tensors, with_values};
use crate::{Context, Result, bail};

use super::heads::Heads;
use super::ready::ready;
use super::saved::Saved;

/// Added to every entry of the information, as a share of the largest: what nothing depends on is
/// averaged.
const FLOOR: f64 = 1e-6;

/// The mean of `members` weighted by `information`, of each by tensor. `details` goes into the
/// recipe.
pub fn fisher(
    members: &[Adapter],
    weights: &[f64],
    information: &[Tensors],
    details: &Value,
    heads: Heads,
    context: &Context,
) -> Result<Adapter> {
    if information.len() != members.len() || weights.len() != members.len() {
        bail!("{} members, {} weights", members.len(), weights.len());
    }
    let mut largest = 0f64;
    for tensor in information.iter().flat_map(|i| i.values()) {
        let own = with_values(tensor, |v| v.iter().fold(0f32, |a, b| a.max(*b)))?;
        largest = largest.max(f64::from(own));
    }
    let floor = FLOOR * if largest > 0.0 { largest } else { 1.0 };
    ready(
        "fisher",
        members,
        details,
        (heads, Saved::Keep),
        context,
        |name, own| {
            let n = own[0].elem_count();
            let (mut above, mut below) = (vec![0f64; n], vec![0f64; n]);
            for ((tensor, information), weight) in own.iter().zip(information).zip(weights) {
                let Some(information) = information.get(name) else {
                    bail!("no information on this tensor");
                };
                with_values(tensor, |values| {
                    with_values(information, |information| {
                        for (j, (x, f)) in values.iter().zip(information).enumerate() {
                            let share = weight * (f64::from(*f) + floor);
                            above[j] += share * f64::from(*x);
                            below[j] += share;
                        }
                    })
                })??;
            }
            let mixed: Vec<f32> = above
                .iter()
                .zip(&below)
                .map(|(a, b)| (a / b) as f32)
                .collect();
            Ok(Tensor::from_vec(mixed, own[0].dims(), &Device::Cpu)?)
        },
    )
}
