//! What the line editor asks for while the user types: more lines, and names.

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use crate::script::incomplete;

/// Completes names and wants another line while brackets are open.
pub(super) struct Assistant {
    names: Vec<String>,
}

impl Assistant {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self { names }
    }

    /// The names to complete, sorted.
    pub(super) fn set_names(&mut self, names: Vec<String>) {
        self.names = names;
    }
}

impl Helper for Assistant {}

impl Highlighter for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        Ok(if !input.starts_with(':') && incomplete(input) {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&self.names, &line[..position]))
    }
}

/// Where the word at the end of `line` starts, and the names it may become.
fn complete(names: &[String], line: &str) -> (usize, Vec<String>) {
    let start = line
        .char_indices()
        .rev()
        .take_while(|(_, c)| c.is_alphanumeric() || *c == '_')
        .last()
        .map_or(line.len(), |(at, _)| at);
    let word = &line[start..];
    if word.is_empty() {
        return (start, Vec::new());
    }
    (
        start,
        names
            .iter()
            .filter(|name| name.starts_with(word))
            .cloned()
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn the_last_word_is_completed() {
        let names = ["soup", "soups", "sqrt"].map(String::from);
        let (start, found) = complete(&names, "é + so");
        assert_eq!((start, found.len()), ("é + ".len(), 2));
        assert!(complete(&names, "a + ").1.is_empty());
    }
}
