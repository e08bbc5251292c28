//! JSON as other programs write it.

use serde_json::Value;

use super::unmarked;
use crate::Error;

/// The value of a JSON text, a byte-order mark in front aside. A bare `NaN`, as Python's writers
/// put it, is null: a missing value.
pub fn value(text: &str) -> Result<Value, serde_json::Error> {
    let text = unmarked(text);
    serde_json::from_str(text).or_else(|error| {
        let again = without_nan(text).and_then(|text| serde_json::from_str(&text).ok());
        again.ok_or(error)
    })
}

/// The error of a text that is no JSON: `line` is where it begins, counted from 1.
pub fn bad(line: usize, text: &str, error: &serde_json::Error) -> Error {
    let words = error.to_string();
    let what = words.split(" at line ").next().unwrap_or_default();
    let told = Error::new(format!(
        "line {}, column {}: bad JSON: {what}",
        line + error.line().saturating_sub(1),
        error.column()
    ));
    match text.contains("Infinity") {
        true => told.hint("JSON has no infinities: write null for a missing value"),
        false => told,
    }
}

/// The text with `null` for each `NaN` outside of quotes; none where there is no such.
fn without_nan(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped, mut found) = (false, false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if !quoted && rest.starts_with("NaN") {
            found = true;
            out.push_str("null");
            rest = &rest["NaN".len()..];
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_nan_is_null() {
        let text = "\u{feff}{\"NaN\": [NaN, 1.5], \"b\": \"a \\\" NaN\"}";
        assert_eq!(
            value(text).unwrap().to_string(),
            r#"{"NaN":[null,1.5],"b":"a \" NaN"}"#
        );
        for wrong in ["NaNN", "{\"a\": Infinity}", "-NaN", "{"] {
            assert!(value(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn errors_name_line_and_column() {
        let text = "{\"a\": Infinity}";
        let error = bad(3, text, &value(text).unwrap_err()).to_string();
        assert_eq!(
            error,
            "line 3, column 7: bad JSON: expected value; JSON has no infinities: write null for a missing value"
        );
    }
}
