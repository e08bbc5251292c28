//! Names that nothing has: what is meant by them, or why they are not seen there.

use std::collections::BTreeSet;

use rhai::{Dynamic, Map};

use super::check::facts::keys;
use super::modules::{import_of, missing_member};
use super::reword::Known;
use super::signatures::{members, properties};
use super::values::{a, type_name};
use super::{code, engine, foreign, spot};
use crate::report::table::Table;
use crate::{Error, nearest};

/// At most this many rows of a list are asked for their keys.
const ROWS: usize = 20;

impl Known<'_> {
    /// A variable that is not there.
    pub(super) fn variable(&self, name: &str) -> Error {
        let error = Error::new(format!("unknown variable {name}"));
        if let Some(here) = foreign::here(name) {
            return error.hint(format!("here it is {here}"));
        }
        let bare = code::bare(self.text);
        if let Some(hint) = self.assigned(&bare, name) {
            return error.hint(hint);
        }
        if let Some(out_of_sight) = self.out_of_sight(&bare, name) {
            return out_of_sight;
        }
        let declared = declarations(&bare);
        let variables = self
            .scope
            .iter_raw()
            .map(|(name, ..)| name)
            .chain(declared.iter().map(|(_, name)| *name))
            .chain(self.parameters_around(&bare));
        match nearest(name, variables) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => self.nearest_native(name, None, error),
        }
    }

    /// What to write where a name that nothing has is given a value: a variable, or an option as
    /// other languages pass it.
    fn assigned(&self, bare: &str, name: &str) -> Option<String> {
        let at = code::offset(self.text, self.position)?;
        let after = bare.get(at..)?.strip_prefix(name)?.trim_start();
        let value = after
            .strip_prefix('=')
            .or_else(|| after.strip_prefix(':'))?;
        if value.starts_with(['=', '>', ':']) {
            return None;
        }
        let open = code::open(&bare[..at]);
        match open.last() {
            Some(inner) if inner.called().is_some() && inner.function().is_none() => {
                Some(format!("options are a map: #{{ {name}: ... }}"))
            }
            _ if after.starts_with('=') => {
                Some(format!("a new variable is declared: let {name} = ..."))
            }
            _ => None,
        }
    }

    /// A variable that the text declares, where it is not seen.
    fn out_of_sight(&self, bare: &str, name: &str) -> Option<Error> {
        let error = Error::new(format!("unknown variable {name}"));
        let at = code::offset(self.text, self.position).unwrap_or(bare.len());
        let body = code::open(&bare[..at])
            .iter()
            .find(|open| open.bracket == '{' && open.function().is_some())
            .map(|open| open.before.len());
        let declared: Vec<usize> = declarations(bare)
            .into_iter()
            .filter(|(_, declared)| *declared == name)
            .map(|(at, _)| at)
            .collect();
        let above = |place: &usize| *place < at && *place >= body.unwrap_or(0);
        if declared.iter().any(above) {
            return Some(
                Error::new(format!("{name} ends with its block"))
                    .hint("declare it before the block"),
            );
        }
        match body {
            Some(_) if !declared.is_empty() || parameters(bare).contains(&name) => {
                Some(error.hint(format!("a fn sees only its parameters: pass {name} as one")))
            }
            None if !declared.is_empty() => Some(error.hint("declare it before its use")),
            _ => None,
        }
    }

    /// The parameters of the function that the place of the error is in.
    fn parameters_around<'a>(&self, bare: &'a str) -> Vec<&'a str> {
        let at = code::offset(self.text, self.position).unwrap_or(bare.len());
        let open = code::open(&bare[..at]);
        let body = open.iter().find(|open| open.function().is_some());
        body.and_then(|body| body.before.rsplit_once('('))
            .map(|(_, parameters)| names(parameters.trim_end().trim_end_matches(')')))
            .unwrap_or_default()
    }

    /// A function that does not take such values, or is not there.
    pub(super) fn function(&self, call: &str) -> Error {
        let Some((name, rest)) = call.split_once(" (") else {
            // The engine's own functions raise this with a sentence.
            return Error::new(super::reword::lower(call));
        };
        let types: Vec<String> = rest
            .trim_end_matches(')')
            .split(", ")
            .filter(|t| !t.is_empty())
            .map(|t| match t.contains("ImmutableString") {
                true => "text".into(),
                false => type_name(t),
            })
            .collect();
        if !name.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return self.operator(name, &types);
        }
        if let [own] = &types[..]
            && self.is_method()
            && properties(self.engine, own).iter().any(|p| p == name)
        {
            return Error::new(format!("{name} is a property of {}", a(own)))
                .hint(format!("write .{name} without ()"));
        }
        if let Some(hint) = self.misfit(name, &types) {
            return Error::new(format!("{name} does not take ({})", types.join(", "))).hint(hint);
        }
        if let Some(error) = self.member(name, types.len()) {
            return error;
        }
        let error = Error::new(format!("unknown function {name}({})", types.join(", ")));
        let bare = code::bare(self.text);
        let variable = |known: &(usize, &str)| known.1 == name;
        if self.scope.contains(name)
            || declarations(&bare).iter().any(variable)
            || parameters(&bare).contains(&name)
        {
            return error.hint(format!("{name} is a variable: write {name}.call(...)"));
        }
        if let Some(parameters) = script_function(self.text, name) {
            return error.hint(format!("the script has {name}({parameters})"));
        }
        let receiver = types.first().filter(|_| self.is_method());
        self.nearest_native(name, receiver.map(String::as_str), error)
    }

    /// A function of an imported module.
    fn member(&self, call: &str, count: usize) -> Option<Error> {
        let (alias, name) = call.split_once("::")?;
        let exports = import_of(self.engine, self.source, self.text, alias)?;
        missing_member(alias, name, count, &exports)
    }

    /// The error with the native that was meant, one of the receiver's first; short names are near
    /// to too many.
    fn nearest_native(&self, name: &str, receiver: Option<&str>, error: Error) -> Error {
        if name.len() <= 3 {
            return error;
        }
        let own = receiver.map_or_else(Vec::new, |type_| members(self.engine, type_));
        let natives = engine::names(self.engine);
        let near =
            |known: &[String]| nearest(name, known.iter().map(String::as_str)).map(str::to_string);
        match near(&own).or_else(|| near(&natives)) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        }
    }

    /// A key that a map has not.
    pub(super) fn key(&self, name: &str) -> Error {
        let error = Error::new(format!("the map has no key {name}"));
        let mut known = spot::parsed(self.text).map_or_else(BTreeSet::new, |tree| keys(&tree));
        for (_, _, value) in self.scope.iter_raw() {
            add_keys(&mut known, value);
        }
        known.remove(name);
        match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint(format!(
                "where it may be missing, test \"{name}\" in the map, or use get(\"{name}\")"
            )),
        }
    }
}

/// The keys of a map, of the maps in a list, and the columns of a table.
fn add_keys(known: &mut BTreeSet<String>, value: &Dynamic) {
    if let Some(map) = value.read_lock::<Map>() {
        known.extend(map.keys().map(ToString::to_string));
    } else if let Some(table) = value.read_lock::<Table>() {
        known.extend(table.columns().into_iter().map(ToString::to_string));
    } else if let Ok(list) = value.as_array_ref() {
        for row in list.iter().take(ROWS).filter(|row| row.is_map()) {
            add_keys(known, row);
        }
    }
}

/// The names that bare code declares with let, const or for, and where.
fn declarations(bare: &str) -> Vec<(usize, &str)> {
    let words = words(bare);
    let declared = words
        .windows(2)
        .filter(|w| matches!(w[0].1, "let" | "const" | "for"));
    declared.map(|w| w[1]).collect()
}

/// The parameters of the functions and closures in bare code.
fn parameters(bare: &str) -> Vec<&str> {
    let functions = bare.split("fn ").skip(1).filter_map(|rest| {
        let (head, _) = rest.split_once(')')?;
        Some(head.split_once('(')?.1)
    });
    let closures = bare.split('|').skip(1).step_by(2);
    functions.chain(closures).flat_map(names).collect()
}

/// The names of `a, b`.
fn names(list: &str) -> Vec<&str> {
    list.split(',').map(str::trim).collect()
}

/// The words of bare code, and where they start.
fn words(bare: &str) -> Vec<(usize, &str)> {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = Vec::new();
    let mut at = 0;
    for part in bare.split(|c: char| !letter(c)) {
        if !part.is_empty() {
            words.push((at, part));
        }
        // What splits is of any length.
        at += part.len()
            + bare[at + part.len()..]
                .chars()
                .next()
                .map_or(0, char::len_utf8);
    }
    words
}

/// The parameters of the script's own function `name`.
fn script_function<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("fn {name}("))? + 3 + name.len() + 1;
    text[start..].split(')').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_code() {
        let code = "let é = 1; for k in 0..3 { } fn f(a, b) { } xs.map(|x| x)";
        let declared: Vec<&str> = declarations(code).iter().map(|(_, name)| *name).collect();
        assert_eq!(declared, ["é", "k"]);
        assert!(
            declarations(code)
                .iter()
                .all(|(at, name)| code[*at..].starts_with(name))
        );
        assert_eq!(parameters(code), ["a", "b", "x"]);
    }
}
