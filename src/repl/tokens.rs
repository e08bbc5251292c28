//! Code cut into tokens, however unfinished: for highlighting and for what stands at the cursor.
//! The engine's own lexer stops at the first thing it cannot read, which while typing is the rule.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name that is not a keyword.
    Word,
    /// A word of the language.
    Keyword,
    /// A number.
    Number,
    /// A text, with its quotes.
    Text,
    /// A text that does not end.
    OpenText,
    /// A comment.
    Comment,
    /// Anything else: one character, or `#{`, `::`, `..`, `?.`.
    Symbol,
}

/// A token and where it stands, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) text: &'a str,
}

impl Token<'_> {
    /// Where it ends, in bytes.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is this symbol.
    pub(super) fn is(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }
}

/// The words of the language.
pub(super) const KEYWORDS: &[&str] = &[
    "as", "break", "catch", "const", "continue", "do", "else", "export", "false", "fn", "for",
    "if", "import", "in", "let", "loop", "private", "return", "switch", "this", "throw", "true",
    "try", "until", "while",
];

/// Symbols of more than one character that mean something here.
const PAIRS: [&str; 4] = ["#{", "::", "..", "?."];

/// The tokens of `code`; space between them is left out.
pub(super) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = code[at..].chars().next() {
        let rest = &code[at..];
        let (kind, length) = match first {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            _ if rest.starts_with("//") => (Kind::Comment, rest.find('\n').unwrap_or(rest.len())),
            _ if rest.starts_with("/*") => (Kind::Comment, block_comment(rest)),
            '"' | '\'' | '`' => text(rest),
            '#' if rest[1..].starts_with(['"', '#']) => raw_text(rest),
            c if c.is_alphabetic() || c == '_' => {
                let length = run(rest, |c| c.is_alphanumeric() || c == '_');
                match KEYWORDS.contains(&&rest[..length]) {
                    true => (Kind::Keyword, length),
                    false => (Kind::Word, length),
                }
            }
            c if c.is_ascii_digit() => (Kind::Number, number(rest)),
            c => {
                let pair = PAIRS.iter().any(|pair| rest.starts_with(pair));
                (Kind::Symbol, if pair { 2 } else { c.len_utf8() })
            }
        };
        tokens.push(Token {
            kind,
            start: at,
            text: &rest[..length],
        });
        at += length;
    }
    tokens
}

/// The length of what `wanted` holds for from the start.
fn run(text: &str, wanted: impl Fn(char) -> bool) -> usize {
    text.find(|c| !wanted(c)).unwrap_or(text.len())
}

/// Comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// A text in quotes of any kind; one in double quotes ends with its line.
fn text(text: &str) -> (Kind, usize) {
    let quote = text.chars().next().unwrap_or('"');
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            '\n' if quote != '`' => return (Kind::OpenText, at),
            c if c == quote => return (Kind::Text, at + 1),
            _ => {}
        }
    }
    (Kind::OpenText, text.len())
}

/// A text without escapes: `#"..."#`, with any number of `#`.
fn raw_text(text: &str) -> (Kind, usize) {
    let fence = run(text, |c| c == '#');
    if !text[fence..].starts_with('"') {
        return (Kind::Symbol, 1);
    }
    let end = format!("\"{}", &text[..fence]);
    match text[fence + 1..].find(&end) {
        Some(at) => (Kind::Text, fence + 1 + at + end.len()),
        None => (Kind::OpenText, text.len()),
    }
}

/// `12`, `1_000`, `0xff`, `1.5e-3`; not the dots of `0..3` nor of `1.max(2)`.
fn number(text: &str) -> usize {
    if text.starts_with("0x") || text.starts_with("0b") || text.starts_with("0o") {
        return 2 + run(&text[2..], |c| c.is_ascii_alphanumeric() || c == '_');
    }
    let digits = |from: usize| from + run(&text[from..], |c| c.is_ascii_digit() || c == '_');
    let mut end = digits(0);
    let after = |at: usize| text[at..].chars().next();
    if after(end) == Some('.') && after(end + 1).is_none_or(|c| c.is_ascii_digit() || c == ' ') {
        end = digits(end + 1);
    }
    if matches!(after(end), Some('e' | 'E')) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(code: &str) -> Vec<(Kind, &str)> {
        tokens(code).iter().map(|t| (t.kind, t.text)).collect()
    }

    #[test]
    fn every_kind_is_told_apart() {
        use Kind::{Comment, Keyword, Number, Symbol, Text, Word};
        assert_eq!(
            shown("let é = f(1.5e-3, \"a\\\"b\") // x"),
            [
                (Keyword, "let"),
                (Word, "é"),
                (Symbol, "="),
                (Word, "f"),
                (Symbol, "("),
                (Number, "1.5e-3"),
                (Symbol, ","),
                (Text, "\"a\\\"b\""),
                (Symbol, ")"),
                (Comment, "// x"),
            ]
        );
        assert_eq!(
            shown("#{ a: 0..3 } 1.max(0xff) #\"a\"b\"#"),
            [
                (Symbol, "#{"),
                (Word, "a"),
                (Symbol, ":"),
                (Number, "0"),
                (Symbol, ".."),
                (Number, "3"),
                (Symbol, "}"),
                (Number, "1"),
                (Symbol, "."),
                (Word, "max"),
                (Symbol, "("),
                (Number, "0xff"),
                (Symbol, ")"),
                (Text, "#\"a\"b\"#"),
            ]
        );
    }

    #[test]
    fn what_is_open_is_known() {
        assert_eq!(shown("\"ab\n1")[0], (Kind::OpenText, "\"ab"));
        assert_eq!(shown("`a\nb"), [(Kind::OpenText, "`a\nb")]);
        assert_eq!(shown("/* a /* b */ c"), [(Kind::Comment, "/* a /* b */ c")]);
    }

    proptest::proptest! {
        #[test]
        fn tokens_and_the_space_between_are_the_code(code in "[ -~é\n]{0,60}") {
            let mut end = 0;
            for token in tokens(&code) {
                proptest::prop_assert!(!token.text.is_empty());
                proptest::prop_assert!(code[end..token.start].chars().all(char::is_whitespace));
                proptest::prop_assert_eq!(&code[token.start..token.end()], token.text);
                end = token.end();
            }
            proptest::prop_assert!(code[end..].chars().all(char::is_whitespace));
        }
    }
}
