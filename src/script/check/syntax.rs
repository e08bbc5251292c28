//! Reading a script that may not parse: what stops the parser is told, mended where its meaning is
//! plain, and the rest is checked all the same.

use rhai::{AST, EvalAltResult, LexError, ParseError, ParseErrorType, Position, Scope};

use super::Checker;
use crate::script::sources::Sources;
use crate::script::{engine, parsing};

/// At most so many mistakes of the syntax are mended.
const MENDED: usize = 30;

/// A script as far as it could be read.
pub(super) struct Read {
    pub(super) tree: AST,
    /// The words that stand for reserved ones.
    pub(super) stand_ins: Vec<String>,
    /// Whether all of the script is in the tree.
    pub(super) whole: bool,
}

/// Reads `text` and reports what is wrong with its syntax; none where nothing of it can be read.
pub(super) fn read(checker: &mut Checker, source: &str, text: &str) -> Option<Read> {
    checker.session.extension::<Sources>().keep(source, text);
    let mut code = text.to_string();
    let mut stand_ins = Vec::new();
    for _ in 0..MENDED {
        let error = match checker.engine.compile(&code) {
            Ok(tree) => {
                checker.session.name_literals(engine::literals(&tree));
                return Some(Read {
                    tree,
                    stand_ins,
                    whole: true,
                });
            }
            Err(error) => error,
        };
        let at = error.position();
        let raised = EvalAltResult::from(error.clone());
        let told = checker.reworded(&code, &Scope::new(), &raised, at);
        let place = parsing::place(&code, &raised, at);
        checker.report(source, text, place, told, true);
        match mend(&code, &error) {
            Some((mended, stand_in)) => {
                code = mended;
                stand_ins.extend(stand_in);
            }
            None => {
                let tree = before(checker, &code, at)?;
                return Some(Read {
                    tree,
                    stand_ins,
                    whole: false,
                });
            }
        }
    }
    None
}

/// The code without the mistake, its places unmoved: a reserved word as a name becomes another of
/// its length, a missing `;` takes the place of a space.
fn mend(code: &str, error: &ParseError) -> Option<(String, Option<String>)> {
    let at = offset(code, error.position())?;
    let rest = &code[at..];
    let word: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    if parsing::RESERVED.contains(&word.as_str()) {
        let after = rest[word.len()..].trim_start();
        let before = code[..at].trim_end();
        let name = before.ends_with('.')
            || after.starts_with(':')
            || ["let", "const", "for"].iter().any(|k| before.ends_with(k));
        let stand_in = "q".repeat(word.len());
        let mended = format!("{}{stand_in}{}", &code[..at], &rest[word.len()..]);
        return name.then_some((mended, Some(stand_in)));
    }
    match error.err_type() {
        ParseErrorType::MissingToken(token, _) if token == ";" => {
            let space = code[..at].char_indices().next_back()?;
            space.1.is_whitespace().then(|| {
                let mended = format!(
                    "{};{}",
                    &code[..space.0],
                    &code[space.0 + space.1.len_utf8()..]
                );
                (mended, None)
            })
        }
        ParseErrorType::BadInput(LexError::UnterminatedString) => None,
        _ => None,
    }
}

/// The statements before the line of the mistake, as many as can be read.
fn before(checker: &Checker, code: &str, at: Position) -> Option<AST> {
    let lines: Vec<&str> = code.lines().collect();
    let line = at.line().unwrap_or(lines.len()).min(lines.len());
    (1..line)
        .rev()
        .find_map(|count| checker.engine.compile(lines[..count].join("\n")).ok())
}

/// Where a place is in the text, in bytes.
fn offset(text: &str, at: Position) -> Option<usize> {
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
