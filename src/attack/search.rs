//! The greedy search over one text's words.
//!
//! A search never calls a model: it says what it needs to know ([`Search::need`]) and goes on when
//! it is told, so that many searches share a batch.

use std::collections::HashMap;

use super::edits;
use super::outcome::{Attempt, Outcome, Step};
use super::similarity::angular;
use super::sources::Sources;
use super::text::Attacked;

/// What a search must be told before it goes on.
pub(super) enum Need<'a> {
    /// The probabilities that the model gives these texts' labels.
    Answers(Vec<&'a Attacked>),
    /// The embeddings of these texts.
    Embeddings(Vec<&'a str>),
    /// Nothing: it is over.
    Nothing,
}

/// Where a search stands: what it waits for.
enum Stage {
    /// The answer to the text as it is.
    Original,
    /// The answers without each of these words.
    Ranking(Vec<usize>, Vec<Attacked>),
    /// The embeddings of candidates, to see which are like enough.
    Likeness(Vec<Attacked>),
    /// The answers to candidates, each with its likeness.
    Trying(Vec<Candidate>),
    /// Over.
    Over(Outcome),
}

struct Candidate {
    text: Attacked,
    similarity: Option<f64>,
}

/// A search over one text.
pub(super) struct Search<'a> {
    sources: &'a Sources<'a>,
    row: usize,
    gold: usize,
    original: Attacked,
    current: Attacked,
    stage: Stage,
    /// The words by importance, and how many of them had their turn.
    order: Vec<usize>,
    turn: usize,
    /// What was asked before.
    answers: HashMap<String, Vec<f32>>,
    embeddings: HashMap<String, Vec<f32>>,
    queries: usize,
    steps: Vec<Step>,
    similarity: Option<f64>,
}

impl<'a> Search<'a> {
    /// A search that begins with `text`, whose label is `gold`.
    pub(super) fn new(sources: &'a Sources<'a>, row: usize, text: Attacked, gold: usize) -> Self {
        Self {
            sources,
            row,
            gold,
            current: text.clone(),
            original: text,
            stage: Stage::Original,
            order: Vec::new(),
            turn: 0,
            answers: HashMap::new(),
            embeddings: HashMap::new(),
            queries: 1,
            steps: Vec::new(),
            similarity: None,
        }
    }

    /// What it must be told: each text once, without those it was told before.
    pub(super) fn need(&self) -> Need<'_> {
        let mut texts: Vec<&Attacked> = match &self.stage {
            Stage::Original => vec![&self.original],
            Stage::Ranking(_, texts) => texts.iter().collect(),
            Stage::Trying(candidates) => candidates.iter().map(|c| &c.text).collect(),
            Stage::Likeness(candidates) => return Need::Embeddings(self.windows(candidates)),
            Stage::Over(_) => return Need::Nothing,
        };
        texts.retain(|text| !self.answers.contains_key(text.whole()));
        texts.sort_by(|a, b| a.whole().cmp(b.whole()));
        texts.dedup_by(|a, b| a.whole() == b.whole());
        Need::Answers(texts)
    }

    /// Tells what the model answers to a text.
    pub(super) fn learn_answer(&mut self, text: String, answer: Vec<f32>) {
        self.answers.insert(text, answer);
    }

    /// Tells the embedding of a text.
    pub(super) fn learn_embedding(&mut self, text: String, embedding: Vec<f32>) {
        self.embeddings.insert(text, embedding);
    }

    /// Goes on with what it was told.
    pub(super) fn go_on(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over(Outcome::Failed));
        self.stage = match stage {
            Stage::Original if self.predicted(&self.original) != self.gold => {
                Stage::Over(Outcome::Skipped)
            }
            Stage::Original => self.rank(),
            Stage::Ranking(words, texts) => self.begin(&words, &texts),
            Stage::Likeness(candidates) => self.sift(candidates),
            Stage::Trying(candidates) => self.decide(candidates),
            over @ Stage::Over(_) => over,
        };
    }

    /// How it ended.
    pub(super) fn attempt(self) -> Attempt {
        let outcome = match self.stage {
            Stage::Over(outcome) => outcome,
            _ => Outcome::Failed,
        };
        let p = |text: &Attacked| self.answers.get(text.whole()).map(|p| p[self.gold]);
        let (first, second) = self.current.texts();
        Attempt {
            row: self.row,
            gold: self.gold,
            predicted: self.predicted(&self.original),
            perturbed_predicted: self.predicted(&self.current),
            p: p(&self.original).unwrap_or_default(),
            perturbed_p: p(&self.current).unwrap_or_default(),
            outcome,
            perturbed: (first.to_string(), second.map(str::to_string)),
            words: self.original.len(),
            changed: self.original.differing(&self.current),
            queries: self.queries,
            similarity: self.similarity,
            order: self.order,
            steps: self.steps,
        }
    }

    fn may_change(&self, text: &Attacked, i: usize) -> bool {
        let keeps_first = self.sources.keeps_first;
        self.sources.recipe.may_change(text, i, keeps_first)
    }

    /// Looks for the importance of words: how sure the model is without them.
    fn rank(&mut self) -> Stage {
        let words: Vec<usize> = (0..self.original.len())
            .filter(|&i| self.may_change(&self.original, i))
            .collect();
        let blank = self.sources.recipe.blank;
        let texts: Vec<Attacked> = words
            .iter()
            .map(|&i| self.original.replaced(i, blank))
            .collect();
        self.queries += texts.len();
        Stage::Ranking(words, texts)
    }

    /// Orders the words, the most important first, equal ones as they stand (TextAttack leaves
    /// these to numpy, whose order then depends on the machine).
    fn begin(&mut self, words: &[usize], texts: &[Attacked]) -> Stage {
        let mut order: Vec<(usize, f32)> = words
            .iter()
            .zip(texts)
            .map(|(&i, text)| (i, self.score(text)))
            .collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        self.order = order.into_iter().map(|(i, _)| i).collect();
        self.next_word()
    }

    /// The candidates of the next word that has some.
    fn next_word(&mut self) -> Stage {
        while let Some(&i) = self.order.get(self.turn) {
            self.turn += 1;
            if !self.may_change(&self.current, i) {
                continue;
            }
            let Sources {
                recipe,
                neighbors,
                seed,
                ..
            } = self.sources;
            let mut candidates = recipe.changed(&self.current, i, neighbors.as_ref(), *seed);
            candidates.retain(|text| self.fits(text));
            if candidates.is_empty() {
                continue;
            }
            let stage = match recipe.similarity {
                None => self.try_out(candidates.into_iter().map(|text| (text, None)).collect()),
                Some(_) => Stage::Likeness(candidates),
            };
            return stage;
        }
        Stage::Over(Outcome::Failed)
    }

    /// Whether the constraints on words and letters hold.
    fn fits(&self, text: &Attacked) -> bool {
        let recipe = self.sources.recipe;
        let edits = recipe
            .most_edits
            .is_none_or(|most| edits::within(self.original.whole(), text.whole(), most));
        edits && self.sources.words_fit(&self.original, text)
    }

    /// The windows of candidates and of what they are compared with that were not embedded yet.
    fn windows<'b>(&'b self, candidates: &'b [Attacked]) -> Vec<&'b str> {
        let mut windows: Vec<&str> = candidates
            .iter()
            .filter_map(|text| self.compared(text))
            .flat_map(|(own, other)| [own, other])
            .filter(|window| !self.embeddings.contains_key(*window))
            .collect();
        windows.sort_unstable();
        windows.dedup();
        windows
    }

    /// The window of a candidate and that of the text it is compared with; none where a text is so
    /// short that it passes.
    fn compared<'b>(&'b self, text: &'b Attacked) -> Option<(&'b str, &'b str)> {
        let rule = self.sources.recipe.similarity?;
        if rule.short_pass && rule.window.is_some_and(|window| text.len() < window) {
            return None;
        }
        let at = text.last_changed().first().copied().unwrap_or_default();
        let other = match rule.with_original {
            true => &self.original,
            false => &self.current,
        };
        Some((text.window(at, rule.window), other.window(at, rule.window)))
    }

    /// Keeps the candidates that are like enough.
    fn sift(&mut self, candidates: Vec<Attacked>) -> Stage {
        let least = self
            .sources
            .recipe
            .similarity
            .map_or(0.0, |rule| rule.least);
        let likeness = |text: &Attacked| match self.compared(text) {
            None => 1.0,
            Some((own, other)) => match (self.embeddings.get(own), self.embeddings.get(other)) {
                (Some(own), Some(other)) => angular(own, other),
                _ => 0.0,
            },
        };
        let like: Vec<(Attacked, Option<f64>)> = candidates
            .into_iter()
            .map(|text| {
                let likeness = likeness(&text);
                (text, Some(likeness))
            })
            .filter(|(_, likeness)| likeness.is_some_and(|likeness| likeness >= least))
            .collect();
        match like.is_empty() {
            true => self.next_word(),
            false => self.try_out(like),
        }
    }

    fn try_out(&mut self, candidates: Vec<(Attacked, Option<f64>)>) -> Stage {
        self.queries += candidates.len();
        let candidate = |(text, similarity)| Candidate { text, similarity };
        Stage::Trying(candidates.into_iter().map(candidate).collect())
    }

    /// Takes the best candidate where it is better than the text as it stands; where that one
    /// changes the label, the most similar of those that do and are as good or better than any that
    /// does not.
    fn decide(&mut self, mut candidates: Vec<Candidate>) -> Stage {
        // TextAttack sorts by text, then stably by score.
        candidates.sort_by(|a, b| a.text.whole().cmp(b.text.whole()));
        candidates.sort_by(|a, b| self.score(&b.text).total_cmp(&self.score(&a.text)));
        let better = self.score(&candidates[0].text) > self.score(&self.current);
        if !better {
            return self.next_word();
        }
        let wins = |c: &&Candidate| self.predicted(&c.text) != self.gold;
        let winners = candidates.iter().take_while(wins);
        // The first of equals: only a greater one takes its place.
        let likest =
            winners
                .enumerate()
                .reduce(|best, next| match next.1.similarity > best.1.similarity {
                    true => next,
                    false => best,
                });
        let (at, won) = likest.map_or((0, false), |(at, _)| (at, true));
        let chosen = candidates.swap_remove(at);
        let word = self.order[self.turn - 1];
        let text = |text: &Attacked, i: usize| text.word(i).unwrap_or_default().to_string();
        let changed = chosen.text.last_changed();
        let to: Vec<String> = changed.iter().map(|&i| text(&chosen.text, i)).collect();
        self.steps.push(Step {
            word,
            from: text(&self.current, word),
            to: to.join(" "),
        });
        self.similarity = chosen.similarity;
        self.current = chosen.text;
        match won {
            true => Stage::Over(Outcome::Successful),
            false => self.next_word(),
        }
    }

    /// The larger, the less sure the model is of the right label, in the precision of TextAttack's
    /// scores, so that what ties there ties here.
    fn score(&self, text: &Attacked) -> f32 {
        self.answers
            .get(text.whole())
            .map_or(f32::NEG_INFINITY, |p| 1.0 - p[self.gold])
    }

    /// The model's label: the first of the most likely.
    fn predicted(&self, text: &Attacked) -> usize {
        let Some(p) = self.answers.get(text.whole()) else {
            return self.gold;
        };
        (1..p.len()).fold(0, |best, i| if p[i] > p[best] { i } else { best })
    }
}
