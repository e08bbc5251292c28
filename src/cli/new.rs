//! `tureen new NAME`: the beginning of a study.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use crate::study::files::{unless_failed, write_atomic};
use crate::{Error, Result, bail};

/// What a new study holds.
const SCRIPT: &str = include_str!("new.rhai");

/// What a new study's folder calls its script.
const FILE: &str = "study.rhai";

/// Begin a study: a folder NAME with study.rhai, or the file NAME where it ends in .rhai.
///
/// The script runs as it stands and says in comments what to change. Nothing is overwritten.
#[derive(Debug, Args)]
pub(super) struct New {
    /// The folder or the file; its last part, without .rhai, names the study.
    name: PathBuf,
}

impl New {
    pub(super) fn main(self) -> Result<(), Failure> {
        let name = self.study().map_err(Failure::Command)?;
        self.write(&name).map_err(Failure::Failed)
    }

    fn is_file(&self) -> bool {
        self.name.extension().is_some_and(|ending| ending == "rhai")
    }

    /// What the study is called.
    fn study(&self) -> Result<String> {
        let last = match self.is_file() {
            true => self.name.file_stem(),
            false => self.name.file_name(),
        };
        let name = last.and_then(|name| name.to_str()).unwrap_or_default();
        // It becomes a part of the names of folders, and stands in a script.
        let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        match !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(plain) {
            true => Ok(name.to_string()),
            false => {
                bail!("{}: no name for a study", self.name.display(); hint: "letters, digits, - and _, such as sign-conflict")
            }
        }
    }

    fn write(&self, name: &str) -> Result<()> {
        if self.name.exists() {
            return Err(
                Error::at_path(&self.name, "is there already; nothing was written")
                    .hint("choose another name"),
            );
        }
        let script = SCRIPT.replace("{{name}}", name);
        if self.is_file() {
            write_atomic(&self.name, script.as_bytes())?;
            crate::say!("{}: run it with", self.name.display());
            crate::say!("  tureen run {}", self.name.display());
            return Ok(());
        }
        unless_failed(&self.name, || {
            write_atomic(&self.name.join(FILE), script.as_bytes())?;
            // Runs are made again from the script; the lock is what belongs beside it.
            write_atomic(&self.name.join(".gitignore"), b"/runs/\n")
        })?;
        let folder = self.name.join(Path::new(FILE));
        crate::say!("{}: run it with", folder.display());
        crate::say!("  cd {} && tureen run {FILE}", self.name.display());
        Ok(())
    }
}
