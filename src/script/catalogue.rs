//! What the natives take and give, by name and by type: for completion, hints and `:type`.

use std::collections::BTreeMap;

use rhai::{Engine, FuncMetadata};

use super::docs;
use super::engine::qualified;
use super::signatures::returns;
use super::values::type_name;

/// One form of a native.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Its name, with its module's.
    pub name: String,
    /// The name and the type of each parameter, as users know them.
    pub parameters: Vec<(String, String)>,
    /// The type of its value, as users know it; `any` where it depends.
    pub returns: String,
    /// Its doc comment, Markdown; may be empty.
    pub text: String,
    /// Whether it is read as a property: `value.name`.
    pub property: bool,
    /// Whether it is ours rather than the engine's.
    pub own: bool,
}

impl Form {
    /// Its parameters as they are written: `model: Model, data: Dataset`; without the first one
    /// for a `method`.
    pub fn arguments(&self, method: bool) -> Vec<String> {
        self.parameters
            .iter()
            .skip(usize::from(method))
            .map(|(name, type_)| match (name.as_str(), type_.as_str()) {
                ("" | "_", type_) => type_.to_string(),
                (name, "any") => name.to_string(),
                (name, type_) => format!("{name}: {type_}"),
            })
            .collect()
    }

    /// The first sentence of its doc comment.
    pub fn summary(&self) -> String {
        docs::summary(&self.text).replace('\n', " ")
    }

    fn receiver(&self) -> Option<&str> {
        self.parameters.first().map(|(_, type_)| type_.as_str())
    }
}

/// All forms of all natives.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    forms: Vec<Form>,
    /// Where in `forms` those of a name are.
    names: BTreeMap<String, Vec<usize>>,
}

impl Catalogue {
    /// The catalogue of what `engine` can call.
    pub fn of(engine: &Engine) -> Self {
        let collect = |all: bool| {
            engine.collect_fn_metadata(
                None,
                |info| form(&qualified(&info), info.metadata, !all),
                all,
            )
        };
        let mut forms = collect(false);
        for form in collect(true) {
            let known = |other: &&Form| {
                (&other.name, &other.parameters, other.property)
                    == (&form.name, &form.parameters, form.property)
            };
            if !forms.iter().any(|other| known(&other)) {
                forms.push(form);
            }
        }
        let mut names: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, form) in forms.iter().enumerate() {
            names.entry(form.name.clone()).or_default().push(at);
        }
        Self { forms, names }
    }

    /// The names of what can be called, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .filter(|(_, forms)| forms.iter().any(|at| !self.forms[*at].property))
            .map(|(name, _)| name.as_str())
    }

    /// The forms of the function called `name`: ours alone where we have some, those with fewer
    /// parameters first.
    pub fn calls(&self, name: &str) -> Vec<&Form> {
        let mut forms: Vec<&Form> = self.named(name).filter(|form| !form.property).collect();
        if forms.iter().any(|form| form.own) {
            forms.retain(|form| form.own);
        }
        // One value before a list of them; the engine gives them in any order.
        let lists = |form: &Form| form.parameters.iter().filter(|(_, t)| t == "list").count();
        forms.sort_by_cached_key(|form| {
            (form.parameters.len(), lists(form), form.parameters.clone())
        });
        forms
    }

    /// What can follow the dot after a value of `type_`, each name once with its best form:
    /// properties first. Our own only where `own`.
    pub fn members(&self, type_: &str, own: bool) -> Vec<&Form> {
        let mut best: BTreeMap<(bool, &str), &Form> = BTreeMap::new();
        for form in &self.forms {
            let fits = form.receiver() == Some(type_) && (form.own || !own);
            // Every value can be made a text: that tells nothing of this type.
            let common = matches!(form.name.as_str(), "to_string" | "to_debug");
            if !fits || common || form.name.contains("::") {
                continue;
            }
            let place = best
                .entry((!form.property, form.name.as_str()))
                .or_insert(form);
            if docs::worth(&form.text) > docs::worth(&place.text) {
                *place = form;
            }
        }
        let property = |name: &str| best.contains_key(&(false, name));
        best.iter()
            .filter(|((method, name), _)| !method || !property(name))
            .map(|(_, form)| *form)
            .collect()
    }

    /// The type of the property `name` of a value of `type_`.
    pub fn property(&self, type_: &str, name: &str) -> Option<&str> {
        self.named(name)
            .find(|form| form.property && form.receiver() == Some(type_))
            .map(|form| form.returns.as_str())
    }

    /// The type that a call gives, of a method where `receiver` is the type of its value; none
    /// where it depends on what cannot be told.
    pub fn returns(&self, name: &str, receiver: Option<&str>) -> Option<&str> {
        let forms: Vec<&Form> = self.calls(name);
        let mut fitting: Vec<&&Form> = forms
            .iter()
            .filter(|form| receiver.is_none_or(|type_| form.receiver() == Some(type_)))
            .collect();
        // What gives one value for one thing gives a list of them for a list.
        let single = |form: &&&Form| form.parameters.iter().all(|(_, type_)| type_ != "list");
        if fitting.iter().any(single) {
            fitting.retain(single);
        }
        let (first, rest) = fitting.split_first()?;
        let one = rest.iter().all(|form| form.returns == first.returns);
        (one && first.returns != "any").then_some(first.returns.as_str())
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Form> {
        let places = self.names.get(name).map(Vec::as_slice).unwrap_or_default();
        places.iter().map(|at| &self.forms[*at])
    }
}

/// What is known of a function; none for operators and setters.
fn form(name: &str, function: &FuncMetadata, own: bool) -> Option<Form> {
    let property = name.strip_prefix("get$");
    let name = property.unwrap_or(name);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic())
        || name.contains('$')
        || matches!(name, "to_string" | "to_debug" | "print" | "debug") && property.is_some()
    {
        return None;
    }
    let parameters = function.params_info.iter().take(function.num_params);
    let parameters = parameters
        .map(|parameter| match parameter.split_once(':') {
            Some((name, rust)) => {
                let name = name.trim().trim_start_matches("mut ");
                (name.to_string(), type_name(rust))
            }
            None => (String::new(), type_name(parameter)),
        })
        .collect();
    Some(Form {
        name: name.to_string(),
        parameters,
        returns: returns(function),
        text: docs::comment(function),
        property: property.is_some(),
        own,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Session, Setup, engine};
    use super::*;

    fn catalogue() -> Catalogue {
        Catalogue::of(&engine(&Session::new(Setup::default())))
    }

    #[test]
    fn what_natives_give_is_known() {
        let catalogue = catalogue();
        for (name, type_) in [
            ("train", "Adapter"),
            ("model", "Model"),
            ("dataset", "Dataset"),
            ("evaluate", "Score"),
            ("sign_diff", "SignDiff"),
            ("soup", "Adapter"),
        ] {
            assert_eq!(catalogue.returns(name, None), Some(type_), "{name}");
        }
        assert_eq!(catalogue.property("Score", "confusion"), Some("Table"));
        assert_eq!(catalogue.property("Dataset", "train"), Some("Split"));
        assert_eq!(catalogue.returns("first", Some("Table")), Some("Table"));
        assert_eq!(catalogue.returns("first", Some("Model")), None);
    }

    #[test]
    fn members_are_those_of_the_type() {
        let catalogue = catalogue();
        let names = |type_| -> Vec<&str> {
            let members = catalogue.members(type_, true);
            members.iter().map(|form| form.name.as_str()).collect()
        };
        let score = names("Score");
        assert!(score.contains(&"accuracy") && score.contains(&"compare"));
        assert!(!score.contains(&"heatmap"), "{score:?}");
        assert!(names("Mask").contains(&"by_layer"));
        assert!(names("Split").contains(&"texts"));
        let adapter = names("Adapter");
        assert_eq!(adapter.iter().filter(|name| **name == "save").count(), 1);
    }

    #[test]
    fn arguments_are_written_as_users_know_them() {
        let catalogue = catalogue();
        let forms = catalogue.calls("train");
        assert_eq!(
            forms[0].arguments(false).join(", "),
            "model: Model, data: Dataset"
        );
        assert_eq!(forms[0].arguments(true).join(", "), "data: Dataset");
    }
}
