//! A doc comment, read into its parts.

use serde::Serialize;

/// What a doc comment says, by the conventions of [`super`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comment {
    /// The first sentence.
    pub summary: String,
    /// All prose before the first heading, the summary included; Markdown.
    pub text: String,
    /// What each parameter takes.
    pub parameters: Vec<Parameter>,
    /// What it refuses.
    pub errors: String,
    /// The paper or library it follows.
    pub source: String,
    /// Code that runs as it stands, but for the names that [`super::prelude`] prepares.
    pub examples: Vec<String>,
    /// Examples that cannot run anywhere, such as one that needs a network.
    pub idle_examples: Vec<String>,
}

/// One parameter of a function.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it is, with unit and range.
    pub text: String,
}

/// Where a line goes.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Text,
    Parameters,
    Errors,
    Source,
}

impl Comment {
    /// Reads a comment whose markers (`///`) are stripped.
    pub fn read(comment: &str) -> Self {
        let mut read = Self::default();
        let mut part = Part::Text;
        let mut lines = comment.lines();
        while let Some(line) = lines.next() {
            if let Some(kind) = line.trim_start().strip_prefix("```") {
                let code: Vec<&str> = lines
                    .by_ref()
                    .take_while(|line| line.trim() != "```")
                    .collect();
                match kind {
                    "rhai" => read.examples.push(code.join("\n")),
                    _ => read.idle_examples.push(code.join("\n")),
                }
                continue;
            }
            match line.trim() {
                "# Errors" => part = Part::Errors,
                "# Source" => part = Part::Source,
                // The engine's own comments head their code with it.
                "# Example" | "# Examples" => part = Part::Text,
                _ => part = read.take(part, line),
            }
        }
        read.text = read.text.trim().to_string();
        read.errors = read.errors.trim().to_string();
        read.source = read.source.trim().to_string();
        read.summary = first_sentence(&read.text);
        read
    }

    fn take(&mut self, part: Part, line: &str) -> Part {
        if let Some(parameter) = parameter(line) {
            self.parameters.push(parameter);
            return Part::Parameters;
        }
        let (text, next) = match part {
            Part::Parameters if line.starts_with("  ") => {
                if let Some(last) = self.parameters.last_mut() {
                    last.text.push(' ');
                    last.text.push_str(line.trim());
                }
                return part;
            }
            Part::Parameters | Part::Text => (&mut self.text, Part::Text),
            Part::Errors => (&mut self.errors, part),
            Part::Source => (&mut self.source, part),
        };
        text.push_str(line);
        text.push('\n');
        next
    }

    /// Whether it only says that another form is the same.
    pub(super) fn is_of_another_form(&self) -> bool {
        self.text.is_empty() || self.text.starts_with("The same")
    }

    /// Adds what the comment of a further form of the function says beyond this one.
    pub(super) fn join(&mut self, further: &Self) {
        let rest = further.text.strip_prefix("The same with options");
        let rest = rest.map_or("", |rest| {
            rest.trim_start_matches([';', ':', '.', ',']).trim()
        });
        if !rest.is_empty() {
            self.text = format!("{}\n\nWith options: {rest}", self.text);
        }
        for parameter in &further.parameters {
            if !self.parameters.iter().any(|p| p.name == parameter.name) {
                self.parameters.push(parameter.clone());
            }
        }
        for (own, other) in [
            (&mut self.errors, &further.errors),
            (&mut self.source, &further.source),
        ] {
            if !other.is_empty() && own != other {
                *own = format!("{own} {other}").trim().to_string();
            }
        }
        self.examples.extend(further.examples.iter().cloned());
        self.idle_examples
            .extend(further.idle_examples.iter().cloned());
    }

    /// The comment as Markdown below a heading: prose, parameters, errors, source, examples.
    pub fn markdown(&self) -> String {
        let mut parts = vec![self.text.clone()];
        let parameters: Vec<String> = self
            .parameters
            .iter()
            .map(|p| format!("- `{}`: {}", p.name, p.text))
            .collect();
        parts.push(parameters.join("\n"));
        for (title, text) in [("Errors", &self.errors), ("Source", &self.source)] {
            if !text.is_empty() {
                parts.push(format!("**{title}.** {text}"));
            }
        }
        for example in self.examples.iter().chain(&self.idle_examples) {
            parts.push(format!("```rhai\n{example}\n```"));
        }
        parts.retain(|part| !part.is_empty());
        parts.join("\n\n")
    }
}

/// A line such as "- `sparsity`: the share that goes".
fn parameter(line: &str) -> Option<Parameter> {
    let (name, text) = line.strip_prefix("- `")?.split_once("`: ")?;
    Some(Parameter {
        name: name.to_string(),
        text: text.trim().to_string(),
    })
}

fn first_sentence(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or("").replace('\n', " ");
    let first = paragraph.split_inclusive(". ").next().unwrap_or("");
    first.trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_has_parts() {
        let read = Comment::read(
            "Prunes. And more\nof it.\n\n- `sparsity`: the share\n  that goes, 0 to 1\n- `by`: how\n\nLast words.\n\n# Errors\nA mask of another shape.\n\n# Source\nHan et al. 2015.\n\n```rhai\na.prune(0.5)\n```",
        );
        assert_eq!(read.summary, "Prunes.");
        assert_eq!(read.text, "Prunes. And more\nof it.\n\n\nLast words.");
        assert_eq!(read.parameters[0].text, "the share that goes, 0 to 1");
        assert_eq!(read.parameters[1].name, "by");
        assert_eq!(read.errors, "A mask of another shape.");
        assert_eq!(read.source, "Han et al. 2015.");
        assert_eq!(read.examples, ["a.prune(0.5)"]);
    }

    #[test]
    fn forms_are_joined() {
        let mut read = Comment::read("Mixes.");
        let further = Comment::read("The same with options; ties too.\n\n```rhai\nsoup([a])\n```");
        assert!(further.is_of_another_form() && !read.is_of_another_form());
        read.join(&further);
        assert_eq!(read.text, "Mixes.\n\nWith options: ties too.");
        assert_eq!(read.examples.len(), 1);
    }
}
