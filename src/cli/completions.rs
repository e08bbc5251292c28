//! `tureen completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure};

/// Print what makes a shell complete commands and options.
///
/// bash: tureen completions bash > ~/.local/share/bash-completion/completions/tureen
/// zsh:  tureen completions zsh > a folder of $fpath, as _tureen
/// fish: tureen completions fish > ~/.config/fish/completions/tureen.fish
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn main(self) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "tureen", &mut text);
        crate::say!("{}", String::from_utf8_lossy(&text).trim_end());
        Ok(())
    }
}
