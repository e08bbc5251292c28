//! How much is pruned, and where: shares and counts come to numbers of entries.

use std::str::FromStr;

use crate::{Error, Result, bail};

/// How much is pruned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// This share of the entries, from 0 to 1.
    Sparsity(f64),
    /// This many entries of all tensors together.
    Count(u64),
}

/// What is ranked together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// Each tensor by itself: all come to the same sparsity.
    #[default]
    Layerwise,
    /// All tensors together: each comes to a sparsity of its own.
    Global,
    /// Each tensor by itself, at the density of an Erdos-Renyi graph between its inputs and
    /// outputs: proportional to (n_in + n_out) / (n_in n_out), at most 1; what a full tensor
    /// cannot take the others share.
    ErdosRenyi,
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "layerwise" => Ok(Self::Layerwise),
            "global" => Ok(Self::Global),
            "er" => Ok(Self::ErdosRenyi),
            _ => bail!("unknown scope `{text}`: expected `layerwise`, `global` or `er`"),
        }
    }
}

/// How many fall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Quota {
    /// Of each tensor.
    Each(Vec<usize>),
    /// Of all together.
    All(usize),
}

impl Amount {
    /// An error that says what a share is, or what there is to count.
    pub fn check(self, entries: usize) -> Result<()> {
        match self {
            Self::Sparsity(sparsity) if !(0.0..=1.0).contains(&sparsity) => bail!(
                "sparsity is the share of weights set to zero, from 0 to 1, got {sparsity}"; hint: "0.9 means 90 %"
            ),
            Self::Count(count) if count > entries as u64 => {
                bail!("{count} of {entries} entries cannot be pruned")
            }
            _ => Ok(()),
        }
    }

    /// How many of `n` fall: the share rounded half to even, as torch.nn.utils.prune does.
    fn of(self, n: usize) -> usize {
        match self {
            Self::Sparsity(sparsity) => (sparsity * n as f64).round_ties_even() as usize,
            Self::Count(count) => count as usize,
        }
    }

    /// Pruning in rounds: the amount of round `round` of `rounds`, counted from 1, whose densities
    /// fall exponentially to that of the last.
    pub(super) fn at_round(self, round: usize, rounds: usize, entries: usize) -> Self {
        if round == rounds {
            return self;
        }
        let last = match self {
            Self::Sparsity(sparsity) => 1.0 - sparsity,
            Self::Count(count) => 1.0 - count as f64 / entries.max(1) as f64,
        };
        let done = round as f64 / rounds as f64;
        Self::Sparsity(1.0 - libm::pow(last.max(0.0), done))
    }

    /// How many fall of tensors of these shapes.
    pub(super) fn quota(self, scope: Scope, shapes: &[&[usize]]) -> Quota {
        let sizes: Vec<usize> = shapes.iter().map(|s| s.iter().product()).collect();
        let ends: Vec<f64> = shapes.iter().map(|shape| ends(shape)).collect();
        self.quota_of(scope, &sizes, &ends)
    }

    /// How many fall of sets of these sizes; what Erdos-Renyi graphs keep of them is proportional
    /// to `ends`.
    pub(super) fn quota_of(self, scope: Scope, sizes: &[usize], ends: &[f64]) -> Quota {
        let entries: usize = sizes.iter().sum();
        match (scope, self) {
            (Scope::Global, _) => Quota::All(self.of(entries)),
            (Scope::Layerwise, Self::Sparsity(_)) => {
                Quota::Each(sizes.iter().map(|n| self.of(*n)).collect())
            }
            (Scope::Layerwise, Self::Count(count)) => {
                let share = |n: &usize| *n as f64 * count as f64 / entries.max(1) as f64;
                Quota::Each(whole(
                    sizes,
                    sizes.iter().map(share).collect(),
                    count as usize,
                ))
            }
            (Scope::ErdosRenyi, _) => {
                let kept = entries - self.of(entries).min(entries);
                let kept = whole(sizes, erdos_renyi(ends, sizes, kept), kept);
                let fall = sizes.iter().zip(kept).map(|(n, kept)| n - kept);
                Quota::Each(fall.collect())
            }
        }
    }
}

/// Whole numbers near these, at most `sizes` each, that sum to `total`: the largest fractions are
/// rounded up, the first among equals.
fn whole(sizes: &[usize], exact: Vec<f64>, total: usize) -> Vec<usize> {
    let mut found: Vec<usize> = exact
        .iter()
        .zip(sizes)
        .map(|(x, n)| (x.floor() as usize).min(*n))
        .collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
    let mut missing = total.saturating_sub(found.iter().sum());
    while missing > 0 {
        let before = missing;
        for i in &order {
            if missing > 0 && found[*i] < sizes[*i] {
                found[*i] += 1;
                missing -= 1;
            }
        }
        if missing == before {
            break;
        }
    }
    found
}

/// The inputs and outputs of a map of this shape; a vector is a matrix with one input.
pub(super) fn ends(shape: &[usize]) -> f64 {
    match shape {
        [] => 2.0,
        [outputs, rest @ ..] => (outputs + rest.iter().product::<usize>()) as f64,
    }
}

/// How many of each Erdos-Renyi graphs with these ends and `kept` edges in all keep.
fn erdos_renyi(ends: &[f64], sizes: &[usize], kept: usize) -> Vec<f64> {
    let mut full = vec![false; sizes.len()];
    loop {
        let sum = |of: &dyn Fn(usize) -> f64, whose: bool| -> f64 {
            (0..sizes.len()).filter(|i| full[*i] == whose).map(of).sum()
        };
        let left = kept as f64 - sum(&|i| sizes[i] as f64, true);
        let scale = left / sum(&|i| ends[i], false).max(f64::MIN_POSITIVE);
        let over: Vec<usize> = (0..sizes.len())
            .filter(|i| !full[*i] && scale * ends[*i] > sizes[*i] as f64)
            .collect();
        if over.is_empty() {
            return (0..sizes.len())
                .map(|i| match full[i] {
                    true => sizes[i] as f64,
                    false => scale * ends[i],
                })
                .collect();
        }
        over.into_iter().for_each(|i| full[i] = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn each(amount: Amount, scope: Scope, shapes: &[&[usize]]) -> Vec<usize> {
        match amount.quota(scope, shapes) {
            Quota::Each(each) => each,
            Quota::All(all) => vec![all],
        }
    }

    #[test]
    fn counts_are_shared_out_to_the_last() {
        let shapes: [&[usize]; 3] = [&[3], &[3], &[4]];
        let count = |n| each(Amount::Count(n), Scope::Layerwise, &shapes);
        assert_eq!(count(5), [2, 1, 2]);
        assert_eq!(count(10), [3, 3, 4]);
        assert_eq!(count(0), [0, 0, 0]);
        assert_eq!(each(Amount::Count(5), Scope::Global, &shapes), [5]);
    }

    #[test]
    fn an_erdos_renyi_graph_keeps_by_the_number_of_ends() {
        // 20 and 104 ends: 62 kept entries are 10 and 52.
        let shapes: [&[usize]; 2] = [&[10, 10], &[4, 100]];
        let pruned = each(Amount::Count(438), Scope::ErdosRenyi, &shapes);
        assert_eq!(pruned, [90, 348]);
        // The small one is full, the other takes what it cannot.
        let shapes: [&[usize]; 2] = [&[2, 2], &[100, 100]];
        let pruned = each(Amount::Count(10_004 - 504), Scope::ErdosRenyi, &shapes);
        assert_eq!(pruned, [0, 9500]);
    }

    proptest! {
        #[test]
        fn every_scope_prunes_what_was_asked(
            shapes in proptest::collection::vec((1usize..30, 1usize..30), 1..8),
            share in 0f64..=1.0,
        ) {
            let shapes: Vec<[usize; 2]> = shapes.into_iter().map(|(a, b)| [a, b]).collect();
            let shapes: Vec<&[usize]> = shapes.iter().map(|s| &s[..]).collect();
            let entries: usize = shapes.iter().map(|s| s[0] * s[1]).sum();
            let count = (share * entries as f64) as usize;
            for scope in [Scope::Layerwise, Scope::Global, Scope::ErdosRenyi] {
                let found = each(Amount::Count(count as u64), scope, &shapes);
                prop_assert_eq!(found.iter().sum::<usize>(), count);
                if found.len() == shapes.len() {
                    for (n, shape) in found.iter().zip(&shapes) {
                        prop_assert!(*n <= shape[0] * shape[1]);
                    }
                }
            }
        }
    }
}
