//! Reading a script that may not parse: what stops the parser is told, mended where its meaning is
//! plain, and the rest is checked all the same.

use rhai::{AST, EvalAltResult, LexError, ParseError, ParseErrorType, Position};

use super::Checker;
use crate::script::reserved::{RESERVED, Role, role};
use crate::script::sources::Sources;
use crate::script::{code, engine, parsing};

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
        let told = checker.reworded((source, &code), &raised, at);
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

/// The code without the mistake, its places unmoved, and the word that stands for a reserved one.
fn mend(code: &str, error: &ParseError) -> Option<(String, Option<String>)> {
    let at = code::offset(code, error.position())?;
    match error.err_type() {
        ParseErrorType::MissingToken(token, _) if token == ";" => {
            Some((with_semicolon(code, at)?, None))
        }
        ParseErrorType::BadInput(LexError::MalformedChar(text)) => {
            Some((with_quotes(code, at, text)?, None))
        }
        kind => with_name(code, at, kind),
    }
}

/// The code with the `;` that is missing before `at`: in the place of a space, or at the end of
/// the line above.
fn with_semicolon(code: &str, at: usize) -> Option<String> {
    let end = code::end_of_code(code, at);
    let (before, between) = code[..at].split_at(end);
    if between.contains('\n') {
        return Some(format!("{before};{}", &code[end..]));
    }
    let space = between.chars().next().filter(|c| c.is_whitespace())?;
    Some(format!("{before};{}", &code[end + space.len_utf8()..]))
}

/// The code with the text at `at` in double quotes.
fn with_quotes(code: &str, at: usize, text: &str) -> Option<String> {
    let rest = code[at..].strip_prefix('\'')?.strip_prefix(text)?;
    let rest = rest.strip_prefix('\'')?;
    let plain = !text.contains(['"', '\\']);
    plain.then(|| format!("{}\"{text}\"{rest}", &code[..at]))
}

/// The code with another word of the same length for a reserved one that is used as a name.
fn with_name(code: &str, at: usize, kind: &ParseErrorType) -> Option<(String, Option<String>)> {
    let rest = &code[at..];
    let letters = |c: char| c.is_alphanumeric() || c == '_';
    let word = &rest[..rest.len() - rest.trim_start_matches(letters).len()];
    let reserved = matches!(kind, ParseErrorType::Reserved(reserved) if reserved == word);
    if !reserved && !RESERVED.contains(&word) {
        return None;
    }
    if role(code, at, word)? == Role::Function {
        return None;
    }
    let stand_in = "q".repeat(word.len());
    let mended = format!("{}{stand_in}{}", &code[..at], &rest[word.len()..]);
    Some((mended, Some(stand_in)))
}

/// The statements before the line of the mistake, as many as can be read.
fn before(checker: &Checker, code: &str, at: Position) -> Option<AST> {
    let lines: Vec<&str> = code.lines().collect();
    let line = at.line().unwrap_or(lines.len()).min(lines.len());
    (1..line)
        .rev()
        .find_map(|count| checker.engine.compile(lines[..count].join("\n")).ok())
}
