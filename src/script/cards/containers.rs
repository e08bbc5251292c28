//! Lists, maps and texts.

use rhai::{Array, Dynamic, Engine, Map};

use super::{cut, line};
use crate::script::values::in_order;

/// At most this many values of a list of other values are shown, one a line.
const SHOWN: usize = 20;
/// At most this many lines of numbers, of a text, of a map.
const LINES: usize = 12;

/// A list alone: numbers and texts side by side, other values one a line with their index.
pub(super) fn list(engine: &Engine, list: &Array, width: usize) -> String {
    let plain = |value: &Dynamic| !value.is_variant() && !value.is_map();
    if list.iter().all(plain) {
        return side_by_side(engine, list, width);
    }
    let digits = (list.len().min(SHOWN) - 1).to_string().len();
    let mut lines: Vec<String> = list
        .iter()
        .take(SHOWN)
        .enumerate()
        .map(|(at, value)| {
            let shown = line(engine, value, width.saturating_sub(digits + 2));
            format!("{at:>digits$}  {shown}")
        })
        .collect();
    if list.len() > SHOWN {
        lines.push(format!("... {} more", list.len() - SHOWN));
    }
    lines.join("\n")
}

fn side_by_side(engine: &Engine, list: &Array, width: usize) -> String {
    let mut lines = vec![String::from("[")];
    for (at, value) in list.iter().enumerate() {
        let end = if at + 1 == list.len() { "]" } else { "," };
        let item = line(engine, value, width - 3) + end;
        let last = lines.len() - 1;
        let filled = lines[last].chars().count();
        if filled <= 1 {
            lines[last] += &item;
        } else if filled + 1 + item.chars().count() <= width {
            lines[last] += " ";
            lines[last] += &item;
        } else if lines.len() == LINES {
            lines.push(format!(" ... {} more]", list.len() - at));
            break;
        } else {
            lines.push(format!(" {item}"));
        }
    }
    if list.is_empty() {
        lines[0] += "]";
    }
    lines.join("\n")
}

/// A map alone: in one line where it fits, else a key a line.
pub(super) fn map(engine: &Engine, map: &Map, width: usize) -> String {
    let whole = map_whole(engine, map);
    if whole.chars().count() <= width && !whole.contains('\n') {
        return whole;
    }
    let mut lines = vec![String::from("#{")];
    for (key, value) in in_order(map).into_iter().take(SHOWN) {
        let key = shown_key(key);
        let room = width.saturating_sub(key.chars().count() + 5).max(8);
        lines.push(cut(
            &format!("  {key}: {},", line(engine, value, room)),
            width,
        ));
    }
    if map.len() > SHOWN {
        lines.push(format!("  ... {} more", map.len() - SHOWN));
    }
    lines.push("}".into());
    lines.join("\n")
}

/// More than this of a value inside another is not looked at.
const FAR: usize = 400;

fn map_whole(engine: &Engine, map: &Map) -> String {
    if map.is_empty() {
        return "#{}".into();
    }
    let entries: Vec<String> = in_order(map)
        .into_iter()
        .take(FAR / 4)
        .map(|(key, value)| format!("{}: {}", shown_key(key), line(engine, value, FAR)))
        .collect();
    format!("#{{ {} }}", entries.join(", "))
}

/// A key as the language would have it.
fn shown_key(key: &str) -> String {
    let mut chars = key.chars();
    let plain = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain {
        key.into()
    } else {
        format!("{key:?}")
    }
}

pub(super) fn map_line(engine: &Engine, map: &Map, width: usize) -> String {
    let whole = map_whole(engine, map);
    if whole.chars().count() <= width {
        return whole;
    }
    let keys: Vec<String> = in_order(map)
        .into_iter()
        .take(FAR / 4)
        .map(|(key, _)| shown_key(key))
        .collect();
    format!("map of {}: {}", map.len(), keys.join(", "))
}

pub(super) fn list_line(engine: &Engine, list: &Array, width: usize) -> String {
    let mut shown = Vec::new();
    let mut length = 2;
    for value in list {
        let item = line(engine, value, width);
        length += item.chars().count() + 2;
        shown.push(item);
        if length > width {
            break;
        }
    }
    let whole = format!("[{}]", shown.join(", "));
    if shown.len() == list.len() && whole.chars().count() <= width {
        return whole;
    }
    let mut told = format!("list of {}: ", list.len());
    let room = width.saturating_sub(", ...".len());
    for (at, item) in shown.iter().enumerate() {
        let next = match at {
            0 => item.clone(),
            _ => format!(", {item}"),
        };
        if at > 0 && told.chars().count() + next.chars().count() > room {
            break;
        }
        told += &next;
    }
    told + ", ..."
}

/// A text alone: in quotes where it is one line, else as it reads.
pub(super) fn text(text: &str, width: usize) -> String {
    let quoted = format!("{text:?}");
    if quoted.chars().count() <= width * LINES {
        return quoted;
    }
    let shown: String = quoted.chars().take(width * (LINES - 1)).collect();
    format!("{shown}…\n... {} characters in all", text.chars().count())
}

pub(super) fn text_line(text: &str, width: usize) -> String {
    let quoted = format!("{text:?}");
    if quoted.chars().count() <= width {
        return quoted;
    }
    let shown: String = quoted.chars().take(width.saturating_sub(2)).collect();
    format!("{shown}…\"")
}
