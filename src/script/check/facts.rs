//! What the whole of a script tells before its walk: its functions, what it assigns to, its keys.

use std::collections::BTreeSet;

use rhai::{AST, ASTFlags, ASTNode, Expr, Map, Position, Stmt};

/// A function or closure of the script.
pub(in crate::script) struct Function {
    pub(in crate::script) name: String,
    pub(super) parameters: Vec<String>,
    pub(in crate::script) body: Vec<Stmt>,
}

impl Function {
    pub(super) fn is_closure(&self) -> bool {
        self.name.starts_with("anon$")
    }
}

/// All of them.
pub(in crate::script) fn functions_of(tree: &AST) -> Vec<Function> {
    let functions = tree.iter_fn_def();
    let with_body = functions.map(|function| {
        // The engine shows a function's statements only to who walks over them.
        let mut alone = tree.clone_functions_only();
        alone.retain_functions(|_, _, name, count| {
            name == function.name.as_str() && count == function.params.len()
        });
        let mut body = Vec::new();
        alone.walk(&mut |path: &[ASTNode]| {
            if let [ASTNode::Stmt(statement)] = path {
                body.push((*statement).clone());
            }
            true
        });
        Function {
            name: function.name.to_string(),
            parameters: function.params.iter().map(ToString::to_string).collect(),
            body,
        }
    });
    with_body.collect()
}

/// Where `fn name(` stands.
pub(in crate::script) fn declaration(text: &str, name: &str) -> Option<Position> {
    for (number, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices("fn ") {
            let rest = line[at + 3..].trim_start();
            let after = rest.strip_prefix(name).map(str::trim_start);
            if after.is_some_and(|after| after.starts_with('(')) {
                let start = line.len() - rest.len();
                let column = line[..start].chars().count() + 1;
                let fits = |n: usize| u16::try_from(n).ok();
                return Some(Position::new(fits(number + 1)?, fits(column)?));
            }
        }
    }
    None
}

/// The variables that are assigned to somewhere: their types may change.
pub(super) fn assigned(tree: &AST) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    tree.walk(&mut |path: &[ASTNode]| {
        if let Some(ASTNode::Stmt(Stmt::Assignment(assignment))) = path.last()
            && let Expr::Variable(variable, ..) = &assignment.1.lhs
        {
            names.insert(variable.1.to_string());
        }
        true
    });
    names
}

/// The keys and texts of the script.
pub(in crate::script) fn keys(tree: &AST) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    tree.walk(&mut |path: &[ASTNode]| {
        match path.last() {
            Some(ASTNode::Expr(Expr::Map(entries, _))) => {
                found.extend(entries.0.iter().map(|(key, _)| key.name.to_string()));
            }
            Some(ASTNode::Expr(Expr::StringConstant(text, _))) => {
                found.insert(text.to_string());
            }
            Some(ASTNode::Expr(Expr::Property(names, _))) => {
                found.insert(names.2.to_string());
            }
            Some(ASTNode::Expr(Expr::DynamicConstant(value, _))) => {
                let map = value.read_lock::<Map>();
                found.extend(
                    map.iter()
                        .flat_map(|map| map.keys().map(ToString::to_string)),
                );
            }
            _ => {}
        }
        true
    });
    found
}

/// Whether statements may end the run: `throw`, `exit()`.
pub(super) fn leaves(statements: &[Stmt]) -> bool {
    let mut path = Vec::new();
    !statements.iter().all(|statement| {
        statement.walk(&mut path, &mut |path: &[ASTNode]| match path.last() {
            Some(ASTNode::Stmt(Stmt::Return(_, flags, _))) => !flags.contains(ASTFlags::BREAK),
            Some(ASTNode::Stmt(Stmt::FnCall(call, _)) | ASTNode::Expr(Expr::FnCall(call, _))) => {
                call.name != "exit"
            }
            _ => true,
        })
    })
}
