//! Several inputs at once, as they are pasted.

use rhai::Engine;

use crate::script::incomplete;

/// The inputs in `text`: itself where it is code as a whole, else line by line where each is code,
/// as lines copied from a session are.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let mut engine = Engine::new_raw();
    engine.set_max_expr_depths(0, 0);
    if !text.trim().contains('\n') || engine.compile(text).is_ok() {
        return vec![text];
    }
    let mut found = Vec::new();
    let (mut start, mut end) = (0, 0);
    for line in text.split_inclusive('\n') {
        end += line.len();
        let piece = &text[start..end];
        if incomplete(piece) || goes_on(&text[end..]) {
            continue;
        }
        if engine.compile(piece).is_err() {
            return vec![text];
        }
        if !piece.trim().is_empty() {
            found.push(piece);
        }
        start = end;
    }
    if start < end {
        return vec![text];
    }
    found
}

/// Whether `next` can only be the rest of the statement before it.
pub(super) fn goes_on(next: &str) -> bool {
    let next = next.trim_start();
    let word = |word: &str| {
        let rest = next.strip_prefix(word);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    (next.starts_with('.') && !next.starts_with("..")) || word("else") || word("catch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_session_are_taken_apart() {
        let cases: [(&str, &[&str]); 5] = [
            ("let x = 1;\nx + 1", &["let x = 1;\nx + 1"]),
            ("let x = 1\nx + 1", &["let x = 1\n", "x + 1"]),
            (
                "let x = [1,\n  2]\nx\n  .len()\n",
                &["let x = [1,\n  2]\n", "x\n  .len()\n"],
            ),
            ("let x = 1\nx + + 1)", &["let x = 1\nx + + 1)"]),
            (
                "if a { 1 }\nelse { 2 }\nlet y = 3",
                &["if a { 1 }\nelse { 2 }\nlet y = 3"],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(pieces(text), expected, "{text}");
        }
    }
}
