//! What a choice looks at.

use std::str::FromStr;

use crate::adapter::Adapter;
use crate::data::{Dataset, Split};
use crate::evaluate::{EvaluateOptions, Score, evaluate};
use crate::model::Model;
use crate::{Context, Error, Result, bail};

/// A number of a [`Score`] to select by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Share of rows answered right.
    Accuracy,
    /// The unweighted mean of the classes' F1.
    MacroF1,
    /// Matthews' correlation.
    Matthews,
    /// Mean loss: lower is better.
    Loss,
    /// Mean entropy of the answers' distribution, in natural logarithms: lower is better. Looks
    /// at no labels.
    Entropy,
}

impl Metric {
    /// The names, in order.
    pub const NAMES: &'static [&'static str] =
        &["accuracy", "f1_macro", "matthews", "loss", "entropy"];

    const ALL: [Self; 5] = [
        Self::Accuracy,
        Self::MacroF1,
        Self::Matthews,
        Self::Loss,
        Self::Entropy,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let at = Self::ALL.iter().position(|m| *m == self);
        at.map_or("", |i| Self::NAMES[i])
    }

    /// Its value in a score.
    pub fn of(self, score: &Score) -> Result<f64> {
        match self {
            Self::Accuracy => score.accuracy(),
            Self::MacroF1 => Ok(score.confusion()?.f1_macro()),
            Self::Matthews => Ok(score.confusion()?.matthews()),
            Self::Loss => Ok(score.loss),
            Self::Entropy => match score.entropy {
                Some(entropy) => Ok(entropy),
                None => bail!(
                    "{} has numbers as labels, whose answers have no entropy",
                    score.dataset
                ),
            },
        }
    }

    /// A value as something to be made large.
    pub fn gain(self, value: f64) -> f64 {
        match self {
            Self::Loss | Self::Entropy => -value,
            _ => value,
        }
    }

    /// The mean over datasets of an adapter's value.
    pub fn mean(
        self,
        model: &Model,
        adapter: &Adapter,
        data: &[Dataset],
        split: Split,
        context: &Context,
    ) -> Result<f64> {
        let options = EvaluateOptions {
            split: Some(split),
            max_length: None,
        };
        let mut sum = 0.0;
        for data in data {
            sum += self.of(&evaluate(model, adapter, data, &options, context)?)?;
        }
        Ok(sum / data.len().max(1) as f64)
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match Self::NAMES.iter().position(|n| *n == name) {
            Some(i) => Ok(Self::ALL[i]),
            None => bail!("unknown metric {name:?}; known: {}", Self::NAMES.join(", ")),
        }
    }
}
