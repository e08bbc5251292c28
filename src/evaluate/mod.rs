//! Metrics, evaluation, the grid engine.

mod encoded;
mod grid;
mod journal;
pub mod metrics;
mod run;
mod score;

pub use encoded::{Encoded, labels_of};
pub use grid::{Cell, GridOptions, SignRates, evaluate_all};
pub use run::{BATCH, EvaluateOptions, choose_split, evaluate, evaluate_rows};
pub use score::Score;
