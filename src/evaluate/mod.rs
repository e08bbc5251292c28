//! Metrics, evaluation, the grid engine.

mod companions;
mod cost;
mod encoded;
mod grid;
mod journal;
mod matching;
pub mod metrics;
mod run;
mod score;

pub use companions::Companions;
pub use encoded::{Encoded, labels_of};
pub use grid::{Cell, GridOptions, SignRates, chosen_on, evaluate_all};
pub use matching::{Answers, Matched, head_of, match_labels};
pub use run::{BATCH, EvaluateOptions, choose_split, evaluate, evaluate_rows, max_length};
pub use score::Score;
