//! What a script reads by literal names: datasets, models, adapters, files, parameters.

use std::collections::BTreeSet;
use std::path::Path;

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::walk::Walk;
use super::{Checker, Finding};
use crate::hub::{Kind, Repo};
use crate::report::figure::Figure;
use crate::script::api::{missing_dataset, missing_model, read_as};
use crate::script::{Diagnostic, Session};
use crate::{Error, Result};

/// What of a script's own may be read back later.
#[derive(Debug, Default)]
pub(super) struct Writes {
    paths: Vec<String>,
    /// Whether it writes to a path that is computed.
    computed: bool,
}

impl Writes {
    pub(super) fn of(tree: &AST) -> Self {
        let mut writes = Self::default();
        tree.walk(&mut |path: &[ASTNode]| {
            if let Some(
                ASTNode::Stmt(Stmt::FnCall(call, _))
                | ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)),
            ) = path.last()
                && matches!(&*call.name, "save" | "save_tensors" | "write_text")
            {
                let literal = call.args.iter().find_map(|argument| match argument {
                    Expr::StringConstant(text, _) => Some(text.to_string()),
                    _ => None,
                });
                match literal {
                    Some(path) => {
                        // A figure has its rows beside it.
                        let rows = Figure::rows_of(Path::new(&path));
                        writes.paths.push(rows.display().to_string());
                        writes.paths.push(path);
                    }
                    None => writes.computed = true,
                }
            }
            true
        });
        writes
    }

    /// Whether the script may have written what it reads at `path`.
    fn may_have(&self, path: &str) -> bool {
        let inside = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
        self.computed
            || self
                .paths
                .iter()
                .any(|own| own == path || inside(path, own) || inside(own, path))
    }
}

/// The parameters that a script asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    names: BTreeSet<String>,
    /// Whether it may ask for others, which cannot be told.
    elsewhere: bool,
}

impl Asked {
    pub(super) fn elsewhere(&mut self) {
        self.elsewhere = true;
    }
}

impl<'w> Walk<'w, '_> {
    /// Checks what the call reads.
    pub(super) fn inputs(&mut self, call: &'w FnCallExpr, at: Position) {
        if call.name == "param" {
            return self.parameter(call, at);
        }
        let missing: fn(&Session, &str) -> Option<Error> = match call.name.as_str() {
            "dataset" | "datasets" => missing_dataset,
            "model" => missing_model,
            "load_adapter" => missing_adapter,
            "load_tensors" | "read_text" | "read_table" | "load_mask" | "replay" => {
                Session::missing_file
            }
            _ => return,
        };
        let names: &[Expr] = match call.args.first() {
            Some(Expr::Array(names, _)) if call.name == "datasets" => names,
            Some(Expr::StringConstant(..)) => &call.args[..1],
            _ => return,
        };
        for name in names {
            let Expr::StringConstant(text, at) = name else {
                continue;
            };
            if !self.writes.may_have(text)
                && let Some(error) = missing(self.checker.session, text)
            {
                self.report(*at, error);
            }
        }
    }

    fn parameter(&mut self, call: &'w FnCallExpr, at: Position) {
        let Some(Expr::StringConstant(name, _)) = call.args.first() else {
            self.checker.asked.elsewhere();
            return;
        };
        self.checker.asked.names.insert(name.to_string());
        let default = call.args.get(1).and_then(|d| d.get_literal_value(None));
        if let Some(text) = self.checker.session.param(name)
            && let Some(default) = default
            && let Err(error) = read_as(name, &text, &default)
        {
            self.report(at, error);
        }
    }
}

impl Checker<'_> {
    /// Reports `--set` of a parameter that the script never asks for.
    pub(super) fn parameters(&mut self, source: &str) {
        if self.asked.elsewhere {
            return;
        }
        for name in &self.asked.names {
            self.session.param(name);
        }
        if let Err(error) = self.session.check_params() {
            self.findings.push(Finding {
                diagnostic: Diagnostic::of(source, error),
                certain: true,
            });
        }
    }
}

fn missing_adapter(session: &Session, name: &str) -> Option<Error> {
    let here = found(session, name).ok()?;
    // What may be a name on the hub is not asked for here.
    let nowhere = !here && Repo::parse(Kind::Model, name).is_err();
    nowhere.then(|| {
        session.or_near(
            name,
            Error::new(format!("no adapter {name:?}: no such folder")),
        )
    })
}

fn found(session: &Session, path: &str) -> Result<bool> {
    Ok(session.read_path(path)?.exists())
}
