//! Metrics, evaluation, the grid engine.

mod companions;
mod cost;
mod encoded;
mod grid;
mod journal;
pub mod metrics;
mod run;
mod score;

pub use companions::Companions;
pub use encoded::{Encoded, by_position, labels_of, match_labels};
pub use grid::{Cell, GridOptions, SignRates, evaluate_all};
pub use run::{BATCH, EvaluateOptions, choose_split, evaluate, evaluate_rows, max_length};
pub use score::Score;
