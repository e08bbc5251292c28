//! The model card that is saved beside an adapter.

use std::fmt::Write;

use serde_json::Value;

use crate::adapter::metadata::Metadata;
use crate::adapter::value::Adapter;
use crate::{Error, Result};

use super::{Format, beside};

/// A README.md in the layout of the hub: what the adapter is, what it was made of, with ids and
/// weights, and how to load it.
pub fn card(adapter: &Adapter, name: &str, format: Format) -> Result<String> {
    let mut text = String::new();
    write_card(&mut text, adapter, name, format).map_err(|e| Error::new(e.to_string()))?;
    Ok(text)
}

fn write_card(
    out: &mut String,
    adapter: &Adapter,
    name: &str,
    format: Format,
) -> std::result::Result<(), std::fmt::Error> {
    let (base, kind) = (adapter.base(), adapter.kind());
    let library = match format {
        Format::AdapterHub => "adapters",
        Format::Peft => "peft",
    };
    let metadata = adapter.parts().metadata.get();
    header(out, adapter, library, &metadata)?;
    writeln!(out, "\n# {name}\n")?;
    writeln!(
        out,
        "An adapter of kind {} for {}{}, written by Tureen {}.\n",
        kind.name(),
        base.name,
        base.id
            .as_ref()
            .map_or_else(String::new, |id| format!(" (weights {id})")),
        env!("CARGO_PKG_VERSION"),
    )?;
    writeln!(out, "- id: `{}`", adapter.id())?;
    if let Ok(n) = adapter.parameter_count() {
        writeln!(out, "- parameters: {n}")?;
    }
    if let Some(mask) = adapter.mask() {
        writeln!(out, "- sparsity: {:.4}", mask.sparsity())?;
    }
    for head in adapter.heads() {
        let labels = head.labels.names();
        match labels.is_empty() {
            true => writeln!(out, "- head: {}", head.name)?,
            false => writeln!(out, "- head: {} ({})", head.name, labels.join(", "))?,
        }
    }
    if let Some(training) = adapter.training() {
        writeln!(out, "\n## Training\n")?;
        writeln!(
            out,
            "- dataset: {} (id `{}`)",
            training.dataset, training.dataset_id
        )?;
        if let Some(seed) = training.init_seed {
            writeln!(out, "- initialisation's seed: {seed}")?;
        }
        writeln!(out, "- longest text: {} tokens", training.max_length)?;
        match training.step {
            Some(step) => writeln!(
                out,
                "- checkpoint after step {step}, in epoch {}",
                training.best_epoch
            )?,
            None => writeln!(
                out,
                "- epoch kept: {} of {}",
                training.best_epoch,
                training.epochs.len()
            )?,
        }
        writeln!(out, "- options: `{}`", training.options)?;
    }
    licences(out, adapter)?;
    if let Some(recipe) = adapter.recipe() {
        let described = recipe.describe();
        let method = described["method"].as_str().unwrap_or("mixture");
        writeln!(out, "\n## Recipe\n\nMethod: {method}\n")?;
        writeln!(out, "| source | weight | id |\n|---|---|---|")?;
        for (i, member) in recipe.members().iter().enumerate() {
            let weight = &described["weights"][i];
            let weight = if weight.is_null() {
                "-".into()
            } else {
                weight.to_string()
            };
            writeln!(out, "| {} | {weight} | `{}` |", member.name(), member.id())?;
        }
        writeln!(out, "\n```json\n{described}\n```")?;
    }
    let load = match format {
        Format::AdapterHub => {
            "from adapters import AutoAdapterModel\nmodel = AutoAdapterModel.from_pretrained(BASE)\nmodel.load_adapter(FOLDER, use_safetensors=True, set_active=True)"
        }
        Format::Peft => {
            "from peft import PeftModel\nmodel = PeftModel.from_pretrained(base, FOLDER)"
        }
    };
    writeln!(
        out,
        "\n## Loading\n\n```python\n{load}\n```\n\n```rhai\nlet a = load_adapter(FOLDER);\n```"
    )?;
    write!(out, "{}", beside::kept_cards(&metadata))
}

/// The header in the hub's terms: what the cards of the adapter's sources say, with what it is now.
fn header(
    out: &mut String,
    adapter: &Adapter,
    library: &str,
    metadata: &Metadata,
) -> std::result::Result<(), std::fmt::Error> {
    let base = adapter.base();
    let mut front = metadata.front.clone();
    front.insert("library_name".into(), library.into());
    // Only a name as the hub has them: a path says nothing to others.
    if is_hub_name(&base.name) {
        front.insert("base_model".into(), base.name.clone().into());
    }
    let mut tags: Vec<Value> = vec![library.into(), adapter.kind().name().into()];
    if adapter.recipe().is_some() {
        tags.push("merge".into());
    }
    let libraries = ["peft", "adapters"].map(Value::from);
    let theirs = front.get("tags").and_then(Value::as_array).cloned();
    for tag in theirs.into_iter().flatten() {
        if !tags.contains(&tag) && !libraries.contains(&tag) {
            tags.push(tag);
        }
    }
    writeln!(out, "---")?;
    for (key, value) in front.iter().filter(|(key, _)| *key != "tags") {
        match value {
            Value::String(text) if is_plain(text) => writeln!(out, "{key}: {text}")?,
            // JSON is YAML.
            value => writeln!(out, "{key}: {value}")?,
        }
    }
    writeln!(out, "tags:")?;
    for tag in &tags {
        match tag {
            Value::String(text) if is_plain(text) => writeln!(out, "- {text}")?,
            tag => writeln!(out, "- {tag}")?,
        }
    }
    writeln!(out, "---")
}

/// Whether a text stands for itself in YAML: no number, no truth value, no sign of the language.
fn is_plain(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(word)
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
            .contains(&text.to_lowercase().as_str())
}

/// The licences of the members of a mixture, where their cards say other ones.
fn licences(out: &mut String, adapter: &Adapter) -> std::result::Result<(), std::fmt::Error> {
    let Some(recipe) = adapter.recipe() else {
        return Ok(());
    };
    let licence = |member: &Adapter| {
        let front = &member.parts().metadata.get().front;
        front
            .get("license")
            .map(|l| l.as_str().map_or(l.to_string(), str::to_string))
    };
    let all: Vec<(&str, Option<String>)> = recipe
        .members()
        .iter()
        .map(|member| (member.name(), licence(member)))
        .collect();
    if all.iter().all(|(_, own)| *own == all[0].1) {
        return Ok(());
    }
    writeln!(out, "\n## Licences\n")?;
    for (name, licence) in all {
        writeln!(
            out,
            "- {name}: {}",
            licence.as_deref().unwrap_or("not stated")
        )?;
    }
    Ok(())
}

fn is_hub_name(name: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let parts: Vec<&str> = name.split('/').collect();
    (parts.len() == 2 || parts.len() == 1 && name.contains('-')) && parts.iter().all(|p| plain(p))
}
