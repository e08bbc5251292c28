//! Definition files (`.d.rhai`), from which editors complete and check.

use std::collections::BTreeMap;
use std::fmt::Write;

use rhai::Engine;

use super::modules::modules;
use super::reference::{Found, found};

/// The files and their texts: all functions by module (`global.d.rhai`, `bench.d.rhai`), the
/// engine's own operators, and the modules that the binary carries (`std/soups.d.rhai`).
pub fn definitions(engine: &Engine) -> Vec<(String, String)> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for one in found(engine, true) {
        let (module, text) = definition(&one);
        let header = match module.as_str() {
            "" => "module static;\n".to_string(),
            module => format!("module {module};\n"),
        };
        let file = if module.is_empty() {
            "global".into()
        } else {
            module
        };
        texts.entry(file).or_insert(header).push_str(&text);
    }
    for module in modules() {
        let mut text = format!("module {};\n", module.alias());
        for function in &module.functions {
            text.push('\n');
            text.push_str(&commented(&function.doc.markdown()));
            let parameters: Vec<String> = function
                .parameters
                .iter()
                .map(|p| format!("{p}: ?"))
                .collect();
            let _ = writeln!(
                text,
                "fn {}({}) -> ?;",
                function.name,
                parameters.join(", ")
            );
        }
        texts.insert(module.path.clone(), text);
    }
    let operators = engine.definitions().builtin_functions_operators();
    texts.insert(
        "__builtin-operators__".into(),
        format!("module static;\n\n{operators}"),
    );
    let named = texts.into_iter();
    named
        .map(|(name, text)| (format!("{name}.d.rhai"), text))
        .collect()
}

/// A function's module and lines.
fn definition(found: &Found) -> (String, String) {
    let (module, name) = found.name().rsplit_once("::").unwrap_or(("", found.name()));
    let mut text = String::from("\n");
    text.push_str(&commented(&found.doc().markdown()));
    let types = found.parameters().iter();
    let _ = match (name, found.is_operator()) {
        ("[index]", _) => return (String::new(), String::new()),
        (_, true) => {
            let types: Vec<&str> = types.map(|(_, t)| rhai_name(t)).collect();
            writeln!(
                text,
                "op {name}({}) -> {};",
                types.join(", "),
                rhai_name(found.returns())
            )
        }
        (_, false) => {
            let get = if found.is_property() { "get " } else { "" };
            let parameters: Vec<String> = types
                .map(|(n, t)| format!("{n}: {}", rhai_name(t)))
                .collect();
            writeln!(
                text,
                "fn {get}{name}({}) -> {};",
                parameters.join(", "),
                rhai_name(found.returns())
            )
        }
    };
    (module.to_string(), text)
}

fn commented(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| format!("/// {line}").trim_end().to_string() + "\n");
    lines.collect()
}

/// A type as definition files call it.
fn rhai_name(type_: &str) -> &str {
    match type_ {
        "text" => "String",
        "list" => "Array",
        "map" => "Map",
        "function" => "FnPtr",
        "range" => "Range",
        "number" => "float",
        "any" | "" => "?",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Session, Setup, engine};
    use super::*;

    #[test]
    fn natives_and_modules_have_definitions() {
        let files = definitions(&engine(&Session::new(Setup::default())));
        let text = |name: &str| {
            let found = files.iter().find(|(file, _)| file == name);
            found.map(|(_, text)| text.as_str()).unwrap()
        };
        let global = text("global.d.rhai");
        for line in [
            "fn train(model: Model, data: Dataset) -> Adapter;",
            "fn train(model: Model, data: Dataset, options: Map) -> Adapter;",
            "fn get accuracy(scored: Score) -> float;",
            "op *(float, Adapter) -> Adapter;",
            "fn prune(adapter: Adapter, sparsity: float) -> Adapter;",
        ] {
            assert!(global.lines().any(|own| own == line), "{line}");
        }
        assert!(text("bench.d.rhai").contains("fn steps(model: Model) -> Map;"));
        assert!(text("std/soups.d.rhai").contains("fn size_curve(base: ?, members: ?) -> ?;"));
    }
}
