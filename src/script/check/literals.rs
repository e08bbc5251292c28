//! Calculations with literals: what fails with them fails in every run.

use rhai::{Dynamic, Engine, Expr, FnCallExpr, Position, Scope};

use super::walk::Walk;
use crate::prune::Amount;
use crate::report::table::Aggregate;
use crate::script::api::TOPICS;
use crate::script::engine;

/// The topics whose natives only calculate.
const CALCULATING: &[&str] = &["Numbers", "Sequences"];

impl<'w> Walk<'w, '_> {
    /// Calculates a call of an operator or of a function of numbers whose values all stand there.
    pub(super) fn literals(&mut self, call: &'w FnCallExpr, at: Position) {
        let Some(values) = literals_of(&call.args) else {
            return self.shares(call);
        };
        if !call.is_operator_call() && !self.calculates(&call.name) {
            return self.shares(call);
        }
        let names: Vec<String> = (0..values.len()).map(|i| format!("value{i}")).collect();
        let code = match (call.is_operator_call(), names.as_slice()) {
            (true, [one]) => format!("{} {one}", call.name),
            (true, [left, right]) => format!("{left} {} {right}", call.name),
            _ => format!("{}({})", call.name, names.join(", ")),
        };
        let mut scope = Scope::new();
        for (name, value) in names.iter().zip(values) {
            scope.push_dynamic(name.clone(), value);
        }
        let engine = self.checker.engine;
        if let Err(error) = engine.eval_with_scope::<Dynamic>(&mut scope, &code) {
            let told = self.checker.reworded((self.source, self.text), &error, at);
            self.report(at, told);
        }
    }

    /// The same of methods.
    pub(super) fn method_literals(&mut self, call: &'w FnCallExpr) {
        self.shares(call);
    }

    /// `agg(#{ x: "std" })`: names of summaries.
    fn summaries(&mut self, call: &'w FnCallExpr) {
        for argument in &call.args {
            let Expr::Map(map, _) = argument else {
                continue;
            };
            let names = map.0.iter().flat_map(|(_, value)| match value {
                Expr::Array(names, _) => &names[..],
                one => std::slice::from_ref(one),
            });
            for name in names {
                if let Expr::StringConstant(text, at) = name
                    && let Err(error) = text.parse::<Aggregate>()
                {
                    self.report(*at, error);
                }
            }
        }
    }

    /// `prune(90)`: a share is no percentage.
    fn shares(&mut self, call: &'w FnCallExpr) {
        if call.name == "agg" {
            return self.summaries(call);
        }
        if call.name != "prune" {
            return;
        }
        for argument in &call.args {
            let share = match argument {
                Expr::IntegerConstant(whole, _) => *whole as f64,
                Expr::FloatConstant(number, _) => **number,
                _ => continue,
            };
            if let Err(error) = Amount::Sparsity(share).check(0) {
                self.report(argument.start_position(), error);
            }
        }
    }

    fn calculates(&self, name: &str) -> bool {
        TOPICS
            .iter()
            .filter(|topic| CALCULATING.contains(&topic.title))
            .any(|topic| {
                let mut alone = Engine::new_raw();
                (topic.register)(&mut alone, self.checker.session);
                engine::names(&alone).iter().any(|known| known == name)
            })
    }
}

fn literals_of(arguments: &[Expr]) -> Option<Vec<Dynamic>> {
    if arguments.is_empty() {
        return None;
    }
    arguments
        .iter()
        .map(|a| a.get_literal_value(None))
        .collect()
}
