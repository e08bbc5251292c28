//! Metrics, evaluation, the grid engine.

mod companions;
mod cost;
mod encoded;
mod grid;
pub mod metrics;
mod run;
mod score;

pub use companions::Companions;
pub use encoded::{Encoded, labels_of};
pub use grid::{Cell, GridOptions, SignRates, evaluate_all};
pub use run::{BATCH, EvaluateOptions, choose_split, evaluate, evaluate_rows};
pub use score::Score;
