//! Magnitude: |w|.

use super::Criterion;

pub(super) const CRITERION: Criterion = Criterion {
    name: "magnitude",
    score: |_, values, _| values.iter().map(|w| f64::from(w.abs())).collect(),
};
