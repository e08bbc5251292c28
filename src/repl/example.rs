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
    /// The code, with what it takes for granted before it.
    pub(super) code: String,
    /// Whether it takes nothing for granted: neither a model nor something trained.
    pub(super) alone: bool,
}

/// Code of a doc comment, made to run as it stands.
fn of(code: &str) -> Example {
    match docs::prelude(code) {
        before if before.is_empty() => Example {
            code: code.to_string(),
            alone: true,
        },
        before => Example {
            code: format!("{before}\n{code}"),
            alone: false,
        },
    }
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
    let entries = docs::entries(interpreter.engine(), true);
    entries.get(name)?.example.as_deref().map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_found_and_run() {
        let example = of("print(1);\n2 + 3    // 5");
        assert!(example.alone);
        assert_eq!(
            at_once(&example, &Screen::default()).as_deref(),
            Some("1\n5")
        );
        let later = of("base.name");
        assert_eq!(later.code, "let base = model(\"mini\");\nbase.name");
        assert_eq!(at_once(&later, &Screen::default()), None);
    }

    #[test]
    fn an_example_that_takes_long_is_left() {
        let example = of("loop { }");
        assert_eq!(at_once(&example, &Screen::default()), None);
    }
}
