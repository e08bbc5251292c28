//! The language, by small scripts with the value or the line they give.

mod checked;
mod examples;
mod imports;
mod language;
mod reference;
mod told;
mod traps;
mod values;
mod wrong;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;

use tureen::script::{Interpreter, Session, Setup};

/// What `print` wrote.
#[derive(Clone, Default)]
pub struct Output(Rc<RefCell<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Output {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

/// An interpreter whose output is kept, with these `--set` parameters.
pub fn interpreter(params: &[(&str, &str)]) -> (Interpreter, Output) {
    let output = Output::default();
    let params: BTreeMap<String, String> = params
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let setup = Setup {
        output: Box::new(output.clone()),
        params,
        ..Setup::default()
    };
    (Interpreter::new(Session::new(setup)), output)
}

/// The value of a script as text, or its error line.
pub fn outcome(script: &str) -> String {
    let (mut interpreter, _) = interpreter(&[]);
    match interpreter.run("t", script) {
        Ok(value) => interpreter.text(&value),
        Err(diagnostic) => diagnostic.to_string(),
    }
}

/// Runs each script and compares with what stands beside it; reports all that differ.
pub fn check(cases: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (script, expected) in cases {
        let got = outcome(script);
        if got != *expected {
            wrong.push_str(&format!(
                "\n{script}\n  expected {expected}\n  got      {got}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
