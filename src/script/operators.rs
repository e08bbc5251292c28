//! Operators between values that have none.

use super::reword::Known;
use crate::Error;

/// The operators that calculate.
const CALCULATING: &[&str] = &["+", "-", "*", "/", "%", "**"];

impl Known<'_> {
    /// An operator without a form for values of these types.
    pub(super) fn operator(&self, name: &str, types: &[String]) -> Error {
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        if let ["()", _] = types[..]
            && let Some(target) = self.changed_target(name)
        {
            return Error::new("the value on the left is missing")
                .hint(format!("set {target} first"));
        }
        let error = Error::new(format!("no operator {name} for {}", types.join(" and ")));
        match hint(name, &types) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// What `target += value` at the place of the error changes.
    fn changed_target(&self, operator: &str) -> Option<&str> {
        let rest = self.rest()?.strip_prefix(operator)?;
        let before = self.before().filter(|_| rest.starts_with('='))?;
        let target = before.rsplit([' ', ';', '{', '(']).next()?;
        (!target.is_empty()).then_some(target)
    }
}

fn hint(name: &str, types: &[&str]) -> Option<String> {
    let number = |type_: &str| matches!(type_, "int" | "float");
    let calculates = CALCULATING.contains(&name);
    match types {
        ["int"] if name == "!" => Some("write x == 0".into()),
        ["text", other] | [other, "text"] if calculates && number(other) => {
            Some("parse_float(\"3\") makes a number of a text".into())
        }
        ["list", other] if calculates && number(other) => Some(format!("list.map(|x| x {name} 1)")),
        [other, "list"] if calculates && number(other) => Some(format!("list.map(|x| 1 {name} x)")),
        ["()", _] | [_, "()"] => {
            Some("a function without a result, or a missing value, gives ()".into())
        }
        _ => None,
    }
}
