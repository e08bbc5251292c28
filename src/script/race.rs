//! Finding the call whose closure uses the value that the call works on.
//!
//! `t.filter(|r| r.x > t.mean())`: the engine holds `t` while `filter` runs, so the closure cannot
//! have it. The engine's error has no place; this finds it.

use rhai::{AST, ASTNode, Expr, Position, Stmt};

use crate::Error;

/// Such a call.
pub(super) struct Race {
    /// What the closure captures and the call holds.
    variable: String,
    /// The method, where it is called on the variable itself and not on a part of it.
    method: Option<String>,
    /// Where the method is called.
    pub(super) position: Position,
}

impl Race {
    /// What to tell the user.
    pub(super) fn error(&self) -> Error {
        let variable = &self.variable;
        let copy = format!("let it use a copy: let copy = {variable};");
        let hint = match &self.method {
            Some(method) => {
                format!("write {method}({variable}, ...) for {variable}.{method}(...), or {copy}")
            }
            None => copy,
        };
        Error::new(format!(
            "the closure uses {variable}, which the call works on"
        ))
        .hint(hint)
    }
}

/// All such calls of `tree`, as they stand in it.
pub(super) fn races(tree: &AST) -> Vec<Race> {
    let mut found = Vec::new();
    tree.walk(&mut |path: &[ASTNode]| {
        if let Some(ASTNode::Expr(Expr::Dot(chain, ..))) = path.last()
            && let Expr::Variable(variable, ..) = &chain.lhs
        {
            found.extend(in_chain(&variable.1, &chain.rhs, true));
        }
        true
    });
    found
}

/// The first method call of a chain with a closure that captures `variable`.
fn in_chain(variable: &str, expr: &Expr, direct: bool) -> Option<Race> {
    match expr {
        Expr::Dot(chain, ..) | Expr::Index(chain, ..) => {
            in_chain(variable, &chain.lhs, direct).or_else(|| in_chain(variable, &chain.rhs, false))
        }
        Expr::MethodCall(call, position) => {
            let races = call
                .args
                .iter()
                .any(|argument| captures(argument, variable));
            races.then(|| Race {
                variable: variable.to_string(),
                method: direct.then(|| call.name.to_string()),
                position: *position,
            })
        }
        _ => None,
    }
}

fn captures(argument: &Expr, variable: &str) -> bool {
    let Expr::Stmt(block) = argument else {
        return false;
    };
    block.statements().iter().any(|statement| match statement {
        Stmt::Share(captured) => captured.iter().any(|(name, _)| name.name == variable),
        _ => false,
    })
}
