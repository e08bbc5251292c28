//! What scores an adapter's entries: the list of criteria.

use super::{
    Scope, conflict::Conflict, erdos_renyi::ErdosRenyi, fisher::Fisher, grasp::Grasp,
    magnitude::Magnitude, movement::Movement, random::Random, snip::Snip, synflow::SynFlow,
};
use crate::adapter::Name;
use crate::{Error, Result, nearest};

/// Every criterion that has a name.
pub const CRITERIA: &[&dyn Criterion] = &[
    &Magnitude,
    &Random,
    &Snip,
    &Grasp,
    &Fisher,
    &SynFlow,
    &ErdosRenyi,
    &Conflict,
    &Movement,
];

/// What a criterion may look at to score a tensor.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The tensor's name.
    pub name: &'a Name,
    /// Its entries, in row-major order.
    pub weights: &'a [f32],
    /// What the criterion needs beside them, one number an entry; empty where it is [`Need::Nothing`].
    pub evidence: &'a [f32],
    /// The seed of random criteria.
    pub seed: u64,
}

/// What a criterion needs beside the weights: one number an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// The loss's gradient g, summed over the batches.
    Gradient,
    /// The loss's Hessian times its gradient, H g.
    Curvature,
    /// The gradient of the flow R through the adapter's absolute weights ([`super::flow`]), which
    /// pruning makes itself.
    Flow,
    /// 1 where a set of adapters is in sign conflict, else 0 ([`super::conflicts`]).
    Conflict,
    /// The weights that training began from.
    Start,
}

impl Need {
    /// What it is called in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Gradient => "gradient",
            Self::Curvature => "product of Hessian and gradient",
            Self::Flow => "flow",
            Self::Conflict => "sign conflict",
            Self::Start => "start",
        }
    }
}

/// Scores entries: the higher, the longer an entry is kept.
pub trait Criterion: Sync {
    /// The name it is chosen by.
    fn name(&self) -> &'static str;

    /// What the scores need beside the weights.
    fn needs(&self) -> Need {
        Need::Nothing
    }

    /// In how many rounds it prunes, each scored with what the rounds before left.
    fn rounds(&self) -> usize {
        1
    }

    /// The scope that is part of it; none where any goes.
    fn scope(&self) -> Option<Scope> {
        None
    }

    /// One score an entry.
    fn scores(&self, target: &Target<'_>) -> Vec<f32>;

    /// What a score adds to that of its unit. Scores that only say an order have to be told as
    /// amounts.
    fn share(&self, score: f32) -> f32 {
        score
    }
}

/// The criterion of this name; an error that lists the names if there is none.
pub fn criterion(name: &str) -> Result<&'static dyn Criterion> {
    if let Some(found) = CRITERIA.iter().find(|c| c.name() == name) {
        return Ok(*found);
    }
    let names: Vec<&str> = CRITERIA.iter().map(|c| c.name()).collect();
    let error = Error::new(format!(
        "unknown pruning criterion `{name}`: expected one of {}",
        names.join(", ")
    ));
    Err(match nearest(name, names) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(name: &str, weights: &[f32], evidence: &[f32]) -> Vec<f32> {
        criterion(name).unwrap().scores(&Target {
            name: &Name::new("w"),
            weights,
            evidence,
            seed: 1,
        })
    }

    #[test]
    fn scores_by_hand() {
        let (w, g) = ([-2.0, 0.0, 3.0], [0.5, 4.0, -1.0]);
        assert_eq!(scores("magnitude", &w, &[]), [2.0, 0.0, 3.0]);
        assert_eq!(scores("snip", &w, &g), [1.0, 0.0, 3.0]);
        assert_eq!(scores("grasp", &w, &g), [-1.0, 0.0, -3.0]);
        assert_eq!(scores("fisher", &w, &g), [0.25, 16.0, 1.0]);
        assert_eq!(scores("synflow", &w, &g), [1.0, 0.0, 3.0]);
        assert_eq!(scores("movement", &w, &g), [5.0, 0.0, 12.0]);
        assert_eq!(scores("er", &w, &[]), scores("random", &w, &[]));
    }

    #[test]
    fn conflicts_go_before_all_else_and_the_smallest_of_them_first() {
        let w = [3.0, -1e-45, 2.0, 0.0, -0.5, -2.5, f32::MAX, 1e30];
        let conflict = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        let scores = scores("conflict", &w, &conflict);
        let mut order: Vec<usize> = (0..w.len()).collect();
        order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        // Nothing is lost by losing a zero.
        assert_eq!(order, [3, 1, 2, 0, 6, 4, 5, 7]);
    }

    #[test]
    fn random_scores_depend_on_seed_and_name_only() {
        let of = |name: &str, seed, weights: &[f32]| {
            Random.scores(&Target {
                name: &Name::new(name),
                weights,
                evidence: &[],
                seed,
            })
        };
        assert_eq!(of("w", 1, &[0.0; 9]), of("w", 1, &[1.0; 9]));
        assert_ne!(of("w", 1, &[0.0; 9]), of("w", 2, &[0.0; 9]));
        assert_ne!(of("w", 1, &[0.0; 9]), of("v", 1, &[0.0; 9]));
    }

    #[test]
    fn a_misspelt_criterion_is_corrected() {
        let error = criterion("magnitud").err().unwrap().to_string();
        assert_eq!(
            error,
            "unknown pruning criterion `magnitud`: expected one of magnitude, random, snip, grasp, fisher, \
             synflow, er, conflict, movement; did you mean `magnitude`?"
        );
    }
}
