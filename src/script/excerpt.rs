//! The piece of code that a diagnostic is about, with a caret under the very token.

use std::fmt;

use unicode_width::UnicodeWidthStr;

/// The most characters of a line that are shown; a longer one is cut around its token.
const WIDEST: usize = 100;

/// A line of code and the token in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line's number, from 1.
    pub number: usize,
    /// The line, without its end.
    pub line: String,
    /// Where the token starts, from 1, in characters.
    pub column: usize,
    /// How many characters it has, at least 1.
    pub width: usize,
}

impl Excerpt {
    /// The token at a place of `text`; none where the text has no such line.
    pub(super) fn of(text: &str, (number, column): (usize, usize)) -> Option<Self> {
        let line = text.lines().nth(number.checked_sub(1)?)?.to_string();
        let rest: Vec<char> = line.chars().skip(column.saturating_sub(1)).collect();
        Some(Self {
            number,
            column,
            width: token(&rest),
            line,
        })
    }

    /// The part of the line that is shown: before the token, the token, after it.
    fn parts(&self) -> [String; 3] {
        let shown: Vec<char> = self
            .line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let start = (self.column.saturating_sub(1)).min(shown.len());
        let end = (start + self.width).min(shown.len());
        let from = match shown.len() > WIDEST {
            true => start.saturating_sub(WIDEST / 2),
            false => 0,
        };
        let to = shown.len().min((from + WIDEST).max(end.min(from + WIDEST)));
        let end = end.min(to);
        let text = |from: usize, to: usize| shown[from..to].iter().collect::<String>();
        let dots = |cut: bool| if cut { "..." } else { "" };
        [
            format!("{}{}", dots(from > 0), text(from, start)),
            text(start, end),
            format!("{}{}", text(end, to), dots(to < shown.len())),
        ]
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number.to_string();
        let gutter = " ".repeat(number.len());
        let [before, token, after] = self.parts();
        let indent = " ".repeat(before.width());
        let carets = "^".repeat(token.width().max(1));
        write!(
            f,
            "{gutter} |\n{number} | {}\n{gutter} | {indent}{carets}",
            format!("{before}{token}{after}").trim_end()
        )
    }
}

/// How many characters the token at the start of `rest` has.
fn token(rest: &[char]) -> usize {
    let count = |test: fn(char) -> bool| rest.iter().take_while(|c| test(**c)).count();
    let Some(first) = rest.first() else {
        return 1;
    };
    match first {
        c if c.is_alphabetic() || *c == '_' => count(|c| c.is_alphanumeric() || c == '_'),
        c if c.is_ascii_digit() => number(rest),
        '-' if rest.get(1).is_some_and(char::is_ascii_digit) => 1 + number(&rest[1..]),
        '"' | '`' | '\'' => quoted(rest, *first),
        '#' if rest.get(1) == Some(&'{') => 2,
        _ => count(|c| "+-*/%<>=!&|^?".contains(c)).clamp(1, 3),
    }
}

/// A number's characters; a range's dots are none of them.
fn number(rest: &[char]) -> usize {
    let mut end = 0;
    while let Some(c) = rest.get(end) {
        let exponent = matches!(c, '-' | '+') && end > 0 && matches!(rest[end - 1], 'e' | 'E');
        let point = *c == '.' && rest.get(end + 1).is_some_and(char::is_ascii_digit);
        if !(c.is_ascii_alphanumeric() || *c == '_' || point || exponent) {
            break;
        }
        end += 1;
    }
    end.max(1)
}

/// A text's characters with its quotes, to the end of the line where it is not closed there.
fn quoted(rest: &[char], quote: char) -> usize {
    let mut escaped = false;
    for (index, c) in rest.iter().enumerate().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            c if *c == quote => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn width(text: &str) -> usize {
        token(&text.chars().collect::<Vec<char>>())
    }

    #[test]
    fn tokens_have_their_width() {
        let cases = [
            ("epochz: 3", 6),
            ("1.5e-3, 2", 6),
            ("2..=4", 1),
            ("-12)", 3),
            ("\"a \\\" b\" + c", 8),
            ("\"open", 5),
            ("== b", 2),
            ("**2", 2),
            ("", 1),
            (")", 1),
        ];
        for (text, expected) in cases {
            assert_eq!(width(text), expected, "{text}");
        }
    }

    #[test]
    fn a_caret_stands_under_wide_letters_and_in_long_lines() {
        let shown = Excerpt::of("x\nlet 名 = \"学习\" + y;", (2, 16)).unwrap();
        // Three letters before it are two columns wide.
        let caret = format!("  | {}^", " ".repeat(15 + 3));
        assert_eq!(
            shown.to_string(),
            format!("  |\n2 | let 名 = \"学习\" + y;\n{caret}")
        );
        let long = format!("{}y{}", "x + ".repeat(60), " + x".repeat(60));
        let shown = Excerpt::of(&long, (1, 241)).unwrap().to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].chars().count() < 120, "{shown}");
        let caret = lines[2].find('^').unwrap();
        assert_eq!(&lines[1][caret..=caret], "y", "{shown}");
    }
}
