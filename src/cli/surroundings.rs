//! What every way of running code takes: parameters, threads, device, permissions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::limits::LimitFlags;
use super::{Bars, Failure, interrupt, screen};
use crate::compute::{device, memory, threads};
use crate::script::{Mode, Session, Setup};
use crate::study::{Store, size};
use crate::{Error, Result, bail};

/// The arguments that `run`, `-e` and the interactive session share.
#[derive(Debug, Default, Args)]
pub struct Surroundings {
    /// The value of a parameter of the study; may be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// How many threads compute (default: one a core). Results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Neither take results from the store nor keep them there.
    #[arg(long)]
    no_store: bool,
    /// Tell what is wrong with a script as JSON, one object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) allowed: Allowed,
}

/// Where code runs, and what it may do and take.
#[derive(Debug, Clone, Default, Args)]
pub struct Allowed {
    /// Where tensors live: cpu, or cuda:0 where the program was built with it.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
    /// A memory budget for the whole program, which training keeps to: less is computed at once, and
    /// blocks again for gradients where that helps. Results on the CPU do not depend on it.
    #[arg(long, value_name = "SIZE", value_parser = size::read_bytes)]
    memory: Option<u64>,
    /// A further file or folder that computed paths may read.
    #[arg(long, value_name = "PATH")]
    allow_read: Vec<PathBuf>,
    /// A further file or folder that may be written.
    #[arg(long, value_name = "PATH")]
    allow_write: Vec<PathBuf>,
    /// Look on the hub for names that a script computed, too.
    #[arg(long)]
    allow_hub: bool,
    #[command(flatten)]
    limits: LimitFlags,
}

impl Surroundings {
    /// Those of a command that writes these.
    pub(super) fn plain(threads: Option<usize>, out: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            threads,
            allowed: Allowed {
                device: "cpu".into(),
                allow_write: out.into_iter().collect(),
                limits: LimitFlags::of_command(),
                ..Allowed::default()
            },
            ..Self::default()
        }
    }

    /// Whether mistakes are told as JSON.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// Where tensors live.
    pub(super) fn device(&self) -> &str {
        &self.allowed.device
    }

    /// Those of a run that is to come out as one with these parameters did, from nothing kept.
    pub(super) fn again(
        parameters: &BTreeMap<String, String>,
        threads: Option<usize>,
        allowed: Allowed,
    ) -> Self {
        let set = parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        Self {
            set: set.collect(),
            threads,
            no_store: true,
            json: false,
            allowed,
        }
    }

    /// The same with these parameters where they are not given.
    pub(super) fn or_parameters(mut self, parameters: &BTreeMap<String, String>) -> Self {
        // Of two values of one name the later counts.
        let all = parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        self.set = all.chain(self.set).collect();
        self
    }

    /// A session in `mode` that writes under `write_folder`, with the terminal's bars and Ctrl-C.
    pub(super) fn session(self, mode: Mode, write_folder: PathBuf) -> Result<Session> {
        self.session_with(mode, write_folder, |_| {})
    }

    /// The same, set up further by `more`.
    pub(super) fn session_with(
        self,
        mode: Mode,
        write_folder: PathBuf,
        more: impl FnOnce(&mut Setup),
    ) -> Result<Session> {
        // SAFETY: the thread that this one was started by waits for it, and there is no other yet;
        // Ctrl-C's and the watch's are started below.
        unsafe { threads::init(self.threads)? };
        memory::keep_to(self.allowed.memory)?;
        let params = self
            .set
            .iter()
            .map(|text| parameter(text))
            .collect::<Result<_>>()?;
        let store = match self.no_store {
            true => None,
            false => Some(Store::open(Store::default_path()?)),
        };
        let stop = Arc::default();
        // The session outlives what runs in it; a script does not.
        let patience = if mode == Mode::Repl { 2 } else { 1 };
        interrupt::install(&stop, patience);
        let mut setup = Setup {
            mode,
            stop,
            progress: Arc::new(Bars::default()),
            write_folder,
            params,
            allow_read: self.allowed.allow_read,
            allow_write: self.allowed.allow_write,
            module_path: module_path(),
            device: device(&self.allowed.device)?,
            store,
            screen: screen::screen,
            limits: self.allowed.limits.set()?,
            give_up: Some(give_up),
            allow_hub: self.allowed.allow_hub,
            ..Setup::default()
        };
        more(&mut setup);
        Ok(Session::new(setup))
    }

    /// The stack that scripts may need, in bytes.
    pub(super) fn stack(&self) -> usize {
        self.allowed.limits.stack()
    }

    /// The interactive session.
    pub(super) fn repl(self) -> Result<(), Failure> {
        let session = self
            .session(Mode::Repl, PathBuf::from("."))
            .map_err(Failure::Command)?;
        match crate::repl::main(session).map_err(Failure::Command)? {
            0 => Ok(()),
            code => Err(Failure::Told(code)),
        }
    }
}

/// Ends the program, which does not stop by itself. What it leaves is what a kill would leave.
fn give_up(error: &Error) -> ! {
    crate::tell!("\ntureen: error: {error}");
    std::process::exit(1)
}

/// The folders that `TUREEN_PATH` names, separated as in `PATH`.
pub(super) fn module_path() -> Vec<PathBuf> {
    let path = std::env::var_os("TUREEN_PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path);
    folders.filter(|f| !f.as_os_str().is_empty()).collect()
}

fn parameter(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_string(), value.to_string()))
        }
        _ => bail!("--set {text}: expected NAME=VALUE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_name_and_value() {
        assert_eq!(
            parameter("a=b=c").unwrap(),
            ("a".to_string(), "b=c".to_string())
        );
        assert!(parameter("a").is_err() && parameter("=b").is_err());
    }
}
