//! The example of a native's help, run.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::report::Screen;
use crate::script::{Interpreter, Mode, Session, Setup, docs};
use crate::{Error, Result};

/// An example of a doc comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Example {
    /// The code.
    pub(super) code: String,
    /// Whether it runs as it is, needing nothing that may be missing.
    pub(super) alone: bool,
}

/// The first example of a doc comment.
pub(super) fn of(text: &str) -> Option<Example> {
    let (_, rest) = text.split_once("```rhai")?;
    let (flags, rest) = rest.split_once('\n')?;
    let (code, _) = rest.split_once("```")?;
    Some(Example {
        code: code.trim_end().to_string(),
        alone: !flags.contains("no_run"),
    })
}

/// Longer examples are left to `:example`.
const PATIENCE: Duration = Duration::from_millis(400);

/// What the example gives, where that is known at once.
pub(super) fn at_once(example: &Example, screen: &Screen) -> Option<String> {
    if !example.alone {
        return None;
    }
    let stop: Arc<AtomicBool> = Arc::default();
    let timer = stop.clone();
    std::thread::spawn(move || {
        std::thread::sleep(PATIENCE);
        timer.store(true, Ordering::Relaxed);
    });
    let setup = Setup {
        mode: Mode::Repl,
        stop,
        ..Setup::default()
    };
    run(setup, &example.code, screen)
        .ok()
        .filter(|told| !told.is_empty())
}

/// Runs an example to its end as part of `session`, apart from its variables.
pub(super) fn in_full(example: &Example, session: &Session, screen: &Screen) -> Result<String> {
    let setup = session.setup();
    let setup = Setup {
        mode: Mode::Repl,
        stop: setup.stop.clone(),
        progress: setup.progress.clone(),
        store: setup.store.clone(),
        ..Setup::default()
    };
    run(setup, &example.code, screen)
}

/// What is printed, kept.
#[derive(Clone, Default)]
struct Printed(Rc<RefCell<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What `code` prints and the card of its value. What it writes goes away with it.
fn run(setup: Setup, code: &str, screen: &Screen) -> Result<String> {
    let folder = tempfile::tempdir().map_err(|error| Error::new(error.to_string()))?;
    let printed = Printed::default();
    let session = Session::new(Setup {
        write_folder: folder.path().to_path_buf(),
        output: Box::new(printed.clone()),
        ..setup
    });
    let mut interpreter = Interpreter::new(session);
    let value = interpreter
        .run("example", code)
        .map_err(|diagnostic| diagnostic.error)?;
    let mut told = String::from_utf8_lossy(&printed.0.borrow()).into_owned();
    if !value.is_unit() {
        told += &interpreter.card(&value, screen);
    }
    Ok(told.trim_end().to_string())
}

/// The example of the native called `name`.
pub(super) fn find(interpreter: &Interpreter, name: &str) -> Option<Example> {
    of(&docs::entries(interpreter.engine(), true).get(name)?.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_found_and_run() {
        let example = of("Text.\n\n```rhai\nprint(1);\n2 + 3    // 5\n```\nmore").unwrap();
        assert!(example.alone);
        assert_eq!(
            at_once(&example, &Screen::default()).as_deref(),
            Some("1\n5")
        );
        let later = of("```rhai,no_run\nmodel(\"x\")\n```").unwrap();
        assert_eq!(at_once(&later, &Screen::default()), None);
        assert_eq!(of("no example"), None);
    }

    #[test]
    fn an_example_that_takes_long_is_left() {
        let example = of("```rhai\nloop { }\n```").unwrap();
        assert_eq!(at_once(&example, &Screen::default()), None);
    }
}
