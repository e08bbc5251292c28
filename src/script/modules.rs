//! `import`: first what the binary carries (`import "stats"`), then files beside the script.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rhai::{Engine, EvalAltResult, Module, ModuleResolver, Position, Scope};

use super::Session;
use super::session::Import;
use crate::{Error, Result};

/// The modules that the binary carries: name and text.
const STDLIB: &[(&str, &str)] = &[
    ("pruning", include_str!("../../stdlib/pruning.rhai")),
    ("stats", include_str!("../../stdlib/stats.rhai")),
];

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
    fn find(&self, source: Option<&str>, path: &str) -> Result<(PathBuf, String)> {
        if let Some((name, text)) = STDLIB.iter().find(|(name, _)| *name == path) {
            return Ok((
                PathBuf::from(format!("stdlib/{name}.rhai")),
                (*text).to_string(),
            ));
        }
        let beside = match source.map(Path::new).and_then(Path::parent) {
            Some(folder) if source.is_some_and(|s| Path::new(s).is_file()) => folder.join(path),
            _ => PathBuf::from(path),
        };
        let file = if beside == Path::new(path) {
            self.session.folder().join(path)
        } else {
            beside
        };
        let mut named = file.into_os_string();
        if !path.ends_with(".rhai") {
            named.push(".rhai");
        }
        let file = PathBuf::from(named);
        self.session.check_read(path, &file)?;
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Error::at_path(&file, error).within("import").hint(format!(
                "built-in modules: {}",
                super::session::listed(STDLIB.iter().map(|(name, _)| *name))
            ))
        })?;
        Ok((file, text))
    }
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
        let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
        self.session.record_import(Import {
            path: file.clone(),
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
