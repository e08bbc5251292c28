//! Structured pruning: whole units of bottlenecks, whole ranks of LoRAs.
//!
//! A unit of a bottleneck is a row of the down-projection, its bias, and a column of the
//! up-projection; a rank of a LoRA is a row of A (one in each group, where a map computes several
//! sites) and a column of B. A pruned unit is zero in all its parts, so that its activation is zero
//! whatever the input and nothing leaves it. The tensors keep their shapes: AdapterHub's
//! configurations know one width a layer, and masks, soups and the sparse layout need them alike.

use candle_core::Tensor;

use super::amount::{Amount, Quota, ends};
use super::bits::Bits;
use super::cut::{Cut, ranks};
use super::mask::Mask;
use super::synflow::Pair;
use super::{Criterion, Plan};
use crate::adapter::{Name, Tensors, with_values};
use crate::{Result, bail};

/// The units of one bottleneck or LoRA.
struct Units<'a> {
    first: &'a Name,
    a: &'a Tensor,
    second: &'a Name,
    b: &'a Tensor,
    /// The bias between the two.
    bias: Option<(Name, &'a Tensor)>,
    count: usize,
}

impl Units<'_> {
    /// The number of units that an Erdos-Renyi graph keeps of these is proportional to: their count,
    /// by the density of both matrices together.
    fn ends(&self) -> f64 {
        let ends = ends(self.a.dims()) + ends(self.b.dims());
        let entries = self.a.elem_count() + self.b.elem_count();
        self.count as f64 * ends / entries.max(1) as f64
    }

    /// The unit that an entry of the first matrix belongs to.
    fn of_first(&self, entry: usize) -> usize {
        let width = self.a.dims().get(1).copied().unwrap_or(1).max(1);
        entry / width % self.count.max(1)
    }

    /// The unit that an entry of the second matrix belongs to.
    fn of_second(&self, entry: usize) -> usize {
        entry % self.count.max(1)
    }
}

fn all(tensors: &Tensors) -> Result<Vec<Units<'_>>> {
    let mut found = Vec::new();
    for (first, a) in tensors {
        let Some(pair) = Pair::of(first, tensors) else {
            continue;
        };
        let (rows, count) = (a.dims2()?.0, pair.second.dims2()?.1);
        if count == 0 || rows % count != 0 {
            bail!(
                "`{first}` is {:?} and `{}` {:?}: no pair of maps",
                a.dims(),
                pair.name,
                pair.second.dims()
            );
        }
        let Pair {
            name,
            second,
            bias_name,
            bias,
        } = pair;
        found.push(Units {
            first,
            a,
            second: name,
            b: second,
            bias: bias.map(|bias| (bias_name, bias)),
            count,
        });
    }
    if found.is_empty() {
        bail!("there are no bottleneck units or LoRA ranks to prune"; hint: "prune single entries");
    }
    Ok(found)
}

/// How many units there are.
pub(super) fn total(tensors: &Tensors) -> Result<usize> {
    Ok(all(tensors)?.iter().map(|u| u.count).sum())
}

/// The mask that prunes the lowest units. A unit's score is the sum of its entries' shares in
/// `scores`, which must name both matrices of each; `tensors` tells what else a unit has.
pub(super) fn cut_units(
    tensors: &Tensors,
    scores: &Tensors,
    criterion: &dyn Criterion,
    plan: &Plan<'_>,
) -> Result<Mask> {
    let Plan {
        amount,
        scope,
        before,
        ..
    } = *plan;
    let units: Vec<Units<'_>> = all(tensors)?
        .into_iter()
        .filter(|u| scores.contains_key(u.first) && scores.contains_key(u.second))
        .collect();
    if units.is_empty() {
        bail!("a unit has parts in both matrices, and the chosen tensors hold no pair of them"; hint: "leave `tensors` out, or choose both");
    }
    let total: usize = units.iter().map(|u| u.count).sum();
    if let Amount::Count(count) = amount
        && count > total as u64
    {
        bail!("{count} of {total} units cannot be pruned");
    }
    let ranked = units
        .iter()
        .map(|unit| {
            let mut sums = vec![0f64; unit.count];
            let mut add = |name: &Name, of: &dyn Fn(usize) -> usize| {
                with_values(&scores[name], |values| {
                    for (i, value) in values.iter().enumerate() {
                        sums[of(i)] += f64::from(criterion.share(*value));
                    }
                })
            };
            add(unit.first, &|i| unit.of_first(i))?;
            add(unit.second, &|i| unit.of_second(i))?;
            let sums: Vec<f32> = sums.iter().map(|s| *s as f32).collect();
            let mut ranked = ranks(unit.first, &sums)?;
            // What is pruned already goes first.
            if let Some(bits) = before.and_then(|m| m.bits().get(unit.first)) {
                let mut alive = vec![false; unit.count];
                for (i, kept) in bits.iter().enumerate() {
                    alive[unit.of_first(i)] |= kept;
                }
                let pruned = ranked.iter_mut().zip(alive).filter(|(_, alive)| !alive);
                pruned.for_each(|(rank, _)| *rank = 0);
            }
            Ok(ranked)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut bits = Vec::new();
    let mut put = |unit: &Units<'_>, ranked: &[u32], cut: &mut Cut| {
        let kept: Vec<bool> = ranked.iter().map(|rank| cut.keeps(*rank)).collect();
        let one = |tensor: &Tensor, of: &dyn Fn(usize) -> usize| {
            let entries: Vec<usize> = (0..tensor.elem_count()).collect();
            Bits::new(tensor.dims(), &entries, |i| kept[of(i)])
        };
        bits.push((unit.first.clone(), one(unit.a, &|i| unit.of_first(i))));
        bits.push((unit.second.clone(), one(unit.b, &|i| unit.of_second(i))));
        if let Some((name, bias)) = &unit.bias {
            bits.push((name.clone(), one(bias, &|i| i)));
        }
    };
    let sizes: Vec<usize> = units.iter().map(|u| u.count).collect();
    let ends: Vec<f64> = units.iter().map(Units::ends).collect();
    match amount.quota_of(scope, &sizes, &ends) {
        Quota::Each(each) => {
            for ((unit, ranked), n) in units.iter().zip(&ranked).zip(each) {
                put(unit, ranked, &mut Cut::new(&mut ranked.clone(), n));
            }
        }
        Quota::All(n) => {
            let mut cut = Cut::new(&mut ranked.concat(), n);
            for (unit, ranked) in units.iter().zip(&ranked) {
                put(unit, ranked, &mut cut);
            }
        }
    }
    Ok(Mask::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;
    use crate::prune::{Conflict, Grain, Inputs, Magnitude, Scope, prune};
    use candle_core::Device;

    fn set(all: &[(&str, &[usize], &[f32])]) -> Tensors {
        let one = |(name, dims, values): &(&str, &[usize], &[f32])| {
            let tensor = Tensor::from_slice(values, *dims, &Device::Cpu).unwrap();
            (Name::new(name), tensor)
        };
        all.iter().map(one).collect()
    }

    fn by_units(
        tensors: &Tensors,
        amount: Amount,
        scope: Scope,
        before: Option<&Mask>,
    ) -> Result<Mask> {
        let plan = Plan {
            amount,
            scope,
            before,
            grain: Grain::Units,
            ..Plan::of(0.0)
        };
        prune(
            tensors,
            &Magnitude,
            &Inputs::default(),
            &plan,
            &Context::silent(),
        )
    }

    fn kept(mask: &Mask, name: &str) -> Vec<u8> {
        mask.bits()[&Name::new(name)].iter().map(u8::from).collect()
    }

    fn two() -> Tensors {
        set(&[
            (
                "a.adapter_down.weight",
                &[3, 2],
                &[1.0, 1.0, 5.0, 5.0, 2.0, 2.0],
            ),
            ("a.adapter_down.bias", &[3], &[0.1, 0.2, 0.3]),
            (
                "a.adapter_up.weight",
                &[2, 3],
                &[1.0, 1.0, 4.0, 1.0, 1.0, 4.0],
            ),
            ("b.adapter_down.weight", &[1, 2], &[0.5, 0.5]),
            ("b.adapter_up.weight", &[2, 1], &[0.5, 0.5]),
        ])
    }

    #[test]
    fn a_unit_goes_with_its_row_its_bias_and_its_column() {
        let mask = by_units(&two(), Amount::Sparsity(0.4), Scope::Layerwise, None).unwrap();
        assert_eq!(kept(&mask, "a.adapter_down.weight"), [0, 0, 1, 1, 1, 1]);
        assert_eq!(kept(&mask, "a.adapter_down.bias"), [0, 1, 1]);
        assert_eq!(kept(&mask, "a.adapter_up.weight"), [0, 1, 1, 0, 1, 1]);
        assert_eq!(kept(&mask, "b.adapter_up.weight"), [1, 1]);
        // Of all units b's one is the least, then a's first.
        let mask = by_units(&two(), Amount::Count(2), Scope::Global, None).unwrap();
        assert_eq!(kept(&mask, "b.adapter_down.weight"), [0, 0]);
        assert_eq!(kept(&mask, "a.adapter_down.bias"), [0, 1, 1]);
        let error = by_units(&two(), Amount::Count(5), Scope::Global, None).unwrap_err();
        assert_eq!(error.to_string(), "5 of 4 units cannot be pruned");
    }

    #[test]
    fn pruned_units_go_first() {
        let first = by_units(&two(), Amount::Count(2), Scope::Global, None).unwrap();
        let scores = by_units(&two(), Amount::Count(3), Scope::Global, Some(&first)).unwrap();
        // Of two equal units the first goes.
        assert_eq!(kept(&scores, "a.adapter_down.bias"), [0, 0, 1]);
        assert_eq!(first.joined(&scores).unwrap(), scores);
    }

    #[test]
    fn a_rank_goes_in_every_group() {
        let lora = set(&[
            ("q.lora_A", &[4, 1], &[1.0, 3.0, 1.0, 0.5]),
            ("q.lora_B", &[2, 2], &[2.0, 0.25, 2.0, 0.25]),
        ]);
        let mask = by_units(&lora, Amount::Count(1), Scope::Layerwise, None).unwrap();
        assert_eq!(kept(&mask, "q.lora_A"), [1, 0, 1, 0]);
        assert_eq!(kept(&mask, "q.lora_B"), [1, 0, 1, 0]);
        let single = set(&[("q.weight", &[2], &[1.0, 2.0])]);
        let error = by_units(&single, Amount::Count(1), Scope::Layerwise, None).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("no bottleneck units or LoRA ranks"),
            "{error}"
        );
    }

    /// Ends 3 + 2 and 2 + 3 over 12 entries for three units are 2.5, 1 + 2 and 2 + 1 over 4 for one
    /// are 1.5: of two units that stay one is of each.
    #[test]
    fn units_at_their_erdos_renyi_density_go_by_the_shapes_of_the_matrices() {
        let mask = by_units(&two(), Amount::Count(2), Scope::ErdosRenyi, None).unwrap();
        assert_eq!(kept(&mask, "a.adapter_down.bias"), [0, 0, 1]);
        assert_eq!(kept(&mask, "b.adapter_down.weight"), [1, 1]);
    }

    /// The first unit's largest weight is in conflict; the second has more conflicts, of next to
    /// nothing.
    #[test]
    fn the_unit_most_in_conflict_goes() {
        let pair = set(&[
            ("q.lora_A", &[2, 2], &[4.0, 1.0, 0.1, 3.0]),
            ("q.lora_B", &[1, 2], &[1.0, 0.1]),
        ]);
        let conflict = set(&[
            ("q.lora_A", &[2, 2], &[1.0, 0.0, 1.0, 0.0]),
            ("q.lora_B", &[1, 2], &[0.0, 1.0]),
        ]);
        let inputs = Inputs {
            evidence: Some(&conflict),
            seed: 0,
        };
        let plan = Plan {
            amount: Amount::Count(1),
            grain: Grain::Units,
            ..Plan::of(0.0)
        };
        let mask = prune(&pair, &Conflict, &inputs, &plan, &Context::silent()).unwrap();
        // 1 + 1 - 4 is less than 3 - 0.1 - 0.1.
        assert_eq!(kept(&mask, "q.lora_B"), [0, 1]);
    }
}
