//! What a recipe looks things up in: neighbours, parts of speech, an encoder.

use super::neighbors::Neighbors;
use super::recipe::Recipe;
use super::text::Attacked;
use super::wordnet::WordNet;

/// A recipe with what it looks things up in.
pub(super) struct Sources<'a> {
    pub recipe: &'a Recipe,
    pub neighbors: Option<Neighbors>,
    /// What tells parts of speech, where the neighbours do not.
    pub wordnet: Option<WordNet>,
    /// Whether the first text of a pair stays as it is.
    pub keeps_first: bool,
    /// The seed of random letters.
    pub seed: u64,
}

impl Sources<'_> {
    /// What tells parts of speech.
    pub(super) fn parts_of_speech(&self) -> Option<&WordNet> {
        let own = self.neighbors.as_ref().and_then(Neighbors::wordnet);
        self.wordnet.as_ref().or(own)
    }

    /// Whether the words that the last change of `text` made may take the place of those of
    /// `original`. Words that are not known may.
    pub(super) fn words_fit(&self, original: &Attacked, text: &Attacked) -> bool {
        let recipe = self.recipe;
        let (least, same) = (recipe.least_cosine, recipe.same_part_of_speech);
        if least.is_none() && !same {
            return true;
        }
        let near = |old: &str, new: &str| {
            let cosine = self.neighbors.as_ref().and_then(|n| n.cosine(old, new));
            cosine.is_none_or(|cosine| least.is_none_or(|least| cosine >= least))
        };
        let alike = |old: &str, new: &str| {
            let known = self.parts_of_speech().filter(|_| same);
            known.is_none_or(|wordnet| wordnet.may_replace(old, new))
        };
        text.last_changed().iter().all(|&i| {
            let (Some(old), Some(new)) = (original.word(i), text.word(i)) else {
                return false;
            };
            let (old, new) = (old.to_lowercase(), new.to_lowercase());
            near(&old, &new) && alike(&old, &new)
        })
    }
}
