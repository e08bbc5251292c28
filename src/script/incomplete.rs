//! Whether an input wants another line.

use rhai::{Engine, LexError, ParseErrorType, Position};

/// Whether `text` is code that only lacks its end: an open bracket, block, text or comment.
pub fn incomplete(text: &str) -> bool {
    let mut engine = Engine::new_raw();
    engine.set_max_expr_depths(0, 0);
    let Err(error) = engine.compile(text) else {
        // An open comment compiles to nothing.
        return text
            .rfind("/*")
            .is_some_and(|open| !text[open..].contains("*/"))
            && engine.compile(format!("{text}*/)")).is_err();
    };
    match error.err_type() {
        ParseErrorType::UnexpectedEOF => true,
        ParseErrorType::BadInput(LexError::UnterminatedString) => {
            text.matches('`').count() % 2 == 1
        }
        ParseErrorType::MissingToken(..) | ParseErrorType::ExprExpected(..) => {
            at_end(error.position(), text)
        }
        _ => false,
    }
}

fn at_end(position: Position, text: &str) -> bool {
    let text = text.trim_end();
    let last_line = text.lines().count();
    let column = text.lines().last().map_or(0, |line| line.chars().count());
    match (position.line(), position.position()) {
        (Some(line), Some(at)) => line > last_line || (line == last_line && at > column),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::incomplete;

    #[test]
    fn open_code_wants_more_and_wrong_code_does_not() {
        for open in [
            "let x = [1,",
            "fn f(x) {",
            "if true {",
            "f(1, ",
            "let a = `x",
            "#{ a: 1",
            "/* x",
            "let x =",
            "1 +",
            "[1, 2",
            "xs.map(|x|",
        ] {
            assert!(incomplete(open), "{open}");
        }
        for closed in [
            "let x = 1",
            "1 + 1;",
            "fn f(x) { x }",
            "let = 1",
            "foo)",
            "let a = \"x",
            "",
            "let x = 1 let y = 2",
            "`a`",
            "1 // /* x",
        ] {
            assert!(!incomplete(closed), "{closed}");
        }
    }
}
