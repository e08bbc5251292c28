//! SynFlow: |w dR/dw| (Tanaka et al., arXiv 2006.05467), without data.

use candle_core::{Device, Tensor};

use super::{Criterion, Need, Target};
use crate::adapter::{Name, Tensors, with_values};
use crate::{Result, bail};

/// Keeps the entries that most of the flow through the adapter's own maps passes, in 100 rounds on
/// an exponential schedule, each scored with what the rounds before left: the score is |w dR/dw|.
#[derive(Debug, Clone, Copy)]
pub struct SynFlow;

impl Criterion for SynFlow {
    fn name(&self) -> &'static str {
        "synflow"
    }

    fn needs(&self) -> Need {
        Need::Flow
    }

    fn rounds(&self) -> usize {
        100
    }

    fn scores(&self, target: &Target<'_>) -> Vec<f32> {
        let entries = target.weights.iter().zip(target.evidence);
        entries.map(|(w, g)| (w * g).abs()).collect()
    }
}

/// dR/d|w| of every matrix of an adapter. R is the sum over all outputs of the adapter's own maps,
/// their weights replaced by the absolute values, with ones as the input of each pair of maps:
/// the sum of |up| (|down| 1 + |bias|) over the bottlenecks, that of |B| |A| 1 over the LoRAs.
///
/// The frozen model between the sites is left out: its layer norms map a constant to zero, and
/// would set the scale of what flows into the next site anew in any case. Activations are the
/// identity, which they are for what is positive where they are ReLU, and which the method's laws
/// of conservation need. An error for adapters without such pairs.
pub fn flow(tensors: &Tensors) -> Result<Tensors> {
    let mut found = Tensors::new();
    for (first, a) in tensors {
        let Some(pair) = Pair::of(first, tensors) else {
            continue;
        };
        let (rank, width) = a.dims2()?;
        let (outputs, inner) = pair.second.dims2()?;
        if inner == 0 || rank % inner != 0 || outputs % (rank / inner) != 0 {
            bail!(
                "`{first}` is {:?} and `{}` {:?}: no pair of maps",
                a.dims(),
                pair.name,
                pair.second.dims()
            );
        }
        let groups = rank / inner;
        let rows = outputs / groups;
        let a = absolute(a)?;
        let b = absolute(pair.second)?;
        let bias = match pair.bias {
            Some(bias) => absolute(bias)?,
            None => vec![0.0; rank],
        };
        // What enters B's column k of a group, and what one unit of it comes to at the outputs.
        let inflow: Vec<f64> = (0..rank)
            .map(|k| a[k * width..(k + 1) * width].iter().sum::<f64>() + bias[k])
            .collect();
        let outflow: Vec<f64> = (0..rank)
            .map(|k| {
                let (group, k) = (k / inner, k % inner);
                (group * rows..(group + 1) * rows)
                    .map(|o| b[o * inner + k])
                    .sum()
            })
            .collect();
        let of_a = (0..rank * width)
            .map(|i| outflow[i / width] as f32)
            .collect();
        let of_b = (0..outputs * inner)
            .map(|i| inflow[i / inner / rows * inner + i % inner] as f32)
            .collect();
        let tensor =
            |values: Vec<f32>, shape: (usize, usize)| Tensor::from_vec(values, shape, &Device::Cpu);
        found.insert(first.clone(), tensor(of_a, (rank, width))?);
        found.insert(pair.name.clone(), tensor(of_b, (outputs, inner))?);
        if let Some((name, _)) = tensors.get_key_value(&pair.bias_name) {
            let of_bias = outflow.iter().map(|x| *x as f32).collect::<Vec<_>>();
            found.insert(name.clone(), Tensor::from_vec(of_bias, rank, &Device::Cpu)?);
        }
    }
    if found.is_empty() {
        bail!("synflow needs pairs of matrices, as bottlenecks and LoRAs have them"; hint: "prune by magnitude");
    }
    Ok(found)
}

fn absolute(tensor: &Tensor) -> Result<Vec<f64>> {
    with_values(tensor, |values| {
        values.iter().map(|v| f64::from(v.abs())).collect()
    })
}

/// What belongs to the first matrix of a bottleneck or a LoRA.
pub(super) struct Pair<'a> {
    /// The second matrix's name.
    pub name: &'a Name,
    /// It.
    pub second: &'a Tensor,
    /// The name that a bias between the two would have.
    pub bias_name: Name,
    /// It, where there is one.
    pub bias: Option<&'a Tensor>,
}

impl<'a> Pair<'a> {
    /// None where this is no first matrix.
    pub fn of(first: &Name, tensors: &'a Tensors) -> Option<Self> {
        let (second, bias_name) = match first.as_str().strip_suffix("adapter_down.weight") {
            Some(stem) => (
                Name::new(format!("{stem}adapter_up.weight")),
                Name::new(format!("{stem}adapter_down.bias")),
            ),
            None => {
                let factor = first.factor().filter(|f| f.is_a)?;
                // No LoRA has a bias between its factors.
                let bias = Name::new(format!("{}.adapter_down.bias", factor.stem));
                (factor.names.b(factor.stem), bias)
            }
        };
        let (name, second) = tensors.get_key_value(&second)?;
        Some(Self {
            name,
            second,
            bias: tensors.get(&bias_name),
            bias_name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;
    use crate::adapter::Selection;
    use crate::prune::{Amount, Inputs, Mask, Plan, Scope, prune, scores};

    fn tensors(all: &[(&str, &[usize], &[f32])]) -> Tensors {
        let one = |(name, dims, values): &(&str, &[usize], &[f32])| {
            let tensor = Tensor::from_slice(values, *dims, &Device::Cpu).unwrap();
            (Name::new(name), tensor)
        };
        all.iter().map(one).collect()
    }

    fn bottleneck() -> Tensors {
        tensors(&[
            (
                "x.adapter_down.weight",
                &[2, 3],
                &[1.0, -2.0, 3.0, 0.5, 0.0, -0.25],
            ),
            ("x.adapter_down.bias", &[2], &[-1.0, 0.0]),
            (
                "x.adapter_up.weight",
                &[3, 2],
                &[2.0, -1.0, 0.0, 4.0, -3.0, 1.0],
            ),
            ("x.adapter_up.bias", &[3], &[9.0, 9.0, 9.0]),
        ])
    }

    fn values(tensors: &Tensors, name: &str) -> Vec<f32> {
        with_values(&tensors[&Name::new(name)], <[f32]>::to_vec).unwrap()
    }

    /// R of a set of tensors, by its definition.
    fn total(tensors: &Tensors) -> f64 {
        let all = |name: &str| -> Vec<f64> {
            let found = values(tensors, name);
            found.iter().map(|v| f64::from(v.abs())).collect()
        };
        let (down, bias) = (all("x.adapter_down.weight"), all("x.adapter_down.bias"));
        let up = all("x.adapter_up.weight");
        let inner: Vec<f64> = (0..2)
            .map(|k| down[3 * k..3 * k + 3].iter().sum::<f64>() + bias[k])
            .collect();
        (0..6).map(|i| up[i] * inner[i % 2]).sum()
    }

    #[test]
    fn the_flow_is_the_derivative_of_the_sum_of_all_outputs() {
        let found = flow(&bottleneck()).unwrap();
        assert_eq!(found.len(), 3);
        for (name, gradient) in &found {
            let gradient = with_values(gradient, <[f32]>::to_vec).unwrap();
            for (i, g) in gradient.iter().enumerate() {
                let moved = |by: f32| {
                    let mut all = bottleneck();
                    let mut own = values(&all, name.as_str());
                    own[i] = own[i].abs() + by;
                    let shape = all[name].dims().to_vec();
                    all.insert(
                        name.clone(),
                        Tensor::from_vec(own, shape, &Device::Cpu).unwrap(),
                    );
                    total(&all)
                };
                // R is linear in each weight, and these numbers are exact in f32.
                assert_eq!(moved(1.0) - moved(0.0), f64::from(*g), "{name} {i}");
            }
        }
    }

    #[test]
    fn what_flows_into_a_unit_flows_out_of_it() {
        let found = scores(&bottleneck(), &SynFlow, &Inputs::default(), &Selection::All);
        // The bias of the second map is behind all flow.
        assert!(found.unwrap_err().to_string().contains("x.adapter_up.bias"));
        let include = Selection::Pattern("*down*".into());
        let found = scores(&bottleneck(), &SynFlow, &Inputs::default(), &include).unwrap();
        let down = values(&found, "x.adapter_down.weight");
        let bias = values(&found, "x.adapter_down.bias");
        let include = Selection::Pattern("*up.weight".into());
        let found = scores(&bottleneck(), &SynFlow, &Inputs::default(), &include).unwrap();
        let up = values(&found, "x.adapter_up.weight");
        for k in 0..2 {
            let inflow = down[3 * k..3 * k + 3].iter().sum::<f32>() + bias[k];
            assert_eq!(inflow, up[k] + up[2 + k] + up[4 + k]);
        }
    }

    #[test]
    fn groups_of_ranks_have_outputs_of_their_own() {
        // Two groups of rank 1: A's rows lie on top of each other, B's rows are one group's each.
        let lora = tensors(&[
            ("x.lora_A", &[2, 2], &[1.0, 2.0, 10.0, 20.0]),
            ("x.lora_B", &[4, 1], &[1.0, -1.0, 5.0, 7.0]),
        ]);
        let found = flow(&lora).unwrap();
        assert_eq!(values(&found, "x.lora_A"), [2.0, 2.0, 12.0, 12.0]);
        assert_eq!(values(&found, "x.lora_B"), [3.0, 3.0, 30.0, 30.0]);
    }

    #[test]
    fn no_layer_collapses_before_the_last_weight_has_to_go() {
        // A wide map of small weights beside a narrow one of large weights: by one round of any
        // score the wide one would go whole.
        let wide: Vec<f32> = (0..400).map(|i| 0.001 + 1e-6 * i as f32).collect();
        let narrow = [100.0, 101.0, 102.0, 103.0];
        let all = tensors(&[
            ("x.adapter_down.weight", &[4, 100], &wide),
            ("x.adapter_up.weight", &[1, 4], &narrow),
        ]);
        let plan = Plan {
            amount: Amount::Count(400),
            scope: Scope::Global,
            ..Plan::of(0.0)
        };
        let mask = prune(
            &all,
            &SynFlow,
            &Inputs::default(),
            &plan,
            &Context::silent(),
        )
        .unwrap();
        let left = mask.apply(&all).unwrap();
        for name in ["x.adapter_down.weight", "x.adapter_up.weight"] {
            assert!(values(&left, name).iter().any(|v| *v != 0.0), "{name}");
        }
    }

    /// One of two units was pruned before what is pruned now: what flows through the other is all
    /// that counts in every round.
    #[test]
    fn what_was_pruned_before_stays_so_in_every_round() {
        let all = bottleneck();
        let mut kept = all.clone();
        for (name, pruned) in [("x.adapter_down.bias", 1), ("x.adapter_down.weight", 3)] {
            let name = Name::new(name);
            let shape = all[&name].dims().to_vec();
            let mut own = values(&all, name.as_str());
            own[..pruned].fill(0.0);
            kept.insert(name, Tensor::from_vec(own, shape, &Device::Cpu).unwrap());
        }
        let before = Mask::of(&kept, &Selection::Pattern("*down*".into())).unwrap();
        let plan = Plan {
            before: Some(&before),
            scope: Scope::Global,
            include: Selection::Pattern("*up.weight".into()),
            ..Plan::of(0.5)
        };
        let found = prune(
            &all,
            &SynFlow,
            &Inputs::default(),
            &plan,
            &Context::silent(),
        )
        .unwrap();
        let left = before.apply(&all).unwrap();
        let plan = Plan {
            before: None,
            ..plan
        };
        let alone = prune(
            &left,
            &SynFlow,
            &Inputs::default(),
            &plan,
            &Context::silent(),
        );
        assert_eq!(found, alone.unwrap());
        let own = found.apply(&all).unwrap();
        assert_eq!(
            values(&own, "x.adapter_up.weight"),
            [0.0, -1.0, 0.0, 4.0, 0.0, 1.0]
        );
    }
}
