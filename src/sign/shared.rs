//! The conflict rate that members with one initialisation would have after drifting apart.
//!
//! A member's weight is taken as w0 + d, d normal and independent of w0 and of the other members'
//! changes, with the standard deviation that was measured. For a pair of normal weights of equal
//! drift r = sd(d) / sd(w0) the rate is arccos(1 / (1 + r^2)) / pi; the integral here covers any
//! number of members, each with its own drift, other initialisations, and zeros.

use rayon::prelude::*;

use super::expected::Signs;
use super::{Denominator, Members, SignPlanes};
use crate::Result;
use crate::adapter::kind::Init;
use crate::adapter::{Adapter, Name};
use crate::soup::{Base, shared};

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
    /// Nothing: what members have is their own.
    Zero,
}

/// A member at a tensor.
#[derive(Debug, Clone, Copy)]
struct Drift {
    /// Sum of d^2 and of w0^2 where the member is not zero.
    squares: [f64; 2],
    /// The share of its entries that are zero.
    zeros: f64,
}

/// What is expected at a tensor, and the squares of its drift and of its initial values.
type Measured = (Tally, [f64; 2]);

/// What to expect of these members' signs if all that they had in common were their
/// initialisation; none where that is not recorded, not shared, or known to the model alone, or
/// where it is not the weights themselves that are compared.
pub fn expected_shared(
    members: &Members,
    planes: &[SignPlanes],
    denominator: Denominator,
) -> Result<Option<Shared>> {
    let adapters = members.adapters();
    let Some(Base::Initial(seed)) = shared(adapters).ok().filter(|_| members.are_weights()) else {
        return Ok(None);
    };
    let tensors: Vec<Result<Option<Measured>>> = members
        .shapes()
        .par_iter()
        .map(|(name, shape)| at_tensor(members, planes, adapters, seed, name, shape))
        .collect();
    let (mut tally, mut squares) = (Tally::default(), [0.0; 2]);
    for tensor in tensors {
        let Some((own, drift)) = tensor? else {
            return Ok(None);
        };
        tally.add(&own);
        squares[0] += drift[0];
        squares[1] += drift[1];
    }
    Ok(Some(Shared {
        rate: tally.rate(denominator),
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
    let start = match kind.initial(name, shape)? {
        Init::Zeros => Start::Zero,
        Init::Normal(_) => Start::Normal,
        Init::Truncated(_) => Start::Truncated,
        Init::Uniform(_) => Start::Uniform,
        Init::Ones | Init::RowNorms | Init::Bias => return Ok(None),
    };
    let Some(base) = Base::Initial(seed).tensor(kind.as_ref(), name, shape)? else {
        return Ok(None);
    };
    let entries = shape.iter().product::<usize>() as f64;
    let values = members.values(name)?;
    let drifts: Vec<Drift> = values
        .iter()
        .zip(planes)
        .map(|(values, planes)| {
            let nonzero = planes
                .tensors()
                .get(name)
                .map_or(0, |p| Signs::of(p).nonzero());
            let mut squares = [0.0; 2];
            for (w, w0) in values.iter().zip(&base).filter(|(w, _)| **w != 0.0) {
                let d = f64::from(*w) - f64::from(*w0);
                squares[0] += d * d;
                squares[1] += f64::from(*w0) * f64::from(*w0);
            }
            let zeros = 1.0 - nonzero as f64 / entries;
            Drift { squares, zeros }
        })
        .collect();
    let mut squares = [0.0; 2];
    if start != Start::Zero {
        for drift in &drifts {
            squares[0] += drift.squares[0];
            squares[1] += drift.squares[1];
        }
    }
    Ok(Some((Tally::of(start, &drifts, entries), squares)))
}

/// Expected numbers of positions.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    entries: f64,
    conflicts: f64,
    both_nonzero: f64,
    union_nonzero: f64,
}

impl Tally {
    fn of(start: Start, members: &[Drift], entries: f64) -> Self {
        let none: f64 = members.iter().map(|m| m.zeros).product();
        let one: f64 = (0..members.len())
            .map(|i| {
                let others = members.iter().enumerate().filter(|(j, _)| *j != i);
                (1.0 - members[i].zeros) * others.map(|(_, m)| m.zeros).product::<f64>()
            })
            .sum();
        // No member is positive, given that all began at z; by symmetry none is negative as often.
        let no_positive = start.mean(members, |z| {
            members
                .iter()
                .map(|m| m.zeros + (1.0 - m.zeros) * m.negative(z))
                .product()
        });
        Self {
            entries,
            conflicts: entries * (1.0 - 2.0 * no_positive + none).max(0.0),
            both_nonzero: entries * (1.0 - none - one),
            union_nonzero: entries * (1.0 - none),
        }
    }

    fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        self.conflicts += other.conflicts;
        self.both_nonzero += other.both_nonzero;
        self.union_nonzero += other.union_nonzero;
    }

    fn rate(&self, denominator: Denominator) -> f64 {
        match denominator {
            Denominator::All => self.conflicts / self.entries,
            Denominator::BothNonzero => self.conflicts / self.both_nonzero,
            Denominator::UnionNonzero => self.conflicts / self.union_nonzero,
        }
    }
}

/// Below this a drift is none.
const LEAST: f64 = 1e-9;

impl Drift {
    fn ratio(&self) -> f64 {
        let [d, w] = self.squares;
        (d / w).sqrt().max(LEAST)
    }

    /// The chance that a member which began at z is below zero.
    fn negative(&self, z: f64) -> f64 {
        0.5 * libm::erfc(z / (self.ratio() * std::f64::consts::SQRT_2))
    }
}

impl Start {
    /// The largest value, in units of the root mean square; beyond nine of them a normal is never.
    fn limit(self) -> f64 {
        match self {
            Self::Normal => 9.0,
            Self::Truncated => 2.0 / TRUNCATED_SD,
            Self::Uniform => 3f64.sqrt(),
            Self::Zero => 0.0,
        }
    }

    fn density(self, z: f64) -> f64 {
        let normal = |z: f64| libm::exp(-0.5 * z * z) / (2.0 * std::f64::consts::PI).sqrt();
        match self {
            Self::Normal => normal(z),
            Self::Truncated => TRUNCATED_SD * normal(z * TRUNCATED_SD) / WITHIN_TWO,
            Self::Uniform => 0.5 / self.limit(),
            Self::Zero => 0.0,
        }
    }

    /// The mean of `f` over the initialisation, by Gauss and Legendre on panels that widen from
    /// the smallest drift.
    fn mean(self, members: &[Drift], f: impl Fn(f64) -> f64) -> f64 {
        if self == Self::Zero {
            // The signs are those of the changes, which have nothing in common.
            return members
                .iter()
                .map(|m| m.zeros + (1.0 - m.zeros) * 0.5)
                .product();
        }
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

    fn drift(ratio: f64, zeros: f64) -> Drift {
        Drift {
            squares: [ratio * ratio, 1.0],
            zeros,
        }
    }

    fn rate(start: Start, members: &[Drift]) -> f64 {
        Tally::of(start, members, 1.0).conflicts
    }

    #[test]
    fn a_pair_follows_the_arc_cosine() {
        for r in [1e-4, 0.01, 0.1, 0.5, 1.0, 2.0, 30.0] {
            let known = libm::acos(1.0 / (1.0 + r * r)) / std::f64::consts::PI;
            let found = rate(Start::Normal, &[drift(r, 0.0), drift(r, 0.0)]);
            assert!((found - known).abs() < 1e-10, "{r}: {found} is not {known}");
        }
        let (a, b) = (0.3f64, 0.8f64);
        let cosine = 1.0 / ((1.0 + a * a) * (1.0 + b * b)).sqrt();
        let found = rate(Start::Normal, &[drift(a, 0.0), drift(b, 0.0)]);
        assert!((found - libm::acos(cosine) / std::f64::consts::PI).abs() < 1e-10);
    }

    #[test]
    fn no_drift_is_no_conflict_and_no_common_start_is_chance() {
        assert!(rate(Start::Normal, &[drift(0.0, 0.0); 3]).abs() < 1e-8);
        let found = rate(Start::Zero, &[drift(f64::INFINITY, 0.0); 3]);
        assert!((found - 0.75).abs() < 1e-12);
        let pruned = rate(Start::Zero, &[drift(f64::INFINITY, 0.5); 2]);
        assert!((pruned - 0.5 * 0.25).abs() < 1e-12);
    }

    /// Against simulated members: 400,000 positions, so five standard errors are below 0.004.
    #[test]
    fn other_starts_and_more_members_are_as_simulated() {
        let members = [drift(0.4, 0.0), drift(0.9, 0.2), drift(0.2, 0.5)];
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
                    if stream.uniform() >= m.zeros {
                        positive |= w > 0.0;
                        negative |= w < 0.0;
                    }
                }
                conflicts += u32::from(positive && negative);
            }
            let seen = f64::from(conflicts) / 4e5;
            let theory = rate(start, &members);
            assert!((seen - theory).abs() < 0.004, "{start:?}: {seen}, {theory}");
        }
    }
}
