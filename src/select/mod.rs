//! Choosing what goes into a soup, and how much of it: by held-out scores, by signs, by search.

mod greedy;
mod learned;
mod metric;

pub use greedy::{GreedyOptions, SignOptions, by_score, by_signs};
pub use learned::{LearnOptions, Search, learned};
pub use metric::Metric;
