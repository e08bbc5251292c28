//! The engine's errors in the users' words, with what to do.

use rhai::{Dynamic, Engine, EvalAltResult, Position, Scope};

use super::parsing::{constant, parsing};
use super::raised;
use super::recursion::too_deep;
use super::session::listed;
use super::signatures::{has_method, properties};
use super::values::{a, describe, type_name};
use crate::{Error, nearest};

/// What messages may refer to.
pub(super) struct Known<'a> {
    pub(super) engine: &'a Engine,
    /// The file of the text.
    pub(super) source: &'a str,
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
        EvalAltResult::ErrorPropertyNotFound(name, _) => known.key(name),
        EvalAltResult::ErrorDotExpr(message, _) => known.property(message),
        EvalAltResult::ErrorIndexingType(what, _) => unindexed(what),
        EvalAltResult::ErrorDataRace(..) => Error::new("a value is used while a call works on it")
            .hint("let one of the two use a copy: let copy = value;"),
        EvalAltResult::ErrorMismatchDataType(expected, got, _)
            if type_name(expected) == "int" && type_name(got) == "range" =>
        {
            Error::new("a list is indexed with a whole number")
                .hint("a part of it is list.extract(0..2)")
        }
        EvalAltResult::ErrorMismatchDataType(expected, got, _)
            if type_name(expected) == "bool" && matches!(&*type_name(got), "int" | "float") =>
        {
            Error::new(format!(
                "a condition is true or false, got {}",
                a(&type_name(got))
            ))
            .hint("write x != 0")
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
            .hint("it takes a list, a range, a Table, a text or a map's keys()"),
        EvalAltResult::ErrorRuntime(value, _) => Error::new(thrown(value)),
        EvalAltResult::ErrorStackOverflow(_) => {
            too_deep("functions call each other", known.engine.max_call_levels())
        }
        EvalAltResult::ErrorAssignmentToConstant(name, _) => constant(name),
        EvalAltResult::ErrorArithmetic(message, _) => arithmetic(message),
        EvalAltResult::ErrorModuleNotFound(name, _) => Error::new(format!("unknown module {name}"))
            .hint(format!("import it first: import \"{name}\" as {name};")),
        EvalAltResult::ErrorUnboundThis(_) => {
            Error::new("this has a value only in a function called as a method")
        }
        other => Error::new(lower(&without_place(other))),
    }
}

impl Known<'_> {
    fn property(&self, message: &str) -> Error {
        let quoted: Vec<&str> = message.split('\'').skip(1).step_by(2).collect();
        let [name, rust, ..] = quoted.as_slice() else {
            return Error::new(lower(message));
        };
        let type_ = type_name(rust);
        if type_ == "()" {
            return nothing();
        }
        if message.starts_with("No writable") {
            return Error::new(format!("property {name} of {} cannot be set", a(&type_)))
                .hint("values do not change; make a new one");
        }
        let error = Error::new(format!("{} has no property {name}", a(&type_)));
        if has_method(self.engine, &type_, name) {
            return error.hint(format!("it is a function: write .{name}()"));
        }
        if type_ == "Table" {
            return error.hint(format!(
                "a column is read by t[\"{name}\"], a row's cell by t[0].{name}"
            ));
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

/// `x[key]` of what has no entries; `what` is `map [text]`.
fn unindexed(what: &str) -> Error {
    let words: Vec<String> = what
        .split(['[', ']'])
        .map(|part| type_name(part.trim()))
        .filter(|part| !part.is_empty())
        .collect();
    let (of, by) = words
        .split_first()
        .map_or(("value", &[][..]), |(of, by)| (of.as_str(), by));
    match of {
        "()" => nothing(),
        _ => Error::new(format!("{} cannot be indexed with {}", a(of), by.join(" "))),
    }
}

/// An entry or property of nothing.
fn nothing() -> Error {
    Error::new("the value is (), which has no entries")
        .hint("a call without a result gives (), such as sort(); sorted() gives a copy")
}

/// What the engine's own arithmetic refuses.
fn arithmetic(message: &str) -> Error {
    let error = Error::new(lower(message));
    let power = message
        .rsplit_once(": ")
        .and_then(|(_, power)| power.split_once(" ** "));
    match power {
        Some((base, exponent)) if exponent.starts_with('-') => {
            error.hint(format!("write {base}.0 ** {exponent}"))
        }
        _ => error,
    }
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
