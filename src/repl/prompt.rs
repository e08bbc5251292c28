//! What one input does: runs code or a command and shows the outcome.

use std::time::Instant;

use crate::script::{Interpreter, docs, names, type_name};
use crate::{Error, Result};

use super::command::{COMMANDS, Command, read};

/// What messages call an input.
const SOURCE: &str = "input";

/// Whether the session goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next input.
    Next,
    /// The user leaves.
    Quit,
}

/// The session behind the prompt.
pub(super) struct Prompt {
    interpreter: Interpreter,
    natives: Vec<String>,
    worked: Vec<String>,
}

impl Prompt {
    pub(super) fn new(interpreter: Interpreter) -> Self {
        let natives = names(interpreter.engine());
        Self {
            interpreter,
            natives,
            worked: Vec::new(),
        }
    }

    /// The names that can be completed: variables and natives, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let variables = self
            .interpreter
            .variables()
            .into_iter()
            .map(|(name, _)| name);
        let mut names: Vec<String> = variables.chain(self.natives.iter().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Does what `input` says and shows the outcome.
    pub(super) fn take(&mut self, input: &str) -> Step {
        let outcome = match read(input) {
            None => {
                self.run(input);
                Ok(Step::Next)
            }
            Some(Ok(command)) => self.obey(command),
            Some(Err(error)) => Err(error),
        };
        outcome.unwrap_or_else(|error| {
            eprintln!("error: {error}");
            Step::Next
        })
    }

    /// Runs code, shows its value and keeps it as `ans`.
    fn run(&mut self, code: &str) {
        if code.trim().is_empty() {
            return;
        }
        self.interpreter.session().resume();
        match self.interpreter.run(SOURCE, code) {
            Ok(value) => {
                self.worked.push(code.trim_end().to_string());
                if !value.is_unit() {
                    self.show(&self.interpreter.card(&value));
                    self.interpreter.set("ans", value);
                }
            }
            Err(diagnostic) => eprintln!("{diagnostic}"),
        }
    }

    fn obey(&mut self, command: Command) -> Result<Step> {
        match command {
            Command::Quit => return Ok(Step::Quit),
            Command::Help => {
                for (command, what) in COMMANDS {
                    self.show(&format!("{command:<18} {what}"));
                }
            }
            Command::Vars => {
                for (name, value) in self.interpreter.variables() {
                    let card = self.interpreter.card(&value);
                    self.show(&format!("{name} = {}", card.replace('\n', "\n    ")));
                }
            }
            Command::Type(code) => {
                self.interpreter.session().resume();
                match self.interpreter.run(SOURCE, code) {
                    Ok(value) => self.show(&type_name(value.type_name())),
                    Err(diagnostic) => eprintln!("{diagnostic}"),
                }
            }
            Command::Doc(Some(name)) => self.show(&docs::help(self.interpreter.engine(), name)?),
            Command::Doc(None) => self.show(&docs::contents(self.interpreter.session())),
            Command::Time(code) => {
                let start = Instant::now();
                self.run(code);
                eprintln!("{:.3} s", start.elapsed().as_secs_f64());
            }
            Command::Save(path) => self.save(path)?,
        }
        Ok(Step::Next)
    }

    /// Writes the inputs that worked as a script, whole or not at all.
    fn save(&self, path: &str) -> Result<()> {
        let file = self.interpreter.session().write_path(path)?;
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => std::path::Path::new("."),
        };
        let mut lines = String::new();
        for input in &self.worked {
            lines.push_str(input);
            if !input.ends_with([';', '}']) {
                lines.push(';');
            }
            lines.push('\n');
        }
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut aside| {
            std::io::Write::write_all(&mut aside, lines.as_bytes())?;
            aside.as_file().sync_all()?;
            aside.persist(&file).map_err(|error| error.error)?;
            Ok(())
        });
        written.map_err(|error| Error::at_path(&file, error))?;
        self.show(&format!(
            "{} inputs written to {}",
            self.worked.len(),
            file.display()
        ));
        Ok(())
    }

    fn show(&self, text: &str) {
        self.interpreter.session().print(text);
    }
}
