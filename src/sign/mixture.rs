//! Members' signs side by side, for the counts of any subset of them.

use super::counts::count;
use super::{Counts, Denominator, Planes, SignPlanes};
use crate::adapter::{Name, check_aligned};
use crate::{Result, bail};

/// The signs of several members with the same tensors: counts any mixture of them.
///
/// Made once for a grid of subsets; a subset is counted on the calling thread, so that a grid can
/// be cut by subset.
#[derive(Debug, Clone)]
pub struct MixtureIndex<'a> {
    names: Vec<&'a Name>,
    /// By tensor, then by member.
    tensors: Vec<Vec<&'a Planes>>,
    members: usize,
}

impl<'a> MixtureIndex<'a> {
    /// Puts named members side by side. Members whose tensors differ in name or shape are an
    /// error that lists the differences.
    pub fn new(members: &[(&str, &'a SignPlanes)]) -> Result<Self> {
        let Some(((first_name, first), rest)) = members.split_first() else {
            bail!("there are no members whose signs to compare");
        };
        for (name, planes) in rest {
            check_aligned(
                (first_name, first.tensors()),
                (name, planes.tensors()),
                Planes::dims,
            )?;
        }
        let names: Vec<&Name> = first.tensors().keys().collect();
        let tensors = names
            .iter()
            .map(|name| {
                members
                    .iter()
                    .filter_map(|(_, planes)| planes.tensors().get(name))
                    .collect()
            })
            .collect();
        Ok(Self {
            names,
            tensors,
            members: members.len(),
        })
    }

    /// The counts over the members at these places (from 0, at least two, each once).
    pub fn counts(&self, subset: &[usize]) -> Result<Counts> {
        if subset.len() < 2 {
            bail!(
                "a sign difference needs at least two members, got {}",
                subset.len()
            );
        }
        for (i, member) in subset.iter().enumerate() {
            if *member >= self.members {
                bail!(
                    "there is no member {member}: the last of {} is {}",
                    self.members,
                    self.members - 1
                );
            }
            if subset[..i].contains(member) {
                bail!("member {member} is in the mixture twice");
            }
        }
        Ok(self
            .tensors
            .iter()
            .map(|tensor| {
                let planes: Vec<&Planes> = subset.iter().map(|member| tensor[*member]).collect();
                count(&planes)
            })
            .sum())
    }

    /// The share of all positions with at least one positive and one negative member of the
    /// subset (see [`Self::counts`]).
    pub fn non_unanimous(&self, subset: &[usize]) -> Result<f64> {
        Ok(self.counts(subset)?.rate(Denominator::All))
    }

    /// The tensors' names, in order.
    pub(super) fn names(&self) -> &[&'a Name] {
        &self.names
    }

    /// The signs by tensor, in the order of the names, then by member.
    pub(super) fn tensors(&self) -> &[Vec<&'a Planes>] {
        &self.tensors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_that_is_none_is_refused() {
        let planes: SignPlanes = [(
            Name::new("w"),
            Planes::new(&Name::new("w"), &[1.0, -1.0], &[2]).unwrap(),
        )]
        .into_iter()
        .collect();
        let index = MixtureIndex::new(&[("a", &planes), ("b", &planes)]).unwrap();
        let message = |subset: &[usize]| index.counts(subset).unwrap_err().to_string();
        assert_eq!(
            message(&[0]),
            "a sign difference needs at least two members, got 1"
        );
        assert_eq!(message(&[0, 2]), "there is no member 2: the last of 2 is 1");
        assert_eq!(message(&[1, 1]), "member 1 is in the mixture twice");
        assert!(MixtureIndex::new(&[]).is_err());
        assert_eq!(index.non_unanimous(&[0, 1]), Ok(0.0));
    }
}
