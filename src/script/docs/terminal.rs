//! Markdown for the terminal: wrapped to its width, with colours where it has them.

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::options;
use super::reference::Page;
use crate::report::{Colours, Screen};

/// How text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Columns.
    pub width: usize,
    /// Whether escape codes colour it.
    pub color: bool,
}

impl Look {
    /// As wide as the screen, from 40 to 100 columns, coloured where it shows colours.
    pub fn of(screen: &Screen) -> Self {
        Self {
            width: screen.width.clamp(40, 100),
            color: screen.colours != Colours::None,
        }
    }
}

impl Default for Look {
    fn default() -> Self {
        Self {
            width: 80,
            color: false,
        }
    }
}

const BOLD: &str = "\u{1b}[1m";
const CODE: &str = "\u{1b}[36m";
pub(super) const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

impl Look {
    /// `text` in a style, where the terminal has styles.
    pub(super) fn styled(&self, style: &str, text: &str) -> String {
        if self.color && !style.is_empty() && !text.is_empty() {
            format!("{style}{text}{PLAIN}")
        } else {
            text.to_string()
        }
    }

    /// A heading.
    pub(super) fn title(&self, text: &str) -> String {
        self.styled(BOLD, text)
    }
}

/// The help of a function: its forms, each with its words, then the options.
pub(super) fn page(page: &Page, look: &Look) -> String {
    let mut parts = Vec::new();
    for form in &page.forms {
        let signatures = form.signatures.iter().map(|s| look.title(s));
        parts.push(signatures.collect::<Vec<_>>().join("\n"));
        let text = render(&form.doc.markdown(), look);
        if !text.is_empty() {
            parts.push(text);
        }
    }
    if let Some(spec) = page.options {
        parts.push(format!(
            "{}\n{}",
            look.title("Options"),
            options::list(spec, look)
        ));
    }
    parts.join("\n\n")
}

/// Markdown as text of a terminal. Code is indented and never wrapped.
pub fn render(markdown: &str, look: &Look) -> String {
    let mut page = Rendered {
        look: *look,
        ..Rendered::default()
    };
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        page.take(event);
    }
    page.text.trim_end().to_string()
}

#[derive(Default)]
struct Rendered {
    look: Look,
    text: String,
    line: Words,
    style: &'static str,
    code: bool,
    items: usize,
    /// The rows of a table that is not over, its head the first, and the cell that is not.
    table: Option<Vec<Vec<String>>>,
    cell: String,
}

impl Rendered {
    fn take(&mut self, event: Event) {
        match event {
            Event::Start(Tag::Heading { .. } | Tag::Strong) => self.style = BOLD,
            Event::End(TagEnd::Strong) => self.style = "",
            Event::End(TagEnd::Heading(_)) => {
                self.style = "";
                self.paragraph("\n\n");
            }
            Event::End(TagEnd::Paragraph) => self.paragraph("\n\n"),
            Event::Start(Tag::List(_)) => self.items += 1,
            Event::End(TagEnd::List(_)) => {
                self.items -= 1;
                self.text.push('\n');
            }
            Event::End(TagEnd::Item) => self.paragraph("\n"),
            Event::Start(Tag::CodeBlock(kind)) => {
                let output = matches!(&kind, CodeBlockKind::Fenced(k) if k.starts_with("text"));
                self.style = if output { DIM } else { CODE };
                self.code = true;
            }
            Event::End(TagEnd::CodeBlock) => {
                self.code = false;
                self.style = "";
                self.text.push('\n');
            }
            Event::Text(text) if self.code => {
                for line in text.lines() {
                    let line = self.look.styled(self.style, line);
                    self.text.push_str(format!("    {line}").trim_end());
                    self.text.push('\n');
                }
            }
            Event::Start(Tag::Table(_)) => self.table = Some(Vec::new()),
            Event::Start(Tag::TableHead | Tag::TableRow) => {
                if let Some(rows) = &mut self.table {
                    rows.push(Vec::new());
                }
            }
            Event::End(TagEnd::TableCell) => {
                let cell = std::mem::take(&mut self.cell);
                if let Some(row) = self.table.as_mut().and_then(|rows| rows.last_mut()) {
                    row.push(cell);
                }
            }
            Event::End(TagEnd::Table) => {
                let rows = self.table.take().unwrap_or_default();
                let drawn = drawn(rows, self.look.width);
                self.text.push_str(&drawn);
                self.text.push_str("\n\n");
            }
            Event::Text(text) | Event::Code(text) if self.table.is_some() => self.cell += &text,
            Event::Text(text) => self.line.push(&text, self.style, &self.look),
            Event::Code(text) if self.look.color => self.line.push(&text, CODE, &self.look),
            Event::Code(text) => self.line.push(&format!("`{text}`"), "", &self.look),
            Event::SoftBreak | Event::HardBreak => self.line.push(" ", "", &self.look),
            _ => {}
        }
    }

    fn paragraph(&mut self, end: &str) {
        let (first, rest) = match self.items {
            0 => (String::new(), String::new()),
            depth => (format!("{}- ", "  ".repeat(depth - 1)), "  ".repeat(depth)),
        };
        let text = std::mem::take(&mut self.line).wrapped(&first, &rest, self.look.width);
        if !text.is_empty() {
            self.text.push_str(&text);
            self.text.push_str(end);
        }
    }
}

/// A table of at most `width` columns, its first row the head.
fn drawn(rows: Vec<Vec<String>>, width: usize) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    let mut rows = rows.into_iter();
    table.set_header(rows.next().unwrap_or_default());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_string())
        .collect();
    lines.join("\n")
}

/// Words with their widths, as they are put together from pieces of different styles.
#[derive(Default)]
pub(super) struct Words {
    done: Vec<(String, usize)>,
    open: (String, usize),
}

impl Words {
    pub(super) fn push(&mut self, text: &str, style: &str, look: &Look) {
        for piece in text.split_inclusive(char::is_whitespace) {
            let word = piece.trim_end();
            self.open.0.push_str(&look.styled(style, word));
            self.open.1 += word.chars().count();
            if word.len() < piece.len() {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        let word = std::mem::take(&mut self.open);
        if word.1 > 0 {
            self.done.push(word);
        }
    }

    /// Lines of at most `width` columns, the first after `first`, the others after `rest`.
    pub(super) fn wrapped(mut self, first: &str, rest: &str, width: usize) -> String {
        self.close();
        let mut lines: Vec<String> = Vec::new();
        let (mut line, mut used) = (first.to_string(), first.chars().count());
        let mut empty = true;
        for (word, columns) in self.done {
            if !empty && used + 1 + columns > width {
                lines.push(std::mem::replace(&mut line, rest.to_string()));
                used = rest.chars().count();
                empty = true;
            }
            if !empty {
                line.push(' ');
                used += 1;
            }
            line.push_str(&word);
            used += columns;
            empty = false;
        }
        if !empty {
            lines.push(line);
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_and_code_is_not() {
        let look = Look {
            width: 20,
            color: false,
        };
        let text = render(
            "# Title\n\nWords that go on, `code()` and **more**.\n\n- one item that is long\n- two\n\n```rhai\nlet x = [1, 2, 3, 4, 5, 6];\n```\n",
            &look,
        );
        assert_eq!(
            text,
            "Title\n\nWords that go on,\n`code()` and more.\n\n- one item that is\n  long\n- two\n\n    let x = [1, 2, 3, 4, 5, 6];"
        );
    }

    #[test]
    fn tables_have_columns() {
        let look = Look {
            width: 20,
            color: false,
        };
        let text = render(
            "| flag | what |\n| --- | --- |\n| `-a` | words that go on |\n\nMore.",
            &look,
        );
        assert_eq!(
            text,
            "flag  what\n────────────────────\n-a    words that go\n      on\n\nMore."
        );
    }

    #[test]
    fn colour_takes_no_columns() {
        let look = Look {
            width: 12,
            color: true,
        };
        let text = render("aaa `bbb` ccc", &look);
        assert_eq!(text, "aaa \u{1b}[36mbbb\u{1b}[0m ccc");
    }
}
