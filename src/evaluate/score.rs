//! What an evaluation found.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::adapter::Labels;
use crate::{Error, Result};

use super::metrics;

/// The outcome of one evaluation, row by row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Score {
    /// The dataset's name.
    pub dataset: String,
    /// The dataset's id.
    pub dataset_id: String,
    /// Which split was evaluated.
    pub split: String,
    /// The name of the head: that of the dataset it was trained on or, of a loaded adapter, the
    /// adapter's.
    #[serde(default)]
    pub head: String,
    /// What the labels are: the dataset's, and the head's other classes, which are answers, too.
    pub labels: Labels,
    /// The right answer of each row: a class number, or a value.
    pub gold: Vec<f64>,
    /// The model's answer of each row: a class number, or a value.
    pub predicted: Vec<f64>,
    /// The probability the model gave its answer, in classification.
    pub p: Vec<f32>,
    /// Mean loss over the rows, in natural logarithms.
    pub loss: f64,
    /// Mean entropy of the answers' distribution, in natural logarithms; none in regression.
    pub entropy: Option<f64>,
}

impl Score {
    /// Number of rows.
    pub fn n(&self) -> usize {
        self.gold.len()
    }

    /// Share of rows answered right. An error in regression.
    pub fn accuracy(&self) -> Result<f64> {
        if self.labels == Labels::Number {
            return Err(Error::new(
                "accuracy is for classes; this dataset has numbers as labels",
            ));
        }
        Ok(self.right() as f64 / self.n().max(1) as f64)
    }

    /// Number of rows answered right.
    pub fn right(&self) -> usize {
        self.gold
            .iter()
            .zip(&self.predicted)
            .filter(|(g, p)| g == p)
            .count()
    }

    /// What model selection compares, higher is better: accuracy, or minus the mean squared error.
    pub fn selection(&self) -> f64 {
        match self.labels {
            Labels::Number => -self.loss,
            _ => self.right() as f64 / self.n().max(1) as f64,
        }
    }

    /// Share of the most frequent right answer: what always giving it would score.
    pub fn majority(&self) -> f64 {
        let mut counts = vec![0usize; self.labels.outputs()];
        for gold in &self.gold {
            if let Some(count) = counts.get_mut(*gold as usize) {
                *count += 1;
            }
        }
        counts.into_iter().max().unwrap_or(0) as f64 / self.n().max(1) as f64
    }

    /// Counts by right answer (rows) and given answer (columns). An error in regression.
    pub fn confusion(&self) -> Result<metrics::Confusion> {
        self.accuracy()?;
        let class = |v: &Vec<f64>| v.iter().map(|x| *x as usize).collect::<Vec<_>>();
        let (gold, predicted) = (class(&self.gold), class(&self.predicted));
        metrics::Confusion::new(&gold, &predicted, self.labels.outputs())
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Score on {} ({}): ", self.dataset, self.split)?;
        if self.labels != Labels::Number {
            let share = self.right() as f64 / self.n().max(1) as f64;
            write!(f, "accuracy {share:.4} (majority {:.4}), ", self.majority())?;
        }
        write!(f, "loss {:.4}, n {}", self.loss, self.n())?;
        match self.head == self.dataset {
            true => Ok(()),
            false => write!(f, ", head of {}", self.head),
        }
    }
}
