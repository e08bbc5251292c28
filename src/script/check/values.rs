//! The walk over expressions, with what their types are known to be.

use rhai::{ASTFlags, Dynamic, EvalAltResult, Expr, FnPtr, Position, Stmt};

use super::natives::Type;
use super::walk::Walk;

impl<'w> Walk<'w, '_> {
    /// Walks an expression; gives its type where that is known.
    pub(super) fn expression(&mut self, expression: &'w Expr) -> Type {
        let plain = match expression {
            Expr::DynamicConstant(value, _) => return self.constant(value),
            Expr::BoolConstant(..) => "bool",
            Expr::IntegerConstant(..) => "int",
            Expr::FloatConstant(..) => "float",
            Expr::CharConstant(..) => "char",
            Expr::StringConstant(..) => "text",
            Expr::Unit(..) => "()",
            Expr::InterpolatedString(parts, _) => {
                self.all(parts);
                "text"
            }
            Expr::Array(values, _) => {
                self.all(values);
                "list"
            }
            Expr::Map(entries, _) => {
                for (_, value) in &entries.0 {
                    self.expression(value);
                }
                "map"
            }
            Expr::And(values, _) | Expr::Or(values, _) => {
                self.first_then_branches(values);
                "bool"
            }
            Expr::Coalesce(values, _) => {
                self.first_then_branches(values);
                return None;
            }
            Expr::Variable(..) => return self.variable(expression),
            Expr::Stmt(block) => return self.expression_block(block.statements()),
            Expr::FnCall(call, at) => return self.call(call, *at),
            Expr::Dot(chain, ..) => {
                let receiver = self.expression(&chain.lhs);
                return self.chain(receiver, &chain.rhs);
            }
            Expr::Index(sides, flags, _) => {
                let receiver = self.expression(&sides.lhs);
                return self.index(receiver, &sides.rhs, *flags);
            }
            _ => return None,
        };
        Some(plain.to_string())
    }

    fn constant(&mut self, value: &'w Dynamic) -> Type {
        let Ok(pointer) = value.clone().try_cast_result::<FnPtr>() else {
            return None;
        };
        self.closure(&pointer, 0);
        Some("function".into())
    }

    fn all(&mut self, values: impl IntoIterator<Item = &'w Expr>) {
        for value in values {
            self.expression(value);
        }
    }

    fn first_then_branches(&mut self, values: &'w [Expr]) {
        for (index, value) in values.iter().enumerate() {
            self.branches += usize::from(index > 0);
            self.expression(value);
            self.branches -= usize::from(index > 0);
        }
    }

    /// A block, or a closure that captures: then the block shares variables and curries.
    fn expression_block(&mut self, statements: &'w [Stmt]) -> Type {
        if let [Stmt::Share(captured), Stmt::Expr(curried)] = statements
            && let Expr::FnCall(call, _) = &**curried
            && let Some(Expr::DynamicConstant(value, _)) = call.args.first()
            && let Ok(pointer) = (**value).clone().try_cast_result::<FnPtr>()
        {
            self.closure(&pointer, captured.len());
            return Some("function".into());
        }
        self.block(statements)
    }

    pub(super) fn variable(&mut self, expression: &'w Expr) -> Type {
        let Expr::Variable(parts, _, at) = expression else {
            return None;
        };
        let (_, name, namespace, _) = &**parts;
        if let Some(module) = namespace.path.first() {
            self.module_member(&module.name, name, None, (module.pos, *at));
            return None;
        }
        if let Some(variable) = self.visible.find(name) {
            return variable.type_.clone();
        }
        if self.checker.is_native(name) || self.functions.contains_key(name.as_str()) {
            return Some("function".into());
        }
        if !self.stands_in(name) && self.knows_all_functions(name) {
            let tries = std::mem::take(&mut self.tries);
            let (branches, left) = (self.branches, self.left);
            // The engine refuses such a script before it runs.
            (self.branches, self.left) = (0, false);
            let name = name.to_string();
            self.report_engine(&EvalAltResult::ErrorVariableNotFound(name, *at));
            (self.branches, self.left, self.tries) = (branches, left, tries);
        }
        None
    }

    /// What follows a value: `.name`, `.method()`, `[index]`, and so on.
    pub(super) fn chain(&mut self, receiver: Type, rest: &'w Expr) -> Type {
        match rest {
            Expr::Property(names, at) => self.property(receiver, &names.2, *at),
            Expr::MethodCall(call, at) => self.method(receiver, call, *at),
            Expr::Dot(sides, ..) => {
                let next = self.chain(receiver, &sides.lhs);
                self.chain(next, &sides.rhs)
            }
            Expr::Index(sides, flags, _) => {
                let next = self.chain(receiver, &sides.lhs);
                self.index(next, &sides.rhs, *flags)
            }
            _ => None,
        }
    }

    /// An index and, unless the chain ends there, what follows it.
    fn index(&mut self, receiver: Type, rest: &'w Expr, flags: ASTFlags) -> Type {
        match rest {
            Expr::Dot(sides, ..) if !flags.contains(ASTFlags::BREAK) => {
                let element = self.element(receiver, &sides.lhs);
                self.chain(element, &sides.rhs)
            }
            Expr::Index(sides, inner, _) if !flags.contains(ASTFlags::BREAK) => {
                let element = self.element(receiver, &sides.lhs);
                self.index(element, &sides.rhs, *inner)
            }
            index => self.element(receiver, index),
        }
    }

    fn element(&mut self, receiver: Type, index: &'w Expr) -> Type {
        let index = self.expression(index);
        let plain = ["list", "map", "text", "int"];
        if receiver.as_deref().is_none_or(|r| plain.contains(&r)) {
            return None;
        }
        self.checker
            .natives
            .result("index$get$", &[receiver, index])
    }

    fn property(&mut self, receiver: Type, name: &str, at: Position) -> Type {
        let type_ = receiver?;
        if self.stands_in(name) || type_ == "map" {
            return None;
        }
        if !self.checker.natives.has_property(&type_, "get", name) {
            let message = format!(
                "Unknown property '{name}' - a getter is not registered for type '{type_}'"
            );
            self.report_engine(&EvalAltResult::ErrorDotExpr(message, at));
            return None;
        }
        self.checker
            .natives
            .result(&format!("get${name}"), &[Some(type_)])
    }
}
