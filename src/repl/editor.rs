//! What the line editor asks for while the user types.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

use rustyline::completion::Completer;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::completion::{Candidate, complete};
use super::known::Known;
use super::{commands, highlight, hints};
use crate::report::Screen;
use crate::script::incomplete;

/// Answers from what is known of the session.
pub(super) struct Assistant {
    known: Rc<RefCell<Known>>,
    screen: fn() -> Screen,
    history: HistoryHinter,
    /// The input is done: nothing that only helps while typing stays on the screen.
    done: Cell<bool>,
}

impl Assistant {
    pub(super) fn new(known: Rc<RefCell<Known>>, screen: fn() -> Screen) -> Self {
        Self {
            known,
            screen,
            history: HistoryHinter::new(),
            done: Cell::new(false),
        }
    }
}

impl Helper for Assistant {}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, cursor: usize) -> Cow<'l, str> {
        let cursor = (!self.done.get()).then_some(cursor);
        highlight::highlight(&self.known.borrow(), line, cursor).into()
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        highlight::faint(prompt).into()
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        highlight::faint(hint).into()
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        self.done.set(kind == CmdKind::ForcedRefresh);
        true
    }
}

/// A hint to read, or one from the history to take over.
pub(super) struct Hint {
    text: String,
    taken: bool,
}

impl rustyline::hint::Hint for Hint {
    fn display(&self) -> &str {
        &self.text
    }

    fn completion(&self) -> Option<&str> {
        self.taken.then_some(self.text.as_str())
    }
}

impl Hinter for Assistant {
    type Hint = Hint;

    fn hint(&self, line: &str, cursor: usize, context: &Context<'_>) -> Option<Hint> {
        if cursor < line.len() || line.trim().is_empty() {
            return None;
        }
        // The prompt and a column for the cursor at the end.
        const AROUND: usize = 8;
        let last = line.rsplit('\n').next().unwrap_or(line).chars().count();
        let width = (self.screen)().width;
        let room = width.saturating_sub((last + AROUND) % width.max(1));
        if let Some(text) = hints::hint(&self.known.borrow(), line, room) {
            return Some(Hint { text, taken: false });
        }
        let earlier = self.history.hint(line, cursor, context)?;
        let fits = !earlier.contains('\n') && earlier.chars().count() < room;
        fits.then_some(Hint {
            text: earlier,
            taken: true,
        })
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        // Two empty lines send off what would never be complete, so that its error is told.
        let given_up = input.ends_with("\n\n");
        Ok(
            match commands::is_code(input) && !given_up && incomplete(input) {
                true => ValidationResult::Incomplete,
                false => ValidationResult::Valid(None),
            },
        )
    }
}

impl rustyline::completion::Candidate for Candidate {
    fn display(&self) -> &str {
        &self.shown
    }

    fn replacement(&self) -> &str {
        &self.written
    }
}

impl Completer for Assistant {
    type Candidate = Candidate;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Candidate>)> {
        let known = self.known.borrow();
        Ok(complete(&known, &line[..cursor], Path::new(".")))
    }
}
