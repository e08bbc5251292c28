//! A text under attack: its words, and which of them were changed.

use std::collections::BTreeSet;
use std::ops::Range;

use super::words::words;
use crate::data::Row;
use crate::model::tokenize::Text;

/// A text, or a pair of texts, whose words can be replaced one by one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attacked {
    /// The text; of a pair both, with a line break between.
    text: String,
    /// Where the second text of a pair begins.
    second: Option<usize>,
    words: Vec<Range<usize>>,
    /// The words that were changed since the attack began, as they are numbered now.
    changed: BTreeSet<usize>,
    /// Those that the last change made.
    last: Vec<usize>,
}

impl Attacked {
    pub(super) fn of(row: &Row) -> Self {
        match &row.text_b {
            None => Self::new(row.text.to_string(), None),
            Some(second) => Self::new(format!("{}\n{second}", row.text), Some(row.text.len() + 1)),
        }
    }

    fn new(text: String, second: Option<usize>) -> Self {
        Self {
            words: words(&text),
            text,
            second,
            changed: BTreeSet::new(),
            last: Vec::new(),
        }
    }

    /// The whole; of a pair both texts, with a line break between.
    pub(super) fn whole(&self) -> &str {
        &self.text
    }

    /// As the model reads it.
    pub(super) fn as_input(&self) -> Text<'_> {
        match self.texts() {
            (text, None) => Text::Single(text),
            (first, Some(second)) => Text::Pair(first, second),
        }
    }

    /// The text, or the first of the pair, and the second.
    pub(super) fn texts(&self) -> (&str, Option<&str>) {
        match self.second {
            None => (&self.text, None),
            Some(at) => (&self.text[..at - 1], Some(&self.text[at..])),
        }
    }

    /// The number of words.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// The word of this number; none where there are fewer.
    pub(super) fn word(&self, i: usize) -> Option<&str> {
        Some(&self.text[self.words.get(i)?.clone()])
    }

    /// Whether the word is of the second text of a pair.
    pub(super) fn is_second(&self, i: usize) -> bool {
        match (self.second, self.words.get(i)) {
            (Some(second), Some(word)) => word.start >= second,
            _ => false,
        }
    }

    /// Whether the word was changed since the attack began.
    pub(super) fn is_changed(&self, i: usize) -> bool {
        self.changed.contains(&i)
    }

    /// The words that the last change made.
    pub(super) fn last_changed(&self) -> &[usize] {
        &self.last
    }

    /// The text with another word in the place of the `i`-th, which may be none (then a space goes,
    /// too) or several. Spacing and punctuation stay. Words behind are numbered anew where their
    /// number changes.
    pub(super) fn replaced(&self, i: usize, new: &str) -> Self {
        let Some(place) = self.words.get(i).cloned() else {
            return self.clone();
        };
        let count = words(new).len();
        let (mut before, mut after) = (&self.text[..place.start], &self.text[place.end..]);
        if count == 0 && !after.is_empty() {
            match i {
                0 => after = after.strip_prefix(' ').unwrap_or(after),
                _ => before = before.strip_suffix(' ').unwrap_or(before),
            }
        }
        let text = format!("{before}{new}{after}");
        let second = self.second.map(|second| match place.start >= second {
            true => second,
            false => second + text.len() - self.text.len(),
        });
        let moved = |&other: &usize| match other > i {
            true => other + count - 1,
            false => other,
        };
        let kept = self.changed.iter().filter(|other| **other != i);
        let last: Vec<usize> = (i..i + count).collect();
        Self {
            changed: kept.map(moved).chain(last.iter().copied()).collect(),
            last,
            ..Self::new(text, second)
        }
    }

    /// The text from the first to the last of `size` words with the `i`-th in their middle, those
    /// at an end with more on the other side; of all words where `size` is none.
    pub(super) fn window(&self, i: usize, size: Option<usize>) -> &str {
        let (length, last) = (self.len(), self.len().saturating_sub(1));
        let (start, end) = match size {
            None => (0, last),
            Some(size) => {
                let half = size.saturating_sub(1) / 2;
                if i < half {
                    (0, size.saturating_sub(1).min(last))
                } else if i + half >= length {
                    (length.saturating_sub(size), last)
                } else {
                    (i - half, i + half)
                }
            }
        };
        match (self.words.get(start), self.words.get(end)) {
            (Some(first), Some(last)) => &self.text[first.start..last.end],
            _ => "",
        }
    }

    /// The number of words that differ from `other`'s of the same number.
    pub(super) fn differing(&self, other: &Self) -> usize {
        let common = self.len().min(other.len());
        (0..common)
            .filter(|&i| self.word(i) != other.word(i))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Label;

    fn single(text: &str) -> Attacked {
        pair(text, None)
    }

    fn pair(text: &str, second: Option<&str>) -> Attacked {
        Attacked::of(&Row {
            text: text.into(),
            text_b: second.map(Into::into),
            label: Label::Hidden,
        })
    }

    /// From TextAttack 0.3.11's `delete_word_at_index`.
    #[test]
    fn a_deleted_word_takes_a_space_along() {
        let text = single("A good, \"fine\" film.");
        let without: Vec<String> = (0..4).map(|i| text.replaced(i, "").text).collect();
        assert_eq!(
            without,
            [
                "good, \"fine\" film.",
                "A, \"fine\" film.",
                "A good, \"\" film.",
                "A good, \"fine\"."
            ]
        );
        // At the very end of the text the space before stays.
        assert_eq!(single("A film").replaced(1, "").text, "A ");
    }

    #[test]
    fn pairs_keep_their_border() {
        let text = pair("The premise", Some("the hypothesis here"));
        assert_eq!(
            (text.len(), text.is_second(1), text.is_second(2)),
            (5, false, true)
        );
        let longer = text.replaced(0, "Their whole");
        assert_eq!(
            longer.texts(),
            ("Their whole premise", Some("the hypothesis here"))
        );
        let shorter = text.replaced(1, "");
        assert_eq!(shorter.texts(), ("The", Some("the hypothesis here")));
        let other = text.replaced(3, "guess");
        assert_eq!(other.texts(), ("The premise", Some("the guess here")));
        assert_eq!(
            other.as_input(),
            Text::Pair("The premise", "the guess here")
        );
    }

    /// From TextAttack 0.3.11's `modified_indices` and `newly_modified_indices`.
    #[test]
    fn changed_words_are_numbered_anew_where_one_becomes_two() {
        let text = single("one two three four").replaced(2, "drei");
        assert_eq!((text.last_changed(), text.is_changed(2)), (&[2][..], true));
        let split = text.replaced(1, "t wo");
        assert_eq!(split.text, "one t wo drei four");
        assert_eq!(split.last_changed(), [1, 2]);
        assert_eq!(Vec::from_iter(split.changed.clone()), [1, 2, 3]);
        let gone = split.replaced(0, "");
        assert_eq!(Vec::from_iter(gone.changed.clone()), [0, 1, 2]);
        assert_eq!(split.differing(&text), 3);
    }

    /// From TextAttack 0.3.11's `text_window_around_index`.
    #[test]
    fn windows_lean_on_the_ends() {
        let text = single("(a b c d e f g h i.)");
        for (i, window) in [
            (0, "a b c d e"),
            (1, "a b c d e"),
            (2, "a b c d e"),
            (3, "b c d e f"),
            (6, "e f g h i"),
            (7, "e f g h i"),
            (8, "e f g h i"),
        ] {
            assert_eq!(text.window(i, Some(5)), window, "{i}");
        }
        assert_eq!(text.window(4, None), "a b c d e f g h i");
        assert_eq!(single("a b").window(1, Some(15)), "a b");
        assert_eq!(single("...").window(0, Some(15)), "");
    }
}
