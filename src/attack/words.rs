//! What a word is, as TextAttack takes texts apart.

use std::ops::Range;

/// Letters that stand in for others: they are parts of words though some are none by Unicode.
const HOMOGLYPHS: &str = "˗৭Ȣ𝟕бƼᏎƷᒿlO`ɑЬϲԁе𝚏ɡհіϳ𝒌ⅼｍոорԛⲅѕ𝚝սѵԝ×уᴢ";

/// What joins the parts of a word, and is none of it at its ends.
const JOINTS: [char; 5] = ['\'', '-', '_', '*', '@'];

/// Where the words of a text are, in bytes: runs of letters, digits and what joins them, without
/// what joins at the ends ("it's", "well-made"). Chinese is not taken apart, which TextAttack
/// leaves to another library.
pub(super) fn words(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (is_part(c), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.extend(trimmed(text, from..at));
                start = None;
            }
            _ => {}
        }
    }
    found
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || JOINTS.contains(&c) || HOMOGLYPHS.contains(c)
}

/// The run without what joins at its ends; none where nothing else is in it.
fn trimmed(text: &str, run: Range<usize>) -> Option<Range<usize>> {
    let word = &text[run.clone()];
    let start = run.start + (word.len() - word.trim_start_matches(JOINTS).len());
    let end = run.start + word.trim_end_matches(JOINTS).len();
    (start < end).then_some(start..end)
}

/// `word` in the case of `like`: small, CAPITAL or Capitalised; as it is where that is none of
/// these.
pub(super) fn in_case_of(word: &str, like: &str) -> String {
    if is_lower(like) {
        return word.to_lowercase();
    }
    let mut letters = like.chars();
    let first = letters.next();
    let rest = letters.as_str();
    if is_upper(like) && !rest.is_empty() {
        return word.to_uppercase();
    }
    if first.is_some_and(char::is_uppercase) && is_lower(rest) {
        let mut letters = word.chars();
        let first: String = letters
            .next()
            .into_iter()
            .flat_map(char::to_uppercase)
            .collect();
        return format!("{first}{}", letters.as_str().to_lowercase());
    }
    word.to_string()
}

/// Whether it has letters with a case and all of them are small.
fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<&str> {
        words(text).into_iter().map(|at| &text[at]).collect()
    }

    /// From TextAttack 0.3.11's `words_from_text`.
    #[test]
    fn words_are_those_of_textattack() {
        for (text, expected) in [
            (
                "It's a well-made film.",
                &["It's", "a", "well-made", "film"][..],
            ),
            ("'quoted' -- and_ _so *on*", &["quoted", "and", "so", "on"]),
            (
                "3.5 stars, me@home.org!",
                &["3", "5", "stars", "me@home", "org"],
            ),
            ("naïve café №5 — “so”", &["naïve", "café", "5", "so"]),
            ("a`b ×x go od", &["a`b", "×x", "go", "od"]),
            ("  -- ... ", &[]),
            ("", &[]),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    /// From TextAttack 0.3.11's `recover_word_case`.
    #[test]
    fn case_is_recovered_as_in_textattack() {
        for (word, like, expected) in [
            ("Movie", "film", "movie"),
            ("movie", "FILM", "MOVIE"),
            ("movie", "Film", "Movie"),
            ("movie", "fILM", "movie"),
            ("movie", "I", "movie"),
            ("mOvie", "A1", "MOVIE"),
            ("movie", "1990", "movie"),
            ("élan", "Verve", "Élan"),
        ] {
            assert_eq!(in_case_of(word, like), expected, "{word} like {like}");
        }
    }
}
