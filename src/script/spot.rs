//! Finding the option of a call that an error is about.

use rhai::{AST, ASTNode, Engine, Expr, FnCallExpr, OptimizationLevel, Position, Stmt};

use crate::About;

/// Where `part` of the call at `position` stands in `text`, if it stands there as it is.
pub(super) fn find(text: &str, position: Position, part: &About) -> Option<Position> {
    let tree = parsed(text)?;
    let mut found = None;
    tree.walk(&mut |path: &[ASTNode]| {
        if let Some((call, at)) = path.last().and_then(call)
            && at == position
        {
            found = entry(call, part);
        }
        found.is_none()
    });
    found
}

/// The tree of `text`, whatever it names.
pub(super) fn parsed(text: &str) -> Option<AST> {
    let mut engine = Engine::new_raw();
    // The optimiser would fold a map of literals, and its keys' places with it.
    engine
        .set_optimization_level(OptimizationLevel::None)
        .set_max_expr_depths(0, 0);
    engine.compile(text).ok()
}

fn call<'a>(node: &ASTNode<'a>) -> Option<(&'a FnCallExpr, Position)> {
    match node {
        ASTNode::Stmt(Stmt::FnCall(call, at))
        | ASTNode::Expr(Expr::FnCall(call, at) | Expr::MethodCall(call, at)) => Some((call, *at)),
        _ => None,
    }
}

fn entry(call: &FnCallExpr, part: &About) -> Option<Position> {
    let (About::Key(name) | About::Value(name)) = part;
    let Some(Expr::Map(entries, _)) = call.args.last() else {
        return None;
    };
    let (key, value) = entries.0.iter().find(|(key, _)| key.name == *name)?;
    Some(match part {
        About::Key(_) => key.pos,
        About::Value(_) => value.start_position(),
    })
}
