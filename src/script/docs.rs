//! Help and reference, from the natives' own doc comments and declared options.

use std::collections::BTreeMap;
use std::fmt::Write;

use rhai::{Engine, FuncMetadata};

use super::api::{TOPICS, options_of};
use super::signatures::{signature, signatures};
use super::spec::{Absent, NativeSpec};
use super::{Session, engine};
use crate::{Error, Result, nearest};

/// What is known of one native name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// How it can be called.
    pub signatures: Vec<String>,
    /// Its doc comment, Markdown.
    pub text: String,
}

impl Entry {
    /// The first sentence of the doc comment.
    pub fn summary(&self) -> &str {
        summary(&self.text)
    }
}

/// The first sentence of a doc comment.
pub(super) fn summary(text: &str) -> &str {
    let first = text.split("\n\n").next().unwrap_or("");
    first.split_inclusive(". ").next().unwrap_or("").trim()
}

/// The help of `name`; an error with the nearest name where there is none.
pub fn help(engine: &Engine, name: &str) -> Result<String> {
    let all = entries(engine, true);
    let Some(entry) = all.get(name) else {
        let error = Error::new(format!("no help for {name}"));
        return Err(match nearest(name, all.keys().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        });
    };
    let mut page = signatures(engine, name).join("\n");
    let _ = write!(page, "\n\n{}", entry.text.trim());
    if let Some(spec) = options_of(name) {
        for option in spec.options {
            let _ = write!(
                page,
                "\n  {:<14} {} ({}; {})",
                option.name,
                option.doc,
                option.expected(),
                default_text(&option.default)
            );
        }
    }
    Ok(page.trim().to_string())
}

/// Every documented native of ours and its summary, one a line, by topic.
pub fn contents(session: &Session) -> String {
    let mut page = String::new();
    for topic in TOPICS {
        let _ = writeln!(page, "{}", topic.title);
        for (name, entry) in topic_entries(topic, session) {
            let _ = writeln!(page, "  {name:<16} {}", entry.summary().replace('\n', " "));
        }
    }
    page.trim_end().to_string()
}

/// The reference of all natives of ours, Markdown, a chapter a topic.
pub fn markdown(session: &Session) -> String {
    let mut page = String::from("# Reference\n");
    for topic in TOPICS {
        let _ = write!(page, "\n## {}\n", topic.title);
        for (name, entry) in topic_entries(topic, session) {
            let _ = write!(page, "\n### {name}\n\n");
            for signature in &entry.signatures {
                let _ = writeln!(page, "- `{signature}`");
            }
            let _ = write!(page, "\n{}\n", entry.text.trim());
            if let Some(spec) = options_of(&name) {
                let _ = write!(page, "\n{}", options_table(spec));
            }
        }
    }
    page
}

/// The options of a native as a Markdown table.
pub fn options_table(spec: &NativeSpec) -> String {
    let mut table = String::from("| option | takes | default | |\n|---|---|---|---|\n");
    for option in spec.options {
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            option.name,
            option.expected().replace('|', "\\|"),
            default_text(&option.default),
            option.doc
        );
    }
    table
}

fn default_text(default: &Absent) -> String {
    match default {
        Absent::Required => "required".into(),
        Absent::Decided(how) => (*how).into(),
        Absent::Value(text) => format!("default {text}"),
    }
}

fn topic_entries(topic: &super::api::Topic, session: &Session) -> BTreeMap<String, Entry> {
    let mut alone = Engine::new_raw();
    (topic.register)(&mut alone, session);
    let mut entries = entries(&alone, false);
    entries.retain(|_, entry| !entry.text.is_empty());
    entries
}

/// What is known of all natives, by name; with the engine's own if `all`.
pub fn entries(engine: &Engine, all: bool) -> BTreeMap<String, Entry> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let names = engine::names(engine);
    // Ours first: where we have a function, its comment is the help.
    for own in [false, true] {
        let found = engine.collect_fn_metadata(
            None,
            |info| {
                let function = info.metadata;
                let name = engine::qualified(&info);
                names
                    .binary_search(&name)
                    .is_ok()
                    .then(|| (name, signature(function), comment(function)))
            },
            own && all,
        );
        for (name, signature, text) in found {
            let entry = entries.entry(name).or_default();
            if !entry.signatures.contains(&signature) {
                entry.signatures.push(signature);
            }
            if worth(&text) > worth(&entry.text) {
                entry.text = text;
            }
        }
    }
    entries
}

/// Which of several forms' comments is the help: one with an example before one without, and any
/// before one that only refers to another form.
pub(super) fn worth(text: &str) -> u8 {
    match text {
        "" => 0,
        t if t.starts_with("The same ") => 1,
        t if t.contains("```") => 3,
        _ => 2,
    }
}

/// A doc comment without its markers.
pub(super) fn comment(function: &FuncMetadata) -> String {
    let lines = function.comments.iter().flat_map(|block| block.lines());
    let stripped: Vec<&str> = lines
        .map(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix("///").unwrap_or(line);
            line.strip_prefix(' ').unwrap_or(line).trim_end()
        })
        .collect();
    stripped.join("\n")
}
