//! Finding the call whose closure uses the value that the call works on.
//!
//! `t.filter(|r| r.x > t.mean())`: the engine holds `t` while `filter` runs, so the closure cannot
//! have it. The engine's error has no place; this finds it.

use rhai::{AST, ASTNode, Expr, Position, Stmt};

/// The first such call.
pub(super) struct Race {
    /// What the closure captures and the call holds.
    pub(super) variable: String,
    /// The method, where it is called on the variable itself and not on a part of it.
    pub(super) method: Option<String>,
    /// Where the method is called.
    pub(super) position: Position,
}

/// The first such call of `tree`.
pub(super) fn race(tree: &AST) -> Option<Race> {
    let mut found = None;
    tree.walk(&mut |path: &[ASTNode]| {
        if let Some(ASTNode::Expr(Expr::Dot(chain, ..))) = path.last()
            && let Expr::Variable(variable, ..) = &chain.lhs
        {
            found = in_chain(&variable.1, &chain.rhs, true);
        }
        found.is_none()
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
