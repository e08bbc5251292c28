//! What the examples of the docs take for granted.

use std::collections::BTreeSet;

/// Code that gives the names which examples use without making them. Each line is one statement
/// and needs only lines above it.
pub const PRELUDE: &str = r#"let base = model("mini");
let films = dataset("films").sample(40, #{ seed: 1 });
let products = dataset("products").sample(40, #{ seed: 1 });
let news = dataset("news").sample(40, #{ seed: 1 });
let a = train(base, films, #{ epochs: 1 });
let b = train(base, products, #{ epochs: 1 });
let c = train(base, news, #{ epochs: 1 });
let rows = evaluate_all(base, soups(subsets([a, b, c], 2..=3)));
"#;

/// The lines of [`PRELUDE`] that an example needs to run as it stands; empty for most.
pub fn prelude(example: &str) -> String {
    let code: String = example
        .lines()
        .map(without_comment)
        .collect::<Vec<_>>()
        .join("\n");
    let mut needed = words(&code);
    let mut lines: Vec<&str> = Vec::new();
    for line in PRELUDE.lines().rev() {
        let name = defined(line);
        let makes_it_itself = code
            .lines()
            .any(|own| defined(own) == name && !name.is_empty())
            || code.contains(&format!("|{name}|"));
        if needed.contains(name) && !makes_it_itself {
            needed.extend(words(line));
            lines.push(line);
        }
    }
    lines.reverse();
    lines.join("\n")
}

fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// The name that a line makes.
fn defined(line: &str) -> &str {
    let rest = line.trim_start().strip_prefix("let ").unwrap_or("");
    rest.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or("")
}

/// The names in code; what follows a dot, stands in quotes or before a colon is none.
fn words(code: &str) -> BTreeSet<&str> {
    let mut words = BTreeSet::new();
    for (i, part) in code.split('"').enumerate() {
        if i % 2 == 1 {
            continue;
        }
        let mut at = 0;
        for word in part.split(|c: char| !c.is_alphanumeric() && c != '_') {
            let after = &part[at + word.len()..];
            let before = &part[..at];
            let is_member = before.ends_with('.') && !before.ends_with("..");
            let is_key = after.starts_with(':') && !after.starts_with("::");
            if !word.is_empty() && !is_member && !is_key {
                words.insert(word);
            }
            at += word.len() + after.chars().next().map_or(0, char::len_utf8);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_gets_the_lines_it_needs() {
        assert_eq!(prelude("1 + 1"), "");
        assert_eq!(
            prelude("base.tokenize([\"a text\"])"),
            "let base = model(\"mini\");"
        );
        assert_eq!(prelude("let base = model(\"mini\");\nbase.name"), "");
        assert_eq!(prelude("#{ a: 1 }.a"), "");
        let lines = prelude("sign_diff(a, b).rate");
        let names: Vec<&str> = lines.lines().map(defined).collect();
        assert_eq!(names, ["base", "films", "products", "a", "b"]);
    }
}
