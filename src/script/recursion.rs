//! Functions that call themselves without an end: the engine tells where the first call stands,
//! this finds the one that goes round.

use rhai::{ASTNode, Expr, FnPtr, Position, Stmt};

use super::check::facts::{Function, functions_of};
use super::limits::reached;
use super::{code, spot};
use crate::Error;

/// Calls went deeper than `deepest` levels.
pub(super) fn too_deep(what: &str, deepest: usize) -> Error {
    let message = format!("{what} too deeply, at most {deepest} levels");
    reached(message, "depth", "N")
}

/// What goes round after the call at `position` of `text`, and where.
pub(super) fn round(text: &str, position: Position, deepest: usize) -> Option<(Error, Position)> {
    let functions = functions_of(&spot::parsed(text)?);
    let rest = text.get(code::offset(text, position)?..)?;
    let first = functions.iter().find(|function| {
        let after = rest.strip_prefix(function.name.as_str());
        after.is_some_and(|after| after.starts_with('('))
    })?;
    let mut path = Vec::new();
    let (names, at) = follow(&functions, &first.name, &mut path)?;
    let what = match names.as_slice() {
        [one] => format!("{one} calls itself"),
        several => format!("{} call each other", several.join(" and ")),
    };
    Some((too_deep(&what, deepest), at))
}

/// The functions of the first circle of calls from `name` on, closures left out, and the call that
/// closes it.
fn follow(
    functions: &[Function],
    name: &str,
    path: &mut Vec<String>,
) -> Option<(Vec<String>, Position)> {
    let function = functions.iter().find(|function| function.name == name)?;
    path.push(name.to_string());
    for (called, at) in calls(&function.body) {
        if let Some(start) = path.iter().position(|known| *known == called) {
            let named = path[start..].iter().filter(|name| !name.contains('$'));
            return Some((named.cloned().collect(), at));
        }
        if let Some(found) = follow(functions, &called, path) {
            return Some(found);
        }
    }
    path.pop();
    None
}

/// What the statements call, closures among it.
fn calls(statements: &[Stmt]) -> Vec<(String, Position)> {
    let mut found = Vec::new();
    for statement in statements {
        statement.walk(&mut Vec::new(), &mut |path: &[ASTNode]| {
            match path.last() {
                Some(
                    ASTNode::Stmt(Stmt::FnCall(call, at))
                    | ASTNode::Expr(Expr::FnCall(call, at) | Expr::MethodCall(call, at)),
                ) => found.push((call.name.to_string(), *at)),
                Some(ASTNode::Expr(Expr::DynamicConstant(value, at))) => {
                    if let Ok(closure) = (**value).clone().try_cast_result::<FnPtr>() {
                        found.push((closure.fn_name().to_string(), *at));
                    }
                }
                _ => {}
            }
            true
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_that_goes_round_is_found() {
        for (script, column, message, place) in [
            ("fn f(n) { f(n + 1) } f(0)", 22, "f calls itself", 11),
            (
                "fn f(n) { g(n) } fn g(n) { f(n) } f(0)",
                35,
                "f and g call each other",
                28,
            ),
            (
                "fn f(n) { 1 } fn g(n) { f(n) + g(n) } g(0)",
                39,
                "g calls itself",
                32,
            ),
        ] {
            let (error, at) = round(script, Position::new(1, column), 64).unwrap();
            assert_eq!(
                error.message(),
                format!("{message} too deeply, at most 64 levels")
            );
            assert_eq!(at, Position::new(1, place), "{script}");
        }
        assert!(round("fn f(n) { 1 } f(0)", Position::new(1, 15), 64).is_none());
    }
}
