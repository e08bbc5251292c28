//! What scores an adapter's entries: the list of criteria.

use super::{fisher::Fisher, magnitude::Magnitude, random::Random, snip::Snip};
use crate::adapter::Name;
use crate::{Error, Result, nearest};

/// Every criterion that has a name.
pub const CRITERIA: &[&dyn Criterion] = &[&Magnitude, &Random, &Snip, &Fisher];

/// What a criterion may look at to score a tensor.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The tensor's name.
    pub name: &'a Name,
    /// Its entries, in row-major order.
    pub weights: &'a [f32],
    /// The loss's gradient by each entry; empty unless the criterion needs gradients.
    pub gradients: &'a [f32],
    /// The seed of random criteria.
    pub seed: u64,
}

/// Scores entries: the higher, the longer an entry is kept.
pub trait Criterion: Sync {
    /// The name it is chosen by.
    fn name(&self) -> &'static str;

    /// Whether the scores need the loss's gradients.
    fn needs_gradients(&self) -> bool {
        false
    }

    /// Whether a weight of zero scores zero whatever else holds, so that weights which start at
    /// zero cannot be told apart before training.
    fn vanishes_with_weight(&self) -> bool {
        false
    }

    /// One score an entry.
    fn scores(&self, target: &Target<'_>) -> Vec<f32>;
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

    fn scores(name: &str, weights: &[f32], gradients: &[f32]) -> Vec<f32> {
        criterion(name).unwrap().scores(&Target {
            name: &Name::new("w"),
            weights,
            gradients,
            seed: 1,
        })
    }

    #[test]
    fn scores_by_hand() {
        let (w, g) = ([-2.0, 0.0, 3.0], [0.5, 4.0, -1.0]);
        assert_eq!(scores("magnitude", &w, &[]), [2.0, 0.0, 3.0]);
        assert_eq!(scores("snip", &w, &g), [1.0, 0.0, 3.0]);
        assert_eq!(scores("fisher", &w, &g), [0.25, 16.0, 1.0]);
    }

    #[test]
    fn random_scores_depend_on_seed_and_name_only() {
        let of = |name: &str, seed, weights: &[f32]| {
            Random.scores(&Target {
                name: &Name::new(name),
                weights,
                gradients: &[],
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
            "unknown pruning criterion `magnitud`: expected one of magnitude, random, snip, fisher; \
             did you mean `magnitude`?"
        );
    }
}
