//! Adversarial attacks: how far labels hold when words are changed that should not matter.
//!
//! Each recipe is one file and one line in [`RECIPES`]. All search alike, as TextAttack does: a text
//! whose label is wrong is skipped; words are ranked by how sure the model is without them; each has
//! its turn once; the best change is kept where it makes the model less sure of the right label;
//! where the label changes, the most similar text of those that change it is the result.
//!
//! # Source
//! Morris et al. 2020, TextAttack 0.3.11: its `GreedyWordSwapWIR`, goal `UntargetedClassification`.

mod characters;
mod constraints;
mod deepwordbug;
mod edits;
mod journal;
mod neighbors;
mod outcome;
mod recipe;
mod run;
mod search;
mod similarity;
mod sources;
mod stop_words;
#[cfg(test)]
mod tests;
mod text;
mod textbugger;
mod textfooler;
mod victim;
mod wordnet;
mod words;

pub use characters::Reach;
pub use constraints::Constraint;
pub use neighbors::Source;
pub use outcome::{Attack, Attempt, Outcome, Step};
pub use recipe::{Change, RECIPES, Recipe, Similarity, recipe};
pub use run::{AttackOptions, attack};
