//! The inputs that worked, as a script that gives the same values and prints what the session
//! showed.

use std::collections::BTreeSet;

use rhai::Engine;

use super::place::opening;
use super::tokens::{Kind, Token, tokens};
use crate::{Result, bail};

/// An input that worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    /// The number in its prompt.
    pub(super) number: usize,
    /// The code.
    pub(super) code: String,
    /// What became of its value.
    pub(super) shown: Shown,
}

/// What became of an input's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// It had none.
    Nothing,
    /// Its card was printed.
    Card,
    /// It was drawn.
    Drawn,
}

/// The script of these inputs. An error where it would not do the same: `out` of a computed
/// number.
pub(super) fn script(inputs: &[Input]) -> Result<String> {
    let mut used = BTreeSet::new();
    let mut codes = Vec::new();
    let mut last = None;
    for input in inputs {
        codes.push(with_names(input, last, &mut used)?);
        if input.shown != Shown::Nothing {
            last = Some(input.number);
        }
    }
    drop_redefined(&mut codes);
    let mut script = String::new();
    for (input, code) in inputs.iter().zip(&codes) {
        let code = code.trim_end();
        if code.trim().is_empty() {
            continue;
        }
        let kept = used.contains(&input.number).then(|| name(input.number));
        script += &match input.shown {
            Shown::Nothing => code.to_string(),
            shown => valued(code, shown, kept.as_deref()),
        };
        if !complete(&script) {
            script.push(';');
        }
        script.push('\n');
    }
    Ok(script)
}

/// Whether a statement can follow the last one of `script` as it is.
fn complete(script: &str) -> bool {
    let script = script.trim_end();
    if !script.ends_with('}') {
        return script.ends_with(';');
    }
    Engine::new_raw()
        .compile(format!("{script}\nlet next = 1;"))
        .is_ok()
}

/// The variable that stands for the value of an input.
fn name(number: usize) -> String {
    format!("out_{number}")
}

/// An input's code with variables for `ans` and `out(n)`; notes which inputs they are.
fn with_names(input: &Input, last: Option<usize>, used: &mut BTreeSet<usize>) -> Result<String> {
    let code = &input.code;
    let tokens = tokens(code);
    let mut out = String::new();
    let mut end = 0;
    for (at, token) in tokens.iter().enumerate() {
        let member = at > 0 && (tokens[at - 1].is(".") || tokens[at - 1].is("?."));
        let next = |n: usize, symbol| tokens.get(at + n).is_some_and(|t| t.is(symbol));
        if token.kind != Kind::Word || member || token.start < end {
            continue;
        }
        let (number, stop) = match token.text {
            "ans" if !next(1, ":") => match last {
                Some(last) => (last, token.end()),
                None => continue,
            },
            "out" if next(1, "(") => match tokens.get(at + 2).map(|t| t.text.parse()) {
                Some(Ok(number)) if next(3, ")") => (number, tokens[at + 3].end()),
                _ => bail!(
                    "input {}: a script cannot have out() of a computed number; give the value a name",
                    input.number
                ),
            },
            _ => continue,
        };
        used.insert(number);
        out += &code[end..token.start];
        out += &name(number);
        end = stop;
    }
    Ok(out + &code[end..])
}

/// `code` with the value of its last expression printed or drawn, and kept as `variable`.
fn valued(code: &str, shown: Shown, variable: Option<&str>) -> String {
    let Some((before, expression)) = split(code) else {
        return code.to_string();
    };
    let before = match before.trim_end() {
        "" => String::new(),
        before => format!("{before}\n"),
    };
    let expression = expression.trim();
    let (made, value) = match variable {
        Some(variable) => (format!("let {variable} = {expression};\n"), variable),
        None => (String::new(), expression),
    };
    let end = match shown {
        Shown::Drawn => {
            let simple = tokens(value).iter().all(|token| token.kind != Kind::Symbol)
                || value.ends_with(')');
            match simple {
                true => format!("{value}.show();"),
                false => format!("({value}).show();"),
            }
        }
        _ => format!("print({value});"),
    };
    format!("{before}{made}{end}")
}

/// The statements of `code`, and the expression it ends with; none where it ends with a block.
fn split(code: &str) -> Option<(&str, &str)> {
    let engine = Engine::new_raw();
    let mut ends: Vec<usize> = tokens(code)
        .iter()
        .filter(|token| token.is(";") || token.is("}"))
        .map(Token::end)
        .collect();
    ends.push(0);
    ends.sort_unstable();
    // From the front: the first cut that leaves one expression takes all of it.
    for end in ends {
        let (before, expression) = code.split_at(end);
        let fits = !expression.trim().is_empty()
            && engine.compile_expression(expression).is_ok()
            && engine.compile(before).is_ok();
        if fits {
            return Some((before, expression));
        }
    }
    None
}

/// Takes out the functions that a later input defines anew: a script has each once.
fn drop_redefined(codes: &mut [String]) {
    let mut later: BTreeSet<(String, usize)> = BTreeSet::new();
    for code in codes.iter_mut().rev() {
        let found = functions(code);
        let mut kept = code.clone();
        for (key, range) in found.iter().rev() {
            if later.contains(key) {
                kept.replace_range(range.clone(), "");
            }
        }
        later.extend(found.into_iter().map(|(key, _)| key));
        *code = kept;
    }
}

/// The functions that `code` defines: name, number of parameters, and where.
fn functions(code: &str) -> Vec<((String, usize), std::ops::Range<usize>)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let [name, open, ..] = tokens.get(at + 1..).unwrap_or_default() else {
            continue;
        };
        if token.kind != Kind::Keyword || token.text != "fn" || !open.is("(") {
            continue;
        }
        let close =
            |from: usize| (from..tokens.len()).find(|end| opening(&tokens[..=*end]) == Some(from));
        let Some(parameters) = close(at + 2) else {
            continue;
        };
        let Some(body) = close(parameters + 1) else {
            continue;
        };
        let inside = &tokens[at + 3..parameters];
        let count = match inside.len() {
            0 => 0,
            _ => 1 + inside.iter().filter(|token| token.is(",")).count(),
        };
        found.push((
            (name.text.to_string(), count),
            token.start..tokens[body].end(),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(inputs: &[(&str, Shown)]) -> Result<String> {
        let inputs: Vec<Input> = inputs
            .iter()
            .enumerate()
            .map(|(at, (code, shown))| Input {
                number: at + 1,
                code: (*code).to_string(),
                shown: *shown,
            })
            .collect();
        script(&inputs)
    }

    use Shown::{Card, Drawn, Nothing};

    #[test]
    fn what_was_shown_is_printed() {
        let got = of(&[
            ("let x = 2", Nothing),
            ("x + 1", Card),
            ("let y = 3; if y > 2 { y } else { 0 }", Card),
            ("let m = #{}", Nothing),
            ("for i in 0..2 { x += i }", Nothing),
            ("t.scatter(\"a\", \"b\")", Drawn),
        ]);
        assert_eq!(
            got.unwrap(),
            "let x = 2;\nprint(x + 1);\nlet y = 3;\nprint(if y > 2 { y } else { 0 });\n\
             let m = #{};\nfor i in 0..2 { x += i }\nt.scatter(\"a\", \"b\").show();\n"
        );
    }

    #[test]
    fn earlier_values_become_variables() {
        let got = of(&[
            ("20 + 1", Card),
            ("ans * 2", Card),
            ("out(1) + ans + m.ans + #{ ans: 1 }.len", Card),
        ]);
        assert_eq!(
            got.unwrap(),
            "let out_1 = 20 + 1;\nprint(out_1);\nlet out_2 = out_1 * 2;\nprint(out_2);\n\
             print(out_1 + out_2 + m.ans + #{ ans: 1 }.len);\n"
        );
        let error = of(&[("1", Card), ("out(n)", Card)]).unwrap_err();
        assert!(error.to_string().starts_with("input 2:"), "{error}");
    }

    #[test]
    fn a_function_is_there_once() {
        let got = of(&[
            ("fn f(x) { x }", Nothing),
            ("fn f(x, y) { x }", Nothing),
            ("fn f(x) { x + 1 } let z = 1", Nothing),
        ]);
        assert_eq!(
            got.unwrap(),
            "fn f(x, y) { x }\nfn f(x) { x + 1 } let z = 1;\n"
        );
    }
}
