//! The script engine, set up so that what is wrong is loud.

use std::collections::BTreeMap;

use rhai::{AST, ASTNode, Dynamic, Engine, Expr, FnPtr, OptimizationLevel, ParseError, Scope};

use super::check::facts::declaration;
use super::error::Fallible;
use super::modules::Modules;
use super::sources::Sources;
use super::{Diagnostic, Session, Severity, api, arithmetic, compare, growth, pending};
use crate::Error;
use crate::study::Extent;

/// An engine with all natives, for `session`.
pub fn engine(session: &Session) -> Engine {
    let mut engine = Engine::new();
    engine
        // Simple would fold comparisons of literals by the engine's own rules.
        .set_optimization_level(OptimizationLevel::None)
        // The engine's fast paths would win over the operators registered here.
        .set_fast_operators(false)
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .set_max_expr_depths(256, 128)
        .set_max_call_levels(session.setup().limits.depth)
        // Code as text would escape the literals that say what a script reads.
        .disable_symbol("eval")
        .set_default_tag(Dynamic::from(session.clone()))
        .set_module_resolver(Modules::new(session.clone()));

    let asked = session.clone();
    engine.on_progress(move |_| asked.step().map(Dynamic::from));
    let printed = session.clone();
    engine.on_print(move |text| printed.print(text));
    let debugged = session.clone();
    engine.on_debug(move |text, _, _| debugged.print(text));

    engine
        .register_fn("to_string", function_card)
        .register_fn("to_debug", function_card);
    engine.register_type_with_name::<Error>("Error");
    engine.register_fn("to_string", |error: &mut Error| error.to_string());
    engine.register_fn("to_debug", |error: &mut Error| error.to_string());
    engine.register_get("message", |error: &mut Error| error.message().to_string());

    compare::register(&mut engine);
    arithmetic::register(&mut engine);
    growth::register(&mut engine);
    for topic in api::TOPICS {
        (topic.register)(&mut engine, session);
    }
    if session.context().plan().extent() != Extent::All {
        pending::register(&mut engine);
    }
    name_natives(&mut engine);
    engine
}

/// A function as a value. A closure's own name would differ from build to build.
fn function_card(function: &mut FnPtr) -> String {
    match function.is_anonymous() {
        true => "a closure".to_string(),
        false => format!("the function `{}`", function.fn_name()),
    }
}

/// Makes natives values, so that `names.map(dataset)` works, in closures too. A variable of the
/// same name is found first.
pub(super) fn name_natives(engine: &mut Engine) {
    let natives: BTreeMap<String, FnPtr> = names(engine)
        .into_iter()
        .filter_map(|name| {
            FnPtr::new(name.as_str())
                .ok()
                .map(|pointer| (name, pointer))
        })
        .collect();
    // Marked as deprecated to say that it may change.
    #[allow(deprecated)]
    engine.on_var(move |name, index, context| {
        if index > 0 || context.scope().contains(name) {
            return Ok(None);
        }
        Ok(natives.get(name).cloned().map(Dynamic::from))
    });
}

/// A function's name as a script writes it, with its module's.
pub(super) fn qualified(info: &rhai::FuncInfo) -> String {
    match info.namespace.as_str() {
        "" => info.metadata.name.to_string(),
        module => format!("{module}::{}", info.metadata.name),
    }
}

/// The names of all natives a script can call, sorted, each once.
pub fn names(engine: &Engine) -> Vec<String> {
    let mut names: Vec<String> = engine.collect_fn_metadata(
        None,
        |info| {
            let name = info.metadata.name.as_str();
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                .then_some(name)
                .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
                .map(|_| qualified(&info))
        },
        true,
    );
    names.sort();
    names.dedup();
    names
}

/// Reads code. `scope` has the variables that exist already; `source` names the code in messages
/// (a script's path). A function that hides a native is told to the user.
pub fn compile(
    engine: &Engine,
    session: &Session,
    scope: &Scope,
    source: &str,
    text: &str,
) -> Result<AST, ParseError> {
    let natives = names(engine);
    let mut known = Scope::new();
    for name in natives
        .iter()
        .map(String::as_str)
        .chain(scope.iter_raw().map(|(name, ..)| name))
    {
        known.push_constant(name.to_string(), ());
    }
    let sources = session.extension::<Sources>();
    sources.keep(source, text);
    let mut tree = engine.compile_with_scope(&known, text)?;
    tree.set_source(source);
    sources.define(source, tree.iter_functions().map(|function| function.name));
    for function in tree.iter_functions() {
        if hides(engine, function.name, function.params.len()) {
            let warning = hidden(source, text, function.name);
            session.notice_once(warning.to_string());
        }
    }
    session.name_literals(literals(&tree));
    Ok(tree)
}

/// Whether a script's function takes the place of a native: one of as many parameters.
pub(super) fn hides(engine: &Engine, name: &str, count: usize) -> bool {
    let same = |info: rhai::FuncInfo| {
        let same = qualified(&info) == name && info.metadata.num_params == count;
        same.then_some(())
    };
    !engine.collect_fn_metadata(None, same, true).is_empty()
}

/// The warning of such a function.
pub(super) fn hidden(source: &str, text: &str, name: &str) -> Diagnostic {
    let error = Error::new(format!(
        "fn {name} hides the built-in function of that name"
    ))
    .hint("give it another name, unless this is meant");
    let at = declaration(text, name).and_then(|at| Some((at.line()?, at.position()?)));
    let diagnostic = match at {
        Some(at) => Diagnostic::at(source, text, at, error),
        None => Diagnostic::of(source, error),
    };
    Diagnostic {
        severity: Severity::Warning,
        ..diagnostic
    }
}

pub(super) fn literals(tree: &AST) -> Vec<String> {
    let mut found = Vec::new();
    tree.walk(&mut |path: &[ASTNode]| {
        if let Some(ASTNode::Expr(Expr::StringConstant(text, _))) = path.last() {
            found.push(text.to_string());
        }
        true
    });
    found
}

/// Runs `call` and turns a panic, which is a defect of ours, into an error.
pub(super) fn caught<T>(call: impl FnOnce() -> Fallible<T>) -> Fallible<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("unknown");
        Err(Error::new(format!("internal error: {what}"))
            .hint("this is a defect of tureen; please report it with the script")
            .into())
    })
}
