//! The reference as Markdown.

use std::fmt::Write;

use super::super::Session;
use super::modules::modules;
use super::options::options_table;
use super::reference::{Page, Reference, TypePage};

/// The reference of all natives of ours and the modules, a chapter a topic.
pub fn markdown(session: &Session) -> String {
    let mut page = String::from("# Reference\n");
    for chapter in Reference::new(session).chapters {
        let _ = write!(page, "\n## {}\n", chapter.title);
        for type_ in &chapter.types {
            let _ = write!(page, "\n### {}\n\n{}\n", type_.name, type_page(type_));
        }
        for function in &chapter.functions {
            let _ = write!(
                page,
                "\n### {}\n\n{}\n",
                function.name,
                function_page(function)
            );
        }
    }
    page.push_str("\n## Modules\n");
    for module in modules() {
        let _ = write!(page, "\n{}\n", module.markdown(3));
    }
    page
}

/// A function below its heading.
pub(super) fn function_page(page: &Page) -> String {
    let mut parts = Vec::new();
    for form in &page.forms {
        let signatures = form.signatures.iter().map(|s| format!("- `{s}`"));
        parts.push(signatures.collect::<Vec<_>>().join("\n"));
        parts.push(form.doc.markdown());
    }
    if let Some(spec) = page.options {
        parts.push(options_table(spec).trim_end().to_string());
    }
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

/// A type below its heading.
pub(super) fn type_page(page: &TypePage) -> String {
    let mut parts = vec![page.doc.markdown()];
    let properties = page.properties.iter().map(|p| {
        let name = match p.name.as_str() {
            "[index]" => "[index]".to_string(),
            name => format!(".{name}"),
        };
        let text = p.doc.text.replace('\n', " ");
        format!("- `{name}` ({}): {text}", p.returns)
    });
    parts.push(properties.collect::<Vec<_>>().join("\n"));
    for (title, names) in [("Methods", &page.methods), ("Operators", &page.operators)] {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            parts.push(format!("{title}: {}", names.join(", ")));
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}
