//! How values are named and shown to users.

use rhai::{Dynamic, Identifier, Map};

use crate::adapter::natural;

/// The name users know a type by: the engine's names without paths, `int`, `float`, `text`...
pub fn type_name(rust: &str) -> String {
    let bare = rust
        .trim()
        .trim_start_matches('&')
        .trim_start_matches("mut ")
        .trim();
    match bare {
        "i64" | "INT" => "int".into(),
        "f64" | "FLOAT" => "float".into(),
        "bool" => "bool".into(),
        "char" => "char".into(),
        "()" => "()".into(),
        "string" | "str" | "String" | "ImmutableString" | "alloc::string::String" => "text".into(),
        "array" | "Array" => "list".into(),
        "map" | "Map" => "map".into(),
        "Fn" | "FnPtr" => "function".into(),
        "Dynamic" | "?" | "_" => "any".into(),
        path if path.starts_with("Arc<") && path.ends_with('>') => {
            type_name(&path["Arc<".len()..path.len() - 1])
        }
        path if path.contains("::ImmutableString") => "text".into(),
        path if path.contains("Vec<rhai") => "list".into(),
        path if path.contains("BTreeMap<") => "map".into(),
        path if path.contains("Range") => "range".into(),
        // A type kept behind a counter is the type itself to users.
        path if path.contains("Arc<") => type_name(
            path.split_once("Arc<")
                .map_or(path, |(_, inner)| inner.trim_end_matches('>')),
        ),
        path => match path.rsplit("::").next().unwrap_or(path) {
            // Registered under other names than they have in the code.
            "Scored" => "Score".into(),
            "Part" => "Split".into(),
            "Grouped" => "Groups".into(),
            "Compared" => "SignDiff".into(),
            "Attacked" => "Attack".into(),
            name => name.to_string(),
        },
    }
}

/// The entries of a map in natural order of their keys: layer.2 before layer.10.
pub fn in_order(map: &Map) -> Vec<(&Identifier, &Dynamic)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|(a, _), (b, _)| natural(a, b));
    entries
}

/// A type with its article: "a list", "an int".
pub fn a(type_: &str) -> String {
    let article = if type_.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {type_}")
}

/// A value in an error: its type, and the value where that is short.
pub fn describe(value: &Dynamic) -> String {
    let kind = type_name(value.type_name());
    if value.is_unit() {
        return "()".into();
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return match text.char_indices().nth(40) {
            Some((cut, _)) => format!("text {:?}...", &text[..cut]),
            None => format!("text {:?}", text.as_str()),
        };
    }
    if let Ok(list) = value.as_array_ref() {
        return format!("a list of {}", list.len());
    }
    if value.is_int() || value.is_float() || value.is_bool() || value.is_char() {
        return format!("{kind} {value}");
    }
    a(&kind)
}
