//! What natives take, as users read it: for errors, help and the reference.

use rhai::{Engine, FuncMetadata};

use super::engine::qualified;
use super::values::type_name;

/// How a function is called: `train(model: Model, data: Dataset, options: map)`.
pub(super) fn signature(function: &FuncMetadata) -> String {
    let parameters: Vec<String> = parameters(function)
        .into_iter()
        .map(|(name, type_)| match (name.as_str(), type_.as_str()) {
            ("" | "_", "") => "_".to_string(),
            ("" | "_", type_) => type_.to_string(),
            (name, "") => name.to_string(),
            (name, type_) => format!("{name}: {type_}"),
        })
        .collect();
    format!("{}({})", function.name, parameters.join(", "))
}

/// The name and type of each parameter; of what a script defines the name alone.
pub(super) fn parameters(function: &FuncMetadata) -> Parameters {
    let known = function.params_info.iter().take(function.num_params);
    let mut parameters: Parameters = known
        .map(|parameter| match parameter.split_once(':') {
            Some((name, rust)) => (
                name.trim().trim_start_matches("mut ").to_string(),
                type_name(rust),
            ),
            None => (parameter.to_string(), String::new()),
        })
        .collect();
    parameters.resize(function.num_params, ("_".into(), String::new()));
    parameters
}

/// The type of what a function gives.
pub(super) fn returns(function: &FuncMetadata) -> String {
    match given(&function.return_type).as_str() {
        "" => "()".into(),
        "RhaiResult" => "any".into(),
        value => type_name(value),
    }
}

/// What stands inside the result of a function that may fail, or whose value may be pending in
/// runs that leave something.
pub(super) fn given(written: &str) -> String {
    let bare: String = written.chars().filter(|c| !c.is_whitespace()).collect();
    for start in ["Fallible<", "RhaiResultOf<", "Later<"] {
        if let Some(inner) = bare.strip_prefix(start).and_then(|b| b.strip_suffix('>')) {
            return given(inner);
        }
    }
    // Of the engine's own natives.
    let bare = bare.trim_start_matches("core::result::");
    match bare.strip_prefix("Result<") {
        Some(inner) => inner.split(',').next().unwrap_or(inner).to_string(),
        None => bare.to_string(),
    }
}

/// The name and type of each parameter of a function.
pub(super) type Parameters = Vec<(String, String)>;

/// The parameters of all functions called `name`, those with fewer first; without the engine's own
/// where we have some.
pub(super) fn forms(engine: &Engine, name: &str) -> Vec<Parameters> {
    let find = |all: bool| {
        let wanted =
            |info: rhai::FuncInfo| (qualified(&info) == name).then(|| parameters(info.metadata));
        let mut found: Vec<Parameters> = engine.collect_fn_metadata(None, wanted, all);
        found.sort_by_cached_key(|form| (form.len(), form.clone()));
        found.dedup();
        found
    };
    let own = find(false);
    if own.is_empty() { find(true) } else { own }
}

/// The properties that values of the type users call `type_` have, sorted.
pub(super) fn properties(engine: &Engine, type_: &str) -> Vec<String> {
    of_type(engine, type_, |name| name.strip_prefix("get$"))
}

/// Whether values of that type have the method `name`.
pub(super) fn has_method(engine: &Engine, type_: &str, name: &str) -> bool {
    !of_type(engine, type_, |method| (method == name).then_some(method)).is_empty()
}

/// The properties and methods that values of that type have, sorted.
pub(super) fn members(engine: &Engine, type_: &str) -> Vec<String> {
    of_type(engine, type_, |name| {
        let name = name.strip_prefix("get$").unwrap_or(name);
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        plain.then_some(name)
    })
}

fn of_type(
    engine: &Engine,
    type_: &str,
    wanted: impl Fn(&str) -> Option<&str> + Copy,
) -> Vec<String> {
    let mut found: Vec<String> = engine.collect_fn_metadata(
        None,
        |info| {
            let receiver = info.metadata.params_info.first()?;
            let (_, rust) = receiver.split_once(':')?;
            let name = wanted(info.metadata.name.as_str())?;
            (type_name(rust) == type_).then(|| name.to_string())
        },
        true,
    );
    found.sort();
    found.dedup();
    found
}
