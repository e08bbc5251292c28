//! What to do about a call whose values no form of its function takes.

use super::api::options_of;
use super::code;
use super::reword::Known;
use super::signatures::{Parameters, forms};
use super::spec::{Absent, Kind, NativeSpec};

/// At most this many forms in a hint.
const LISTED: usize = 4;

/// The types that a value of a name stands for.
const NAMED: &[(&str, &str)] = &[("Dataset", "dataset"), ("Model", "model")];

impl Known<'_> {
    /// The hint for a call of the native `name`, where it has one, with values of these `types`.
    pub(super) fn misfit(&self, name: &str, types: &[String]) -> Option<String> {
        let forms = forms(self.engine, name);
        if forms.is_empty() {
            return None;
        }
        let hint = order(name, types, &forms)
            .or_else(|| self.options_are_a_map(name, types, &forms))
            .or_else(|| self.only_a_name(name, types, &forms));
        Some(hint.unwrap_or_else(|| takes(name, forms)))
    }

    /// `train(base, films, 3)`.
    fn options_are_a_map(
        &self,
        name: &str,
        types: &[String],
        forms: &[Parameters],
    ) -> Option<String> {
        let (last, values) = types.split_last()?;
        let form = forms.iter().find(|form| {
            let Some(((option, _), needed)) = form.split_last() else {
                return false;
            };
            option == "options" && fits(needed, values)
        })?;
        let option = example(options_of(name)?, last)?;
        let mut values: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
        values.pop();
        self.as_written(name, &mut values);
        let options = format!("#{{ {option} }}");
        values.push(&options);
        (last != "map").then(|| format!("options are a map: {name}({})", values.join(", ")))
    }

    /// The names of parameters, with what the call has in their places where that is a name.
    fn as_written<'a>(&'a self, name: &str, parameters: &mut [&'a str]) {
        let Some(arguments) = self.arguments(name) else {
            return;
        };
        // What stands before the dot is no argument.
        let skipped = usize::from(self.is_method());
        for (parameter, argument) in parameters.iter_mut().skip(skipped).zip(arguments) {
            let name = |c: char| c.is_alphanumeric() || c == '_';
            if !argument.is_empty() && argument.chars().all(name) {
                *parameter = argument;
            }
        }
    }

    /// `train(base, "films")`.
    fn only_a_name(&self, name: &str, types: &[String], forms: &[Parameters]) -> Option<String> {
        for form in forms.iter().filter(|form| form.len() == types.len()) {
            let mut named = form
                .iter()
                .zip(types)
                .enumerate()
                .filter(|(_, (p, t))| p.1 != **t);
            let (Some((at, (parameter, given))), None) = (named.next(), named.next()) else {
                continue;
            };
            let maker = NAMED.iter().find(|(type_, _)| *type_ == parameter.1);
            if let Some((type_, maker)) = maker
                && given == "text"
            {
                let at = at.checked_sub(usize::from(self.is_method()));
                let arguments = self.arguments(name).unwrap_or_default();
                let text = at
                    .and_then(|at| arguments.get(at).copied())
                    .filter(|text| text.starts_with('"'))
                    .unwrap_or("name");
                let what = type_.to_lowercase();
                return Some(format!("{maker}({text}) is the {what} of that name"));
            }
        }
        None
    }

    /// The arguments of the call at the place of the error.
    fn arguments(&self, name: &str) -> Option<Vec<&str>> {
        code::arguments(self.text, code::offset(self.text, self.position)?, name)
    }

    /// Whether a dot stands before the place of the error.
    pub(super) fn is_method(&self) -> bool {
        self.before().is_some_and(|before| before.ends_with('.'))
    }
}

fn fits(form: &[(String, String)], types: &[String]) -> bool {
    let fit = |(_, takes): &(String, String), given: &String| takes == given || takes == "any";
    form.len() == types.len() && form.iter().zip(types).all(|(p, t)| fit(p, t))
}

/// `train(films, base)`: the right values in another order.
fn order(name: &str, types: &[String], forms: &[Parameters]) -> Option<String> {
    let sorted = |types: &mut Vec<&str>| types.sort_unstable();
    let mut given: Vec<&str> = types.iter().map(String::as_str).collect();
    sorted(&mut given);
    let form = forms.iter().find(|form| {
        let mut taken: Vec<&str> = form.iter().map(|(_, type_)| type_.as_str()).collect();
        sorted(&mut taken);
        taken == given
    })?;
    let names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
    Some(format!("the order is {name}({})", names.join(", ")))
}

/// An option that a value of this type may be meant for, with its default.
fn example(spec: &NativeSpec, type_: &str) -> Option<String> {
    let takes = |kind: Kind| match kind {
        Kind::Int { .. } => type_ == "int",
        Kind::Float { .. } => type_ == "float",
        Kind::Bool => type_ == "bool",
        Kind::Text | Kind::Choice(_) => type_ == "text",
        _ => false,
    };
    let with_default = |kind: &dyn Fn(Kind) -> bool| {
        spec.options.iter().find_map(|option| match option.default {
            Absent::Value(text) if kind(option.kind) => {
                Some(format!("{}: {}", option.name, option.written(text)))
            }
            _ => None,
        })
    };
    with_default(&takes).or_else(|| with_default(&|_| true))
}

/// Forms that are one but for a type or for what may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Merged {
    parameters: Vec<(String, Vec<String>)>,
    /// How many of the parameters are needed.
    needed: usize,
}

/// `it takes train(model: Model, data: Dataset or list[, options])`.
fn takes(name: &str, forms: Vec<Parameters>) -> String {
    let merged = merged(forms);
    let more = if merged.len() > LISTED { ", ..." } else { "" };
    let shown: Vec<String> = merged
        .iter()
        .take(LISTED)
        .map(|form| format!("{name}({})", form.written()))
        .collect();
    format!("it takes {}{more}", shown.join(", "))
}

fn merged(forms: Vec<Parameters>) -> Vec<Merged> {
    let mut merged: Vec<Merged> = forms.into_iter().map(Merged::of).collect();
    for join in [Merged::with_types, Merged::with_ending] {
        let mut at = 0;
        while at < merged.len() {
            let found = (0..merged.len())
                .filter(|other| *other != at)
                .find_map(|other| Some((other, join(&merged[at], &merged[other])?)));
            match found {
                Some((other, joined)) => {
                    merged[at] = joined;
                    merged.remove(other);
                    at = 0;
                }
                None => at += 1,
            }
        }
    }
    merged
}

impl Merged {
    fn of(form: Parameters) -> Self {
        Self {
            needed: form.len(),
            parameters: form.into_iter().map(|(n, t)| (n, vec![t])).collect(),
        }
    }

    /// Both as one, where they differ in the types of one parameter.
    fn with_types(&self, other: &Self) -> Option<Self> {
        let names = |form: &Self| -> Vec<String> {
            form.parameters.iter().map(|(n, _)| n.clone()).collect()
        };
        if names(self) != names(other) || self.needed != other.needed {
            return None;
        }
        let pairs = self.parameters.iter().zip(&other.parameters);
        let unlike: Vec<usize> = pairs
            .enumerate()
            .filter(|(_, (a, b))| a.1 != b.1)
            .map(|(at, _)| at)
            .collect();
        let mut joined = self.clone();
        match unlike.as_slice() {
            [] => {}
            [at] => {
                let types = &mut joined.parameters[*at].1;
                types.extend(other.parameters[*at].1.iter().cloned());
                types.dedup();
            }
            _ => return None,
        }
        Some(joined)
    }

    /// Both as one, where the other has one parameter more.
    fn with_ending(&self, other: &Self) -> Option<Self> {
        let count = self.parameters.len();
        let longer = other.needed == count + 1 && other.parameters.starts_with(&self.parameters);
        longer.then(|| Self {
            parameters: other.parameters.clone(),
            needed: self.needed,
        })
    }

    fn written(&self) -> String {
        let mut text = String::new();
        for (at, (name, types)) in self.parameters.iter().enumerate() {
            let optional = at >= self.needed;
            text.push_str(if optional { "[" } else { "" });
            text.push_str(if at > 0 { ", " } else { "" });
            let types = types.join(" or ").replace("float or int", "number");
            text.push_str(&match (name.as_str(), types.as_str()) {
                ("options", _) if optional => "options".to_string(),
                ("" | "_", "") => "_".to_string(),
                ("" | "_", types) => types.to_string(),
                (name, "" | "any") => name.to_string(),
                (name, types) => format!("{name}: {types}"),
            });
        }
        let optional = self.parameters.len() - self.needed;
        text + "]".repeat(optional).as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(written: &[&[(&str, &str)]]) -> Vec<Parameters> {
        let form = |form: &&[(&str, &str)]| {
            let parameters = form.iter().map(|(n, t)| (n.to_string(), t.to_string()));
            parameters.collect()
        };
        written.iter().map(form).collect()
    }

    #[test]
    fn forms_are_merged() {
        let (model, data, list) = (("model", "Model"), ("data", "Dataset"), ("data", "list"));
        let options = ("options", "map");
        let train = forms(&[
            &[model, data],
            &[model, list],
            &[model, data, options],
            &[model, list, options],
        ]);
        assert_eq!(
            takes("train", train),
            "it takes train(model: Model, data: Dataset or list[, options])"
        );
        let mean = forms(&[
            &[("list", "list")],
            &[("t", "Tensor")],
            &[("t", "Tensor"), ("dim", "int")],
        ]);
        assert_eq!(
            takes("mean", mean),
            "it takes mean(list: list), mean(t: Tensor[, dim: int])"
        );
        let card = forms(&[&[options]]);
        assert_eq!(takes("card", card), "it takes card(options: map)");
    }

    #[test]
    fn an_order_is_told_where_the_types_are_right() {
        let train = forms(&[&[("model", "Model"), ("data", "Dataset")]]);
        let types = ["Dataset".to_string(), "Model".to_string()];
        let told = order("train", &types, &train);
        assert_eq!(told.as_deref(), Some("the order is train(model, data)"));
        assert_eq!(order("train", &types[..1], &train), None);
    }
}
