//! The examples of the docs: each runs, and gives the value that stands beside it.

use tureen::script::{docs, incomplete};

use super::interpreter;

#[test]
fn the_examples_of_natives_hold() {
    let (interpreter, _) = interpreter(&[]);
    let page = docs::markdown(interpreter.session());
    assert!(run(&page, "") >= 10, "the reference has lost its examples");
}

#[test]
fn the_examples_of_modules_hold() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "rhai")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(run(&text, "/// ") > 0, "{} has no example", path.display());
        }
    }
}

/// Runs every `rhai` block of `page`, whose lines start with `prefix`; gives their number.
fn run(page: &str, prefix: &str) -> usize {
    let mut blocks = 0;
    let lines: Vec<&str> = page
        .lines()
        .map(|line| line.strip_prefix(prefix).unwrap_or(line))
        .collect();
    for (start, _) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| **line == "```rhai")
    {
        blocks += 1;
        let (mut interpreter, _) = interpreter(&[]);
        let mut code = String::new();
        for line in lines[start + 1..].iter().take_while(|line| **line != "```") {
            let (part, expected) = match line.split_once("    // ") {
                Some((part, expected)) => (part, Some(expected)),
                None => (*line, None),
            };
            code.push_str(part);
            code.push('\n');
            if incomplete(&code) {
                continue;
            }
            match interpreter.run("example", &code) {
                Ok(value) => {
                    if let Some(expected) = expected {
                        assert_eq!(interpreter.text(&value), expected, "{code}");
                    }
                }
                Err(diagnostic) => panic!("{code}{diagnostic}"),
            }
            code.clear();
        }
    }
    blocks
}
