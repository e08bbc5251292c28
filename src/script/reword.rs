//! The engine's errors in the users' words, with what to do.

use rhai::{Dynamic, Engine, EvalAltResult, Position, Scope};

use super::parsing::parsing;
use super::session::listed;
use super::signatures::{has_method, properties, signatures};
use super::values::{a, describe, type_name};
use super::{engine, foreign, raised};
use crate::{Error, nearest};

/// At most this many signatures, properties or names in a hint.
const LISTED: usize = 4;

/// What messages may refer to.
pub(super) struct Known<'a> {
    pub(super) engine: &'a Engine,
    pub(super) scope: &'a Scope<'a>,
    pub(super) text: &'a str,
    pub(super) position: Position,
}

/// The innermost error of a script, reworded.
pub(super) fn reword(known: &Known, error: &EvalAltResult) -> Error {
    if let Some(error) = raised(error) {
        return error;
    }
    match error {
        EvalAltResult::ErrorParsing(kind, _) => parsing(known, kind),
        EvalAltResult::ErrorVariableNotFound(name, _) => known.variable(name),
        EvalAltResult::ErrorFunctionNotFound(call, _) => known.function(call),
        EvalAltResult::ErrorPropertyNotFound(name, _) => {
            Error::new(format!("the map has no key {name}")).hint(format!(
                "where it may be missing, test \"{name}\" in the map, or use get(\"{name}\")"
            ))
        }
        EvalAltResult::ErrorDotExpr(message, _) => known.property(message),
        EvalAltResult::ErrorIndexingType(what, _) => {
            let words: Vec<String> = what
                .split(['[', ']'])
                .map(|part| type_name(part.trim()))
                .filter(|part| !part.is_empty())
                .collect();
            let (of, by) = words
                .split_first()
                .map_or(("value", &[][..]), |(of, by)| (of.as_str(), by));
            Error::new(format!("{} cannot be indexed with {}", a(of), by.join(" ")))
        }
        EvalAltResult::ErrorDataRace(..) => Error::new("a value is used while a call works on it")
            .hint("let one of the two use a copy: let copy = value;"),
        EvalAltResult::ErrorMismatchDataType(expected, got, _)
            if type_name(expected) == "int" && type_name(got) == "range" =>
        {
            Error::new("a list is indexed with a whole number")
                .hint("a part of it is list.extract(0..2)")
        }
        EvalAltResult::ErrorMismatchDataType(expected, got, _)
        | EvalAltResult::ErrorMismatchOutputType(expected, got, _) => Error::new(format!(
            "expected {}, got {}",
            type_name(expected),
            type_name(got)
        )),
        EvalAltResult::ErrorArrayBounds(length, index, _) => Error::new(format!(
            "index {index} is out of bounds: the list has {length} values"
        )),
        EvalAltResult::ErrorStringBounds(length, index, _) => Error::new(format!(
            "index {index} is out of bounds: the text has {length} characters"
        )),
        EvalAltResult::ErrorFor(_) => Error::new("`for` cannot go over this value")
            .hint("it takes a list, a range or a map's keys()"),
        EvalAltResult::ErrorRuntime(value, _) => Error::new(thrown(value)),
        EvalAltResult::ErrorStackOverflow(_) => {
            Error::new("functions call each other too deeply; expected at most 64 levels")
        }
        EvalAltResult::ErrorAssignmentToConstant(name, _) => {
            Error::new(format!("{name} is a constant")).hint("declare it with let to change it")
        }
        EvalAltResult::ErrorModuleNotFound(name, _) => Error::new(format!("unknown module {name}"))
            .hint(format!("import it first: import \"{name}\" as {name};")),
        EvalAltResult::ErrorUnboundThis(_) => Error::new("`this` has no value here"),
        other => Error::new(lower(&without_place(other))),
    }
}

impl Known<'_> {
    pub(super) fn variable(&self, name: &str) -> Error {
        let error = Error::new(format!("unknown variable {name}"));
        if let Some(here) = foreign::here(name) {
            return error.hint(format!("here it is {here}"));
        }
        if declared(self.text, name) {
            return error.hint(
                "a fn sees only its parameters: pass it as one; elsewhere, declare it before its use",
            );
        }
        let variables = self
            .scope
            .iter_raw()
            .map(|(name, ..)| name)
            .chain(declarations(self.text));
        match nearest(name, variables) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => self.nearest_native(name, error),
        }
    }

    fn function(&self, call: &str) -> Error {
        let Some((name, rest)) = call.split_once(" (") else {
            // The engine's own functions raise this with a sentence.
            return Error::new(lower(call));
        };
        let types: Vec<String> = rest
            .trim_end_matches(')')
            .split(", ")
            .filter(|t| !t.is_empty())
            .map(|t| {
                if t.contains("ImmutableString") {
                    "text".into()
                } else {
                    type_name(t)
                }
            })
            .collect();
        if !name.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return Error::new(match types.as_slice() {
                [one] => format!("no operator {name} for {one}"),
                _ => format!("no operator {name} for {}", types.join(" and ")),
            });
        }
        if let [own] = &types[..]
            && properties(self.engine, own).iter().any(|p| p == name)
        {
            return Error::new(format!("{name} is a property of {}", a(own)))
                .hint(format!("write .{name} without ()"));
        }
        let takes = signatures(self.engine, name);
        if !takes.is_empty() {
            let more = if takes.len() > LISTED { ", ..." } else { "" };
            let takes: Vec<&str> = takes.iter().take(LISTED).map(String::as_str).collect();
            return Error::new(format!("{name} does not take ({})", types.join(", ")))
                .hint(format!("it takes {}{more}", takes.join(", ")));
        }
        let error = Error::new(format!("unknown function {name}({})", types.join(", ")));
        if self.scope.contains(name) || declared(self.text, name) {
            return error.hint(format!("{name} is a variable: write {name}.call(...)"));
        }
        if let Some(parameters) = script_function(self.text, name) {
            return error.hint(format!("the script has {name}({parameters})"));
        }
        self.nearest_native(name, error)
    }

    /// The error with the native that was meant; short names are near to too many.
    fn nearest_native(&self, name: &str, error: Error) -> Error {
        let natives = engine::names(self.engine);
        match nearest(name, natives.iter().map(String::as_str)) {
            Some(near) if name.len() > 3 => error.hint(format!("did you mean {near}?")),
            _ => error,
        }
    }

    fn property(&self, message: &str) -> Error {
        let quoted: Vec<&str> = message.split('\'').skip(1).step_by(2).collect();
        let [name, rust, ..] = quoted.as_slice() else {
            return Error::new(lower(message));
        };
        let type_ = type_name(rust);
        if message.starts_with("No writable") {
            return Error::new(format!("property {name} of {} cannot be set", a(&type_)))
                .hint("values do not change; make a new one");
        }
        let error = Error::new(format!("{} has no property {name}", a(&type_)));
        if has_method(self.engine, &type_, name) {
            return error.hint(format!("it is a function: write .{name}()"));
        }
        let known = properties(self.engine, &type_);
        match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None if known.is_empty() => error,
            None => error.hint(format!(
                "it has {}",
                listed(known.iter().map(String::as_str))
            )),
        }
    }
}

fn thrown(value: &Dynamic) -> String {
    match value.as_immutable_string_ref() {
        Ok(text) if text.is_empty() => "the script stopped itself".into(),
        Ok(text) => text.to_string(),
        Err(_) if value.is_unit() => "the script stopped itself".into(),
        Err(_) if value.is_map() || value.is_array() => value.to_string(),
        Err(_) => describe(value),
    }
}

/// Whether `text` declares a variable or names a parameter `name`.
fn declared(text: &str, name: &str) -> bool {
    declarations(text).contains(&name)
        || text
            .split('|')
            .skip(1)
            .step_by(2)
            .any(|inner| inner.split(',').any(|p| p.trim() == name))
}

/// The names that `text` declares with let, const or for.
fn declarations(text: &str) -> Vec<&str> {
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|w| !w.is_empty())
        .collect();
    let declared = words
        .windows(2)
        .filter(|w| matches!(w[0], "let" | "const" | "for"));
    declared.map(|w| w[1]).collect()
}

/// The parameters of the script's own function `name`.
fn script_function<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("fn {name}("))? + 3 + name.len() + 1;
    text[start..].split(')').next()
}

/// An engine's message without its place, which the diagnostic has.
fn without_place(error: &EvalAltResult) -> String {
    let text = error.to_string();
    match text.rfind(" (line ") {
        Some(at) if text.ends_with(')') => text[..at].to_string(),
        _ => text,
    }
}

pub(super) fn lower(message: &str) -> String {
    let mut letters = message.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}
