//! What can be told of a script without running it: unknown names, wrong options, missing inputs,
//! impossible values. All of it at once, and nothing where a type is not known.
//!
//! [`check`] reads the script ([`syntax`]), walks it with the variables seen at each place
//! ([`walk`], [`values`], [`scope`]) and the types that the natives' signatures tell ([`natives`]);
//! each kind of mistake has its file.

mod calls;
mod captures;
pub(super) mod facts;
mod inputs;
mod literals;
mod natives;
mod options;
mod races;
mod scope;
mod surprises;
mod syntax;
mod values;
mod walk;

use rhai::{Engine, EvalAltResult, Position, Scope};

use super::reword::{Known, reword};
use super::{Diagnostic, Session, Severity, engine, innermost};
use crate::Error;

/// Something that is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, and where.
    pub diagnostic: Diagnostic,
    /// Whether every run comes there: it stands in no branch, loop or function, and nothing above
    /// it may end the run.
    pub certain: bool,
}

/// Everything that is wrong with `text` and the modules that it imports, in order of their places.
/// `source` names it in messages; for a script it is the path, which its imports are relative to.
pub fn check(session: &Session, source: &str, text: &str) -> Vec<Finding> {
    let mut engine = engine(session);
    // Unknown variables are found by the walk, all of them.
    engine.set_strict_variables(false);
    let natives = natives::Natives::of(&engine);
    let names = super::names(&engine);
    let mut checker = Checker {
        session,
        engine: &engine,
        natives: &natives,
        names: &names,
        findings: Vec::new(),
        checked: vec![source.to_string()],
        asked: inputs::Asked::default(),
    };
    checker.file(source, text, false);
    checker.parameters(source);
    let mut findings = checker.findings;
    findings.sort_by_key(|found| {
        let diagnostic = &found.diagnostic;
        (
            diagnostic.source != source,
            diagnostic.source.clone(),
            diagnostic.place,
        )
    });
    findings.dedup_by(|a, b| a.diagnostic == b.diagnostic);
    findings
}

/// What a check of a script and its modules shares.
struct Checker<'a> {
    session: &'a Session,
    engine: &'a Engine,
    natives: &'a natives::Natives,
    names: &'a [String],
    findings: Vec<Finding>,
    /// The files that are checked or being checked.
    checked: Vec<String>,
    /// The parameters that the script asks for.
    asked: inputs::Asked,
}

impl Checker<'_> {
    /// Checks one file; `module` if another file imports it.
    fn file(&mut self, source: &str, text: &str, module: bool) {
        let read = syntax::read(self, source, text);
        if let Some(read) = read {
            walk::walk(self, source, text, &read, module);
        }
    }

    fn is_native(&self, name: &str) -> bool {
        self.names
            .binary_search_by(|known| known.as_str().cmp(name))
            .is_ok()
    }

    /// The engine's error, raised by `text` of `source`, as users read it.
    fn reworded(&self, (source, text): (&str, &str), error: &EvalAltResult, at: Position) -> Error {
        let known = Known {
            engine: self.engine,
            source,
            scope: &Scope::new(),
            text,
            position: at,
        };
        reword(&known, innermost(error))
    }

    fn report(&mut self, source: &str, text: &str, at: Position, error: Error, certain: bool) {
        let place = place(at);
        let diagnostic = match place {
            Some(place) => Diagnostic::at(source, text, place, error),
            None => Diagnostic::of(source, error),
        };
        self.findings.push(Finding {
            diagnostic,
            certain,
        });
    }

    fn warn(&mut self, source: &str, text: &str, at: Position, error: Error) {
        self.report(source, text, at, error, false);
        if let Some(last) = self.findings.last_mut() {
            last.diagnostic.severity = Severity::Warning;
        }
    }
}

fn place(at: Position) -> Option<(usize, usize)> {
    at.line()
        .map(|line| (line, at.position().unwrap_or(1).max(1)))
}
