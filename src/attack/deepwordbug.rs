//! DeepWordBug: slips of the keyboard.

use super::characters::Reach;
use super::recipe::{Change, Recipe};
use super::stop_words;

/// Gao et al. 2018, "Black-box Generation of Adversarial Text Sequences", as TextAttack's
/// `DeepWordBugGao2018`, whose words are ranked with `[UNK]` in their place.
pub const DEEPWORDBUG: Recipe = Recipe {
    name: "deepwordbug",
    blank: "[UNK]",
    changes: &[
        Change::Swap(Reach::Whole),
        Change::Substitute,
        Change::Delete(Reach::Whole),
        Change::Insert(Reach::Whole),
    ],
    stop_words: stop_words::ENGLISH,
    keeps_first: false,
    least_cosine: None,
    same_part_of_speech: false,
    most_edits: Some(30),
    similarity: None,
};
