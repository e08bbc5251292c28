//! `tureen convert IN OUT`: an adapter's folder in the other library's layout.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::adapter::formats::{self, Format};

/// Write an adapter in a library's layout.
#[derive(Debug, Args)]
pub(super) struct Convert {
    /// The adapter's folder, in AdapterHub's or PEFT's layout.
    input: PathBuf,
    /// The folder to write.
    output: PathBuf,
    /// Whose layout: `peft` or `adapterhub`.
    #[arg(long, value_name = "LIBRARY")]
    format: Format,
}

impl Convert {
    pub(super) fn main(self) -> Result<(), Failure> {
        let adapter = formats::load(&self.input).map_err(Failure::Failed)?;
        let folders = formats::save(&adapter, &self.output, Some(self.format));
        for folder in folders.map_err(Failure::Failed)? {
            crate::say!("{}", folder.display());
        }
        Ok(())
    }
}
