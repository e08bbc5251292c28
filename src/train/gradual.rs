//! Pruning while training: sparsity grows along a cubic (Zhu & Gupta, arXiv 1710.01878).

use crate::adapter::{Kind, Name, Selection, Shapes, Tensors};
use crate::model::Config;
use crate::prune::{Amount, Mask, Scope, check_prunable, prune_by_scores};
use crate::{Result, bail};

use super::optimizer::AdamW;

/// How an adapter grows sparse in training.
///
/// Over the steps from `start` to `end` the sparsity is s (1 - (1 - p)^3), p from 0 to 1, taken
/// after every step; what has been pruned stays pruned. Biases and the head are not pruned. Epochs
/// that end below the final sparsity are not among those that the best is chosen from.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradual {
    /// The final share of weights set to zero.
    pub sparsity: f64,
    /// What decides which weights stay.
    pub by: GradualBy,
    /// Over what the threshold is taken.
    pub scope: Scope,
    /// When pruning begins, as a share of all steps.
    pub start: f64,
    /// When the final sparsity is reached, as a share of all steps.
    pub end: f64,
}

/// What decides which weights stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradualBy {
    /// |w|.
    Magnitude,
    /// The sum over the steps so far of -w dL/dw (Sanh, Wolf & Rush, arXiv 2005.07683).
    Movement,
}

impl Gradual {
    /// An error unless there is a way from start to end, and what adapters of this kind have on a
    /// model of this configuration can be pruned.
    pub fn check(&self, kind: &dyn Kind, base: &Config) -> Result<()> {
        Amount::Sparsity(self.sparsity).check(0)?;
        let parameters = kind
            .parameters(base)?
            .into_iter()
            .map(|p| (p.name, p.shape));
        let parameters: Shapes = parameters.collect();
        let matrices = Selection::Matrices.pick(&parameters)?;
        check_prunable(kind, matrices.iter().map(|(name, _)| *name))?;
        if self.start >= self.end {
            bail!(
                "gradual pruning starts at {} of the steps and ends at {}: the end comes after the start",
                self.start,
                self.end
            );
        }
        Ok(())
    }

    /// The sparsity after `done` of `steps` steps. The last step has the final one.
    pub fn at(&self, done: usize, steps: usize) -> f64 {
        let share = done as f64 / steps.max(1) as f64;
        let p = ((share - self.start) / (self.end - self.start)).clamp(0.0, 1.0);
        let left = 1.0 - p;
        match done >= steps {
            true => self.sparsity,
            false => self.sparsity * (1.0 - left * left * left),
        }
    }

    /// The mask at a sparsity, of the weight matrices among `names`.
    pub(super) fn mask(
        &self,
        optimizer: &AdamW,
        names: &[Name],
        sparsity: f64,
        before: Option<&Mask>,
    ) -> Result<Mask> {
        let mut scores = Tensors::new();
        for name in names.iter().filter(|n| Selection::Matrices.matches(n)) {
            let found = match self.by {
                GradualBy::Magnitude => optimizer.values(name)?.map(|t| t.abs()).transpose()?,
                GradualBy::Movement => optimizer.movement(name)?,
            };
            if let Some(tensor) = found {
                scores.insert(name.clone(), tensor);
            }
        }
        let mask = prune_by_scores(&scores, Amount::Sparsity(sparsity), self.scope, before)?;
        match before {
            Some(before) => before.joined(&mask),
            None => Ok(mask),
        }
    }

    /// For ids and the record.
    pub(super) fn describe(&self) -> serde_json::Value {
        let by = match self.by {
            GradualBy::Magnitude => "magnitude",
            GradualBy::Movement => "movement",
        };
        let scope = match self.scope {
            Scope::Layerwise => "layerwise",
            Scope::Global => "global",
            Scope::ErdosRenyi => "er",
        };
        serde_json::json!({
            "sparsity": self.sparsity, "by": by, "scope": scope,
            "start": self.start, "end": self.end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cubic_rises_fast_and_ends_flat() {
        let gradual = Gradual {
            sparsity: 0.8,
            by: GradualBy::Magnitude,
            scope: Scope::Layerwise,
            start: 0.25,
            end: 0.75,
        };
        let at = |done| gradual.at(done, 100);
        assert_eq!([at(0), at(25), at(75), at(100)], [0.0, 0.0, 0.8, 0.8]);
        assert!((at(50) - 0.8 * 0.875).abs() < 1e-12);
        let values: Vec<f64> = (0..=100).map(at).collect();
        assert!(values.windows(2).all(|w| w[0] <= w[1]));
        // Even where rounding leaves the share of the last step below the end.
        let late = Gradual {
            end: 1.0,
            start: 0.9,
            ..gradual
        };
        assert_eq!(late.at(7, 7), 0.8);
    }
}
