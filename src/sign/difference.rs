//! The sign difference of two or more members: one value, many views.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::adapter::Name;
use crate::{Error, Result, bail};

use super::counts::{MixtureCounts, PairCounts};
use super::planes::{Planes, SignPlanes};

/// Over what a rate is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Denominator {
    /// Every entry.
    #[default]
    All,
    /// Entries where neither is zero; in a mixture, where at least two members are not.
    BothNonzero,
    /// Entries where at least one is not zero.
    UnionNonzero,
}

impl FromStr for Denominator {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "all" => Ok(Self::All),
            "both_nonzero" => Ok(Self::BothNonzero),
            "union_nonzero" => Ok(Self::UnionNonzero),
            other => {
                bail!("denominator {other:?}: expected all, both_nonzero or union_nonzero")
            }
        }
    }
}

/// The signs of several members against each other.
#[derive(Debug, Clone, PartialEq)]
pub struct SignDiff {
    members: Vec<String>,
    denominator: Denominator,
    space: String,
    tensors: Vec<TensorCounts>,
}

#[derive(Debug, Clone, PartialEq)]
struct TensorCounts {
    name: Name,
    /// Of members (0,1), (0,2)... (1,2)...
    pairs: Vec<PairCounts>,
    mixture: MixtureCounts,
}

/// Two members against each other.
#[derive(Debug, Clone, PartialEq)]
pub struct PairRow {
    /// One member.
    pub a: String,
    /// The other.
    pub b: String,
    /// The counts, over all tensors.
    pub counts: PairCounts,
    /// Conflicts over the chosen denominator.
    pub rate: f64,
}

/// All members on one tensor, or on all tensors of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorRow {
    /// The layer; none for tensors outside of layers.
    pub layer: Option<usize>,
    /// The site in the layer; empty for a whole layer.
    pub site: String,
    /// The tensor; empty for a whole layer.
    pub tensor: String,
    /// Entries.
    pub entries: u64,
    /// Entries at which the members are not unanimous.
    pub conflicts: u64,
    /// Conflicts over the chosen denominator.
    pub rate: f64,
    /// Conflicts over entries at which at least two members are not zero.
    pub both_nonzero: f64,
    /// The share of all entries in conflict to be expected if signs were independent.
    pub expected: f64,
}

/// The sign difference of a mixture in two numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct MixtureRates {
    /// Share of all entries at which the members are not unanimous.
    pub all: f64,
    /// Share of the entries at which at least two members are not zero; 0 where there are none.
    pub both_nonzero: f64,
}

/// The sign difference of a mixture, without its pairs: for grids of many mixtures.
pub fn mixture_rates(members: &[&SignPlanes]) -> Result<MixtureRates> {
    let Some(first) = members.first() else {
        bail!("the signs of no members");
    };
    let mut total = MixtureCounts::empty(members.len());
    for (name, _) in first.tensors() {
        total.add(&MixtureCounts::of(&of_tensor(members, name)?));
    }
    Ok(MixtureRates {
        all: share(total.conflicts, total.entries),
        both_nonzero: share(total.conflicts, total.comparable),
    })
}

fn of_tensor<'a>(members: &[&'a SignPlanes], name: &Name) -> Result<Vec<&'a Planes>> {
    members
        .iter()
        .map(|m| match m.get(name) {
            Some(planes) => Ok(planes),
            None => bail!("tensor {name} is in one and not in the other"),
        })
        .collect()
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

impl SignDiff {
    /// The signs of at least two named members against each other. `space` says what the entries
    /// are ("factors", "delta", "weights"), for the report. Members with different tensors or
    /// shapes are an error that says what differs.
    pub fn of(
        members: &[(String, SignPlanes)],
        denominator: Denominator,
        space: &str,
    ) -> Result<Self> {
        let [(first_name, first), rest @ ..] = members else {
            bail!("the sign difference of no members");
        };
        if rest.is_empty() {
            bail!("the sign difference of {first_name} alone; give at least two");
        }
        for (name, planes) in rest {
            first
                .same_shapes(planes)
                .map_err(|e| e.within(format!("signs of {first_name} and {name}")))?;
        }
        let planes: Vec<&SignPlanes> = members.iter().map(|(_, p)| p).collect();
        let mut tensors = Vec::new();
        for (name, _) in first.tensors() {
            let of_members = of_tensor(&planes, name)?;
            let mut pairs = Vec::new();
            for (i, a) in of_members.iter().enumerate() {
                for b in &of_members[i + 1..] {
                    pairs.push(PairCounts::of(a, b));
                }
            }
            tensors.push(TensorCounts {
                name: name.clone(),
                pairs,
                mixture: MixtureCounts::of(&of_members),
            });
        }
        Ok(Self {
            members: members.iter().map(|(name, _)| name.clone()).collect(),
            denominator,
            space: space.to_string(),
            tensors,
        })
    }

    /// The members' names.
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// What the entries are.
    pub fn space(&self) -> &str {
        &self.space
    }

    /// Entries of one member.
    pub fn entries(&self) -> u64 {
        self.tensors.iter().map(|t| t.mixture.entries).sum()
    }

    /// Entries at which the members are not unanimous.
    pub fn conflicts(&self) -> u64 {
        self.total().conflicts
    }

    /// The counts of the only pair; an error where there are several.
    pub fn pair(&self) -> Result<PairCounts> {
        match self.pair_totals()[..] {
            [only] => Ok(only),
            _ => Err(Error::new(format!(
                "this is for two members, and there are {}",
                self.members.len()
            ))
            .hint("see .pairs, .mixture and .mean_pairwise")),
        }
    }

    /// The conflict rate of the only pair over the chosen denominator.
    pub fn rate(&self) -> Result<f64> {
        Ok(self.pair_rate(&self.pair()?))
    }

    /// Share of all entries at which at least one member is positive and one negative.
    pub fn mixture(&self) -> f64 {
        let total = self.total();
        share(total.conflicts, total.entries)
    }

    /// The same over entries at which at least two members are not zero.
    pub fn mixture_both_nonzero(&self) -> f64 {
        let total = self.total();
        share(total.conflicts, total.comparable)
    }

    /// Mean over all pairs of their conflict rates over the chosen denominator.
    pub fn mean_pairwise(&self) -> f64 {
        let pairs = self.pair_totals();
        pairs.iter().map(|p| self.pair_rate(p)).sum::<f64>() / pairs.len().max(1) as f64
    }

    /// Mean over all entries of min(#positive, #negative) / l.
    pub fn minority(&self) -> f64 {
        let total = self.total();
        share(total.minority, total.entries * self.members.len() as u64)
    }

    /// The mixture's rate to be expected if signs were independent, tensor by tensor.
    pub fn expected(&self) -> f64 {
        expected(self.tensors.iter())
    }

    /// Every pair of members.
    pub fn pairs(&self) -> Vec<PairRow> {
        let totals = self.pair_totals();
        let l = self.members.len();
        let at = (0..l).flat_map(|i| (i + 1..l).map(move |j| (i, j)));
        at.zip(totals)
            .map(|((i, j), counts)| PairRow {
                a: self.members[i].clone(),
                b: self.members[j].clone(),
                counts,
                rate: self.pair_rate(&counts),
            })
            .collect()
    }

    /// Every layer, in order.
    pub fn by_layer(&self) -> Vec<TensorRow> {
        let mut layers: BTreeMap<Option<usize>, Vec<&TensorCounts>> = BTreeMap::new();
        for tensor in &self.tensors {
            layers.entry(tensor.name.layer()).or_default().push(tensor);
        }
        layers
            .into_iter()
            .map(|(layer, tensors)| self.row(layer, "", "", &tensors))
            .collect()
    }

    /// Every tensor, in natural order of names.
    pub fn by_tensor(&self) -> Vec<TensorRow> {
        self.tensors
            .iter()
            .map(|t| self.row(t.name.layer(), t.name.site(), t.name.as_str(), &[t]))
            .collect()
    }

    fn row(
        &self,
        layer: Option<usize>,
        site: &str,
        tensor: &str,
        counts: &[&TensorCounts],
    ) -> TensorRow {
        let mut total = MixtureCounts::empty(self.members.len());
        for count in counts {
            total.add(&count.mixture);
        }
        let whole = match self.denominator {
            Denominator::All => total.entries,
            Denominator::BothNonzero => total.comparable,
            Denominator::UnionNonzero => total.any_nonzero,
        };
        TensorRow {
            layer,
            site: site.to_string(),
            tensor: tensor.to_string(),
            entries: total.entries,
            conflicts: total.conflicts,
            rate: share(total.conflicts, whole),
            both_nonzero: share(total.conflicts, total.comparable),
            expected: expected(counts.iter().copied()),
        }
    }

    fn total(&self) -> MixtureCounts {
        let mut total = MixtureCounts::empty(self.members.len());
        for tensor in &self.tensors {
            total.add(&tensor.mixture);
        }
        total
    }

    fn pair_totals(&self) -> Vec<PairCounts> {
        let pairs = self.members.len() * (self.members.len() - 1) / 2;
        let mut totals = vec![PairCounts::default(); pairs];
        for tensor in &self.tensors {
            for (total, counts) in totals.iter_mut().zip(&tensor.pairs) {
                *total = total.plus(*counts);
            }
        }
        totals
    }

    fn pair_rate(&self, counts: &PairCounts) -> f64 {
        let whole = match self.denominator {
            Denominator::All => counts.entries,
            Denominator::BothNonzero => counts.both_nonzero,
            Denominator::UnionNonzero => counts.union_nonzero,
        };
        share(counts.conflicts, whole)
    }
}

/// The expected share over several tensors, each by its own numbers of signs.
fn expected<'a>(tensors: impl Iterator<Item = &'a TensorCounts>) -> f64 {
    let (mut conflicts, mut entries) = (0.0, 0);
    for tensor in tensors {
        conflicts += tensor.mixture.expected() * tensor.mixture.entries as f64;
        entries += tensor.mixture.entries;
    }
    conflicts / entries.max(1) as f64
}

impl fmt::Display for SignDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SignDiff of {}: mixture {:.4} (expected {:.4} if unrelated), ",
            self.members.join(", "),
            self.mixture(),
            self.expected()
        )?;
        if self.members.len() > 2 {
            write!(f, "mean pairwise {:.4}, ", self.mean_pairwise())?;
        }
        write!(f, "{} entries, {}", self.entries(), self.space)
    }
}
