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
    let (key, name) = match part {
        About::Text(text) => return call.args.iter().find_map(|value| literal(value, text)),
        About::Key(name) => (true, name),
        About::Value(name) => (false, name),
    };
    let Some(Expr::Map(entries, _)) = call.args.last() else {
        return None;
    };
    let (own, value) = entries.0.iter().find(|(own, _)| own.name == *name)?;
    Some(match key {
        true => own.pos,
        false => value.start_position(),
    })
}

/// Where `text` stands in a value, as it is or in a list.
fn literal(value: &Expr, text: &str) -> Option<Position> {
    match value {
        Expr::StringConstant(own, at) => (own == text).then_some(*at),
        Expr::Array(values, _) => values.iter().find_map(|value| literal(value, text)),
        _ => None,
    }
}
