//! TextFooler: words with others near them in counter-fitted vectors.

use super::recipe::{Change, Recipe, Similarity};
use super::stop_words;

/// Jin et al. 2020, "Is BERT Really Robust?", as TextAttack's `TextFoolerJin2019`.
pub const TEXTFOOLER: Recipe = Recipe {
    name: "textfooler",
    blank: "",
    changes: &[Change::Neighbors(50)],
    stop_words: stop_words::TEXTFOOLER,
    keeps_first: true,
    least_cosine: Some(0.5),
    same_part_of_speech: true,
    most_edits: None,
    // The original code asks for 1 - angle >= 0.5 without dividing by pi: 1 - 0.5 / pi.
    similarity: Some(Similarity {
        least: 0.840_845_057,
        window: Some(15),
        short_pass: true,
        with_original: false,
    }),
};
