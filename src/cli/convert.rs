//! `tureen convert IN OUT`: an adapter's folder in the other library's layout.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::adapter::formats::{self, Format, Layout, Types};
use crate::adapter::metadata::Precision;

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
    /// The type of its numbers: keep, that of the input's files, f32, f16 or bf16.
    #[arg(long, value_name = "TYPE", default_value = "keep", value_parser = ["keep", "f32", "f16", "bf16"])]
    dtype: String,
    /// Overwrite what is in the folder: another adapter, other files, or the input.
    #[arg(long)]
    force: bool,
}

impl Convert {
    pub(super) fn main(self) -> Result<(), Failure> {
        let adapter = formats::load(&self.input).map_err(Failure::Failed)?;
        if !self.force {
            formats::may_replace(&adapter, &self.output, &[self.input]).map_err(Failure::Failed)?;
        }
        let types = Precision::named(&self.dtype).map_or(Types::Keep, Types::All);
        let layout = Layout::Dense(Some(self.format), types);
        let folders = formats::save_over(&adapter, &self.output, layout, !self.force);
        for folder in folders.map_err(Failure::Failed)? {
            crate::say!("{}", folder.display());
        }
        Ok(())
    }
}
