//! Running code: a script, the text of `-e`, or one input after another.

use rhai::{AST, Dynamic, Engine, EvalAltResult, Expr, Scope, Stmt};

use super::engine::{caught, compile, engine};
use super::race::{Race, race};
use super::{Diagnostic, Session, diagnostics, innermost};
use crate::Error;

/// At most this many values of a list are shown, one a line.
const SHOWN: usize = 20;

/// An engine with the variables, functions and imports of what it ran so far.
pub struct Interpreter {
    engine: Engine,
    session: Session,
    scope: Scope<'static>,
    functions: AST,
}

impl Interpreter {
    /// A fresh interpreter for `session`.
    pub fn new(session: Session) -> Self {
        Self {
            engine: engine(&session),
            session,
            scope: Scope::new(),
            functions: AST::empty(),
        }
    }

    /// Runs `text` and gives the value of its last expression, `()` if it has none. `source` names
    /// the code in messages; for a script it is the path, which its imports are relative to.
    pub fn run(&mut self, source: &str, text: &str) -> Result<Dynamic, Diagnostic> {
        self.evaluate(source, text)
            .map_err(|error| diagnostics::diagnose(&self.engine, &self.scope, source, text, &error))
    }

    fn evaluate(&mut self, source: &str, text: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        let Self {
            engine,
            session,
            scope,
            functions,
        } = self;
        let tree = compile(engine, session, scope, source, text)
            .map_err(|error| Box::new(EvalAltResult::from(error)))?;
        let mut merged = functions.merge(&tree);
        merged.set_source(source);
        *functions = merged.clone_functions_only();
        let value = caught(|| engine.eval_ast_with_scope::<Dynamic>(scope, &merged))
            .map_err(|error| placed(error, &merged))?;
        self.keep_imports(&tree, source)?;
        Ok(value)
    }

    /// The engine forgets imports after each run: gives them their names for the next one.
    fn keep_imports(&mut self, tree: &AST, source: &str) -> Result<(), Box<EvalAltResult>> {
        for statement in tree.statements() {
            let Stmt::Import(import, position) = statement else {
                continue;
            };
            let (Expr::StringConstant(path, _), alias) = &**import else {
                continue;
            };
            if !alias.name.is_empty() {
                let resolver = self.engine.module_resolver();
                let module = resolver.resolve(&self.engine, Some(source), path, *position)?;
                self.engine
                    .register_static_module(alias.name.as_str(), module);
            }
        }
        Ok(())
    }

    /// The engine, for its documentation.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The variables so far: name and value, in order of their making; a hidden one is left out.
    pub fn variables(&self) -> Vec<(String, Dynamic)> {
        let mut variables: Vec<(String, Dynamic)> = Vec::new();
        for (name, _, value) in self.scope.iter() {
            variables.retain(|(known, _)| known != name);
            variables.push((name.to_string(), value));
        }
        variables
    }

    /// Gives a variable a value, making it if need be.
    pub fn set(&mut self, name: &str, value: Dynamic) {
        self.scope.set_or_push(name.to_string(), value);
    }

    /// A value as `print` shows it.
    pub fn text(&self, value: &Dynamic) -> String {
        self.call_text("to_string", value)
    }

    /// A value as the prompt shows it: text in quotes, a list of cards one a line.
    pub fn card(&self, value: &Dynamic) -> String {
        let Ok(list) = value.as_array_ref() else {
            let show = if value.is_string() {
                "to_debug"
            } else {
                "to_string"
            };
            return self.call_text(show, value);
        };
        if list.is_empty() || !list.iter().all(Dynamic::is_variant) {
            return self.text(value);
        }
        let mut lines: Vec<String> = list
            .iter()
            .take(SHOWN)
            .map(|value| self.text(value))
            .collect();
        if list.len() > SHOWN {
            lines.push(format!("... {} more", list.len() - SHOWN));
        }
        lines.join("\n")
    }

    /// A value by its own way to text.
    fn call_text(&self, function: &str, value: &Dynamic) -> String {
        let mut scope = Scope::new();
        scope.push("value", value.clone());
        self.engine
            .eval_with_scope::<String>(&mut scope, &format!("{function}(value)"))
            .unwrap_or_else(|_| super::type_name(value.type_name()))
    }
}

/// The error of a closure that uses the value its call works on, with the place of the call.
fn placed(error: Box<EvalAltResult>, tree: &AST) -> Box<EvalAltResult> {
    if !matches!(innermost(&error), EvalAltResult::ErrorDataRace(..)) {
        return error;
    }
    let Some(Race {
        variable,
        method,
        position,
    }) = race(tree)
    else {
        return error;
    };
    let copy = format!("let it use a copy: let copy = {variable};");
    let hint = match method {
        Some(method) => {
            format!("write {method}({variable}, ...) for {variable}.{method}(...), or {copy}")
        }
        None => copy,
    };
    let error = Error::new(format!(
        "the closure uses {variable}, which the call works on"
    ));
    let mut placed: Box<EvalAltResult> = error.hint(hint).into();
    placed.set_position(position);
    placed
}
