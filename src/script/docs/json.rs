//! The docs for programs.

use serde::{Serialize, Serializer};
use serde_json::{Value, json as value};

use super::super::Session;
use super::super::spec::{Absent, Kind, NativeSpec, OptionSpec};
use super::guide::GUIDE;
use super::modules::modules;
use super::reference::Reference;
use crate::{Error, Result};

/// All docs as JSON: `chapters` (types and functions by topic), `modules`, `guide`.
pub fn json(session: &Session) -> Result<String> {
    let guide = GUIDE
        .iter()
        .map(|page| value!({"name": page.name, "title": page.title(), "text": page.text}));
    let docs = value!({
        "version": env!("CARGO_PKG_VERSION"),
        "chapters": Reference::new(session).chapters,
        "modules": modules(),
        "guide": guide.collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&docs).map_err(|error| Error::new(error.to_string()))
}

/// The options of a native as a list; null where it takes none.
pub(super) fn spec<S: Serializer>(
    spec: &Option<&'static NativeSpec>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let rows = spec.map(|spec| spec.options.iter().map(option).collect::<Vec<_>>());
    rows.serialize(serializer)
}

fn option(option: &OptionSpec) -> Value {
    let (type_, range) = match option.kind {
        Kind::Int { min, max } => ("int", value!([min, max])),
        Kind::Float { min, max } => ("float", value!([min, max])),
        Kind::Bool => ("bool", Value::Null),
        Kind::Text => ("text", Value::Null),
        Kind::Choice(words) => ("choice", value!(words)),
        Kind::List => ("list", Value::Null),
        Kind::Map => ("map", Value::Null),
        Kind::Function => ("function", Value::Null),
        Kind::Value(_) => ("value", Value::Null),
    };
    let (default, otherwise) = match option.default {
        Absent::Required => (None, None),
        Absent::Decided(how) => (None, Some(how)),
        Absent::Value(text) => (Some(option.written(text)), None),
    };
    value!({
        "name": option.name,
        "type": type_,
        "range": range,
        "takes": option.expected(),
        "unit": option.unit,
        "default": default,
        "otherwise": otherwise,
        "required": option.default == Absent::Required,
        "doc": option.doc,
        "acts": option.acts.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
