//! How values are shown at the prompt: a fuller card of a value alone, one line of a value among
//! others.

mod containers;
mod fields;
mod tensor;

use rhai::{Dynamic, Engine, Scope};

use super::values::type_name;
use crate::report::Screen;
use crate::report::figure::Figure;
use crate::report::table::Table;

/// The least width that cards are made for.
const NARROWEST: usize = 20;

/// A value alone, on a screen: text in quotes, tables fitted to the width, figures drawn.
pub fn card(engine: &Engine, value: &Dynamic, screen: &Screen) -> String {
    let width = screen.width.max(NARROWEST);
    if let Ok(list) = value.as_array_ref() {
        return containers::list(engine, &list, width);
    }
    if let Ok(map) = value.as_map_ref() {
        return containers::map(engine, &map, width);
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return containers::text(&text, width);
    }
    if let Some(table) = value.read_lock::<Table>() {
        return table.fitted(width);
    }
    if let Some(figure) = value.read_lock::<Figure>() {
        return figure.show(screen);
    }
    if let Some(tensor) = value.read_lock::<candle_core::Tensor>() {
        return tensor::card(&tensor, width);
    }
    fields::card(engine, value, width)
}

/// A value in one line of at most `width` characters.
pub fn line(engine: &Engine, value: &Dynamic, width: usize) -> String {
    let width = width.max(2);
    let text = if let Ok(list) = value.as_array_ref() {
        containers::list_line(engine, &list, width)
    } else if let Ok(map) = value.as_map_ref() {
        containers::map_line(engine, &map, width)
    } else if let Ok(text) = value.as_immutable_string_ref() {
        return containers::text_line(&text, width);
    } else if let Some(table) = value.read_lock::<Table>() {
        table.summary()
    } else {
        text(engine, value)
    };
    cut(text.lines().next().unwrap_or(""), width)
}

/// A value by its own way to text.
pub(super) fn text(engine: &Engine, value: &Dynamic) -> String {
    call(engine, "to_string(value)", value)
        .and_then(|text| text.into_string().ok())
        .unwrap_or_else(|| type_name(value.type_name()))
}

/// What `code` makes of `value`; none where it fails.
fn call(engine: &Engine, code: &str, value: &Dynamic) -> Option<Dynamic> {
    let mut scope = Scope::new();
    scope.push("value", value.clone());
    engine.eval_with_scope::<Dynamic>(&mut scope, code).ok()
}

/// `text` on one line, without what steers a terminal, cut to `width` characters.
fn cut(text: &str, width: usize) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at + 1 == width && text.chars().count() > width {
            out.push('…');
            break;
        }
        match c.is_control() {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

/// `text` cut into lines of at most `width` characters, at spaces where there are some.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let word = cut(word, width);
        let length = word.chars().count();
        let last = lines.len() - 1;
        let filled = lines[last].chars().count();
        if filled == 0 {
            lines[last] = word;
        } else if filled + 1 + length <= width {
            lines[last] += " ";
            lines[last] += &word;
        } else {
            lines.push(word);
        }
    }
    lines
}

/// A count with its thousands apart: `1_234_567`, as the language can read it.
fn grouped(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    match count < 0 {
        true => format!("-{out}"),
        false => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(grouped(1_234_567), "1_234_567");
        assert_eq!(grouped(-12), "-12");
    }

    #[test]
    fn lines_keep_their_width() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(cut("a\u{1b}b", 10), "a\\u{1b}b");
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
    }
}
