//! The sign difference of two or more members.

use rayon::prelude::*;

use super::counts::{count_parallel, minority_parallel};
use super::expected::{Signs, Tally};
use super::pairs::PairCounts;
use super::{By, Counts, Denominator, MixtureIndex, PairRow, PlaceRow, SignPlanes};
use crate::adapter::Name;
use crate::{Context, Result, bail};

/// How the signs of two or more members differ, as exact counts.
///
/// A conflict is a position where one member is positive and another negative; a zero is in no
/// conflict. With two members every rate is the pair's.
#[derive(Debug, Clone, PartialEq)]
pub struct SignDiff {
    members: Vec<String>,
    denominator: Denominator,
    total: Counts,
    /// Sum over positions of min(#positive, #negative).
    minority: u64,
    tensors: Vec<TensorSigns>,
    pairs: PairCounts,
}

#[derive(Debug, Clone, PartialEq)]
struct TensorSigns {
    name: Name,
    counts: Counts,
    /// By member.
    signs: Vec<Signs>,
}

/// The sign difference of two or more named members with the same tensors.
///
/// `denominator` decides what [`SignDiff::rate`] and the rows' `rate` are a share of. Fewer than
/// two members, or members whose tensors differ in name or shape, are errors.
pub fn sign_diff(
    members: &[(&str, &SignPlanes)],
    denominator: Denominator,
    context: &Context,
) -> Result<SignDiff> {
    if members.len() < 2 {
        bail!(
            "a sign difference needs at least two members, got {}",
            members.len()
        );
    }
    let index = MixtureIndex::new(members)?;
    let counted: Vec<(TensorSigns, u64)> = index
        .tensors()
        .par_iter()
        .zip(index.names())
        .map(|(planes, name)| {
            context.check()?;
            let signs = planes.par_iter().map(|planes| Signs::of(planes)).collect();
            let tensor = TensorSigns {
                name: (*name).clone(),
                counts: count_parallel(planes),
                signs,
            };
            Ok((tensor, minority_parallel(planes)))
        })
        .collect::<Result<_>>()?;
    let minority = counted.iter().map(|(_, minority)| minority).sum();
    let tensors: Vec<TensorSigns> = counted.into_iter().map(|(tensor, _)| tensor).collect();
    let nonzero: Vec<Vec<u64>> = tensors
        .iter()
        .map(|tensor| tensor.signs.iter().map(|s| s.nonzero()).collect())
        .collect();
    Ok(SignDiff {
        members: members.iter().map(|(name, _)| name.to_string()).collect(),
        denominator,
        total: tensors.iter().map(|tensor| tensor.counts).sum(),
        minority,
        pairs: PairCounts::of(index.tensors(), &nonzero, context)?,
        tensors,
    })
}

impl SignDiff {
    /// The members' names, in the order given.
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// What the rates are a share of.
    pub fn denominator(&self) -> Denominator {
        self.denominator
    }

    /// The counts over all tensors and all members.
    pub fn counts(&self) -> Counts {
        self.total
    }

    /// Positions compared.
    pub fn entries(&self) -> u64 {
        self.total.entries
    }

    /// Positions with at least one positive and at least one negative member.
    pub fn conflicts(&self) -> u64 {
        self.total.conflicts
    }

    /// Conflicts as a share of the chosen denominator.
    pub fn rate(&self) -> f64 {
        self.total.rate(self.denominator)
    }

    /// Conflicts as a share of the positions where at least two members are not zero; NaN where
    /// there are none.
    pub fn both_nonzero(&self) -> f64 {
        self.total.rate(Denominator::BothNonzero)
    }

    /// Conflicts as a share of the positions where at least one member is not zero; NaN where
    /// there are none.
    pub fn union_nonzero(&self) -> f64 {
        self.total.rate(Denominator::UnionNonzero)
    }

    /// Share of all positions whose signs are not all the same, zero being a third sign.
    pub fn tristate(&self) -> f64 {
        self.total.tristate()
    }

    /// Non-unanimous: conflicts as a share of all positions, whatever the denominator.
    pub fn mixture(&self) -> f64 {
        self.total.rate(Denominator::All)
    }

    /// The mean over pairs of their conflicts as a share of all positions.
    pub fn mean_pairwise(&self) -> f64 {
        let conflicts: u64 = self.pairs.iter().map(|(_, _, pair)| pair.conflicts).sum();
        conflicts as f64 / (self.pairs.len() as f64 * self.total.entries as f64)
    }

    /// The mean over positions of min(#positive, #negative) / #members.
    pub fn minority(&self) -> f64 {
        self.minority as f64 / (self.members.len() as f64 * self.total.entries as f64)
    }

    /// The rate expected if the members' signs were independent (see [`PlaceRow::expected`]).
    pub fn expected(&self) -> f64 {
        self.expected_over(self.tensors.iter())
    }

    /// Every pair of members, in the order given: (0, 1), (0, 2), ... (1, 2), ...
    pub fn pairs(&self) -> Vec<PairRow> {
        self.pairs
            .iter()
            .map(|(a, b, counts)| PairRow {
                a: self.members[a].clone(),
                b: self.members[b].clone(),
                entries: counts.entries,
                conflicts: counts.conflicts,
                rate: counts.rate(self.denominator),
                both_nonzero: counts.rate(Denominator::BothNonzero),
                union_nonzero: counts.rate(Denominator::UnionNonzero),
                tristate: counts.tristate(),
            })
            .collect()
    }

    /// Every layer, site or tensor, or the whole, in order.
    pub fn by(&self, by: By) -> Vec<PlaceRow> {
        by.places(self.tensors.iter().map(|tensor| &tensor.name))
            .into_iter()
            .map(|place| {
                let tensors = || self.tensors.iter().filter(|t| by.place(&t.name) == place);
                let counts: Counts = tensors().map(|tensor| tensor.counts).sum();
                PlaceRow {
                    entries: counts.entries,
                    conflicts: counts.conflicts,
                    rate: counts.rate(self.denominator),
                    both_nonzero: counts.rate(Denominator::BothNonzero),
                    expected: self.expected_over(tensors()),
                    place,
                }
            })
            .collect()
    }

    /// The sum of what is expected at each tensor.
    fn expected_over<'a>(&self, tensors: impl Iterator<Item = &'a TensorSigns>) -> f64 {
        let own = |t: &TensorSigns| Tally::independent(&t.signs, t.counts.entries);
        tensors.map(own).sum::<Tally>().rate(self.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::Planes;
    use proptest::prelude::*;

    fn sign_diff(members: &[(&str, &SignPlanes)], denominator: Denominator) -> Result<SignDiff> {
        super::sign_diff(members, denominator, &Context::silent())
    }

    fn signs(tensors: &[(&str, &[f32])]) -> SignPlanes {
        tensors
            .iter()
            .map(|(name, values)| {
                let name = Name::new(name);
                let planes = Planes::new(&name, values, &[values.len()]).unwrap();
                (name, planes)
            })
            .collect()
    }

    const DOWN: &str = "encoder.layer.0.output.adapter_down.weight";
    const UP: &str = "encoder.layer.1.attention.output.adapter_up.weight";

    fn example() -> [SignPlanes; 3] {
        [
            signs(&[
                ("pooler.weight", &[1.0]),
                (DOWN, &[1.0, -1.0, 0.0, 2.0]),
                (UP, &[1.0, 1.0]),
            ]),
            signs(&[
                ("pooler.weight", &[0.0]),
                (DOWN, &[-1.0, -1.0, 3.0, 2.0]),
                (UP, &[-1.0, -0.0]),
            ]),
            signs(&[
                ("pooler.weight", &[-1.0]),
                (DOWN, &[-1.0, 1.0, -3.0, 0.0]),
                (UP, &[-1.0, 0.0]),
            ]),
        ]
    }

    #[test]
    fn a_pair_by_hand() {
        let [a, b, _] = example();
        let diff = sign_diff(&[("a", &a), ("b", &b)], Denominator::BothNonzero).unwrap();
        assert_eq!((diff.conflicts(), diff.entries()), (2, 7));
        assert_eq!(diff.both_nonzero(), 2.0 / 4.0);
        assert_eq!(diff.rate(), 2.0 / 4.0);
        assert_eq!(diff.union_nonzero(), 2.0 / 7.0);
        assert_eq!(diff.tristate(), 5.0 / 7.0);
        assert_eq!(
            (diff.mixture(), diff.mean_pairwise(), diff.minority()),
            (2.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0)
        );
        let row = &diff.pairs()[0];
        assert_eq!((row.a.as_str(), row.b.as_str()), ("a", "b"));
        assert_eq!((row.conflicts, row.rate, row.tristate), (2, 0.5, 5.0 / 7.0));
    }

    #[test]
    fn a_mixture_by_hand() {
        let [a, b, c] = example();
        let diff = sign_diff(&[("a", &a), ("b", &b), ("c", &c)], Denominator::All).unwrap();
        assert_eq!(diff.conflicts(), 5);
        assert_eq!(diff.minority(), 5.0 / 21.0);
        assert_eq!(diff.mean_pairwise(), (2.0 + 4.0 + 2.0) / 21.0);
        let layers = diff.by(By::Layer);
        let seen: Vec<_> = layers
            .iter()
            .map(|row| (row.place.layer, row.entries, row.conflicts))
            .collect();
        assert_eq!(seen, [(Some(0), 4, 3), (Some(1), 2, 1), (None, 1, 1)]);
        assert_eq!(layers[0].rate, 0.75);
        assert_eq!(layers[1].both_nonzero, 1.0);
        let tensors = diff.by(By::Tensor);
        let site = |i: usize| tensors[i].place.site.clone().unwrap();
        assert_eq!(
            (site(0), site(1)),
            ("output".into(), "attention.output".into())
        );
        // Two of two are positive in a, one of two negative in b and c: 1 - 1/4.
        assert!((tensors[1].expected - 0.75).abs() < 1e-15);
        assert_eq!(tensors[1].expected, layers[1].expected);
        let sites = diff.by(By::Site);
        assert_eq!(sites[1].place.site.as_deref(), Some("attention.output"));
        assert_eq!((sites.len(), sites[1].conflicts), (3, 1));
        assert_eq!(diff.by(By::Whole)[0].conflicts, diff.conflicts());
    }

    /// Four of four and none of two are not half.
    #[test]
    fn a_site_of_a_layer_is_counted_over_its_tensors() {
        let up = "encoder.layer.0.output.adapter_up.weight";
        let a = signs(&[(DOWN, &[1.0; 4]), (up, &[1.0; 2])]);
        let b = signs(&[(DOWN, &[-1.0; 4]), (up, &[1.0; 2])]);
        let diff = sign_diff(&[("a", &a), ("b", &b)], Denominator::All).unwrap();
        let rows = diff.by(By::LayerSite);
        assert_eq!((rows.len(), rows[0].rate), (1, 4.0 / 6.0));
        assert_eq!(rows[0].place.site.as_deref(), Some("output"));
    }

    #[test]
    fn what_is_expected_is_the_sum_over_tensors() {
        let half = |values: [f32; 4]| signs(&[(DOWN, &values), (UP, &[0.0; 4])]);
        let (a, b) = (half([1.0, -1.0, 0.0, 0.0]), half([0.0, 1.0, -1.0, 0.0]));
        let of = |denominator| sign_diff(&[("a", &a), ("b", &b)], denominator).unwrap();
        // One quarter of each sign in the first layer, nothing in the second: 1/8 of half of all.
        let diff = of(Denominator::All);
        assert_eq!(diff.expected(), 0.0625);
        let layers: Vec<f64> = diff.by(By::Layer).iter().map(|row| row.expected).collect();
        assert_eq!(layers, [0.125, 0.0]);
        let diff = of(Denominator::BothNonzero);
        assert_eq!(diff.expected(), 0.5);
        assert!(diff.by(By::Layer)[1].expected.is_nan());
    }

    #[test]
    fn members_that_cannot_be_compared_are_refused() {
        let [a, ..] = example();
        assert!(sign_diff(&[], Denominator::All).is_err());
        let one = sign_diff(&[("a", &a)], Denominator::All).unwrap_err();
        assert_eq!(
            one.to_string(),
            "a sign difference needs at least two members, got 1"
        );
        let other = signs(&[(DOWN, &[1.0]), (UP, &[1.0, 1.0])]);
        let error = sign_diff(&[("a", &a), ("b", &other)], Denominator::All).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "a and b do not have the same tensors: only a has pooler.weight; {DOWN} is [4] in a and [1] in b"
            )
        );
    }

    proptest! {
        /// Pairs are counted by another path, with a short cut for members without zeros.
        #[test]
        fn a_pair_counts_the_same_alone_and_among_others(
            members in (1usize..600, 2usize..40).prop_flat_map(|(n, members)| {
                let dense = prop_oneof![Just(1f32), Just(-1f32)];
                let sparse = prop_oneof![Just(1f32), Just(-1f32), Just(0f32), Just(-0f32)];
                let member = prop_oneof![
                    proptest::collection::vec(dense, n),
                    proptest::collection::vec(sparse, n),
                ];
                proptest::collection::vec(member, members)
            })
        ) {
            let half = members[0].len() / 2;
            let planes: Vec<SignPlanes> = members.iter()
                .map(|m| signs(&[("a.weight", &m[..half]), ("b.weight", &m[half..])]))
                .collect();
            let named: Vec<(&str, &SignPlanes)> = planes.iter().map(|p| ("m", p)).collect();
            let all = sign_diff(&named, Denominator::All).unwrap();
            let mut pairs = all.pairs.iter();
            for i in 0..planes.len() {
                for j in i + 1..planes.len() {
                    let pair = sign_diff(&[named[i], named[j]], Denominator::All).unwrap();
                    prop_assert_eq!(pairs.next(), Some((i, j, pair.counts())));
                    prop_assert_eq!(pair.pairs.iter().next(), Some((0, 1, pair.counts())));
                }
            }
        }
    }
}
