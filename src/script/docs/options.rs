//! The options of all natives, as tables and lists.

use std::fmt::Write;

use super::super::api::TOPICS;
use super::super::spec::{Absent, NativeSpec, OptionSpec};
use super::terminal::{Look, Words};

/// The natives that take options, in the order of the reference.
pub(super) fn specs() -> impl Iterator<Item = &'static NativeSpec> {
    TOPICS.iter().flat_map(|topic| topic.options)
}

/// The options of a native as a Markdown table.
pub fn options_table(spec: &NativeSpec) -> String {
    let mut table = String::from("| option | takes | default | |\n|---|---|---|---|\n");
    for option in spec.options {
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            option.name,
            escaped(&option.expected()),
            escaped(&default_text(option)),
            escaped(&option.told())
        );
    }
    table
}

/// Every option of every native as one Markdown table: native, option, default, unit, range, doc.
pub fn all_options() -> String {
    let mut table =
        String::from("| native | option | default | unit | takes | |\n|---|---|---|---|---|---|\n");
    for (spec, option) in specs().flat_map(|s| s.options.iter().map(move |o| (s, o))) {
        let _ = writeln!(
            table,
            "| `{}` | `{}` | {} | {} | {} | {} |",
            spec.name,
            option.name,
            escaped(&default_text(option)),
            option.unit,
            escaped(&option.expected()),
            escaped(&option.told())
        );
    }
    table
}

fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|")
}

/// The default as a cell: the value, what the native does instead, or that there is none.
pub(super) fn default_text(option: &OptionSpec) -> String {
    match option.default {
        Absent::Required => "required".into(),
        Absent::Decided(how) => how.into(),
        Absent::Value(text) => option.written(text),
    }
}

/// The options of a native for the terminal: name, what it does, and below what it takes.
pub(super) fn list(spec: &NativeSpec, look: &Look) -> String {
    let indent = " ".repeat(18);
    let mut page = Vec::new();
    for option in spec.options {
        let name = format!("  {:<15} ", option.name);
        let default = match option.default {
            Absent::Required => "required".into(),
            Absent::Decided(how) => format!("default: {how}"),
            Absent::Value(text) => format!("default {}", option.written(text)),
        };
        let mut words = Words::default();
        words.push(&option.told(), "", look);
        page.push(words.wrapped(&name, &indent, look.width));
        let mut words = Words::default();
        words.push(
            &format!("{}; {default}", option.expected()),
            super::terminal::DIM,
            look,
        );
        page.push(words.wrapped(&indent, &indent, look.width));
    }
    page.join("\n")
}

/// The options of all natives for the terminal.
pub(super) fn terminal(look: &Look) -> String {
    let lists = specs().map(|spec| format!("{}\n{}", look.title(spec.name), list(spec, look)));
    lists.collect::<Vec<_>>().join("\n\n")
}
