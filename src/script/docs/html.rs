//! Guide and reference as one page that needs no network.

use std::fmt::Write;

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd};

use super::super::Session;
use super::examples::prelude;
use super::guide::GUIDE;
use super::markdown::type_page;
use super::modules::modules;
use super::options::{all_options, options_table};
use super::reference::{Form, Page, Reference};
use crate::report::escaped;

/// The page: styles, search and light and dark looks included.
pub fn html(session: &Session) -> String {
    let mut page = Html::default();
    page.chapter("Guide");
    for one in GUIDE {
        let body = format!(
            "<h3>{}</h3>{}",
            escaped(one.title()),
            guide_body(after_title(one.text))
        );
        page.section(&format!("guide-{}", one.name), one.title(), "page", &body);
    }
    for chapter in Reference::new(session).chapters {
        page.chapter(&chapter.title);
        for type_ in &chapter.types {
            let text = headed(&type_.name, &body(&type_page(type_)));
            page.section(
                &format!("type-{}", type_.name),
                &type_.name,
                "native",
                &text,
            );
        }
        for function in &chapter.functions {
            let id = format!("{}-{}", slug(&chapter.title), slug(&function.name));
            let text = headed(&function.name, &function_body(function));
            page.section(&id, &function.name, "native", &text);
        }
    }
    page.chapter("Modules");
    for module in modules() {
        page.section(
            &slug(&module.path),
            &module.path,
            "native",
            &headed(&module.path, &body(&module.doc.markdown())),
        );
        for function in &module.functions {
            let name = format!("{}::{}", module.alias(), function.name);
            let text = format!(
                "{}{}",
                signature(&function.signature(&module.path)),
                body(&function.doc.markdown())
            );
            let id = format!("{}-{}", slug(&module.path), slug(&function.name));
            page.section(&id, &name, "native", &headed(&name, &text));
        }
    }
    page.chapter("All options");
    let text = headed("options", &body(&all_options()));
    page.section("options", "options", "native", &text);
    include_str!("page.html")
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{nav}", &page.nav)
        .replace("{main}", &page.main)
}

#[derive(Default)]
struct Html {
    nav: String,
    main: String,
}

impl Html {
    fn chapter(&mut self, title: &str) {
        let title = escaped(title);
        let _ = writeln!(self.nav, "<h2>{title}</h2>");
        let _ = writeln!(self.main, "<h2>{title}</h2>");
    }

    fn section(&mut self, id: &str, name: &str, class: &str, body: &str) {
        let (id, name) = (escaped(id), escaped(name));
        let code = if class == "native" {
            " class=\"code\""
        } else {
            ""
        };
        let _ = writeln!(self.nav, "<a{code} href=\"#{id}\">{name}</a>");
        let body = body.replacen("<h3>", &format!("<h3><a href=\"#{id}\">"), 1);
        let body = body.replacen("</h3>", "</a></h3>", 1);
        let _ = writeln!(
            self.main,
            "<section id=\"{id}\" data-name=\"{name}\" class=\"{class}\">{body}</section>"
        );
    }
}

fn headed(name: &str, body: &str) -> String {
    format!("<h3>{}</h3>{body}", escaped(name))
}

fn after_title(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

fn function_body(page: &Page) -> String {
    let form = |form: &Form| {
        format!(
            "{}{}",
            signature(&form.signatures.join("\n")),
            body(&form.doc.markdown())
        )
    };
    let mut text: String = page.forms.iter().map(form).collect();
    if let Some(spec) = page.options {
        text.push_str(&body(&options_table(spec)));
    }
    text
}

fn signature(lines: &str) -> String {
    format!(
        "<pre class=\"signature\"><code>{}</code></pre>",
        highlighted(lines)
    )
}

/// Markdown as HTML, code highlighted, examples with the lines that they need.
fn body(markdown: &str) -> String {
    converted(markdown, true)
}

/// The same of a page whose blocks go on from each other.
fn guide_body(markdown: &str) -> String {
    converted(markdown, false)
}

fn converted(markdown: &str, alone: bool) -> String {
    let mut events = Vec::new();
    let mut code: Option<(String, String)> = None;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let kind = match kind {
                    CodeBlockKind::Fenced(kind) => kind.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                code = Some((kind, String::new()));
            }
            Event::End(TagEnd::CodeBlock) => {
                let (kind, text) = code.take().unwrap_or_default();
                events.push(Event::Html(CowStr::from(block(&kind, &text, alone))));
            }
            Event::Text(text) => match code.as_mut() {
                Some((_, block)) => block.push_str(&text),
                None => events.push(Event::Text(text)),
            },
            event => events.push(event),
        }
    }
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events.into_iter());
    html
}

fn block(kind: &str, text: &str, alone: bool) -> String {
    let text = text.trim_end();
    if !kind.starts_with("rhai") {
        return format!(
            "<pre class=\"output\"><code>{}</code></pre>\n",
            escaped(text)
        );
    }
    let mut html = format!("<pre><code>{}</code></pre>\n", highlighted(text));
    let needed = if alone { prelude(text) } else { String::new() };
    if !needed.is_empty() {
        let _ = writeln!(
            html,
            "<details><summary>what it starts from</summary><pre><code>{}</code></pre></details>",
            highlighted(&needed)
        );
    }
    html
}

/// A name as part of an address.
fn slug(name: &str) -> String {
    let parts = name.split(|c: char| !c.is_alphanumeric() && c != '_');
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("-").to_lowercase()
}

const KEYWORDS: &[&str] = &[
    "as", "break", "catch", "const", "continue", "do", "else", "false", "fn", "for", "if",
    "import", "in", "let", "loop", "private", "return", "switch", "throw", "true", "try", "while",
];

/// Code with its comments, texts, numbers and keywords marked.
fn highlighted(code: &str) -> String {
    let mut html = String::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let (class, length) = token(rest, first);
        let (piece, after) = rest.split_at(length);
        match class {
            "" => html.push_str(&escaped(piece)),
            class => {
                let _ = write!(html, "<span class=\"{class}\">{}</span>", escaped(piece));
            }
        }
        rest = after;
    }
    html
}

/// The class of the token that `rest` starts with, and its length in bytes.
fn token(rest: &str, first: char) -> (&'static str, usize) {
    let until = |stop: &dyn Fn(char) -> bool| rest.find(|c: char| stop(c)).unwrap_or(rest.len());
    if rest.starts_with("//") {
        return ("c", until(&|c| c == '\n'));
    }
    if first == '"' || first == '`' {
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == first && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        return ("s", end.map_or(rest.len(), |(at, _)| at + 1));
    }
    if first.is_alphanumeric() || first == '_' {
        let length = until(&|c| !c.is_alphanumeric() && c != '_');
        let class = match &rest[..length] {
            word if KEYWORDS.contains(&word) => "k",
            _ if first.is_ascii_digit() => "n",
            _ => "",
        };
        return (class, length);
    }
    ("", first.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_marked_and_escaped() {
        assert_eq!(
            highlighted("let x = f(\"a<b\"); // 1 < 2"),
            "<span class=\"k\">let</span> x = f(<span class=\"s\">&quot;a&lt;b&quot;</span>); <span class=\"c\">// 1 &lt; 2</span>"
        );
        assert_eq!(slug("std/soups"), "std-soups");
    }

    #[test]
    fn the_page_stands_alone() {
        let session = Session::new(super::super::super::Setup::default());
        let page = html(&session);
        for outside in ["src=", "http://", "@import", "url(", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
        let ids: Vec<&str> = page
            .split("<section id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(ids.len(), unique.len(), "two sections of one id");
        assert_eq!(
            page.matches("<section").count(),
            page.matches("</section>").count()
        );
        assert!(page.contains("href=\"#training-train\""));
    }
}
