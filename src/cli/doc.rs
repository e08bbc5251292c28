//! `tureen doc [NAME]`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use crate::Result;
use crate::adapter::formats::refused;
use crate::script::docs::{self, Look};
use crate::script::{Session, Setup, engine};
use crate::study::files::write_atomic;

/// Show the help of a function, a type, a module or a page of the guide; or the list of all.
#[derive(Debug, Args)]
pub(super) struct Doc {
    /// What to show, such as train, Adapter, Adapter.save, std/soups, options, guide, guide signs;
    /// without one, the list of all.
    name: Vec<String>,
    /// As Markdown; without a name the whole reference.
    #[arg(long, group = "form")]
    markdown: bool,
    /// Everything for programs: signatures, parameters, options, examples, guide.
    #[arg(long, group = "form", conflicts_with = "name")]
    json: bool,
    /// Guide and reference as one page with a search field, which needs no network.
    #[arg(long, group = "form", conflicts_with = "name")]
    html: bool,
    /// Write definition files (.d.rhai) for editors into this folder.
    #[arg(long, group = "form", conflicts_with = "name", value_name = "FOLDER")]
    definitions: Option<PathBuf>,
    /// With --definitions: overwrite files that are there already.
    #[arg(long, requires = "definitions")]
    force: bool,
}

impl Doc {
    pub(super) fn main(self) -> Result<(), Failure> {
        let session = Session::new(Setup::default());
        let name = self.name.join(" ");
        let engine = || engine(&session);
        let look = Look::of(&super::screen::screen());
        let page = match (name.as_str(), &self.definitions) {
            (_, Some(folder)) => write_definitions(&session, folder, self.force),
            ("", _) if self.markdown => Ok(docs::markdown(&session)),
            (name, _) if self.markdown => docs::help_markdown(&engine(), name),
            _ if self.json => docs::json(&session),
            _ if self.html => Ok(docs::html(&session)),
            ("", _) => Ok(docs::contents(&session)),
            (name, _) => docs::help_in(&engine(), name, &look),
        };
        session.print(page.map_err(Failure::Command)?.trim_end());
        Ok(())
    }
}

fn write_definitions(session: &Session, folder: &Path, force: bool) -> Result<String> {
    let files = docs::definitions(&engine(session));
    // Those of another version begin as these do.
    let ours = |path: &Path, text: &str| {
        let first = text.lines().next();
        std::fs::read_to_string(path).is_ok_and(|there| there.lines().next() == first)
    };
    for (name, text) in &files {
        let path = folder.join(name);
        if !force && path.exists() && !ours(&path, text) {
            return Err(refused(
                &path,
                "is there already, and is no definition file",
            ));
        }
    }
    for (name, text) in &files {
        write_atomic(&folder.join(name), text.as_bytes())?;
    }
    Ok(format!(
        "{} files written to {}",
        files.len(),
        folder.display()
    ))
}
