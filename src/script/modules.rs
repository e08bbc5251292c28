//! `import`: what the binary carries (`import "std/soups"`), files beside the script, then files in
//! the folders of the module path (`TUREEN_PATH`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use rhai::{Engine, EvalAltResult, Expr, FnAccess, Module, ModuleResolver, Position, Scope, Stmt};

use super::recursion::too_deep;
use super::session::Import;
use super::{Session, spot};
use crate::study::files::slashed;
use crate::study::pack::ON_PATH;
use crate::{Error, Result, nearest};

/// The modules that the binary carries: what is imported, and its text.
pub(super) const STDLIB: &[(&str, &str)] = &[
    (
        "std/arithmetic",
        include_str!("../../stdlib/arithmetic.rhai"),
    ),
    ("std/pruning", include_str!("../../stdlib/pruning.rhai")),
    ("std/soups", include_str!("../../stdlib/soups.rhai")),
    ("std/stats", include_str!("../../stdlib/stats.rhai")),
];

/// Whether a module that records and locks call so comes with the binary.
pub fn is_standard_module(name: &str) -> bool {
    let own = name
        .strip_prefix("stdlib/")
        .and_then(|n| n.strip_suffix(".rhai"));
    own.is_some_and(|own| STDLIB.iter().any(|(known, _)| bare(known) == own))
}

/// Resolves imports of a session and records them, with the hash of each text.
pub(super) struct Modules {
    session: Session,
    loaded: RefCell<BTreeMap<PathBuf, Option<Rc<Module>>>>,
}

impl Modules {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            loaded: RefCell::default(),
        }
    }

    /// The file and text of `path` as imported by `source`.
    pub(super) fn find(&self, source: Option<&str>, path: &str) -> Result<(PathBuf, String)> {
        if let Some((name, text)) = STDLIB.iter().find(|(name, _)| *name == path) {
            let name = name.trim_start_matches("std/");
            let file = PathBuf::from(format!("stdlib/{name}.rhai"));
            return Ok((file, (*text).to_string()));
        }
        let beside = self.beside(source, path);
        let file = match on_path(&self.session.setup().module_path, path) {
            Some(found) if !beside.is_file() => found,
            _ => {
                self.session.check_read(path, &beside)?;
                beside
            }
        };
        if file.is_file() {
            return Ok((file.clone(), self.session.text_of(&file)?));
        }
        let error = Error::new(format!("import: no module {path:?}: no such file"));
        let names = || STDLIB.iter().map(|(name, _)| *name);
        let near = nearest(path, names().chain(names().map(bare)));
        Err(error.hint(match near {
            Some(near) => format!("did you mean \"std/{}\"?", bare(near)),
            None => format!(
                "the binary carries {}; others are looked for beside the script and in the folders of TUREEN_PATH",
                super::session::listed(names())
            ),
        }))
    }

    /// What records and locks call a module's file.
    fn recorded_name(&self, file: &Path) -> String {
        let setup = self.session.setup();
        if let Ok(inside) = file.strip_prefix(self.session.folder()) {
            return slashed(inside);
        }
        let found = setup
            .module_path
            .iter()
            .find_map(|folder| file.strip_prefix(folder).ok());
        match found {
            Some(inside) => format!("{ON_PATH}{}", slashed(inside)),
            None => slashed(file),
        }
    }

    /// The file that `path` means beside the one that imports it.
    fn beside(&self, source: Option<&str>, path: &str) -> PathBuf {
        let folder = match source.map(Path::new).and_then(Path::parent) {
            Some(folder) if source.is_some_and(|s| Path::new(s).is_file()) => folder,
            _ => self.session.folder(),
        };
        named(folder.join(path))
    }
}

/// The functions of a module, with the counts of their parameters.
pub(super) type Exports = BTreeMap<String, BTreeSet<usize>>;

/// What a module with this text gives; nothing where it does not parse.
pub(super) fn exports(text: &str) -> Exports {
    let mut exports = Exports::new();
    let Some(tree) = spot::parsed(text) else {
        return exports;
    };
    let public = |f: &rhai::ScriptFnMetadata| f.access == FnAccess::Public;
    for function in tree.iter_functions().filter(public) {
        let counts = exports.entry(function.name.to_string()).or_default();
        counts.insert(function.params.len());
    }
    exports
}

/// What the module gives that the text of `source` imports as `alias`.
pub(super) fn import_of(engine: &Engine, source: &str, text: &str, alias: &str) -> Option<Exports> {
    let session = engine.default_tag().clone().try_cast::<Session>()?;
    let tree = spot::parsed(text)?;
    let path = tree
        .statements()
        .iter()
        .find_map(|statement| match statement {
            Stmt::Import(import, _) if import.1.name == alias => match &import.0 {
                Expr::StringConstant(path, _) => Some(path.to_string()),
                _ => None,
            },
            _ => None,
        })?;
    let (_, text) = Modules::new(session).find(Some(source), &path).ok()?;
    Some(exports(&text))
}

/// Why a module has no function `name` of `count` parameters; none where it has.
pub(super) fn missing_member(
    module: &str,
    name: &str,
    count: usize,
    exports: &Exports,
) -> Option<Error> {
    let Some(counts) = exports.get(name) else {
        let error = Error::new(format!("module {module} has no function {name}"));
        let names = exports.keys().map(String::as_str);
        let names: Vec<&str> = names.filter(|name| !name.starts_with("anon$")).collect();
        return Some(match nearest(name, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean {module}::{near}?")),
            None => error.hint(format!("it has {}", names.join(", "))),
        });
    };
    let written: Vec<String> = counts.iter().map(ToString::to_string).collect();
    let plural = if written == ["1"] { "" } else { "s" };
    (!counts.contains(&count)).then(|| {
        Error::new(format!(
            "{module}::{name} takes {} argument{plural}, got {count}",
            written.join(" or ")
        ))
    })
}

/// A module's name without the folder of those that the binary carries.
fn bare(name: &str) -> &str {
    name.trim_start_matches("std/")
}

/// The first file of this name in the folders; a path that leaves its folder is none.
fn on_path(folders: &[PathBuf], path: &str) -> Option<PathBuf> {
    let inside = |part: Component| matches!(part, Component::Normal(_));
    if !Path::new(path).components().all(inside) {
        return None;
    }
    let files = folders.iter().map(|folder| named(folder.join(path)));
    files.into_iter().find(|file| file.is_file())
}

fn named(file: PathBuf) -> PathBuf {
    if file
        .extension()
        .is_some_and(|extension| extension == "rhai")
    {
        return file;
    }
    let mut named = file.into_os_string();
    named.push(".rhai");
    PathBuf::from(named)
}

impl ModuleResolver for Modules {
    fn resolve(
        &self,
        engine: &Engine,
        source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Rc<Module>, Box<EvalAltResult>> {
        let here = |error: Error| -> Box<EvalAltResult> {
            let mut error: Box<EvalAltResult> = error.into();
            error.set_position(position);
            error
        };
        let (file, text) = self.find(source, path).map_err(here)?;
        match self.loaded.borrow().get(&file) {
            Some(Some(module)) => return Ok(module.clone()),
            Some(None) => {
                return Err(here(Error::new(format!("import: {path} imports itself"))));
            }
            None => {}
        }
        let deepest = self.session.setup().limits.depth;
        let open = self
            .loaded
            .borrow()
            .values()
            .filter(|m| m.is_none())
            .count();
        if open == deepest {
            return Err(here(too_deep("modules import each other", deepest)));
        }
        let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
        let name = self.recorded_name(&file);
        if let Some(lock) = &self.session.setup().lock {
            lock.check_import(&name, &hash).map_err(here)?;
        }
        self.session.record_import(Import {
            path: file.clone(),
            name,
            hash,
        });
        self.loaded.borrow_mut().insert(file.clone(), None);
        let name = file.display().to_string();
        let made = super::compile(engine, &self.session, &Scope::new(), &name, &text)
            .map_err(|error| Box::new(EvalAltResult::from(error)))
            .and_then(|tree| Module::eval_ast_as_new(Scope::new(), &tree, engine))
            .map_err(|error| Box::new(EvalAltResult::ErrorInModule(name.clone(), error, position)));
        match made {
            Ok(mut module) => {
                module.set_id(name);
                let module = Rc::new(module);
                self.loaded.borrow_mut().insert(file, Some(module.clone()));
                Ok(module)
            }
            Err(error) => {
                self.loaded.borrow_mut().remove(&file);
                Err(error)
            }
        }
    }
}
