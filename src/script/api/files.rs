//! Text files, JSON and the parameters of a study.

use rhai::plugin::*;
use rhai::{Dynamic, Engine, Map, NativeCallContext};
use serde_json::Value;

use crate::script::Session;
use crate::script::error::Fallible;
use crate::script::overwriting::{FORCE, alone};
use crate::script::values::{describe, in_order};
use crate::script::{NativeSpec, Options};
use crate::study::files::write_atomic;
use crate::text::unmarked;
use crate::{Error, Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[WRITE_TEXT];

static WRITE_TEXT: NativeSpec = NativeSpec {
    name: "write_text",
    options: &[FORCE],
};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_global_module(rhai::exported_module!(natives).into());
}

#[export_module]
mod natives {
    /// The text of a file in UTF-8, without a byte-order mark in front.
    ///
    /// - `path`: the file, relative to the script
    ///
    /// ```rhai
    /// write_text("notes.txt", "what was found");
    /// read_text("notes.txt")    // what was found
    /// ```
    #[rhai_fn(return_raw)]
    pub fn read_text(context: NativeCallContext, path: &str) -> Fallible<String> {
        let session = Session::of(&context)?;
        let file = session.read_file(path)?;
        let text = session.text_of(&file)?;
        session.note_files("file", path, &file)?;
        Ok(text)
    }

    /// Writes a text to a file, whole or not at all.
    ///
    /// - `path`: the file, under the folder of the run
    /// - `text`: what it holds then
    ///
    /// ```rhai
    /// write_text("found.txt", "what was found");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn write_text(context: NativeCallContext, path: &str, text: &str) -> Fallible<()> {
        Ok(written(&context, path, text, false)?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// write_text("found.txt", "what was found", #{ force: true });
    /// ```
    #[rhai_fn(name = "write_text", return_raw)]
    pub fn write_text_with(
        context: NativeCallContext,
        path: &str,
        text: &str,
        options: Map,
    ) -> Fallible<()> {
        let force = Options::read(&WRITE_TEXT, &options)?.bool("force")?;
        Ok(written(&context, path, text, force)?)
    }

    /// The value that a JSON text stands for: maps, lists, texts, numbers, `true`, `false`;
    /// `null` is `()`.
    ///
    /// - `text`: the JSON
    ///
    /// ```rhai
    /// parse_json("[1, 2.5]")    // [1, 2.5]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse_json(text: &str) -> Fallible<Dynamic> {
        let value: Value = serde_json::from_str(unmarked(text)).map_err(unread_json)?;
        Ok(from_json(value)?)
    }

    /// A value as JSON text.
    ///
    /// - `value`: maps, lists, texts, finite numbers, `true`, `false`, `()`
    ///
    /// ```rhai
    /// to_json(#{ a: [1, 2] })    // {"a":[1,2]}
    /// ```
    #[rhai_fn(return_raw)]
    pub fn to_json(value: Dynamic) -> Fallible<String> {
        Ok(json(&value)?.to_string())
    }

    /// The value of a parameter of the study: what `--set name=value` gave, read as the type of
    /// the default, else the default.
    ///
    /// - `name`: the parameter
    /// - `default`: its value where none is given
    ///
    /// ```rhai
    /// param("epochs", 3)    // 3
    /// ```
    #[rhai_fn(return_raw)]
    pub fn param(context: NativeCallContext, name: &str, default: Dynamic) -> Fallible<Dynamic> {
        let session = Session::of(&context)?;
        let value = match session.param(name) {
            Some(text) => read_as(name, &text, &default)?,
            None => default,
        };
        let text = match value.as_immutable_string_ref() {
            Ok(text) => text.to_string(),
            Err(_) => json(&value)?.to_string(),
        };
        session.note_param(name, text);
        Ok(value)
    }
}

fn written(context: &NativeCallContext, path: &str, text: &str, force: bool) -> Result<()> {
    let session = Session::of(context)?;
    session.write_file(path, force, alone, |file| {
        write_atomic(file, text.as_bytes())
    })
}

/// What `--set name=text` gives for a parameter whose default is `like`.
pub(in crate::script) fn read_as(name: &str, text: &str, like: &Dynamic) -> Result<Dynamic> {
    let read = if like.is_string() {
        Some(text.into())
    } else if like.is_int() {
        text.parse::<i64>().ok().map(Dynamic::from)
    } else if like.is_float() {
        text.parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .map(Dynamic::from)
    } else if like.is_bool() {
        text.parse::<bool>().ok().map(Dynamic::from)
    } else {
        let value = serde_json::from_str(text).ok().map(from_json).transpose()?;
        value.filter(|value| value.type_id() == like.type_id())
    };
    match read {
        Some(value) => Ok(value),
        None => {
            let error = Error::new(format!(
                "--set {name}={text}: expected a value like the default, {}",
                describe(like)
            ));
            Err(match like.is_array() || like.is_map() {
                true => error.hint("lists and maps are given as JSON, such as '[\"a\", \"b\"]'"),
                false => error,
            })
        }
    }
}

fn unread_json(error: serde_json::Error) -> Error {
    let told = Error::new(format!("parse_json: {error}"));
    match error.to_string().starts_with("key must be a string") {
        true => told.hint("keys stand in quotes: {\"epochs\": 3}"),
        false => told,
    }
}

pub(super) fn from_json(value: Value) -> Result<Dynamic> {
    Ok(match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(value) => value.into(),
        Value::String(text) => text.into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(float)) => float.into(),
            _ => bail!("{number} is too large a number"),
        },
        Value::Array(values) => {
            let values: Result<rhai::Array> = values.into_iter().map(from_json).collect();
            values?.into()
        }
        Value::Object(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                map.insert(key.into(), from_json(value)?);
            }
            map.into()
        }
    })
}

pub(super) fn json(value: &Dynamic) -> Result<Value> {
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(value) = value.as_bool() {
        return Ok(value.into());
    }
    if let Ok(value) = value.as_int() {
        return Ok(value.into());
    }
    if let Ok(float) = value.as_float() {
        return match serde_json::Number::from_f64(float) {
            Some(number) => Ok(Value::Number(number)),
            None => bail!("to_json: {float} has no JSON"),
        };
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(Value::String(text.to_string()));
    }
    if let Ok(list) = value.as_array_ref() {
        return Ok(Value::Array(list.iter().map(json).collect::<Result<_>>()?));
    }
    if let Ok(map) = value.as_map_ref() {
        let entries = in_order(&map)
            .into_iter()
            .map(|(key, value)| Ok((key.to_string(), json(value)?)));
        return Ok(Value::Object(entries.collect::<Result<_>>()?));
    }
    bail!("to_json: {} has no JSON", describe(value))
}
