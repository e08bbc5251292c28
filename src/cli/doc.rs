//! `tureen doc [NAME]`.

use clap::Args;

use super::Failure;
use crate::script::{Session, Setup, docs, engine};

/// Show the help of a function, or the list of all.
#[derive(Debug, Args)]
pub(super) struct Doc {
    /// The function; without one, the list of all.
    name: Option<String>,
    /// The whole reference as Markdown.
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

impl Doc {
    pub(super) fn main(self) -> Result<(), Failure> {
        let session = Session::new(Setup::default());
        let page = match self.name {
            Some(name) => docs::help(&engine(&session), &name).map_err(Failure::Command)?,
            None if self.markdown => docs::markdown(&session),
            None => docs::contents(&session),
        };
        session.print(&page);
        Ok(())
    }
}
