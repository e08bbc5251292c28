//! The adapters that a run saved, each with how it was made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::headline::told;
use crate::Result;
use crate::report::escaped;
use crate::study::files::listed;

/// What tells of an adapter in its folder.
const FILE: &str = "tureen.json";

/// Larger files are none of those, in bytes.
const LARGEST: u64 = 4 << 20;

/// How deep folders are looked into, and recipes followed.
const DEEPEST: usize = 8;

/// So much of an id tells it from others.
const ID: usize = 12;

/// What training is told by, in this order.
const SETTINGS: [&str; 8] = [
    "epochs",
    "batch",
    "lr",
    "weight_decay",
    "max_length",
    "seed",
    "init_seed",
    "precision",
];

/// What a recipe's description repeats.
const SAID: [&str; 3] = ["method", "members", "of"];

/// The adapters in the run's folder and below it; one that lies in several folders, one for each of
/// its heads, stands once.
pub(super) fn of_folder(folder: &Path) -> Result<String> {
    let mut found: BTreeMap<String, (Vec<String>, Value)> = BTreeMap::new();
    look(folder, "", 0, &mut found)?;
    if found.is_empty() {
        return Ok(String::new());
    }
    let mut all: Vec<(Vec<String>, Value)> = found.into_values().collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut out = String::from("<h2>Adapters</h2>\n<ul class=\"adapters\">\n");
    let ids = all.iter().map(|(_, origin)| origin["id"].to_string());
    let listed: BTreeSet<String> = ids.collect();
    for (folders, origin) in &all {
        let _ = writeln!(
            out,
            "<li>{}<br><span class=\"aside\">{}</span></li>",
            line(origin, 0, &listed),
            escaped(&folders.join(", "))
        );
    }
    Ok(out + "</ul>\n")
}

fn look(
    folder: &Path,
    name: &str,
    depth: usize,
    found: &mut BTreeMap<String, (Vec<String>, Value)>,
) -> Result<()> {
    let file = folder.join(FILE);
    let small = file
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST);
    let text = match small {
        true => std::fs::read_to_string(file).unwrap_or_default(),
        false => String::new(),
    };
    if let Ok(origin) = serde_json::from_str::<Value>(&text) {
        let id = origin["id"].to_string();
        let entry = found.entry(id).or_insert_with(|| (Vec::new(), origin));
        entry.0.push(name.to_string());
    }
    if depth == DEEPEST {
        return Ok(());
    }
    for (part, path) in listed(folder)? {
        if path.is_dir() && !path.is_symlink() {
            let below = match name {
                "" => part,
                name => format!("{name}/{part}"),
            };
            look(&path, &below, depth + 1, found)?;
        }
    }
    Ok(())
}

/// One adapter, with what went into it below.
fn line(origin: &Value, depth: usize, listed: &BTreeSet<String>) -> String {
    let text = |value: &Value| escaped(value.as_str().unwrap_or_default());
    let id: String = text(&origin["id"]).chars().take(ID).collect();
    let name = format!("<b>{}</b> <code>{id}</code>", text(&origin["name"]));
    // What stands in the list itself is told there.
    if depth > 0 && listed.contains(&origin["id"].to_string()) {
        return name;
    }
    let mut out = format!("{name} {}", escaped(&made(origin)));
    let inputs = origin["inputs"].as_array().filter(|_| depth < DEEPEST);
    if let Some(inputs) = inputs.filter(|inputs| !inputs.is_empty()) {
        out += "<ul>";
        for input in inputs {
            let _ = write!(out, "<li>{}</li>", line(input, depth + 1, listed));
        }
        out += "</ul>";
    }
    out
}

/// How an adapter was made, in a line.
fn made(origin: &Value) -> String {
    if let Some(recipe) = origin["recipe"].as_object() {
        let method = recipe.get("method").or_else(|| recipe.get("kind"));
        let settings: Vec<String> = recipe
            .iter()
            .filter(|(name, value)| !SAID.contains(&name.as_str()) && !value.is_null())
            .map(|(name, value)| format!("{name} = {}", told(value)))
            .collect();
        return format!(
            "{}: {}",
            method.map_or_else(|| "made".into(), told),
            settings.join(", ")
        );
    }
    let training = &origin["training"];
    if training.is_object() {
        let options = &training["options"];
        let mut parts = Vec::new();
        for name in SETTINGS {
            if !options[name].is_null() {
                parts.push(format!("{name} = {}", told(&options[name])));
            }
        }
        let kind = options["kind"].as_str().unwrap_or("adapter");
        let dataset = told(&training["dataset"]);
        let best = training["epochs"]
            .as_array()
            .zip(training["best_epoch"].as_u64())
            .and_then(|(epochs, best)| epochs.get(usize::try_from(best).ok()?.checked_sub(1)?));
        if let Some(score) = best.map(|epoch| &epoch["validation_score"])
            && score.is_number()
        {
            parts.push(format!("validation {}", told(score)));
        }
        return match parts.is_empty() {
            true => format!("{kind}, trained on {dataset}"),
            false => format!("{kind}, trained on {dataset}: {}", parts.join(", ")),
        };
    }
    match origin["source"].as_str() {
        Some(source) => format!("loaded from {source}"),
        None => String::new(),
    }
}
