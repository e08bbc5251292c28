//! Maps of options that stand in the call: their keys, and the values that can be told.

use rhai::{Expr, FnCallExpr};

use super::natives::Type;
use super::walk::Walk;
use crate::Error;
use crate::script::acts::{self, Said};
use crate::script::api::options_of;
use crate::script::options::said_of;
use crate::script::values::a;
use crate::script::{Absent, Kind, NativeSpec, OptionSpec};

impl<'w> Walk<'w, '_> {
    /// Checks the options of a call of the native `name` with `count` values.
    pub(super) fn options(&mut self, name: &str, call: &'w FnCallExpr, count: usize) {
        let Some(spec) = options_of(name) else {
            return;
        };
        let Some(Expr::Map(entries, at)) = call.args.last() else {
            return;
        };
        let forms = self.checker.natives.forms(name).iter();
        let mut forms = forms.filter(|form| form.takes.len() == count).peekable();
        if forms.peek().is_none() || !forms.all(|form| form.options) {
            return;
        }
        for (key, value) in &entries.0 {
            if self.stands_in(&key.name) {
                continue;
            }
            match spec.find(&key.name) {
                None => self.report(key.pos, spec.unknown(&key.name)),
                Some(option) => self.option(spec, option, value),
            }
        }
        let said = |name: &str| match entries.0.iter().find(|(key, _)| key.name == name) {
            None => Said::Nothing,
            Some((_, value)) => value
                .get_literal_value(None)
                .map_or(Said::Something, |literal| said_of(&literal)),
        };
        for (key, _) in &entries.0 {
            if let Some(option) = spec.find(&key.name)
                && let Err(error) = acts::check(spec, option.name, option.acts, &said)
            {
                self.report(key.pos, error);
            }
        }
        let given = |option: &OptionSpec| entries.0.iter().any(|(key, _)| key.name == option.name);
        for option in spec.options {
            if option.default == Absent::Required && !given(option) {
                self.report(*at, spec.missing(option));
            }
        }
    }

    fn option(&mut self, spec: &NativeSpec, option: &OptionSpec, value: &'w Expr) {
        if let Some(literal) = value.get_literal_value(None) {
            if let Err(error) = option.checked(literal) {
                self.report(value.start_position(), error.within(spec.name));
            }
            return;
        }
        let known = self.known_type(value);
        if let Some(type_) = known
            && !takes(option.kind, &type_)
        {
            let error = Error::new(format!(
                "{}: option {}: expected {}, got {}",
                spec.name,
                option.name,
                option.expected(),
                a(&type_)
            ));
            self.report(value.start_position(), error);
        }
    }

    /// The type of a value that was walked over already.
    fn known_type(&self, value: &Expr) -> Type {
        match value {
            Expr::Variable(parts, ..) if parts.2.path.is_empty() => {
                self.visible.find(&parts.1)?.type_.clone()
            }
            Expr::Array(..) => Some("list".into()),
            Expr::Map(..) => Some("map".into()),
            Expr::InterpolatedString(..) => Some("text".into()),
            _ => None,
        }
    }
}

fn takes(kind: Kind, type_: &str) -> bool {
    match kind {
        Kind::Int { .. } => type_ == "int",
        Kind::Float { .. } => matches!(type_, "int" | "float"),
        Kind::Bool => type_ == "bool",
        Kind::Text | Kind::Choice(_) => type_ == "text",
        Kind::List => type_ == "list",
        Kind::Map => type_ == "map",
        Kind::Function => type_ == "function",
        Kind::Value(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use rhai::Engine;

    use super::super::natives::Natives;
    use super::*;
    use crate::script::api::TOPICS;
    use crate::script::{Session, Setup, names};

    #[test]
    fn what_takes_options_declares_them_and_what_is_declared_is_taken() {
        let session = Session::new(Setup::default());
        let (mut taken, mut silent) = (Vec::new(), Vec::new());
        for topic in TOPICS {
            let mut alone = Engine::new_raw();
            (topic.register)(&mut alone, &session);
            let natives = Natives::of(&alone);
            for name in names(&alone) {
                if natives.forms(&name).iter().any(|form| form.options) {
                    if options_of(&name).is_none() {
                        silent.push(name.clone());
                    }
                    taken.push(name);
                }
            }
        }
        assert!(silent.is_empty(), "{silent:?} declare no options");
        for spec in TOPICS.iter().flat_map(|topic| topic.options) {
            let known = taken.iter().any(|name| name == spec.name);
            assert!(known, "no native {} takes a map called options", spec.name);
        }
    }
}
