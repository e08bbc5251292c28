//! What a study recorded: single numbers large, the rest in tables.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::{facts, tables};
use crate::report::{escaped, number};
use crate::study::Record;

/// What a recorded map calls its number, the first that it has.
const ESTIMATES: [&str; 7] = [
    "r", "value", "estimate", "mean", "diff", "accuracy", "score",
];

/// Numbers with their intervals first, then the tables, then what is neither.
pub(super) fn recorded(record: &Record) -> String {
    if record.recorded.is_empty() {
        return String::new();
    }
    let (mut large, mut rest, mut below) = (String::new(), Vec::new(), String::new());
    for (name, value) in &record.recorded {
        if let Some(rows) = tables::rows(value) {
            let _ = write!(
                below,
                "<h3>{}</h3>\n{}",
                escaped(name),
                tables::table(&rows)
            );
        } else if let Some(card) = card(name, value) {
            large += &card;
        } else {
            rest.push((name.clone(), told(value)));
        }
    }
    if !large.is_empty() {
        large = format!("<dl class=\"headline\">\n{large}</dl>\n");
    }
    if !rest.is_empty() {
        below.insert_str(0, &facts(&rest));
    }
    format!("<h2>Results</h2>\n{large}{below}")
}

/// A number, with its interval and what else is known of it.
fn card(name: &str, value: &Value) -> Option<String> {
    let (value, beside) = match value {
        Value::Number(_) => (value, String::new()),
        Value::Object(map) => {
            let of = |key: &&&str| map.get(**key).is_some_and(Value::is_number);
            let key = ESTIMATES.iter().find(of)?;
            (&map[*key], beside(map, key))
        }
        _ => return None,
    };
    Some(format!(
        "<div><dt>{}</dt><dd><strong>{}</strong>{beside}</dd></div>\n",
        escaped(name),
        escaped(&told(value))
    ))
}

fn beside(map: &Map<String, Value>, main: &str) -> String {
    let mut out = String::new();
    let mut used = vec![main];
    if let (Some(lo), Some(hi)) = (map.get("lo"), map.get("hi"))
        && lo.is_number()
        && hi.is_number()
    {
        let _ = write!(out, " <span>{} to {}</span>", told(lo), told(hi));
        used.extend(["lo", "hi"]);
    }
    let rest: Vec<String> = map
        .iter()
        .filter(|(name, value)| !used.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| match name.as_str() {
            "method" => told(value),
            name => format!("{name} = {}", told(value)),
        })
        .collect();
    // A lone name says which number this is.
    let what = match main {
        "value" | "estimate" => None,
        main => Some(main.to_string()),
    };
    let told: Vec<String> = what.into_iter().chain(rest).collect();
    let _ = write!(out, "<small>{}</small>", escaped(&told.join(", ")));
    out
}

/// A value in a line: numbers short, an interval in brackets behind its number.
pub(super) fn told(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(plain) => match plain.as_f64() {
            Some(value) if value.fract() != 0.0 => number(value),
            _ => plain.to_string(),
        },
        Value::Array(values) => values.iter().map(told).collect::<Vec<_>>().join(", "),
        Value::Object(map) => {
            let interval = match (map.get("lo"), map.get("hi")) {
                (Some(lo), Some(hi)) if lo.is_number() => {
                    format!(" [{}, {}]", told(lo), told(hi))
                }
                _ => String::new(),
            };
            let rest = map.iter().filter(|(name, value)| {
                !value.is_null() && (interval.is_empty() || !matches!(name.as_str(), "lo" | "hi"))
            });
            let rest: Vec<String> = rest
                .map(|(name, value)| format!("{name} = {}", told(value)))
                .collect();
            format!("{}{interval}", rest.join(", "))
        }
        Value::Bool(truth) => truth.to_string(),
    }
}
