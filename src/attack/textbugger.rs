//! TextBugger: letters that look right, a space, or a near word.

use super::characters::Reach;
use super::recipe::{Change, Recipe, Similarity};
use super::stop_words;

/// Li et al. 2019, "TextBugger", as TextAttack's `TextBuggerLi2018`.
pub const TEXTBUGGER: Recipe = Recipe {
    name: "textbugger",
    blank: "",
    changes: &[
        Change::Space(Reach::Inner),
        Change::Delete(Reach::Inner),
        Change::Swap(Reach::Inner),
        Change::Homoglyph,
        Change::Neighbors(5),
    ],
    stop_words: stop_words::ENGLISH,
    keeps_first: false,
    least_cosine: None,
    same_part_of_speech: false,
    most_edits: None,
    similarity: Some(Similarity {
        least: 0.8,
        window: None,
        short_pass: false,
        with_original: true,
    }),
};
