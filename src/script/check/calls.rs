//! Calls: is there such a function, with so many arguments, of these types?

use std::path::Path;

use rhai::{EvalAltResult, Expr, FnCallExpr, Ident, Position};

use super::natives::{Type, is_plain};
use super::walk::Walk;
use crate::script::modules::{Exports, Modules, exports, missing_member};
use crate::{Error, nearest};

/// What the engine calls itself.
const KEYWORDS: &[&str] = &[
    "print",
    "debug",
    "type_of",
    "eval",
    "Fn",
    "call",
    "curry",
    "is_shared",
    "is_def_var",
    "is_def_fn",
    "exit",
];

/// Operators that every two values have, to work or to fail by their values.
const COMPARISONS: &[&str] = &["==", "!=", "<", "<=", ">", ">=", "in"];

impl<'w> Walk<'w, '_> {
    /// A call `name(arguments)`, or an operator's.
    pub(super) fn call(&mut self, call: &'w FnCallExpr, at: Position) -> Type {
        let before = self.changes_so_far();
        let types = self.arguments(call);
        self.keeps_arguments(call, before);
        self.may_leave(call);
        if let Some(module) = call.namespace.path.first() {
            let qualified = format!("{}::{}", module.name, call.name);
            if self.checker.natives.forms(&qualified).is_empty() {
                let place = (module.pos, at);
                self.module_member(&module.name, &call.name, Some(types.len()), place);
                return None;
            }
            self.options(&qualified, call, types.len());
            return self.native(&qualified, &types, false, at);
        }
        if call.is_operator_call() {
            return self.operator(call, &types, at);
        }
        let name = call.name.as_str();
        if KEYWORDS.contains(&name) || self.stands_in(name) {
            return (name == "type_of").then(|| "text".to_string());
        }
        if let Some(counts) = self.functions.get(name) {
            if !counts.contains(&types.len()) && self.checker.natives.forms(name).is_empty() {
                self.unknown_call(name, &types, at);
            }
            return None;
        }
        self.inputs(call, at);
        self.options(name, call, types.len());
        let given = self.native(name, &types, false, at);
        self.literals(call, at);
        given
    }

    /// A call `receiver.name(arguments)`.
    pub(super) fn method(&mut self, receiver: Type, call: &'w FnCallExpr, at: Position) -> Type {
        let mut types = vec![receiver];
        let before = self.changes_so_far();
        types.extend(self.arguments(call));
        self.keeps_arguments(call, before);
        self.may_leave(call);
        let name = call.name.as_str();
        let own = self.functions.contains_key(name);
        if KEYWORDS.contains(&name) || self.stands_in(name) || own {
            return None;
        }
        // A closure that a map holds is called like a method.
        let maybe_map = types[0].as_deref().is_none_or(|t| t == "map");
        if maybe_map && self.keys.contains(name) {
            return None;
        }
        self.options(name, call, types.len());
        let given = self.native(name, &types, true, at);
        self.method_literals(call);
        given
    }

    fn arguments(&mut self, call: &'w FnCallExpr) -> Vec<Type> {
        call.args.iter().map(|a| self.expression(a)).collect()
    }

    /// What the native gives for these values; reports where it does not take them.
    fn native(&mut self, name: &str, types: &[Type], method: bool, at: Position) -> Type {
        let natives = self.checker.natives;
        let forms = natives.forms(name);
        if natives.taking(name, types).next().is_some() {
            return natives.result(name, types);
        }
        if forms.is_empty() {
            if self.knows_all_functions(name) {
                self.unknown_call(name, types, at);
            }
        } else if self.is_property(name, types, method)
            || forms.iter().any(|form| form.takes.len() == types.len())
            || types.iter().all(Option::is_some)
        {
            self.unknown_call(name, types, at);
        } else {
            let count = types.len() - usize::from(method);
            let plural = if count == 1 { "" } else { "s" };
            let error = Error::new(format!("{name} does not take {count} argument{plural}"));
            let types: Vec<String> = types.iter().map(written).map(str::to_string).collect();
            let hint = self.known(at, |known| known.misfit(name, &types));
            self.report(at, hint.map_or(error.clone(), |hint| error.hint(hint)));
        }
        None
    }

    /// Whether a method's name is one of its receiver's properties.
    fn is_property(&self, name: &str, types: &[Type], method: bool) -> bool {
        let receiver = types.first().and_then(Option::as_deref);
        let natives = self.checker.natives;
        method && receiver.is_some_and(|type_| natives.has_property(type_, "get", name))
    }

    fn unknown_call(&mut self, name: &str, types: &[Type], at: Position) {
        let types: Vec<&str> = types.iter().map(written).collect();
        let call = format!("{name} ({})", types.join(", "));
        self.report_engine(&EvalAltResult::ErrorFunctionNotFound(call, at));
    }

    fn operator(&mut self, call: &'w FnCallExpr, types: &[Type], at: Position) -> Type {
        self.literals(call, at);
        self.negative_base(call, at);
        let name = call.name.as_str();
        let known: Option<Vec<&str>> = types.iter().map(Option::as_deref).collect();
        let known = known?;
        let plain = match known.as_slice() {
            [a, b] if COMPARISONS.contains(&name) && is_plain(a) && is_plain(b) => Some("bool"),
            ["int", "int"] if !name.contains("..") => Some("int"),
            ["float", "int" | "float"] | ["int", "float"] => Some("float"),
            ["bool"] if name == "!" => Some("bool"),
            ["int"] if name == "-" => Some("int"),
            ["float"] if name == "-" => Some("float"),
            ["text", _] | [_, "text"] if name == "+" => Some("text"),
            _ => None,
        };
        match plain {
            Some(plain) => Some(plain.to_string()),
            None => {
                let custom = known
                    .iter()
                    .any(|t| t.starts_with(|c: char| c.is_ascii_uppercase()));
                let natives = self.checker.natives;
                if custom
                    && !COMPARISONS.contains(&name)
                    && natives.taking(name, types).next().is_none()
                {
                    self.unknown_call(name, types, at);
                }
                natives.result(name, types)
            }
        }
    }

    /// `import "path" as alias`: the module is checked like the script, and its functions known.
    pub(super) fn import(&mut self, path: &'w Expr, alias: &'w Ident) {
        self.expression(path);
        let mut exports = None;
        if let Expr::StringConstant(name, _) = path {
            let modules = Modules::new(self.checker.session.clone());
            match modules.find(Some(self.source), name) {
                Ok((file, text)) => exports = Some(self.module(&file, &text)),
                Err(error) => self.report(path.start_position(), error),
            }
        } else {
            self.checker.asked.elsewhere();
        }
        if !alias.name.is_empty() {
            self.modules.insert(alias.name.to_string(), exports);
        }
    }

    fn module(&mut self, file: &Path, text: &str) -> Exports {
        let name = file.display().to_string();
        if !self.checker.checked.contains(&name) {
            self.checker.checked.push(name.clone());
            self.checker.file(&name, text, true);
        }
        exports(text)
    }

    /// Something of a module: a function of so many parameters, or a constant; with the places of
    /// the module's name and of its own.
    pub(super) fn module_member(
        &mut self,
        module: &str,
        name: &str,
        count: Option<usize>,
        (module_at, at): (Position, Position),
    ) {
        if module == "global" {
            return;
        }
        let Some(known) = self.modules.get(module) else {
            let inside = format!("{module}::");
            let native = self.checker.names.iter().any(|n| n.starts_with(&inside));
            match (native, count) {
                (true, Some(_)) => self.unknown_native(&format!("{module}::{name}"), at),
                (true, None) => {}
                _ => {
                    let module = module.to_string();
                    self.report_engine(&EvalAltResult::ErrorModuleNotFound(module, module_at));
                }
            }
            return;
        };
        let (Some(exports), Some(count)) = (known, count) else {
            return;
        };
        if let Some(error) = missing_member(module, name, count, exports) {
            self.report(at, error);
        }
    }

    fn unknown_native(&mut self, name: &str, at: Position) {
        let error = Error::new(format!("unknown function {name}"));
        let near = nearest(name, self.checker.names.iter().map(String::as_str));
        let error = match near {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        };
        self.report(at, error);
    }
}

/// A type as the engine's errors have it.
fn written(type_: &Type) -> &str {
    type_.as_deref().unwrap_or("?")
}
