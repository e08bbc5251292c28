//! The session behind the prompt: what one input does.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::rc::Rc;
use std::time::Instant;

use super::commands;
use super::known::Known;
use super::outputs::{self, Outputs};
use super::pieces::pieces;
use super::transcript::{self, Input, Shown};
use super::{example, page};
use crate::report::Screen;
use crate::report::figure::Figure;
use crate::script::{Catalogue, Interpreter, Session, docs, type_name};
use crate::study::files::write_atomic;
use crate::{Error, Result, bail};

/// Whether the session goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next input.
    Next,
    /// The user leaves.
    Quit,
}

/// The session.
pub(super) struct Prompt {
    interpreter: Interpreter,
    /// What messages call an input.
    source: &'static str,
    known: Rc<RefCell<Known>>,
    worked: Vec<Input>,
    number: usize,
    failed: bool,
    saved: BTreeSet<PathBuf>,
}

impl Prompt {
    pub(super) fn new(interpreter: Interpreter, source: &'static str) -> Self {
        let mut prompt = Self {
            interpreter,
            source,
            known: Rc::default(),
            worked: Vec::new(),
            number: 1,
            failed: false,
            saved: BTreeSet::new(),
        };
        prompt.begin();
        prompt
    }

    fn begin(&mut self) {
        self.interpreter.add_module(outputs::module());
        self.learn();
    }

    /// What completion and hints know, shared with them.
    pub(super) fn known(&self) -> &Rc<RefCell<Known>> {
        &self.known
    }

    /// The number of the next input, from 1.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Whether an input failed so far.
    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    pub(super) fn session(&self) -> &Session {
        self.interpreter.session()
    }

    fn screen(&self) -> Screen {
        self.session().screen()
    }

    /// Does what `input` says and shows the outcome.
    pub(super) fn take(&mut self, input: &str) -> Step {
        self.take_at(1, input)
    }

    /// The same of an input that starts in this line of its source.
    pub(super) fn take_at(&mut self, line: usize, input: &str) -> Step {
        let outcome = match commands::read(input, |name| self.has(name)) {
            None => {
                let mut line = line;
                for piece in pieces(input) {
                    if !self.run(line, piece) {
                        break;
                    }
                    line += piece.matches('\n').count();
                }
                Ok(Step::Next)
            }
            Some(Ok((command, rest))) => (command.run)(self, rest),
            Some(Err(error)) => Err(error),
        };
        outcome.unwrap_or_else(|error| {
            self.failed = true;
            crate::tell!("error: {error}");
            Step::Next
        })
    }

    /// Whether the user gave something this name.
    fn has(&self, name: &str) -> bool {
        let known = self.known.borrow();
        known.variables.iter().any(|(variable, _)| variable == name)
            || known.functions.iter().any(|(function, _)| function == name)
    }

    /// Runs code that starts in `line`; whether it worked.
    fn run(&mut self, line: usize, code: &str) -> bool {
        // The lines before it, so that places in messages are those of the source.
        let text = "\n".repeat(line - 1) + code;
        self.run_from(self.source, &text, code)
    }

    /// Runs `text`, which messages call `source`; shows its value and keeps it, and keeps `code`.
    /// What fails leaves nothing behind: so the inputs that worked are all there is.
    fn run_from(&mut self, source: &str, text: &str, code: &str) -> bool {
        if super::tokens::tokens(code)
            .iter()
            .all(|token| token.kind == super::tokens::Kind::Comment)
        {
            return true;
        }
        self.session().resume();
        let before = self.interpreter.state();
        let value = match self.interpreter.run(source, text) {
            Ok(value) => value,
            Err(diagnostic) => {
                self.failed = true;
                let made = self.interpreter.state().variables() > before.variables();
                self.interpreter.restore(before);
                crate::tell!("{diagnostic:#}");
                if made {
                    crate::tell!("note: nothing of this input is kept");
                }
                return false;
            }
        };
        let shown = match (value.is_unit(), value.is::<Figure>()) {
            (true, _) => Shown::Nothing,
            (_, true) => Shown::Drawn,
            _ => Shown::Card,
        };
        if shown != Shown::Nothing {
            self.show(&self.interpreter.card(&value, &self.screen()));
            self.session()
                .extension::<Outputs>()
                .keep(self.number, value.clone());
            self.interpreter.set("ans", value);
        }
        self.worked.push(Input {
            number: self.number,
            code: code.trim().to_string(),
            shown,
        });
        self.number += 1;
        self.learn();
        true
    }

    /// Tells completion and hints what there is now.
    fn learn(&mut self) {
        let mut known = self.known.borrow_mut();
        let imports = self.session().imports().len();
        if known.imports != Some(imports) {
            known.imports = Some(imports);
            known.catalogue = Catalogue::of(self.interpreter.engine());
        }
        known.variables = self.interpreter.variables();
        known.functions = self.interpreter.functions();
    }

    fn show(&self, text: &str) {
        self.session().print(text);
    }

    pub(super) fn help(&mut self, name: &str) -> Result<Step> {
        match name {
            "" => self.show(&page::start()),
            name => self.explain(name)?,
        }
        Ok(Step::Next)
    }

    pub(super) fn doc(&mut self, name: &str) -> Result<Step> {
        match name {
            "" => self.show(&docs::contents(self.session())),
            name => self.explain(name)?,
        }
        Ok(Step::Next)
    }

    /// The help of a command, a variable, a type, a member or a native, with its example run.
    fn explain(&self, name: &str) -> Result<()> {
        if name.starts_with(':') {
            let name = name.trim_start_matches(':');
            let found = commands::COMMANDS.iter().find(|c| c.names.contains(&name));
            if let Some(command) = found {
                self.show(command.help);
                return Ok(());
            }
        }
        let screen = self.screen();
        let known = self.known.borrow();
        if let Some((_, value)) = known.variables.iter().find(|(known, _)| known == name) {
            self.show(&self.interpreter.card(value, &screen));
            self.show(&self.members(&type_name(value.type_name())));
            return Ok(());
        }
        if let Some((value, member)) = name.rsplit_once('.') {
            let type_ = known.type_of(value).unwrap_or_else(|| value.to_string());
            let members = known.catalogue.members(&type_, false);
            if members.iter().any(|form| form.name == member) {
                let engine = self.interpreter.engine();
                let name = format!("{type_}.{member}");
                // A function that any value has is told by its own name.
                let told = docs::help_in(engine, &name, &docs::Look::of(&screen))
                    .or_else(|_| docs::help_in(engine, member, &docs::Look::of(&screen)))?;
                self.show(&told);
                return Ok(());
            }
        }
        if !known.catalogue.members(name, true).is_empty() {
            self.show(&self.members(name));
            return Ok(());
        }
        let engine = self.interpreter.engine();
        self.show(&docs::help_in(engine, name, &docs::Look::of(&screen))?);
        if let Some(example) = example::find(&self.interpreter, name) {
            match example::at_once(&example, &screen) {
                Some(told) => self.show(&format!("\nThe example gives:\n{told}")),
                None => self.show(&format!("\n:example {name} runs the example.")),
            }
        }
        Ok(())
    }

    /// What can be done with a value of a type.
    fn members(&self, type_: &str) -> String {
        let known = self.known.borrow();
        let own = known.catalogue.members(type_, true);
        let mut others = known.catalogue.members(type_, false);
        others.retain(|form| !own.iter().any(|own| own.name == form.name));
        page::members(type_, &own, &others, self.screen().width)
    }

    pub(super) fn example(&mut self, name: &str) -> Result<Step> {
        let Some(example) = example::find(&self.interpreter, name) else {
            bail!("no example for {name}"; hint: ":doc lists the functions");
        };
        self.show(&example.code);
        self.session().resume();
        let told = example::in_full(&example, self.session(), &self.screen())?;
        if !told.is_empty() {
            self.show(&told);
        }
        Ok(Step::Next)
    }

    pub(super) fn vars(&mut self) -> Result<Step> {
        let known = self.known.borrow();
        let variables: Vec<_> = known
            .variables
            .iter()
            .filter(|(name, _)| name != "ans")
            .collect();
        let longest = |of: &dyn Fn(&str, &str) -> usize| {
            let lengths = variables
                .iter()
                .map(|(name, value)| of(name, value.type_name()));
            lengths.max().unwrap_or(0)
        };
        let names = longest(&|name, _| name.chars().count()).min(24);
        let types = longest(&|_, type_| type_name(type_).chars().count());
        for (name, value) in &variables {
            let left = format!("{name:<names$}  {:<types$}  ", type_name(value.type_name()));
            let room = self.screen().width.saturating_sub(left.chars().count());
            self.show(&format!(
                "{left}{}",
                self.interpreter.line(value, room.max(10))
            ));
        }
        for (name, parameters) in &known.functions {
            self.show(&format!("fn {name}({})", parameters.join(", ")));
        }
        if variables.is_empty() && known.functions.is_empty() {
            self.show("no variables yet");
        }
        Ok(Step::Next)
    }

    pub(super) fn type_(&mut self, code: &str) -> Result<Step> {
        let told = {
            let known = self.known.borrow();
            match known.catalogue.members(code, true).is_empty() {
                false => Some(code.to_string()),
                true => known.type_of(code),
            }
        };
        if let Some(type_) = told {
            self.show(&self.members(&type_));
            return Ok(Step::Next);
        }
        // Only its value tells.
        self.session().resume();
        let before = self.interpreter.state();
        let outcome = self.interpreter.run(self.source, code);
        self.interpreter.restore(before);
        match outcome {
            Ok(value) => self.show(&self.members(&type_name(value.type_name()))),
            Err(diagnostic) => crate::tell!("{diagnostic:#}"),
        }
        Ok(Step::Next)
    }

    pub(super) fn time(&mut self, code: &str) -> Result<Step> {
        let start = Instant::now();
        self.run(1, code);
        crate::tell!("{}", duration(start.elapsed().as_secs_f64()));
        Ok(Step::Next)
    }

    /// Writes the inputs that worked as a script, whole or not at all.
    pub(super) fn save(&mut self, path: &str) -> Result<Step> {
        let path = PathBuf::from(unquoted(path));
        if self.worked.is_empty() {
            bail!("nothing to save: no input has worked yet");
        }
        if path.exists() && !self.saved.contains(&path) {
            bail!("{}: there is such a file already", path.display(); hint: "choose another name");
        }
        let script = transcript::script(&self.worked)?;
        write_atomic(&path, script.as_bytes())?;
        self.show(&format!(
            "{} inputs are in {}; tureen run {} runs them",
            self.worked.len(),
            path.display(),
            path.display()
        ));
        self.saved.insert(path);
        Ok(Step::Next)
    }

    pub(super) fn load(&mut self, path: &str) -> Result<Step> {
        let path = unquoted(path);
        let text = crate::text::read(Path::new(path))?;
        self.run_from(path, &text, &text);
        Ok(Step::Next)
    }

    pub(super) fn edit(&mut self, number: &str) -> Result<Step> {
        let earlier = match number {
            "" => "",
            number => {
                let found = self
                    .worked
                    .iter()
                    .find(|input| input.number.to_string() == number);
                match found {
                    Some(input) => &input.code,
                    None => bail!(":edit {number}: no such input"),
                }
            }
        };
        let code = edited(earlier)?;
        let code = code.trim();
        if code.is_empty() {
            return Ok(Step::Next);
        }
        self.show(code);
        Ok(self.take(code))
    }

    pub(super) fn reset(&mut self) -> Result<Step> {
        let session = self.session().clone();
        session.set_seed(0);
        session.extension::<Outputs>().clear();
        self.interpreter = Interpreter::new(session);
        self.worked.clear();
        self.number = 1;
        self.known.borrow_mut().imports = None;
        self.begin();
        Ok(Step::Next)
    }
}

/// What the user makes of `text` in an editor.
fn edited(text: &str) -> Result<String> {
    let failed = |error: std::io::Error| Error::new(format!(":edit: {error}"));
    let file = tempfile::Builder::new()
        .prefix("input-")
        .suffix(".rhai")
        .tempfile()
        .map_err(failed)?;
    std::fs::write(file.path(), text).map_err(failed)?;
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.trim().is_empty())
        })
        .unwrap_or_else(|| "vi".into());
    // An editor is often given with arguments: `code --wait`.
    let mut words = editor.split_whitespace();
    let status = Process::new(words.next().unwrap_or("vi"))
        .args(words)
        .arg(file.path())
        .status();
    match status {
        Ok(status) if status.success() => std::fs::read_to_string(file.path()).map_err(failed),
        Ok(_) => bail!(":edit: {editor} did not end well; nothing is run"),
        Err(error) => {
            bail!(":edit: {editor}: {error}"; hint: "set EDITOR to an editor that is installed")
        }
    }
}

fn unquoted(path: &str) -> &str {
    path.trim().trim_matches('"')
}

/// A time with the unit that suits it.
fn duration(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 120.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{} min {:.0} s", (seconds / 60.0) as u64, seconds % 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn times_have_a_unit_that_suits() {
        for (seconds, expected) in [
            (0.000_012, "12 µs"),
            (0.0123, "12.3 ms"),
            (1.5, "1.50 s"),
            (125.0, "2 min 5 s"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }
}
