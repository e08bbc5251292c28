//! The walk over a script's statements and expressions, with what each place sees.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{
    ASTFlags, BinaryExpr, EvalAltResult, Expr, FlowControl, FnCallExpr, FnPtr, Ident, Position,
    Stmt,
};

use super::captures::Captures;
use super::facts::{Function, assigned, declaration, functions_of, keys, leaves};
use super::inputs::Writes;
use super::natives::Type;
use super::scope::Visible;
use super::syntax::Read;
use super::{Checker, Finding};
use crate::Error;
use crate::script::engine::{hidden, hides};
use crate::script::modules::Exports;
use crate::script::reword::{Known, reword};

/// The walk over one file.
pub(super) struct Walk<'w, 'a> {
    pub(super) checker: &'w mut Checker<'a>,
    pub(super) source: &'w str,
    pub(super) text: &'w str,
    pub(super) visible: Visible,
    pub(super) captures: Captures,
    /// The script's own functions: the counts of their parameters.
    pub(super) functions: BTreeMap<String, BTreeSet<usize>>,
    /// What the imported modules have, by alias; none where it is not known.
    pub(super) modules: BTreeMap<String, Option<Exports>>,
    /// The keys and texts of the script: a closure may be called by one.
    pub(super) keys: BTreeSet<String>,
    pub(super) writes: Writes,
    whole: bool,
    stand_ins: &'w [String],
    assigned: BTreeSet<String>,
    bodies: BTreeMap<&'w str, &'w Function>,
    /// Whether a function of the script may end the run.
    functions_leave: bool,
    /// How many branches, loops and functions are around the place.
    pub(super) branches: usize,
    /// How many of them are functions.
    inside: usize,
    /// How many `try` are around the place.
    pub(super) tries: usize,
    /// Whether the run may have ended before the place.
    pub(super) left: bool,
}

/// Checks the file that `read` holds.
pub(super) fn walk(checker: &mut Checker, source: &str, text: &str, read: &Read, module: bool) {
    let tree = &read.tree;
    let all = functions_of(tree);
    let mut functions: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for function in all.iter().filter(|function| !function.is_closure()) {
        functions
            .entry(function.name.clone())
            .or_default()
            .insert(function.parameters.len());
    }
    let mut walk = Walk {
        checker,
        source,
        text,
        visible: Visible::default(),
        captures: Captures::default(),
        functions,
        modules: BTreeMap::new(),
        keys: keys(tree),
        writes: Writes::of(tree),
        whole: read.whole,
        stand_ins: &read.stand_ins,
        assigned: assigned(tree),
        functions_leave: all.iter().any(|function| leaves(&function.body)),
        bodies: all.iter().map(|f| (f.name.as_str(), f)).collect(),
        // A module's statements run wherever the import stands.
        branches: usize::from(module),
        inside: 0,
        tries: 0,
        left: false,
    };
    walk.hidden_natives();
    walk.races(tree);
    walk.statements(tree.statements());
    for function in all.iter().filter(|function| !function.is_closure()) {
        walk.function(function);
    }
    walk.changed_captures();
}

impl<'w> Walk<'w, '_> {
    /// Reports what fails when a run comes to `at`; inside `try` the script may mean it.
    pub(super) fn report(&mut self, at: Position, error: Error) {
        if self.tries == 0 {
            let certain = self.branches == 0 && !self.left;
            self.checker
                .report(self.source, self.text, at, error, certain);
        }
    }

    /// Reports an error of the engine in the users' words.
    pub(super) fn report_engine(&mut self, error: &EvalAltResult) {
        let at = error.position();
        let error = self.known(at, |known| reword(known, error));
        self.report(at, error);
    }

    /// Asks what is known at a place.
    pub(super) fn known<T>(&self, at: Position, ask: impl FnOnce(&Known) -> T) -> T {
        let mut scope = rhai::Scope::new();
        for name in self.visible.names() {
            scope.push_constant(name.to_string(), ());
        }
        ask(&Known {
            engine: self.checker.engine,
            source: self.source,
            scope: &scope,
            text: self.text,
            position: at,
        })
    }

    fn hidden_natives(&mut self) {
        for (name, counts) in &self.functions {
            let engine = self.checker.engine;
            if counts.iter().any(|count| hides(engine, name, *count)) {
                self.checker.findings.push(Finding {
                    diagnostic: hidden(self.source, self.text, name),
                    certain: false,
                });
            }
        }
    }

    fn function(&mut self, function: &'w Function) {
        let outer = self.visible.hide();
        for parameter in &function.parameters {
            self.visible.declare(parameter, None, false);
        }
        self.body(function);
        self.visible.show(outer);
    }

    fn body(&mut self, function: &'w Function) {
        self.branches += 1;
        self.inside += 1;
        self.statements(&function.body);
        self.branches -= 1;
        self.inside -= 1;
    }

    /// A closure sees what is around it; its first parameters are what it captures.
    pub(super) fn closure(&mut self, pointer: &FnPtr, captured: usize) {
        let Some(function) = self.bodies.get(pointer.fn_name()).copied() else {
            return;
        };
        let mark = self.visible.mark();
        for parameter in function.parameters.iter().skip(captured) {
            self.visible.declare(parameter, None, false);
        }
        self.body(function);
        self.visible.back_to(mark);
    }

    /// The type of the last statement's value.
    fn statements(&mut self, statements: &'w [Stmt]) -> Type {
        let mut last = None;
        for statement in statements {
            last = self.statement(statement);
        }
        last
    }

    pub(super) fn block(&mut self, statements: &'w [Stmt]) -> Type {
        let mark = self.visible.mark();
        let value = self.statements(statements);
        self.visible.back_to(mark);
        value
    }

    fn branch(&mut self, statements: &'w [Stmt]) {
        self.branches += 1;
        self.block(statements);
        self.branches -= 1;
    }

    fn statement(&mut self, statement: &'w Stmt) -> Type {
        match statement {
            Stmt::Var(declared, flags, _) => {
                let (name, value, _) = &**declared;
                let before = self.changes_so_far();
                let type_ = self.expression(value);
                self.keeps(value, before);
                if type_.as_deref() == Some("()") && !matches!(value, Expr::Unit(_)) {
                    self.nothing(name, value);
                }
                let known = !self.assigned.contains(name.name.as_str());
                let constant = flags.contains(ASTFlags::CONSTANT);
                self.visible
                    .declare(&name.name, type_.filter(|_| known), constant);
            }
            Stmt::Assignment(assignment) => self.assignment(&assignment.1),
            Stmt::If(flow, _) => {
                self.expression(&flow.expr);
                self.branch(flow.body.statements());
                self.branch(flow.branch.statements());
            }
            Stmt::While(flow, _) | Stmt::Do(flow, ..) => {
                self.branches += 1;
                self.loop_begins();
                self.expression(&flow.expr);
                self.branches -= 1;
                self.branch(flow.body.statements());
                self.loop_ends();
            }
            Stmt::For(parts, _) => {
                let (variable, counter, flow) = &**parts;
                self.expression(&flow.expr);
                let mark = self.visible.mark();
                self.loop_begins();
                self.visible.declare_looped(&variable.name);
                if let Some(counter) = counter {
                    self.visible.declare_looped(&counter.name);
                }
                self.branch(flow.body.statements());
                self.loop_ends();
                self.visible.back_to(mark);
            }
            Stmt::Switch(parts, at) => {
                let (value, cases) = &**parts;
                if self.expression(value).as_deref() == Some("float") {
                    self.float_among_ints(*at);
                }
                self.branches += 1;
                for case in &cases.expressions {
                    self.expression(&case.lhs);
                    self.expression(&case.rhs);
                }
                self.branches -= 1;
            }
            Stmt::TryCatch(flow, _) => self.try_catch(flow),
            Stmt::Block(block) => return self.block(block.statements()),
            Stmt::Expr(value) => return self.expression(value),
            Stmt::FnCall(call, at) => return self.call(call, *at),
            Stmt::BreakLoop(Some(value), ..) => {
                self.expression(value);
            }
            Stmt::Return(value, flags, _) => {
                if let Some(value) = value {
                    self.expression(value);
                }
                self.left |= self.inside == 0 || flags.contains(ASTFlags::BREAK);
            }
            Stmt::Import(parts, _) => self.import(&parts.0, &parts.1),
            _ => {}
        }
        None
    }

    /// A variable for what gives nothing: `let sorted = list.sort();`.
    fn nothing(&mut self, name: &Ident, value: &Expr) {
        let error = Error::new(format!("{} is (): the call gives no value", name.name));
        let error = match last_call(value) {
            Some("sort") => {
                error.hint("sort() sorts the list in place; sorted() gives a sorted copy")
            }
            Some("reverse") => error.hint("reverse() turns the list round in place"),
            _ => error,
        };
        self.checker.warn(self.source, self.text, name.pos, error);
    }

    fn try_catch(&mut self, flow: &'w FlowControl) {
        self.tries += 1;
        self.branch(flow.body.statements());
        self.tries -= 1;
        let mark = self.visible.mark();
        if let Expr::Variable(variable, ..) = &flow.expr {
            self.visible.declare(&variable.1, None, false);
        }
        self.branch(flow.branch.statements());
        self.visible.back_to(mark);
    }

    fn assignment(&mut self, sides: &'w BinaryExpr) {
        let before = self.changes_so_far();
        self.expression(&sides.rhs);
        self.keeps(&sides.rhs, before);
        match &sides.lhs {
            Expr::Variable(variable, _, at) => {
                self.variable(&sides.lhs);
                self.changes(&variable.1);
                if self.visible.find(&variable.1).is_some_and(|v| v.constant) {
                    let name = variable.1.to_string();
                    self.report_engine(&EvalAltResult::ErrorAssignmentToConstant(name, *at));
                }
            }
            Expr::Dot(chain, ..) => self.target(chain),
            Expr::Index(..) => {
                self.expression(&sides.lhs);
            }
            _ => {}
        }
    }

    /// The value that a property is set of.
    pub(super) fn target(&mut self, chain: &'w BinaryExpr) {
        let receiver = self.expression(&chain.lhs);
        match &chain.rhs {
            Expr::Property(names, at) => {
                if let Some(type_) = receiver
                    && !self.checker.natives.has_property(&type_, "set", &names.2)
                {
                    let message = format!("No writable property '{}' for type '{type_}'", names.2);
                    self.report_engine(&EvalAltResult::ErrorDotExpr(message, *at));
                }
            }
            Expr::Dot(inner, ..) if matches!(inner.lhs, Expr::Property(..)) => {}
            other => {
                self.chain(receiver, other);
            }
        }
    }

    /// Whether `name` stands for a reserved word, which is told already.
    pub(super) fn stands_in(&self, name: &str) -> bool {
        self.stand_ins.iter().any(|word| word == name)
    }

    /// Whether a function `name` would be known: of a script that does not parse, those after the
    /// mistake are only found in its text.
    pub(super) fn knows_all_functions(&self, name: &str) -> bool {
        self.whole || declaration(self.text, name).is_none()
    }

    /// Notes that a call may end the run.
    pub(super) fn may_leave(&mut self, call: &FnCallExpr) {
        let own = self.functions.contains_key(call.name.as_str());
        self.left |= call.name == "exit" || (own && self.functions_leave);
    }
}

/// The last method of a chain.
fn last_call(value: &Expr) -> Option<&str> {
    match value {
        Expr::Dot(sides, ..) | Expr::Index(sides, ..) => last_call(&sides.rhs),
        Expr::MethodCall(call, _) => Some(&call.name),
        _ => None,
    }
}
