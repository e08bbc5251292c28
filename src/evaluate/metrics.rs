//! Classification metrics, with scikit-learn's values.
//!
//! Classes are numbers from 0; where there are two, class 1 is the positive one. A ratio with
//! nothing below the line is 0.

use crate::{Result, bail};

/// How often each class was taken for each: all metrics follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// Counts rows of `labels` against `predictions`; every class is below `classes`.
    pub fn new(labels: &[usize], predictions: &[usize], classes: usize) -> Result<Self> {
        if labels.len() != predictions.len() {
            bail!(
                "{} labels against {} predictions: they must be on the same rows",
                labels.len(),
                predictions.len()
            );
        }
        if labels.is_empty() {
            bail!("there are no rows to score");
        }
        let mut counts = vec![vec![0; classes]; classes];
        for (&label, &prediction) in labels.iter().zip(predictions) {
            match counts
                .get_mut(label)
                .and_then(|row| row.get_mut(prediction))
            {
                Some(count) => *count += 1,
                None => bail!(
                    "class {} is outside the {classes} classes",
                    label.max(prediction)
                ),
            }
        }
        Ok(Self { counts })
    }

    /// Counts, a row a true class, a column a predicted one.
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// Scored rows.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Part of the rows whose prediction is right.
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct() as f64, self.total() as f64)
    }

    /// Part of the rows predicted as `class` that are of it; 0 for a class that does not exist.
    pub fn precision(&self, class: usize) -> f64 {
        ratio(self.hits(class), self.predicted(class))
    }

    /// Part of the rows of `class` that were predicted as it.
    pub fn recall(&self, class: usize) -> f64 {
        ratio(self.hits(class), self.actual(class))
    }

    /// Harmonic mean of the precision and the recall of `class`.
    pub fn f1(&self, class: usize) -> f64 {
        ratio(
            2.0 * self.hits(class),
            self.predicted(class) + self.actual(class),
        )
    }

    /// F1 of class 1, the positive of two; an error where there are more classes.
    pub fn f1_binary(&self) -> Result<f64> {
        if self.counts.len() != 2 {
            bail!("binary F1 is for two classes, not {}", self.counts.len(); hint: "use the macro or micro average");
        }
        Ok(self.f1(1))
    }

    /// Mean F1 of the classes that are a row's label or prediction.
    pub fn f1_macro(&self) -> f64 {
        let seen = (0..self.counts.len()).filter(|&c| self.predicted(c) + self.actual(c) > 0.0);
        let scores: Vec<f64> = seen.map(|class| self.f1(class)).collect();
        ratio(scores.iter().sum(), scores.len() as f64)
    }

    /// F1 of all decisions pooled: with one label a row, the accuracy.
    pub fn f1_micro(&self) -> f64 {
        self.accuracy()
    }

    /// Matthews' correlation coefficient, for any number of classes (Gorodkin 2004); 0 where one
    /// class is all there is.
    pub fn matthews(&self) -> f64 {
        let total = self.total() as f64;
        let (mut chance, mut predicted, mut actual) = (0.0, 0.0, 0.0);
        for class in 0..self.counts.len() {
            let (p, a) = (self.predicted(class), self.actual(class));
            chance += p * a;
            predicted += p * p;
            actual += a * a;
        }
        let spread = ((total * total - predicted) * (total * total - actual)).sqrt();
        ratio(self.correct() as f64 * total - chance, spread)
    }

    fn correct(&self) -> u64 {
        (0..self.counts.len()).map(|c| self.counts[c][c]).sum()
    }

    fn hits(&self, class: usize) -> f64 {
        self.counts.get(class).map_or(0, |row| row[class]) as f64
    }

    fn actual(&self, class: usize) -> f64 {
        self.counts.get(class).map_or(0, |row| row.iter().sum()) as f64
    }

    fn predicted(&self, class: usize) -> f64 {
        let column = self.counts.iter().filter_map(|row| row.get(class));
        column.sum::<u64>() as f64
    }
}

/// Part of the rows whose prediction is the label.
pub fn accuracy(labels: &[usize], predictions: &[usize]) -> Result<f64> {
    let classes = labels.iter().chain(predictions).max().map_or(0, |c| c + 1);
    Ok(Confusion::new(labels, predictions, classes)?.accuracy())
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(ours: f64, theirs: &serde_json::Value, what: &str) {
        let theirs = theirs.as_f64().unwrap();
        assert!((ours - theirs).abs() < 1e-12, "{what}: {ours} {theirs}");
    }

    #[test]
    fn the_shared_case_is_matched() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../shared/conformance/stats/case.json"
        );
        let Ok(text) = std::fs::read_to_string(path) else {
            eprintln!("skipped: no conformance cases beside this checkout");
            return;
        };
        let case: serde_json::Value = serde_json::from_str(&text).unwrap();
        let classes =
            |key: &str| -> Vec<usize> { serde_json::from_value(case[key].clone()).unwrap() };
        let (labels, predictions) = (classes("labels"), classes("predictions"));
        let all = Confusion::new(&labels, &predictions, 3).unwrap();
        let counts: Vec<Vec<u64>> = serde_json::from_value(case["confusion"].clone()).unwrap();
        assert_eq!(all.counts(), counts);
        close(all.accuracy(), &case["accuracy"], "accuracy");
        close(all.f1_macro(), &case["f1_macro"], "f1_macro");
        close(all.f1_micro(), &case["f1_micro"], "f1_micro");
        // The case's binary metrics ask whether the class is above 0.
        let binary = |of: &[usize]| of.iter().map(|c| usize::from(*c > 0)).collect::<Vec<_>>();
        let two = Confusion::new(&binary(&labels), &binary(&predictions), 2).unwrap();
        close(two.f1_binary().unwrap(), &case["f1_binary"], "f1_binary");
        close(two.precision(1), &case["precision"], "precision");
        close(two.recall(1), &case["recall"], "recall");
        close(two.matthews(), &case["mcc"], "mcc");
    }

    #[test]
    fn an_absent_class_counts_in_no_average() {
        let labels = [0, 1, 1, 0];
        let confusion = Confusion::new(&labels, &labels, 5).unwrap();
        assert_eq!(confusion.f1_macro(), 1.0);
        assert_eq!(confusion.matthews(), 1.0);
        assert_eq!(confusion.f1(4), 0.0);
        assert_eq!(confusion.recall(9), 0.0);
        assert!(confusion.f1_binary().is_err());
    }

    #[test]
    fn one_class_alone_has_no_correlation() {
        let confusion = Confusion::new(&[1, 1], &[1, 1], 2).unwrap();
        assert_eq!(confusion.matthews(), 0.0);
        assert_eq!(confusion.precision(0), 0.0);
    }

    #[test]
    fn rows_that_do_not_match_are_refused() {
        assert!(accuracy(&[], &[]).is_err());
        assert!(accuracy(&[1], &[1, 2]).is_err());
        assert!(Confusion::new(&[0, 2], &[0, 0], 2).is_err());
        assert_eq!(accuracy(&[0, 1, 2], &[0, 1, 1]).unwrap(), 2.0 / 3.0);
    }
}
