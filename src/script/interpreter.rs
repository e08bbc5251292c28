//! Running code: a script, the text of `-e`, or one input after another.

use rhai::{AST, Dynamic, Engine, EvalAltResult, Expr, Module, Scope, Stmt};

use super::engine::{caught, compile, engine};
use super::race::races;
use super::{Diagnostic, Session, cards, diagnostics, innermost};
use crate::report::Screen;

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
    pub fn run(&mut self, source: &str, text: &str) -> Result<Dynamic, Box<Diagnostic>> {
        let session = self.session.clone();
        let outcome = session.limited(|| self.evaluate(source, text));
        outcome.map_err(|error| {
            self.session.context().progress().abandon();
            let (session, engine, scope) = (&self.session, &self.engine, &self.scope);
            let place = (source, text);
            Box::new(diagnostics::diagnose(session, engine, scope, place, &error))
        })
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
        cards::text(&self.engine, value)
    }

    /// A value alone as the prompt shows it on `screen`.
    pub fn card(&self, value: &Dynamic, screen: &Screen) -> String {
        cards::card(&self.engine, value, screen)
    }

    /// A value in one line of at most `width` characters.
    pub fn line(&self, value: &Dynamic, width: usize) -> String {
        cards::line(&self.engine, value, width)
    }

    /// What the code so far has made.
    pub fn state(&self) -> State {
        State {
            scope: self.scope.clone(),
            functions: self.functions.clone(),
        }
    }

    /// Goes back to what there was.
    pub fn restore(&mut self, state: State) {
        self.scope = state.scope;
        self.functions = state.functions;
    }

    /// The functions that the code so far defines: name and parameters.
    pub fn functions(&self) -> Vec<(String, Vec<String>)> {
        let functions = self.functions.iter_functions();
        functions
            // Closures are functions too.
            .filter(|f| !f.name.contains('$'))
            .map(|f| {
                let parameters = f.params.iter().map(ToString::to_string);
                (f.name.to_string(), parameters.collect())
            })
            .collect()
    }

    /// Adds natives of the front end.
    pub fn add_module(&mut self, module: Module) {
        self.engine.register_global_module(module.into());
    }
}

/// Variables and functions at some moment.
pub struct State {
    scope: Scope<'static>,
    functions: AST,
}

impl State {
    /// How many variables there are, hidden ones counted too.
    pub fn variables(&self) -> usize {
        self.scope.len()
    }
}

/// The error of a closure that uses the value its call works on, with the place of the call.
fn placed(error: Box<EvalAltResult>, tree: &AST) -> Box<EvalAltResult> {
    if !matches!(innermost(&error), EvalAltResult::ErrorDataRace(..)) {
        return error;
    }
    let Some(race) = races(tree).into_iter().next() else {
        return error;
    };
    let mut placed: Box<EvalAltResult> = race.error().into();
    placed.set_position(race.position);
    placed
}

#[cfg(test)]
mod tests {
    use rhai::Map;
    use rhai::plugin::*;

    use super::super::{Fallible, NativeSpec, OptionSpec, Options, Setup};
    use super::*;

    static CARD: NativeSpec = NativeSpec {
        name: "card",
        options: &[OptionSpec::int("size", 1, 9, "how large it is").or("3")],
    };

    #[derive(Clone)]
    struct Card(i64);

    // The macro makes code that unwraps what it has just checked.
    #[allow(clippy::unwrap_used)]
    #[export_module]
    mod natives {
        /// Makes a card.
        #[rhai_fn(return_raw)]
        pub fn card(context: NativeCallContext, options: Map) -> Fallible<Card> {
            let _session = Session::of(&context)?;
            Ok(Card(Options::read(&CARD, &options)?.int("size")?))
        }

        #[rhai_fn(get = "size", pure)]
        pub fn size(card: &mut Card) -> i64 {
            card.0
        }

        #[rhai_fn(name = "to_string", pure)]
        pub fn to_string(card: &mut Card) -> String {
            format!("Card of {}", card.0)
        }
    }

    fn interpreter() -> Interpreter {
        let mut interpreter = Interpreter::new(Session::new(Setup::default()));
        interpreter.engine.register_type_with_name::<Card>("Card");
        interpreter
            .engine
            .register_global_module(rhai::exported_module!(natives).into());
        super::super::engine::name_natives(&mut interpreter.engine);
        interpreter
    }

    #[test]
    fn a_type_of_a_topic_fails_loudly() {
        let cases = [
            (
                "card(#{}).colour",
                "t:1:11: error: a Card has no property colour; it has size",
            ),
            (
                "card(#{ sise: 1 })",
                "t:1:9: error: card: unknown option sise; did you mean size?",
            ),
            (
                "card(#{}) == card(#{})",
                "t:1:11: error: cannot compare a Card with a Card",
            ),
            (
                "card(#{}) != 3",
                "t:1:11: error: cannot compare a Card with int 3",
            ),
            (
                "card(#{}) > ()",
                "t:1:11: error: cannot compare a Card with (); a value is missing; test for it with `x == ()` first",
            ),
            (
                "card(1)",
                "t:1:1: error: card does not take (int); it takes card(options: map)",
            ),
            (
                "let c = card(#{}); c.size = 2;",
                "t:1:22: error: property size of a Card cannot be set; values do not change; make a new one",
            ),
        ];
        for (script, expected) in cases {
            let got = interpreter().run("t", script).unwrap_err().to_string();
            assert_eq!(got, expected, "{script}");
        }
    }

    #[test]
    fn a_list_of_cards_shows_one_a_line() {
        let mut interpreter = interpreter();
        let value = interpreter
            .run("t", "[card(#{}), card(#{ size: 4 })]")
            .unwrap();
        assert_eq!(
            interpreter.card(&value, &Screen::default()),
            "0  Card of 3\n1  Card of 4"
        );
        let value = interpreter
            .run("t", "[#{}, #{ size: 4 }].map(card)")
            .unwrap();
        assert_eq!(
            interpreter.card(&value, &Screen::default()),
            "0  Card of 3\n1  Card of 4"
        );
    }
}
