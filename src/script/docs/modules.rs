//! The docs of modules written in Rhai: those that the binary carries, and users' own.

use std::path::Path;

use rhai::Engine;
use serde::Serialize;

use super::super::modules::STDLIB;
use super::comment::Comment;
use super::reference::strip;
use crate::{Error, Result};

/// A module: what `import` gives.
#[derive(Debug, Clone, Serialize)]
pub struct Module {
    /// What is imported.
    pub path: String,
    /// What its `//!` lines say.
    pub doc: Comment,
    /// Its functions, in the order of the file; private ones are left out.
    pub functions: Vec<ModuleFunction>,
}

/// A function of a module.
#[derive(Debug, Clone, Serialize)]
pub struct ModuleFunction {
    /// Its name.
    pub name: String,
    /// The names of what it takes.
    pub parameters: Vec<String>,
    /// Its doc comment.
    pub doc: Comment,
}

/// The modules that the binary carries.
pub fn modules() -> Vec<Module> {
    let read = STDLIB.iter().map(|(name, text)| read(name, text));
    // A test reads each; one that does not parse has no docs.
    read.filter_map(Result::ok).collect()
}

/// The module of this path: one that the binary carries, or a `.rhai` file; none if it is neither.
pub fn module(path: &str) -> Result<Option<Module>> {
    if let Some((name, text)) = STDLIB.iter().find(|(name, _)| *name == path) {
        return read(name, text).map(Some);
    }
    let file = Path::new(path);
    if file.extension().is_none_or(|extension| extension != "rhai") || !file.is_file() {
        return Ok(None);
    }
    let text = crate::text::read(file)?;
    read(path, &text).map(Some)
}

fn read(path: &str, text: &str) -> Result<Module> {
    let mut engine = Engine::new_raw();
    engine.set_max_expr_depths(0, 0);
    let tree = engine
        .compile(text)
        .map_err(|error| Error::new(error.to_string()).within(path))?;
    let mut functions: Vec<(usize, ModuleFunction)> = tree
        .iter_functions()
        .filter(|function| function.access == rhai::FnAccess::Public)
        .map(|function| {
            let place = text.find(&format!("fn {}(", function.name));
            let made = ModuleFunction {
                name: function.name.to_string(),
                parameters: function.params.iter().map(ToString::to_string).collect(),
                doc: Comment::read(&strip(function.comments.iter().copied())),
            };
            (place.unwrap_or(usize::MAX), made)
        })
        .filter(|(_, function)| !function.name.starts_with("anon$"))
        .collect();
    functions.sort_by_key(|(place, _)| *place);
    Ok(Module {
        path: path.to_string(),
        doc: Comment::read(&strip(tree.doc().lines())),
        functions: functions
            .into_iter()
            .map(|(_, function)| function)
            .collect(),
    })
}

impl Module {
    /// The module as Markdown, its title a heading of this level.
    pub fn markdown(&self, level: usize) -> String {
        let mut parts = vec![
            format!("{} {}", "#".repeat(level), self.path),
            self.doc.markdown(),
        ];
        let functions = self.functions.iter();
        parts.extend(functions.map(|f| f.markdown(&self.path, level + 1)));
        parts.join("\n\n")
    }

    /// The name that examples import it as: the last part of the path.
    pub fn alias(&self) -> &str {
        let last = self.path.rsplit('/').next().unwrap_or(&self.path);
        last.trim_end_matches(".rhai")
    }
}

impl ModuleFunction {
    /// How it is called, after `import`.
    pub fn signature(&self, path: &str) -> String {
        let alias = path.rsplit('/').next().unwrap_or(path);
        format!(
            "{}::{}({})",
            alias.trim_end_matches(".rhai"),
            self.name,
            self.parameters.join(", ")
        )
    }

    /// The function as Markdown, its signature a heading of this level.
    pub fn markdown(&self, path: &str, level: usize) -> String {
        format!(
            "{} {}\n\n{}",
            "#".repeat(level),
            self.signature(path),
            self.doc.markdown()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_of_the_binary_reads() {
        for (name, text) in STDLIB {
            assert!(read(name, text).is_ok(), "{name}");
        }
        assert_eq!(modules().len(), STDLIB.len());
    }

    #[test]
    fn functions_keep_the_order_of_the_file() {
        let text = "//! Two.\n\n/// Later by name.\nfn b(x) { x }\n/// First by name.\nfn a(x, y) { [x].map(|v| v) }\nprivate fn c() { 1 }";
        let module = read("mine.rhai", text).unwrap();
        assert_eq!(module.doc.summary, "Two.");
        let lines: Vec<String> = module
            .functions
            .iter()
            .map(|f| f.signature("a/mine.rhai"))
            .collect();
        assert_eq!(lines, ["mine::b(x)", "mine::a(x, y)"]);
        assert_eq!(module.functions[1].doc.summary, "First by name.");
    }
}
