//! The command line, one file a subcommand.
//!
//! What a script prints goes to standard output and nothing else does; bars, notices and errors go
//! to standard error. Exit codes: 0 done, 1 the script failed, 2 the command line was wrong,
//! 130 interrupted.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::script::Diagnostic;

mod at_hand;
mod check;
mod completions;
mod convert;
mod diff;
mod doc;
mod eval;
mod interrupt;
mod left;
mod limits;
mod lock;
mod merge;
mod new;
mod opened;
mod options;
mod pack;
mod progress;
mod reproduce;
mod run;
mod runs;
mod screen;
mod shell;
mod store;
mod surroundings;
mod why;

pub use progress::Bars;
pub use run::execute;
pub use surroundings::Surroundings;

/// The exit code of a wrong command line.
const WRONG_COMMAND: u8 = 2;

/// Experiments on adapters as short scripts. Without a command: the interactive session.
#[derive(Debug, Parser)]
#[command(name = "tureen", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Run this code and print its last value.
    #[arg(
        short = 'e',
        long = "eval",
        value_name = "CODE",
        allow_hyphen_values = true
    )]
    code: Option<String>,
    #[command(flatten)]
    surroundings: Surroundings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a study.
    Run(run::Run),
    /// List runs, or show one.
    Runs(runs::Runs),
    /// Compare two runs.
    Diff(diff::Diff),
    /// Pin what a run of a study read.
    Lock(lock::LockCommand),
    /// Run a study again and compare what it records.
    Reproduce(reproduce::Reproduce),
    /// Make one file of a study that runs anywhere.
    Pack(pack::PackCommand),
    /// Say where a value of a run comes from, and why it was computed or not.
    Why(why::Why),
    /// Look at the store of results, verify it, clean it.
    Store(store::StoreCommand),
    /// Look for mistakes in a study without running it.
    Check(check::Check),
    /// Write an adapter's folder in another library's layout.
    Convert(convert::Convert),
    /// Mix adapters into one.
    Soup(shell::Soup),
    /// Compare the signs of adapters.
    Signs(shell::Signs),
    /// Set an adapter's least weights to zero.
    Prune(shell::Prune),
    /// Merge whole models by a recipe as mergekit writes it.
    Merge(merge::Merge),
    /// Begin a study: a folder, or a file, with a script that runs.
    New(new::New),
    /// List the models and adapters that are at hand.
    Models(at_hand::Models),
    /// List the datasets that are at hand.
    Datasets(at_hand::Datasets),
    /// Show the help of a function, or the list of all.
    Doc(doc::Doc),
    /// Print what makes a shell complete commands and options.
    Completions(completions::Completions),
}

/// Why a command ended without success.
enum Failure {
    /// A script failed.
    Script(Box<Diagnostic>),
    /// A script has these mistakes.
    Mistakes(Vec<Diagnostic>),
    /// The command line was wrong.
    Command(crate::Error),
    /// What it asked for failed.
    Failed(crate::Error),
    /// What failed was told when it did; the exit code.
    Told(u8),
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Script(Box::new(diagnostic))
    }
}

impl From<Box<Diagnostic>> for Failure {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Self::Script(diagnostic)
    }
}

/// Runs the program with the arguments of the process, on a stack that is deep enough for what
/// scripts may nest.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version are no errors; a closed pipe is no reason to fail.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { WRONG_COMMAND } else { 0 });
        }
    };
    if let Err(error) = crate::compute::check_kernels() {
        crate::tell!("tureen: error: {error}");
        return ExitCode::from(WRONG_COMMAND);
    }
    let stack = cli.stack();
    // What was read holds values of the language, which stay on one thread.
    drop(cli);
    let started = std::thread::Builder::new()
        .name("script".into())
        .stack_size(stack)
        .spawn(|| run(Cli::parse()));
    match started.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // A panic was told where it happened.
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => {
            crate::tell!("tureen: error: no thread can be started: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    /// The stack that the command needs, in bytes.
    fn stack(&self) -> usize {
        match &self.command {
            Some(Command::Run(command)) => command.stack(),
            Some(_) => Surroundings::default().stack(),
            None => self.surroundings.stack(),
        }
    }
}

fn run(cli: Cli) -> ExitCode {
    let json = match &cli.command {
        Some(Command::Run(command)) => command.json(),
        Some(Command::Check(command)) => command.json(),
        Some(_) => false,
        None => cli.surroundings.json(),
    };
    let result = match (cli.command, cli.code) {
        (Some(Command::Run(command)), _) => command.main(),
        (Some(Command::Check(command)), _) => command.main(),
        (Some(Command::Runs(command)), _) => command.main(),
        (Some(Command::Diff(command)), _) => command.main(),
        (Some(Command::Lock(command)), _) => command.main(),
        (Some(Command::Reproduce(command)), _) => command.main(),
        (Some(Command::Pack(command)), _) => command.main(),
        (Some(Command::Why(command)), _) => command.main(),
        (Some(Command::Store(command)), _) => command.main(),
        (Some(Command::Convert(command)), _) => command.main(),
        (Some(Command::Soup(command)), _) => command.main(),
        (Some(Command::Signs(command)), _) => command.main(),
        (Some(Command::Prune(command)), _) => command.main(),
        (Some(Command::Merge(command)), _) => command.main(),
        (Some(Command::New(command)), _) => command.main(),
        (Some(Command::Models(command)), _) => command.main(),
        (Some(Command::Datasets(command)), _) => command.main(),
        (Some(Command::Doc(command)), _) => command.main(),
        (Some(Command::Completions(command)), _) => command.main(),
        (None, Some(code)) => eval::main(&code, cli.surroundings),
        (None, None) => cli.surroundings.repl(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told(code)) => ExitCode::from(code),
        Err(Failure::Script(diagnostic)) => {
            tell(&diagnostic, json);
            ExitCode::from(diagnostic.exit_code())
        }
        Err(Failure::Mistakes(diagnostics)) => {
            for diagnostic in &diagnostics {
                tell(diagnostic, json);
            }
            ExitCode::FAILURE
        }
        Err(Failure::Failed(error)) => {
            crate::tell!("tureen: error: {error}");
            ExitCode::FAILURE
        }
        Err(Failure::Command(error)) => {
            crate::tell!("tureen: error: {error}");
            ExitCode::from(WRONG_COMMAND)
        }
    }
}

/// Says on standard error what is wrong with a script.
fn tell(diagnostic: &Diagnostic, json: bool) {
    match json {
        true => crate::tell!("{}", diagnostic.json()),
        false => crate::tell!("{diagnostic:#}"),
    }
}
