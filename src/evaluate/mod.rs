//! Metrics, evaluation, the grid engine.

mod encoded;
mod grid;
pub mod metrics;
mod run;
mod score;

pub use encoded::{Encoded, labels_of, match_labels};
pub use grid::{Cell, GridOptions, SignRates, evaluate_all};
pub use run::{BATCH, EvaluateOptions, choose_split, evaluate, evaluate_rows, max_length};
pub use score::Score;
