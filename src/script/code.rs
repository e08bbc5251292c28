//! Code as text, for what is told of code that does not parse: what is code in it, and what a
//! place stands in.

use rhai::Position;

/// `text` with comments as spaces and texts as quotes: as many bytes, and all brackets are code.
pub(super) fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, as_) = match first {
            '"' | '`' | '\'' => (quoted(rest, first), '"'),
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), ' '),
            '/' if rest.starts_with("/*") => (commented(rest), ' '),
            other => {
                bare.push(other);
                rest = &rest[other.len_utf8()..];
                continue;
            }
        };
        for c in rest[..length].chars() {
            let kept = if c == '\n' { c } else { as_ };
            // As many bytes as it had.
            bare.extend(std::iter::repeat_n(kept, c.len_utf8()));
        }
        rest = &rest[length..];
    }
    bare
}

/// How many bytes a text at the start of `rest` has; one in quotes ends with its line.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            '\n' if quote != '`' => return at,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// How many bytes a comment of blocks at the start of `rest` has; it may hold others.
fn commented(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while let Some(here) = rest.get(at..) {
        if here.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            match here.chars().next() {
                Some(c) => at += c.len_utf8(),
                None => break,
            }
        }
    }
    rest.len()
}

/// Where the code before `end` ends, in bytes: no space or comment is between.
pub(super) fn end_of_code(text: &str, end: usize) -> usize {
    bare(&text[..end]).trim_end().len()
}

/// Where a place is in the text, in bytes.
pub(super) fn offset(text: &str, at: Position) -> Option<usize> {
    let line = at.line()?;
    let start: usize = text
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let column = at.position()?.checked_sub(1)?;
    let rest = text.get(start..)?;
    let within = rest
        .char_indices()
        .nth(column)
        .map_or(rest.len(), |(at, _)| at);
    Some(start + within)
}

/// The place of a byte of the text.
pub(super) fn position(text: &str, at: usize) -> Option<Position> {
    let before = text.get(..at)?;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let fits = |n: usize| u16::try_from(n).ok();
    Some(Position::new(
        fits(before.matches('\n').count() + 1)?,
        fits(before[start..].chars().count() + 1)?,
    ))
}

/// A bracket that is open at the end of some code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open<'a> {
    /// `(`, `[`, `{`.
    pub(super) bracket: char,
    /// The code before it, to its start.
    pub(super) before: &'a str,
}

impl<'a> Open<'a> {
    /// Whether it begins a map.
    pub(super) fn is_map(&self) -> bool {
        self.bracket == '{' && self.before.ends_with('#')
    }

    /// The function that is called with it.
    pub(super) fn called(&self) -> Option<&'a str> {
        let name = last_word(self.before);
        (self.bracket == '(' && !name.is_empty()).then_some(name)
    }

    /// The function whose parameters or body it begins, with `fn name` before it.
    pub(super) fn function(&self) -> Option<&'a str> {
        let head = match self.bracket {
            '(' => self.before,
            '{' => {
                let parameters = self.before.trim_end().strip_suffix(')')?;
                &parameters[..parameters.rfind('(')?]
            }
            _ => return None,
        };
        let name = last_word(head);
        let declares = last_word(head.trim_end().strip_suffix(name)?) == "fn";
        declares.then_some(name)
    }
}

/// The brackets that are open at the end of bare code, the innermost last.
pub(super) fn open(bare: &str) -> Vec<Open<'_>> {
    let mut open = Vec::new();
    for (at, c) in bare.char_indices() {
        match c {
            '(' | '[' | '{' => open.push(Open {
                bracket: c,
                before: &bare[..at],
            }),
            ')' | ']' | '}' => {
                open.pop();
            }
            _ => {}
        }
    }
    open
}

/// The arguments of the call of `name` at byte `at` of `text`, as they are written.
pub(super) fn arguments<'a>(text: &'a str, at: usize, name: &str) -> Option<Vec<&'a str>> {
    let rest = text.get(at..)?.strip_prefix(name)?.strip_prefix('(')?;
    let bare = bare(rest);
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in bare.char_indices() {
        match c {
            ')' if depth == 0 => {
                found.push(rest[start..at].trim());
                return Some(found);
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(rest[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// The word that `code` ends with, spaces aside; may be empty.
pub(super) fn last_word(code: &str) -> &str {
    let code = code.trim_end();
    let letters = |c: char| c.is_alphanumeric() || c == '_';
    &code[code.trim_end_matches(letters).len()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_ends_before_spaces_and_comments() {
        for (text, code) in [
            ("let a = 1 ", "let a = 1"),
            ("let a = 1 // one; \"two\"\n  ", "let a = 1"),
            ("let a = 1 /* x /* y */ z */\n// é\n", "let a = 1"),
            ("let a = \"// no é\" ", "let a = \"// no é\""),
            ("let a = `/* \" \n no` // x", "let a = `/* \" \n no`"),
            ("", ""),
        ] {
            assert_eq!(&text[..end_of_code(text, text.len())], code, "{text}");
            assert_eq!(bare(text).len(), text.len(), "{text}");
        }
    }

    #[test]
    fn open_brackets_know_what_they_begin() {
        let bare = bare("fn f(x) { train(g(1), \")\", #{ ");
        let open = open(&bare);
        assert_eq!(open.len(), 3);
        assert_eq!(open[0].function(), Some("f"));
        assert_eq!(open[1].called(), Some("train"));
        assert!(open[2].is_map() && open[2].function().is_none());
    }

    #[test]
    fn arguments_are_cut_at_their_commas() {
        let text = "let a = train(base, g(1, 2), \"a, b\", #{ x: 1, y: 2 });";
        let expected = ["base", "g(1, 2)", "\"a, b\"", "#{ x: 1, y: 2 }"];
        assert_eq!(arguments(text, 8, "train").unwrap(), expected);
        assert_eq!(arguments(text, 9, "train"), None);
    }

    #[test]
    fn places_and_bytes_agree() {
        let text = "é = 1;\nlet ü = é;";
        for (at, (line, column)) in [(0, (1, 1)), (8, (2, 1)), (12, (2, 5)), (15, (2, 7))] {
            let place = Position::new(line, column);
            assert_eq!(position(text, at), Some(place));
            assert_eq!(offset(text, place), Some(at));
        }
    }
}
