//! What makes an attack: the words it may change, how, and what must stay the same.

use super::characters::{self, Reach};
use super::deepwordbug::DEEPWORDBUG;
use super::neighbors::Neighbors;
use super::text::Attacked;
use super::textbugger::TEXTBUGGER;
use super::textfooler::TEXTFOOLER;
use super::words::in_case_of;
use crate::compute::random::Stream;
use crate::{Error, Result, nearest};

/// The recipes, in the order of the docs.
pub static RECIPES: &[&Recipe] = &[&TEXTFOOLER, &TEXTBUGGER, &DEEPWORDBUG];

/// An attack: a greedy search over the words in the order of their importance, each changed once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    /// Its name, as users write it.
    pub name: &'static str,
    /// What takes a word's place while its importance is measured; nothing deletes it.
    pub blank: &'static str,
    /// The changes that are tried, in order.
    pub changes: &'static [Change],
    /// Words that stay, sorted.
    pub stop_words: &'static [&'static str],
    /// Whether the first text of a pair stays.
    pub keeps_first: bool,
    /// The least cosine of a word's vector with that of the word in its place, where vectors are
    /// known.
    pub least_cosine: Option<f64>,
    /// Whether a word in another's place must be of its part of speech, where that is known. Nouns
    /// and verbs may change places.
    pub same_part_of_speech: bool,
    /// The most edits (letters put in, taken away or replaced) of the whole text.
    pub most_edits: Option<usize>,
    /// How like the text must stay.
    pub similarity: Option<Similarity>,
}

/// A way to change a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Its nearest words, at most so many.
    Neighbors(usize),
    /// Two neighbouring letters change places.
    Swap(Reach),
    /// A letter goes.
    Delete(Reach),
    /// A random letter comes in.
    Insert(Reach),
    /// A space comes in.
    Space(Reach),
    /// A random letter in another's place.
    Substitute,
    /// A letter that looks like one of it in its place, each in turn.
    Homoglyph,
}

/// How like a changed text must stay: 1 - angle / pi of sentence embeddings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// The least.
    pub least: f64,
    /// How many words around the changed one are compared; all where none.
    pub window: Option<usize>,
    /// Whether texts with fewer words than the window pass.
    pub short_pass: bool,
    /// Compared with the text the attack began from, or with the one before this change.
    pub with_original: bool,
}

/// The recipe called `name`.
pub fn recipe(name: &str) -> Result<&'static Recipe> {
    let names = || RECIPES.iter().map(|recipe| recipe.name);
    let found = RECIPES.iter().find(|recipe| recipe.name == name);
    found.copied().ok_or_else(|| {
        let known: Vec<&str> = names().collect();
        let error = Error::new(format!(
            "unknown recipe \"{name}\", expected one of {}",
            known.join(", ")
        ));
        match nearest(name, names()) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    })
}

impl Recipe {
    /// Whether words are replaced by others.
    pub fn needs_neighbors(&self) -> bool {
        let other = |change: &Change| matches!(change, Change::Neighbors(_));
        self.changes.iter().any(other)
    }

    /// Whether numbers are drawn.
    pub fn is_random(&self) -> bool {
        let fixed = |change: &Change| matches!(change, Change::Neighbors(_) | Change::Homoglyph);
        !self.changes.iter().all(fixed)
    }

    /// Whether a word may be changed at all.
    pub(super) fn may_change(&self, text: &Attacked, i: usize, keeps_first: bool) -> bool {
        let Some(word) = text.word(i) else {
            return false;
        };
        !text.is_changed(i)
            && self.stop_words.binary_search(&word).is_err()
            && (!keeps_first || text.is_second(i))
    }

    /// The texts that changing the `i`-th word gives, in the order of the changes, each once, where
    /// more than one change is tried. Random letters depend on the seed, the text, the word's number
    /// and the change alone.
    pub(super) fn changed(
        &self,
        text: &Attacked,
        i: usize,
        neighbors: Option<&Neighbors>,
        seed: u64,
    ) -> Vec<Attacked> {
        let Some(word) = text.word(i) else {
            return Vec::new();
        };
        let mut found: Vec<Attacked> = Vec::new();
        for change in self.changes {
            let item = || format!("{}/{i}/{}", change.name(), text.whole());
            let mut stream = || Stream::new(seed, "attack", &item());
            for new in change.of(word, neighbors, &mut stream) {
                if new == word {
                    continue;
                }
                let new = text.replaced(i, &new);
                let known = |other: &Attacked| other.whole() == new.whole();
                if self.changes.len() == 1 || !found.iter().any(known) {
                    found.push(new);
                }
            }
        }
        found.retain(|new| new.whole() != text.whole());
        found
    }
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::Neighbors(_) => "neighbors",
            Self::Swap(_) => "swap",
            Self::Delete(_) => "delete",
            Self::Insert(_) => "insert",
            Self::Space(_) => "space",
            Self::Substitute => "substitute",
            Self::Homoglyph => "homoglyph",
        }
    }

    /// The words that it makes of a word.
    fn of(
        self,
        word: &str,
        neighbors: Option<&Neighbors>,
        stream: &mut dyn FnMut() -> Stream,
    ) -> Vec<String> {
        let drawn = match self {
            Self::Homoglyph => return characters::homoglyphs(word),
            Self::Neighbors(most) => {
                let found = neighbors.map(|n| n.of(&word.to_lowercase(), most));
                let found = found.unwrap_or_default().into_iter();
                return found.map(|new| in_case_of(&new, word)).collect();
            }
            Self::Swap(reach) => characters::swapped(word, reach, &mut stream()),
            Self::Delete(reach) => characters::deleted(word, reach, &mut stream()),
            Self::Insert(reach) => characters::inserted(word, None, reach, &mut stream()),
            Self::Space(reach) => characters::inserted(word, Some(' '), reach, &mut stream()),
            Self::Substitute => characters::substituted(word, &mut stream()),
        };
        drawn.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Label, Row};

    fn text(text: &str) -> Attacked {
        Attacked::of(&Row {
            text: text.into(),
            text_b: None,
            label: Label::Hidden,
        })
    }

    #[test]
    fn recipes_are_found_by_name() {
        assert_eq!(recipe("textfooler").unwrap().name, "textfooler");
        assert_eq!(
            recipe("textfoler").unwrap_err().to_string(),
            "unknown recipe \"textfoler\", expected one of textfooler, textbugger, deepwordbug; \
             did you mean \"textfooler\"?"
        );
    }

    #[test]
    fn stop_words_count_in_small_letters_alone() {
        let text = text("The film is good");
        let may = |i| DEEPWORDBUG.may_change(&text, i, false);
        assert_eq!([0, 1, 2, 3, 4].map(may), [true, true, false, true, false]);
        let changed = text.replaced(1, "flim");
        assert!(!DEEPWORDBUG.may_change(&changed, 1, false));
        assert!(
            !TEXTFOOLER.may_change(&text, 3, true),
            "only the second text"
        );
    }

    #[test]
    fn letters_depend_on_seed_text_and_word_alone() {
        let text = text("a really good film");
        let wholes = |i, seed| -> Vec<String> {
            let made = DEEPWORDBUG.changed(&text, i, None, seed);
            made.iter().map(|t| t.whole().to_string()).collect()
        };
        assert_eq!(wholes(1, 7), wholes(1, 7));
        assert_ne!(wholes(1, 7), wholes(1, 8));
        let made = wholes(1, 7);
        assert!(
            made.len() >= 3
                && made
                    .iter()
                    .all(|t| t.starts_with("a ") && t.ends_with(" good film"))
        );
    }

    #[test]
    fn neighbours_take_the_case_of_the_word() {
        let neighbors = super::super::neighbors::Source::Carried
            .read()
            .unwrap()
            .parse()
            .unwrap();
        let made = TEXTFOOLER.changed(&text("A Film."), 1, Some(&neighbors), 0);
        assert_eq!(made[0].whole(), "A Movie.");
        assert_eq!(made.len(), 8);
        // Five neighbours, and the changes of letters, a homoglyph for each of "ilm".
        let made = TEXTBUGGER.changed(&text("A Film."), 1, Some(&neighbors), 0);
        assert_eq!(made.len(), 3 + 3 + 5);
    }
}
