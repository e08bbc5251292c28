//! The conflict rate that members with one initialisation would have after drifting apart.
//!
//! A member's weight is taken as w0 + d, d normal and independent of w0 and of the other members'
//! changes, with the standard deviation that was measured. For a pair of normal weights of equal
//! drift r = sd(d) / sd(w0) the rate is arccos(1 / (1 + r^2)) / pi; the integral here covers any
//! number of members, each with its own drift, and other initialisations. What began as zeros is
//! the members' own, and its signs are chance where it is not zero still.
//!
//! A weight that was pruned is another matter: which ones go depends on where they began, so that
//! nothing is expected of those that stay.

use rayon::prelude::*;

use super::expected::{Signs, Tally};
use super::{Denominator, Members, Planes, SignPlanes};
use crate::adapter::kind::Init;
use crate::adapter::{Adapter, Name};
use crate::soup::{Base, shared};
use crate::{Context, Result};

/// What to expect of members that began alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shared {
    /// The conflict rate over the chosen denominator.
    pub rate: f64,
    /// The drift over all tensors that did not begin as zeros: the root of the mean over members
    /// of sum d^2 / sum w0^2.
    pub drift: f64,
}

/// How a tensor's entries were drawn, in units of their root mean square.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    Normal,
    /// Normal, cut at two standard deviations.
    Truncated,
    Uniform,
}

/// A member at a tensor: the sums of d^2 and of w0^2.
#[derive(Debug, Clone, Copy)]
struct Drift([f64; 2]);

/// What is expected at a tensor, and the squares of its drift and of its initial values.
type Measured = (Tally, [f64; 2]);

/// What to expect of these members' signs if all that they had in common were their
/// initialisation; none where that is not recorded, not shared, or known to the model alone, where
/// a member has zeros among what did not begin as zeros, or where it is not the weights themselves
/// that are compared.
pub fn expected_shared(
    members: &Members,
    planes: &[SignPlanes],
    denominator: Denominator,
    context: &Context,
) -> Result<Option<Shared>> {
    let adapters = members.adapters();
    let Some(Base::Initial(seed)) = shared(adapters).ok().filter(|_| members.are_weights()) else {
        return Ok(None);
    };
    let tensors: Vec<Result<Option<Measured>>> = members
        .shapes()
        .par_iter()
        .map(|(name, shape)| {
            context.check()?;
            at_tensor(members, planes, adapters, seed, name, shape)
        })
        .collect();
    let (mut tallies, mut squares) = (Vec::new(), [0.0; 2]);
    for tensor in tensors {
        let Some((own, drift)) = tensor? else {
            return Ok(None);
        };
        tallies.push(own);
        squares[0] += drift[0];
        squares[1] += drift[1];
    }
    Ok(Some(Shared {
        rate: tallies.into_iter().sum::<Tally>().rate(denominator),
        drift: (squares[0] / squares[1]).sqrt(),
    }))
}

fn at_tensor(
    members: &Members,
    planes: &[SignPlanes],
    adapters: &[Adapter],
    seed: u64,
    name: &Name,
    shape: &[usize],
) -> Result<Option<Measured>> {
    let Some(kind) = adapters.first().map(|a| a.kind()) else {
        return Ok(None);
    };
    let signs: Vec<&Planes> = planes
        .iter()
        .filter_map(|planes| planes.tensors().get(name))
        .collect();
    let start = match kind.initial(name, shape)? {
        Init::Zeros => return Ok(Some((Tally::chance(&signs), [0.0; 2]))),
        Init::Normal(_) => Start::Normal,
        Init::Truncated(_) => Start::Truncated,
        Init::Uniform(_) => Start::Uniform,
        Init::Ones | Init::RowNorms | Init::Bias => return Ok(None),
    };
    if signs.iter().any(|p| Signs::of(p).nonzero() < p.entries()) {
        return Ok(None);
    }
    let Some(base) = Base::Initial(seed).tensor(kind.as_ref(), name, shape)? else {
        return Ok(None);
    };
    let values = members.values(name)?;
    let drifts: Vec<Drift> = values.iter().map(|w| Drift::of(w, &base)).collect();
    let squares = [0, 1].map(|k| drifts.iter().map(|drift| drift.0[k]).sum());
    let entries = shape.iter().product::<usize>() as u64;
    let tally = Tally::dense(drifts.len(), entries, start.conflict(&drifts));
    Ok(Some((tally, squares)))
}

/// Below this a drift is none.
const LEAST: f64 = 1e-9;

impl Drift {
    fn of(values: &[f32], base: &[f32]) -> Self {
        let mut squares = [0.0; 2];
        for (w, w0) in values.iter().zip(base) {
            let (w, w0) = (f64::from(*w), f64::from(*w0));
            squares[0] += (w - w0) * (w - w0);
            squares[1] += w0 * w0;
        }
        Self(squares)
    }

    fn ratio(&self) -> f64 {
        let [d, w] = self.0;
        (d / w).sqrt().max(LEAST)
    }

    /// The chance that a member which began at z is below zero.
    fn negative(&self, z: f64) -> f64 {
        0.5 * libm::erfc(z / (self.ratio() * std::f64::consts::SQRT_2))
    }
}

impl Start {
    /// The share of positions in conflict.
    fn conflict(self, members: &[Drift]) -> f64 {
        // By symmetry all are positive as often as all are negative.
        let all_negative = self.mean(members, |z| members.iter().map(|m| m.negative(z)).product());
        1.0 - 2.0 * all_negative
    }

    /// The largest value, in units of the root mean square; beyond nine of them a normal is never.
    fn limit(self) -> f64 {
        match self {
            Self::Normal => 9.0,
            Self::Truncated => 2.0 / TRUNCATED_SD,
            Self::Uniform => 3f64.sqrt(),
        }
    }

    fn density(self, z: f64) -> f64 {
        let normal = |z: f64| libm::exp(-0.5 * z * z) / (2.0 * std::f64::consts::PI).sqrt();
        match self {
            Self::Normal => normal(z),
            Self::Truncated => TRUNCATED_SD * normal(z * TRUNCATED_SD) / WITHIN_TWO,
            Self::Uniform => 0.5 / self.limit(),
        }
    }

    /// The mean of `f` over the initialisation, by Gauss and Legendre on panels that widen from
    /// the smallest drift.
    fn mean(self, members: &[Drift], f: impl Fn(f64) -> f64) -> f64 {
        let least = members.iter().map(Drift::ratio).fold(1.0, f64::min);
        let limit = self.limit();
        let (mut low, mut high) = (0.0, least.min(limit));
        let mut sum = 0.0;
        loop {
            let (middle, half) = (0.5 * (low + high), 0.5 * (high - low));
            for (x, weight) in LEGENDRE {
                for z in [middle + half * x, middle - half * x] {
                    sum += weight * half * self.density(z) * (f(z) + f(-z));
                }
            }
            if high >= limit {
                return sum;
            }
            (low, high) = (high, (2.0 * high).min(limit));
        }
    }
}

/// The standard deviation of a normal cut at two of its own, and its mass before the cut.
const TRUNCATED_SD: f64 = 0.879_625_661_034_239_8;
const WITHIN_TWO: f64 = 0.954_499_736_103_641_6;

/// Positive nodes and weights of the rule of 16 points.
const LEGENDRE: [(f64, f64); 8] = [
    (0.095_012_509_837_637_44, 0.189_450_610_455_068_5),
    (0.281_603_550_779_258_9, 0.182_603_415_044_923_6),
    (0.458_016_777_657_227_4, 0.169_156_519_395_002_54),
    (0.617_876_244_402_643_7, 0.149_595_988_816_576_74),
    (0.755_404_408_355_003, 0.124_628_971_255_533_88),
    (0.865_631_202_387_831_8, 0.095_158_511_682_492_79),
    (0.944_575_023_073_232_6, 0.062_253_523_938_647_89),
    (0.989_400_934_991_649_9, 0.027_152_459_411_754_096),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::random::Stream;

    fn drift(ratio: f64) -> Drift {
        Drift([ratio * ratio, 1.0])
    }

    fn rate(start: Start, members: &[Drift]) -> f64 {
        start.conflict(members)
    }

    #[test]
    fn a_pair_follows_the_arc_cosine() {
        for r in [1e-4, 0.01, 0.1, 0.5, 1.0, 2.0, 30.0] {
            let known = libm::acos(1.0 / (1.0 + r * r)) / std::f64::consts::PI;
            let found = rate(Start::Normal, &[drift(r); 2]);
            assert!((found - known).abs() < 1e-10, "{r}: {found} is not {known}");
        }
        let (a, b) = (0.3f64, 0.8f64);
        let cosine = 1.0 / ((1.0 + a * a) * (1.0 + b * b)).sqrt();
        let found = rate(Start::Normal, &[drift(a), drift(b)]);
        assert!((found - libm::acos(cosine) / std::f64::consts::PI).abs() < 1e-10);
    }

    #[test]
    fn no_drift_is_no_conflict() {
        assert!(rate(Start::Normal, &[drift(0.0); 3]).abs() < 1e-8);
    }

    /// Against simulated members: 400,000 positions, so five standard errors are below 0.004.
    #[test]
    fn other_starts_and_more_members_are_as_simulated() {
        let members = [0.4, 0.9, 0.2].map(drift);
        for start in [Start::Normal, Start::Truncated, Start::Uniform] {
            let mut stream = Stream::new(11, "shared test", &format!("{start:?}"));
            let mut conflicts = 0u32;
            for _ in 0..400_000 {
                let z = match start {
                    Start::Uniform => (2.0 * stream.uniform() - 1.0) * 3f64.sqrt(),
                    Start::Truncated => loop {
                        let x = stream.normal();
                        if x.abs() <= 2.0 {
                            break x / TRUNCATED_SD;
                        }
                    },
                    _ => stream.normal(),
                };
                let (mut positive, mut negative) = (false, false);
                for m in &members {
                    let w = z + m.ratio() * stream.normal();
                    positive |= w > 0.0;
                    negative |= w < 0.0;
                }
                conflicts += u32::from(positive && negative);
            }
            let seen = f64::from(conflicts) / 4e5;
            let theory = rate(start, &members);
            assert!((seen - theory).abs() < 0.004, "{start:?}: {seen}, {theory}");
        }
    }
}
