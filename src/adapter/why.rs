//! Where an adapter comes from, as a tree.

use serde_json::Value;

use super::Adapter;

/// The recipe of an adapter, one line each: how it was made, with what, under which id; below a
/// mixture its members.
///
/// ```text
/// films+news 10f33382: ties, density 0.2, weights 1 1
/// ├─ films 06e86745: pfeiffer trained on films (c139a869), epochs 3, lr 0.001...
/// └─ news 5d10aa31: loaded from adapters/news
/// ```
pub fn why(adapter: &Adapter) -> String {
    let mut lines = vec![line(adapter)];
    branches(adapter, "", &mut lines);
    lines.join("\n")
}

fn branches(adapter: &Adapter, indent: &str, lines: &mut Vec<String>) {
    if adapter.recipe().is_none() {
        return;
    }
    let members = adapter.members();
    for (at, member) in members.iter().enumerate() {
        let last = at + 1 == members.len();
        let (branch, below) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        lines.push(format!("{indent}{branch}{}", line(member)));
        branches(member, &format!("{indent}{below}"), lines);
    }
}

fn line(adapter: &Adapter) -> String {
    let mut made = vec![how(adapter)];
    if let Some(mask) = adapter.mask() {
        made.push(format!("pruned to a sparsity of {:.4}", mask.sparsity()));
    }
    format!(
        "{} {}: {}",
        adapter.name(),
        adapter.id().short(),
        made.join(", ")
    )
}

fn how(adapter: &Adapter) -> String {
    let kind = adapter.kind().name();
    if let Some(recipe) = adapter.recipe() {
        let described = recipe.describe();
        let method = described["method"].as_str().unwrap_or("mixed");
        return listed(method.to_string(), &described, &["method", "members"]);
    }
    if let Some(training) = adapter.training() {
        let id: String = training.dataset_id.chars().take(8).collect();
        let mut made = format!("{kind} trained on {} ({id})", training.dataset);
        if let Some(step) = training.step {
            made += &format!(", as it was after step {step}");
        }
        return listed(made, &training.options, &["kind"]);
    }
    match &adapter.parts().source {
        Some(source) => format!("{kind} loaded from {source}"),
        None => kind.to_string(),
    }
}

/// `made` with what is set in a map: numbers, words, lists of them.
fn listed(made: String, set: &Value, but: &[&str]) -> String {
    let mut parts = vec![made];
    for (name, value) in set.as_object().into_iter().flatten() {
        if !but.contains(&name.as_str())
            && let Some(told) = told(value)
        {
            parts.push(format!("{name} {told}"));
        }
    }
    parts.join(", ")
}

fn told(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => {
            let all: Option<Vec<String>> = values.iter().map(told).collect();
            all.map(|all| all.join(" "))
        }
        plain => Some(plain.to_string()),
    }
}
