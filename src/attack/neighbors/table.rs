//! Neighbours as a table: a word a line, then those near it.

use std::collections::HashMap;

/// Neighbours by word.
#[derive(Debug)]
pub struct Table(HashMap<String, Vec<String>>);

impl Table {
    /// Reads lines of words with spaces between: a word, then its neighbours, nearest first.
    pub(super) fn parse(text: &str) -> Self {
        let row = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_string);
            Some((words.next()?, words.collect()))
        };
        Self(text.lines().filter_map(row).collect())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn of(&self, word: &str) -> Vec<String> {
        self.0.get(word).cloned().unwrap_or_default()
    }
}
