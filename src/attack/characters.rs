//! Changes to the letters of a word, as TextAttack's word swaps of the same names make them.

use crate::compute::random::Stream;

/// The letters that are put into words: TextAttack's `string.ascii_letters`.
const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Letters and what looks like them, from TextAttack's `WordSwapHomoglyphSwap`.
#[rustfmt::skip]
const LIKE: &[(char, char)] = &[
    ('-', '˗'), ('9', '৭'), ('8', 'Ȣ'), ('7', '𝟕'), ('6', 'б'), ('5', 'Ƽ'), ('4', 'Ꮞ'), ('3', 'Ʒ'),
    ('2', 'ᒿ'), ('1', 'l'), ('0', 'O'), ('\'', '`'), ('a', 'ɑ'), ('b', 'Ь'), ('c', 'ϲ'), ('d', 'ԁ'),
    ('e', 'е'), ('f', '𝚏'), ('g', 'ɡ'), ('h', 'հ'), ('i', 'і'), ('j', 'ϳ'), ('k', '𝒌'), ('l', 'ⅼ'),
    ('m', 'ｍ'), ('n', 'ո'), ('o', 'о'), ('p', 'р'), ('q', 'ԛ'), ('r', 'ⲅ'), ('s', 'ѕ'), ('t', '𝚝'),
    ('u', 'ս'), ('v', 'ѵ'), ('w', 'ԝ'), ('x', '×'), ('y', 'у'), ('z', 'ᴢ'),
];

/// Which letters of a word may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All.
    Whole,
    /// All but the first and the last.
    Inner,
}

impl Reach {
    fn start(self) -> usize {
        usize::from(self == Self::Inner)
    }

    /// One of the letters from the first that may be changed to the `less`-th from the end;
    /// none where there is no such letter.
    fn draw(self, length: usize, less: usize, stream: &mut Stream) -> Option<usize> {
        let (start, end) = (self.start(), length.checked_sub(less + self.start())?);
        let count = end.checked_sub(start).filter(|count| *count > 0)?;
        Some(start + stream.below(count as u64) as usize)
    }
}

/// Two neighbouring letters change places; none where the word has no two that may.
pub(super) fn swapped(word: &str, reach: Reach, stream: &mut Stream) -> Option<String> {
    let mut letters = more_than_one(word)?;
    let at = reach.draw(letters.len(), 1, stream)?;
    letters.swap(at, at + 1);
    Some(letters.into_iter().collect())
}

/// A letter goes; none from a word of one.
pub(super) fn deleted(word: &str, reach: Reach, stream: &mut Stream) -> Option<String> {
    let mut letters = more_than_one(word)?;
    let at = reach.draw(letters.len(), 0, stream)?;
    letters.remove(at);
    Some(letters.into_iter().collect())
}

/// A letter comes in before another, or a space where `letter` is one; none into a word of one.
pub(super) fn inserted(
    word: &str,
    letter: Option<char>,
    reach: Reach,
    stream: &mut Stream,
) -> Option<String> {
    let mut letters = more_than_one(word)?;
    let at = reach.draw(letters.len(), 0, stream)?;
    letters.insert(at, letter.unwrap_or_else(|| random_letter(stream)));
    Some(letters.into_iter().collect())
}

/// Another letter in the place of one; none for a word of one.
pub(super) fn substituted(word: &str, stream: &mut Stream) -> Option<String> {
    let mut letters = more_than_one(word)?;
    let at = Reach::Whole.draw(letters.len(), 0, stream)?;
    letters[at] = random_letter(stream);
    Some(letters.into_iter().collect())
}

/// The word with one letter that looks like its own, for each letter that has such a one.
pub(super) fn homoglyphs(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let with = |(at, letter): (usize, &char)| {
        let (_, like) = LIKE.iter().find(|(own, _)| own == letter)?;
        let mut letters = letters.clone();
        letters[at] = *like;
        Some(letters.into_iter().collect())
    };
    letters.iter().enumerate().filter_map(with).collect()
}

fn more_than_one(word: &str) -> Option<Vec<char>> {
    let letters: Vec<char> = word.chars().collect();
    (letters.len() > 1).then_some(letters)
}

fn random_letter(stream: &mut Stream) -> char {
    char::from(LETTERS[stream.below(LETTERS.len() as u64) as usize])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All that comes out under many seeds.
    fn all(make: impl Fn(&mut Stream) -> Option<String>) -> Vec<String> {
        let made = |seed| make(&mut Stream::new(seed, "test", ""));
        let found: BTreeSet<String> = (0..400).filter_map(made).collect();
        found.into_iter().collect()
    }

    /// What TextAttack 0.3.11 makes with `random_one=False`, sorted.
    #[test]
    fn changes_are_those_of_textattack() {
        use Reach::{Inner, Whole};
        assert_eq!(all(|s| swapped("film", Whole, s)), ["fiml", "flim", "iflm"]);
        assert_eq!(all(|s| swapped("film", Inner, s)), ["flim"]);
        assert_eq!(
            all(|s| deleted("film", Whole, s)),
            ["fil", "fim", "flm", "ilm"]
        );
        assert_eq!(all(|s| deleted("film", Inner, s)), ["fim", "flm"]);
        let spaced = |word| all(|s| inserted(word, Some(' '), Inner, s));
        assert_eq!(spaced("film"), ["f ilm", "fi lm"]);
        assert_eq!(spaced("abc"), ["a bc"]);
    }

    #[test]
    fn short_words_are_left_alone() {
        use Reach::{Inner, Whole};
        let none: [String; 0] = [];
        assert_eq!(all(|s| swapped("a", Whole, s)), none);
        assert_eq!(all(|s| swapped("abc", Inner, s)), none);
        assert_eq!(all(|s| deleted("é", Whole, s)), none);
        assert_eq!(all(|s| deleted("ab", Inner, s)), none);
        assert_eq!(all(|s| inserted("ab", Some(' '), Inner, s)), none);
        assert_eq!(all(|s| substituted("a", s)), none);
        assert_eq!(all(|s| swapped("ab", Whole, s)), ["ba"]);
    }

    #[test]
    fn letters_come_from_the_whole_alphabet_in_both_cases() {
        let substituted = all(|s| substituted("ab", s));
        assert!(substituted.len() > 90, "{}", substituted.len());
        assert!(substituted.iter().all(|word| word.chars().count() == 2));
        let inserted = all(|s| inserted("ab", None, Reach::Whole, s));
        assert!(inserted.iter().all(|word| word.chars().count() == 3));
        assert!(
            inserted.iter().all(|word| word.ends_with('b')),
            "never behind the last"
        );
        assert!(
            inserted
                .iter()
                .any(|word| word.starts_with(char::is_uppercase))
        );
    }

    /// From TextAttack 0.3.11's `WordSwapHomoglyphSwap`.
    #[test]
    fn homoglyphs_are_one_letter_each() {
        assert_eq!(homoglyphs("Ab-1"), ["AЬ-1", "Ab˗1", "Ab-l"]);
        assert!(homoglyphs("É").is_empty());
    }
}
