//! What stands at the cursor: a name, a member of a value, an option's key, a text...

use super::tokens::{Kind, Token, tokens};

/// What is being typed, and where in the line it starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// The tokens before what is typed.
    pub(super) before: Vec<Token<'a>>,
    /// The part of the word or text that stands before the cursor.
    pub(super) word: &'a str,
    /// Where the word starts, in bytes.
    pub(super) start: usize,
    /// Whether the word is inside quotes.
    pub(super) quoted: bool,
    /// The calls, maps and lists that are open, the outermost first.
    pub(super) open: Vec<Open<'a>>,
}

/// A bracket that is open at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open<'a> {
    /// Which.
    pub(super) bracket: Bracket<'a>,
    /// How many commas stand in it so far.
    pub(super) commas: usize,
    /// In a map: the keys so far.
    pub(super) keys: Vec<&'a str>,
    /// In a map: the key whose value is being typed.
    pub(super) key: Option<&'a str>,
}

/// A kind of bracket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bracket<'a> {
    /// The arguments of a call.
    Call {
        /// The function's name, with its module's.
        name: String,
        /// Where in the tokens the value before the dot ends, for a method.
        receiver: Option<&'a str>,
    },
    /// A map.
    Map,
    /// A list, a block, or brackets around an expression.
    Other,
}

impl<'a> Place<'a> {
    /// What stands at the end of `line`, which is what is typed before the cursor; none in a
    /// comment.
    pub(super) fn at_end_of(line: &'a str) -> Option<Self> {
        let mut before = tokens(line);
        let (word, start, quoted) = match before.last() {
            Some(last) if last.kind == Kind::Comment && last.end() == line.len() => return None,
            Some(last) if last.kind == Kind::OpenText && last.end() == line.len() => {
                (&last.text[1..], last.start + 1, true)
            }
            Some(last)
                if matches!(last.kind, Kind::Word | Kind::Keyword) && last.end() == line.len() =>
            {
                (last.text, last.start, false)
            }
            _ => ("", line.len(), false),
        };
        if quoted || !word.is_empty() {
            before.pop();
        }
        before.retain(|token| token.kind != Kind::Comment);
        let open = open(line, &before);
        Some(Self {
            before,
            word,
            start,
            quoted,
            open,
        })
    }

    /// The value whose member is being typed: the tokens before the dot.
    pub(super) fn receiver(&self) -> Option<&[Token<'a>]> {
        let (dot, rest) = self.before.split_last()?;
        let member = !self.quoted && (dot.is(".") || dot.is("?."));
        member.then(|| value_at_end(rest))
    }

    /// The native whose options are being typed, and the map so far.
    pub(super) fn options(&self) -> Option<(&str, &Open<'a>)> {
        match &self.open[..] {
            [.., call, map] if map.bracket == Bracket::Map => match &call.bracket {
                Bracket::Call { name, .. } => Some((name.as_str(), map)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The innermost call that is open.
    pub(super) fn call(&self) -> Option<(&str, &Open<'a>)> {
        self.open.iter().rev().find_map(|open| match &open.bracket {
            Bracket::Call { name, .. } => Some((name.as_str(), open)),
            _ => None,
        })
    }
}

/// The brackets that `tokens` leave open.
fn open<'a>(line: &'a str, tokens: &[Token<'a>]) -> Vec<Open<'a>> {
    let mut stack: Vec<Open> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let bracket = match token.text {
            _ if !matches!(token.kind, Kind::Symbol) => {
                word_in_map(&mut stack, tokens, at);
                continue;
            }
            "(" => called(line, &tokens[..at]),
            "#{" => Bracket::Map,
            "[" | "{" => Bracket::Other,
            ")" | "]" | "}" => {
                stack.pop();
                continue;
            }
            "," => {
                if let Some(top) = stack.last_mut() {
                    top.commas += 1;
                    top.key = None;
                }
                continue;
            }
            _ => continue,
        };
        stack.push(Open {
            bracket,
            commas: 0,
            keys: Vec::new(),
            key: None,
        });
    }
    stack
}

/// A word before a colon in a map is a key.
fn word_in_map<'a>(stack: &mut [Open<'a>], tokens: &[Token<'a>], at: usize) {
    let colon = tokens.get(at + 1).is_some_and(|next| next.is(":"));
    if let Some(top) = stack.last_mut()
        && top.bracket == Bracket::Map
        && top.key.is_none()
        && colon
    {
        let key = tokens[at].text.trim_matches('"');
        top.keys.push(key);
        top.key = Some(key);
    }
}

/// What an opening bracket after `before` calls.
fn called<'a>(line: &'a str, before: &[Token<'a>]) -> Bracket<'a> {
    let Some((name, rest)) = before.split_last() else {
        return Bracket::Other;
    };
    if name.kind != Kind::Word {
        return Bracket::Other;
    }
    match rest {
        [.., module, colons] if colons.is("::") && module.kind == Kind::Word => Bracket::Call {
            name: format!("{}::{}", module.text, name.text),
            receiver: None,
        },
        [rest @ .., dot] if dot.is(".") || dot.is("?.") => Bracket::Call {
            name: name.text.to_string(),
            receiver: value_at_end(rest)
                .first()
                .map(|first| &line[first.start..dot.start]),
        },
        [.., fn_] if fn_.kind == Kind::Keyword && fn_.text == "fn" => Bracket::Other,
        _ => Bracket::Call {
            name: name.text.to_string(),
            receiver: None,
        },
    }
}

/// The value that `tokens` end with: a name, a text, a bracket, with the calls and members on it.
pub(super) fn value_at_end<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut start = tokens.len();
    while let Some(last) = tokens[..start].last() {
        let begun = match (last.kind, last.text) {
            (Kind::Symbol, ")" | "]" | "}") => match opening(&tokens[..start]) {
                Some(opening) => opening,
                None => break,
            },
            (Kind::Word | Kind::Text | Kind::Number, _) => start - 1,
            (Kind::Keyword, "this" | "true" | "false") => start - 1,
            _ => break,
        };
        start = begun;
        match tokens[..start].last() {
            // A member of what stands before, or a function of a module.
            Some(dot) if dot.is(".") || dot.is("?.") || dot.is("::") => start -= 1,
            // The arguments of a call, or an index.
            Some(name)
                if (tokens[start].is("(") || tokens[start].is("["))
                    && (matches!(name.kind, Kind::Word | Kind::Text)
                        || name.is(")")
                        || name.is("]")) => {}
            _ => break,
        }
    }
    &tokens[start..]
}

/// Where the bracket that the last of `tokens` closes was opened.
pub(super) fn opening(tokens: &[Token]) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().rev() {
        if token.kind != Kind::Symbol {
            continue;
        }
        match token.text {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" | "#{" => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(line: &str) -> Option<String> {
        let place = Place::at_end_of(line)?;
        let tokens = place.receiver()?;
        let (first, last) = (tokens.first()?, tokens.last()?);
        Some(line[first.start..last.end()].to_string())
    }

    #[test]
    fn the_value_before_a_dot_is_found() {
        let cases = [
            ("a.", "a"),
            ("1 + a.b", "a"),
            ("f(x, a.b(1).c[2].d", "a.b(1).c[2]"),
            (
                "let x = soup([a, b], #{ c: 1 }).",
                "soup([a, b], #{ c: 1 })",
            ),
            ("(a + b).", "(a + b)"),
            ("\"text\".le", "\"text\""),
            ("std::f(1).", "std::f(1)"),
            ("if x { y } z.", "z"),
        ];
        for (line, expected) in cases {
            assert_eq!(receiver(line).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(receiver("a + b"), None);
        assert_eq!(receiver("0..3"), None);
    }

    #[test]
    fn options_are_found_with_their_native() {
        let options = |line| {
            let place = Place::at_end_of(line).unwrap();
            let (name, map) = place.options()?;
            Some((name.to_string(), map.keys.clone(), map.key))
        };
        let name = |name: &str| name.to_string();
        assert_eq!(
            options("train(base, films, #{ lr: 1e-3, ep"),
            Some((name("train"), vec!["lr"], None))
        );
        assert_eq!(
            options("a.prune(0.9, #{ criterion: \"ma"),
            Some((name("prune"), vec!["criterion"], Some("criterion")))
        );
        assert_eq!(options("#{ a"), None);
        assert_eq!(options("train(base, films, #{ lr: 1 }, "), None);
    }

    #[test]
    fn nothing_is_completed_in_a_comment() {
        assert_eq!(Place::at_end_of("1 // a.b"), None);
        let place = Place::at_end_of("load(\"da").unwrap();
        assert_eq!((place.word, place.start, place.quoted), ("da", 6, true));
        assert_eq!(
            place.call().map(|(name, open)| (name, open.commas)),
            Some(("load", 0))
        );
    }
}
