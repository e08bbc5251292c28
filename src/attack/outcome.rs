//! What an attack found.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::constraints::Constraint;

/// How an attack on one text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The label changed.
    Successful,
    /// It did not.
    Failed,
    /// It was wrong before, so there was nothing to change.
    Skipped,
}

impl Outcome {
    /// `successful`, `failed` or `skipped`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Successful => "successful",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One word replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The word's number in the text as it stood.
    pub word: usize,
    /// The word.
    pub from: String,
    /// What took its place; several words where it was split.
    pub to: String,
}

/// The attack on one text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The row of the split.
    pub row: usize,
    /// The right label's number, in the dataset's order.
    pub gold: usize,
    /// The model's label of the text.
    pub predicted: usize,
    /// The model's label of the text as the attack left it.
    pub perturbed_predicted: usize,
    /// The probability of the right label before.
    pub p: f32,
    /// The probability of the right label after.
    pub perturbed_p: f32,
    /// How it ended.
    pub outcome: Outcome,
    /// The text as the attack left it; of a pair both.
    pub perturbed: (String, Option<String>),
    /// The number of words.
    pub words: usize,
    /// How many of them differ in the end.
    pub changed: usize,
    /// How many texts the model was asked for, each as often as it was asked for.
    pub queries: usize,
    /// The likeness of the last change to what it was compared with, where that was asked for.
    pub similarity: Option<f64>,
    /// The numbers of the words in the order in which they had their turn, or would have had.
    pub order: Vec<usize>,
    /// The words that were replaced, in order.
    pub steps: Vec<Step>,
}

/// The attacks on the rows of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attack {
    /// The recipe's name.
    pub recipe: String,
    /// The dataset's name.
    pub dataset: String,
    /// The split.
    pub split: String,
    /// The dataset's labels, in its order.
    pub labels: Vec<String>,
    /// The constraints of the recipe, those that are on and those that are left out.
    pub constraints: Vec<Constraint>,
    /// Where words that take others' places come from, where the recipe has such.
    pub neighbors: Option<String>,
    /// What tells how like texts are, where the recipe asks for that.
    pub encoder: Option<String>,
    /// Row by row.
    pub attempts: Vec<Attempt>,
}

impl Attack {
    /// Number of texts.
    pub fn n(&self) -> usize {
        self.attempts.len()
    }

    /// How many attacks ended so.
    pub fn count(&self, outcome: Outcome) -> usize {
        let such = |attempt: &&Attempt| attempt.outcome == outcome;
        self.attempts.iter().filter(such).count()
    }

    /// The share of texts that were right before.
    pub fn original_accuracy(&self) -> f64 {
        share(self.n() - self.count(Outcome::Skipped), self.n())
    }

    /// The share of texts that are right still: attacks that failed, of all texts.
    pub fn accuracy_under_attack(&self) -> f64 {
        share(self.count(Outcome::Failed), self.n())
    }

    /// The share of attacks that succeeded, of those on texts that were right; 0 where there were
    /// none, as in TextAttack.
    pub fn success_rate(&self) -> f64 {
        share(
            self.count(Outcome::Successful),
            self.n() - self.count(Outcome::Skipped),
        )
    }

    /// The mean number of queries of a text that was right; none where there was none.
    pub fn queries(&self) -> Option<f64> {
        let attacked = |attempt: &&Attempt| attempt.outcome != Outcome::Skipped;
        mean(
            self.attempts
                .iter()
                .filter(attacked)
                .map(|attempt| attempt.queries as f64),
        )
    }

    /// The mean share of words that attacks changed which succeeded; none where none did.
    pub fn perturbed(&self) -> Option<f64> {
        let changed =
            |attempt: &&Attempt| attempt.outcome == Outcome::Successful && attempt.changed > 0;
        mean(
            self.attempts
                .iter()
                .filter(changed)
                .map(|attempt| share(attempt.changed, attempt.words)),
        )
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Attack {} on {} ({}): accuracy {:.4} -> {:.4}, success rate {:.4}, n {}",
            self.recipe,
            self.dataset,
            self.split,
            self.original_accuracy(),
            self.accuracy_under_attack(),
            self.success_rate(),
            self.n()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(outcome: Outcome, changed: usize, queries: usize) -> Attempt {
        Attempt {
            row: 0,
            gold: 0,
            predicted: 0,
            perturbed_predicted: 1,
            p: 0.9,
            perturbed_p: 0.1,
            outcome,
            perturbed: (String::new(), None),
            words: 10,
            changed,
            queries,
            similarity: None,
            order: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn attack(attempts: Vec<Attempt>) -> Attack {
        Attack {
            recipe: "textfooler".into(),
            dataset: "d".into(),
            split: "test".into(),
            labels: Vec::new(),
            constraints: Vec::new(),
            neighbors: None,
            encoder: None,
            attempts,
        }
    }

    /// As TextAttack 0.3.11's `AttackSuccessRate`, `AttackQueries` and `WordsPerturbed`, in shares.
    #[test]
    fn metrics_are_those_of_textattack() {
        use Outcome::{Failed, Skipped, Successful};
        let found = attack(vec![
            attempt(Successful, 1, 20),
            attempt(Successful, 3, 40),
            attempt(Failed, 5, 60),
            attempt(Skipped, 0, 1),
        ]);
        assert_eq!(found.original_accuracy(), 0.75);
        assert_eq!(found.accuracy_under_attack(), 0.25);
        assert_eq!(found.success_rate(), 2.0 / 3.0);
        assert_eq!(found.queries(), Some(40.0));
        assert_eq!(found.perturbed(), Some(0.2));
    }

    #[test]
    fn nothing_to_attack_is_no_mean() {
        let found = attack(vec![attempt(Outcome::Skipped, 0, 1)]);
        assert_eq!(
            (found.success_rate(), found.original_accuracy()),
            (0.0, 0.0)
        );
        assert_eq!((found.queries(), found.perturbed()), (None, None));
    }
}
