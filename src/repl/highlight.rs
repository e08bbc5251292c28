//! Code in colours, and the bracket that matches the one at the cursor.

use super::known::Known;
use super::place::opening;
use super::tokens::{Kind, Token, tokens};

const KEYWORD: &str = "35";
const TEXT: &str = "32";
const NUMBER: &str = "36";
const COMMENT: &str = "90";
const NATIVE: &str = "34";
const COMMAND: &str = "1";
const MATCHING: &str = "1;4";
/// What helps while typing and is no part of the input.
const FAINT: &str = "90";

/// `text` in a colour.
fn painted(colour: &str, text: &str) -> String {
    format!("\u{1b}[{colour}m{text}\u{1b}[0m")
}

/// A hint.
pub(super) fn faint(text: &str) -> String {
    painted(FAINT, text)
}

/// `line` in colours; with the brackets at `cursor` marked, where given.
pub(super) fn highlight(known: &Known, line: &str, cursor: Option<usize>) -> String {
    let mut out = String::new();
    let mut end = 0;
    let code = super::commands::code(line);
    let command = line.len() - code.len();
    if command > 0 {
        out += &painted(COMMAND, &line[..command]);
        end = command;
    }
    let tokens: Vec<Token> = tokens(code)
        .into_iter()
        .map(|token| Token {
            start: token.start + command,
            ..token
        })
        .collect();
    let marked = cursor.and_then(|cursor| matching(&tokens, cursor));
    for (at, token) in tokens.iter().enumerate() {
        out += &line[end..token.start];
        end = token.end();
        let colour = match token.kind {
            Kind::Keyword => Some(KEYWORD),
            Kind::Text | Kind::OpenText => Some(TEXT),
            Kind::Number => Some(NUMBER),
            Kind::Comment => Some(COMMENT),
            Kind::Word if is_native(known, &tokens, at) => Some(NATIVE),
            Kind::Word => None,
            Kind::Symbol => marked
                .filter(|(a, b)| at == *a || at == *b)
                .map(|_| MATCHING),
        };
        match colour {
            // Each line on its own: the editor draws line by line.
            Some(colour) => {
                let lines: Vec<String> = token
                    .text
                    .split('\n')
                    .map(|line| painted(colour, line))
                    .collect();
                out += &lines.join("\n");
            }
            None => out += token.text,
        }
    }
    out + &line[end..]
}

/// Whether the word is a native: called, or used as a value, and no variable, member or key.
fn is_native(known: &Known, tokens: &[Token], at: usize) -> bool {
    let name = tokens[at].text;
    let next = |symbol| tokens.get(at + 1).is_some_and(|next| next.is(symbol));
    let member = at > 0 && (tokens[at - 1].is(".") || tokens[at - 1].is("?."));
    let named = !known.catalogue.calls(name).is_empty();
    let variable = known.variables.iter().any(|(variable, _)| variable == name);
    named && !next(":") && (next("(") || !member) && (member || !variable)
}

/// The bracket at or before the cursor and the one that matches it.
fn matching(tokens: &[Token], cursor: usize) -> Option<(usize, usize)> {
    let at = tokens.iter().position(|token| {
        let bracket = matches!(token.text, "(" | "[" | "{" | "#{" | ")" | "]" | "}");
        bracket && token.kind == Kind::Symbol && (token.start..=token.end()).contains(&cursor)
    })?;
    if matches!(tokens[at].text, ")" | "]" | "}") {
        return opening(&tokens[..=at]).map(|open| (open, at));
    }
    let close = (at + 1..tokens.len()).find(|end| opening(&tokens[..=*end]) == Some(at))?;
    Some((at, close))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Catalogue, Session, Setup, engine};

    /// The colours as letters: `{35:let}`.
    fn shown(line: &str, cursor: Option<usize>) -> String {
        let known = Known {
            catalogue: Catalogue::of(&engine(&Session::new(Setup::default()))),
            ..Known::default()
        };
        highlight(&known, line, cursor)
            .replace("\u{1b}[0m", "}")
            .replace("\u{1b}[", "{")
    }

    #[test]
    fn every_kind_has_its_colour() {
        assert_eq!(
            shown("let a = train(b, \"x\", 1.5); // n", None),
            "{35mlet} a = {34mtrain}(b, {32m\"x\"}, {36m1.5}); {90m// n}"
        );
        assert_eq!(shown("#{ soup: 1 }.soup", None), "#{ soup: {36m1} }.soup");
        assert_eq!(shown(":time 1", None), "{1m:time }{36m1}");
        assert_eq!(shown("`a\nb", None), "{32m`a}\n{32mb}");
    }

    #[test]
    fn the_matching_bracket_is_marked() {
        assert_eq!(shown("f([x])", Some(6)), "f{1;4m(}[x]{1;4m)}");
        assert_eq!(shown("f([x])", Some(3)), "f({1;4m[}x{1;4m]})");
        assert_eq!(shown("f(x", Some(2)), "f(x");
    }
}
