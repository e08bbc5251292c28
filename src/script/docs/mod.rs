//! Help and reference, from the natives' own doc comments and declared options.
//!
//! One doc comment a native is its help at the prompt, its hint, its page in `tureen doc`, its
//! lines in the definition files, and a test. What a comment looks like:
//!
//! ````text
//! /// What it does, in a sentence. More sentences, and paragraphs, where they are needed; units,
//! /// what is computed, what the value looks like.
//! ///
//! /// - `sparsity`: one line a parameter, the receiver and the options left out; with its range
//! ///   (lines that go on are indented) and unit
//! ///
//! /// # Errors
//! /// What is refused, where that is not plain from the types.
//! ///
//! /// # Source
//! /// The paper or library that it follows, where there is one.
//! ///
//! /// ```rhai
//! /// a.prune(0.5).sparsity    // 0.5
//! /// ```
//! ````
//!
//! - What stands after four spaces and `//` is the value of the line, compared as text. After
//!   `about`, numbers may differ by a tenth: what depends on training differs between processors.
//! - An example may use the names that [`PRELUDE`] prepares (`base`, `films`, `a`, `b`...).
//!   ```` ```rhai,no_run ```` marks one that a test cannot run: it needs a network, say.
//! - A further form of a function (with options, or for whole numbers) says "The same with
//!   options." and is shown with the form it resembles; it needs no example.
//! - Options have their own lines, in [`super::OptionSpec`]. The types have their pages in
//!   `api/types.rs`: their properties and operators are shown there.

mod comment;
mod definitions;
mod examples;
mod guide;
mod html;
mod json;
mod markdown;
mod modules;
mod options;
mod reference;
mod terminal;

use std::collections::BTreeMap;

use rhai::{Engine, FuncMetadata};

use super::{Session, engine};
use crate::{Error, Result, nearest};

pub use comment::{Comment, Parameter};
pub use definitions::definitions;
pub use examples::{PRELUDE, prelude};
pub use guide::{GUIDE, GuidePage, guide};
pub use html::html;
pub use json::json;
pub use markdown::markdown;
pub use modules::{Module, ModuleFunction, module, modules};
pub use options::{all_options, options_table};
pub use reference::{Chapter, Form, Page, Property, Reference, TypePage};
pub use terminal::{Look, render};

/// What is known of one native name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// How it can be called.
    pub signatures: Vec<String>,
    /// Its doc comment, Markdown.
    pub text: String,
    /// Its first example that runs.
    pub example: Option<String>,
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

/// A native's doc comment, Markdown without its markers.
pub(super) fn comment(function: &FuncMetadata) -> String {
    reference::stripped(function)
}

/// The help of `name`, plain and 80 columns wide; see [`help_in`].
pub fn help(engine: &Engine, name: &str) -> Result<String> {
    help_in(engine, name, &Look::default())
}

/// The help of `name`: a function, a type ("Adapter"), a method or property ("Adapter.save",
/// "rate"), a module or one of its functions ("std/soups", "std/soups::size_curve"), "options",
/// "guide" or a page of it ("guide signs"). An error with the nearest name where there is none.
pub fn help_in(engine: &Engine, name: &str, look: &Look) -> Result<String> {
    if name.trim() == "options" {
        return Ok(options::terminal(look));
    }
    Ok(match subject(engine, name)? {
        Subject::Function(page) => terminal::page(&page, look),
        Subject::Text(text) => render(&text, look),
    })
}

/// The same as Markdown.
pub fn help_markdown(engine: &Engine, name: &str) -> Result<String> {
    if name.trim() == "options" {
        return Ok(all_options());
    }
    Ok(match subject(engine, name)? {
        Subject::Function(page) => {
            format!("# {}\n\n{}", page.name, markdown::function_page(&page))
        }
        Subject::Text(text) => text,
    })
}

/// What help is asked for.
enum Subject {
    Function(Page),
    /// Markdown.
    Text(String),
}

fn subject(engine: &Engine, name: &str) -> Result<Subject> {
    let name = name.trim().trim_end_matches("()");
    match (name, name.split_once(char::is_whitespace)) {
        ("guide", _) => return Ok(Subject::Text(guide::contents())),
        (_, Some(("guide", page))) => {
            return Ok(Subject::Text(guide(page.trim())?.text.to_string()));
        }
        _ => {}
    }
    if let Some(page) = reference::page(engine, name) {
        return Ok(Subject::Function(page));
    }
    if let Some(page) = reference::type_named(engine, name) {
        let text = markdown::type_page(&page);
        return Ok(Subject::Text(format!("# {name}\n\n{text}")));
    }
    if let Some((type_, member)) = name.split_once('.')
        && let Some(subject) = member_of(engine, type_, member)
    {
        return Ok(subject);
    }
    let properties = reference::properties_named(engine, name);
    if !properties.is_empty() {
        let lines = properties.iter().map(|(type_, property)| {
            let text = property.doc.markdown();
            format!("`{type_}.{name}` -> {}\n\n{text}", property.returns)
        });
        return Ok(Subject::Text(lines.collect::<Vec<_>>().join("\n\n")));
    }
    let (path, function) = name.split_once("::").unwrap_or((name, ""));
    if let Some(module) = module(path)? {
        let found = module.functions.iter().find(|f| f.name == function);
        return match (function, found) {
            ("", _) => Ok(Subject::Text(module.markdown(1))),
            (_, Some(found)) => Ok(Subject::Text(found.markdown(path, 1))),
            (_, None) => {
                let names = module.functions.iter().map(|f| f.name.as_str());
                Err(absent(name, names))
            }
        };
    }
    let mut known = engine::names(engine);
    known.extend(super::api::TYPES.iter().map(|t| t.name.to_string()));
    known.extend(modules().into_iter().map(|m| m.path));
    known.extend(["options", "guide"].map(String::from));
    Err(unknown(engine, name, &known))
}

/// A property or method of a type.
fn member_of(engine: &Engine, type_: &str, member: &str) -> Option<Subject> {
    let page = reference::type_named(engine, type_)?;
    if let Some(property) = page.properties.iter().find(|p| p.name == member) {
        let text = property.doc.markdown();
        let text = format!("`{type_}.{member}` -> {}\n\n{text}", property.returns);
        return Some(Subject::Text(text));
    }
    let mut page = reference::page(engine, member)?;
    page.forms.retain(|form| form.receiver == type_);
    let spec = page.options;
    (!page.forms.is_empty()).then_some(Subject::Function(page.with_options(spec)))
}

/// At most so many pages are named that speak of a word.
const MENTIONED: usize = 8;

/// There is no page of this name: the nearest, or those that speak of it.
fn unknown(engine: &Engine, name: &str, known: &[String]) -> Error {
    let word = name.to_lowercase();
    let speaks = |(page, entry): (String, Entry)| {
        let text = entry.text.to_lowercase();
        let words = text.split(|c: char| !c.is_alphanumeric());
        words.into_iter().any(|w| w == word).then_some(page)
    };
    let mut pages: Vec<String> = entries(engine, false)
        .into_iter()
        .filter_map(speaks)
        .collect();
    if pages.is_empty() {
        return absent(name, known.iter().map(String::as_str));
    }
    pages.truncate(MENTIONED);
    Error::new(format!("no help for {name}")).hint(format!("see {}", pages.join(", ")))
}

fn absent<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let error = Error::new(format!("no help for {name}"));
    match nearest(name, known) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint("`tureen doc` lists everything"),
    }
}

/// Everything that has help, one a line with its summary: types and functions by topic, modules,
/// the guide.
pub fn contents(session: &Session) -> String {
    let line = |name: &str, summary: &str| format!("  {name:<18} {}", shortened(summary, 78));
    let mut lines = Vec::new();
    for chapter in Reference::new(session).chapters {
        lines.push(chapter.title);
        lines.extend(chapter.types.iter().map(|t| line(&t.name, &t.doc.summary)));
        for function in &chapter.functions {
            let summary = function.forms.first().map_or("", |f| &f.doc.summary);
            lines.push(line(&function.name, summary));
        }
    }
    lines.push("Modules, such as: import \"std/soups\" as soups;".into());
    lines.extend(modules().iter().map(|m| line(&m.path, &m.doc.summary)));
    lines.push("More".into());
    lines.push(line(
        "guide",
        "Twelve short pages, from the first adapter to a module of your own.",
    ));
    lines.push(line(
        "options",
        "Every option of every function, with its default.",
    ));
    lines.join("\n")
}

/// At most this many characters, cut between words.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let mut short = String::new();
    for word in text.split_whitespace() {
        if short.chars().count() + word.chars().count() + 4 > most {
            break;
        }
        short.push_str(word);
        short.push(' ');
    }
    short.trim_end_matches([' ', ',', ':', ';']).to_string() + "..."
}

/// What is known of all natives, by name; with the engine's own if `all`.
pub fn entries(engine: &Engine, all: bool) -> BTreeMap<String, Entry> {
    let pages = reference::all_pages(engine, all);
    let entry = |page: Page| {
        let text = page
            .forms
            .first()
            .map_or(String::new(), |f| f.doc.markdown());
        let mut examples = page.forms.iter().flat_map(|f| &f.doc.examples);
        let example = examples.next().cloned();
        let signatures = page.forms.into_iter().flat_map(|f| f.signatures);
        let entry = Entry {
            signatures: signatures.collect(),
            text,
            example,
        };
        (page.name, entry)
    };
    pages.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Setup, engine as made};
    use super::*;

    #[test]
    fn a_name_that_nothing_has_is_an_error_with_the_nearest() {
        let engine = made(&Session::new(Setup::default()));
        let error = |name| help(&engine, name).unwrap_err().to_string();
        assert_eq!(
            error("evalute"),
            "no help for evalute; did you mean evaluate?"
        );
        assert_eq!(
            error("std/sups"),
            "no help for std/sups; did you mean std/soups?"
        );
        assert_eq!(
            error("zzzzzzzzz"),
            "no help for zzzzzzzzz; `tureen doc` lists everything"
        );
    }

    #[test]
    fn whatever_is_listed_has_help() {
        let session = Session::new(Setup::default());
        let engine = made(&session);
        let list = contents(&session);
        let names = list.lines().filter_map(|line| line.strip_prefix("  "));
        let names: Vec<&str> = names.filter_map(|n| n.split_whitespace().next()).collect();
        assert!(names.len() > 100);
        for name in names {
            assert!(help(&engine, name).is_ok(), "{name}");
        }
    }
}
