//! What must stay the same, told one by one: which constraints of a recipe are on, and which are
//! not and why.

use serde::{Deserialize, Serialize};

use super::recipe::Recipe;

/// A constraint of a recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// What it is about.
    pub name: String,
    /// What it asks for, or asked for.
    pub asks: String,
    /// Why it is not on; none where it is.
    pub left_out: Option<String>,
}

impl Constraint {
    fn on(name: &str, asks: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            asks: asks.into(),
            left_out: None,
        }
    }

    fn left_out(mut self, why: &str) -> Self {
        self.left_out = Some(why.into());
        self
    }
}

/// The constraints of a recipe, in the order in which they are asked for.
pub(super) fn of(recipe: &Recipe, known: &Known) -> Vec<Constraint> {
    let mut all = vec![
        Constraint::on("repeat", "each word is changed once"),
        Constraint::on(
            "stop words",
            format!("{} words stay", recipe.stop_words.len()),
        ),
    ];
    if known.keeps_first {
        all.push(Constraint::on(
            "first text",
            "the first text of a pair stays",
        ));
    }
    if let Some(most) = recipe.most_edits {
        all.push(Constraint::on(
            "edit distance",
            format!("at most {most} edits of the text"),
        ));
    }
    if let Some(least) = recipe.least_cosine {
        let own = Constraint::on("word vectors", format!("cosine at least {least}"));
        all.push(match known.cosines {
            true => own,
            false => {
                own.left_out("the neighbours come without cosines: being one is the constraint")
            }
        });
    }
    if recipe.same_part_of_speech {
        let own = Constraint::on(
            "part of speech",
            "the same; nouns and verbs may change places",
        );
        all.push(match known.parts_of_speech {
            true => own,
            false => own.left_out("no source of parts of speech: wordnet is one"),
        });
    }
    if let Some(rule) = recipe.similarity {
        let what = match rule.window {
            Some(window) => format!("in a window of {window} words; shorter texts pass"),
            None => "of the whole text".into(),
        };
        let with = match rule.with_original {
            true => "the original",
            false => "the text before the change",
        };
        all.push(Constraint::on(
            "sentence similarity",
            format!("angular, at least {} with {with}, {what}", rule.least),
        ));
    }
    all
}

/// What there is to look up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    pub keeps_first: bool,
    pub cosines: bool,
    pub parts_of_speech: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::{deepwordbug::DEEPWORDBUG, textfooler::TEXTFOOLER};

    fn told(recipe: &Recipe, known: Known) -> Vec<String> {
        let line = |c: Constraint| match c.left_out {
            None => c.name,
            Some(_) => format!("no {}", c.name),
        };
        of(recipe, &known).into_iter().map(line).collect()
    }

    #[test]
    fn what_is_left_out_is_told() {
        assert_eq!(
            told(&TEXTFOOLER, Known::default()),
            [
                "repeat",
                "stop words",
                "no word vectors",
                "no part of speech",
                "sentence similarity"
            ]
        );
        let all = Known {
            keeps_first: true,
            cosines: true,
            parts_of_speech: true,
        };
        assert_eq!(
            told(&TEXTFOOLER, all),
            [
                "repeat",
                "stop words",
                "first text",
                "word vectors",
                "part of speech",
                "sentence similarity"
            ]
        );
        assert_eq!(
            told(&DEEPWORDBUG, Known::default()),
            ["repeat", "stop words", "edit distance"]
        );
    }
}
