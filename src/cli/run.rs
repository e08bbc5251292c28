//! `tureen run study.rhai`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, Surroundings};
use crate::Error;
use crate::report::write_page;
use crate::script::api::study::Study;
use crate::script::{Diagnostic, Interpreter, Mode, Session, Severity, check};
use crate::study::files::write_atomic;
use crate::study::{Claim, Lock, Record, Run as Kept, Status, Store};

/// Run a study.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The script.
    script: PathBuf,
    /// The folder that what the script writes goes under (default: runs/NAME-TIME-ID).
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Refuse what is not as the study's lock has it.
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    surroundings: Surroundings,
}

impl Run {
    pub(super) fn json(&self) -> bool {
        self.surroundings.json()
    }

    pub(super) fn main(self) -> Result<(), Failure> {
        let lock = match self.locked {
            true => Some(Lock::read(&self.script).map_err(Failure::Failed)?),
            false => None,
        };
        study(&self.script, self.out, self.surroundings, lock)?;
        Ok(())
    }
}

/// What a run's folder calls the text that was run.
pub(super) const SCRIPT: &str = "script.rhai";

/// Runs the study at `script` into `out`, by default a new folder in `runs`.
pub(super) fn study(
    script: &Path,
    out: Option<PathBuf>,
    surroundings: Surroundings,
    lock: Option<Lock>,
) -> Result<Kept, Failure> {
    let source = script.display().to_string();
    let unsaved = |error: Error| Failure::from(Diagnostic::of(&source, error));
    let text =
        std::fs::read_to_string(script).map_err(|error| unsaved(Error::new(error.to_string())))?;
    let mode = Mode::Script {
        path: script.to_path_buf(),
    };
    let locked = lock.clone();
    let session = surroundings
        .session_with(mode, PathBuf::new(), |setup| setup.lock = lock)
        .map_err(Failure::Command)?;
    known_parameters(&text, &session).map_err(Failure::Command)?;
    checked(&session, &source, &text)?;
    let mut record = Record::begin(script, &text, session.setup().params.clone());
    if let Some(lock) = &locked {
        lock.check_script(&record.script_hash).map_err(unsaved)?;
    }
    let folder = out.unwrap_or_else(|| record.folder());
    session.set_write_folder(&folder);
    let _claim = Claim::of(&folder).map_err(unsaved)?;
    record.save(&folder).map_err(unsaved)?;
    write_atomic(&folder.join(SCRIPT), text.as_bytes()).map_err(unsaved)?;
    let log = folder.join("log.txt");
    session.keep_output(&log).map_err(unsaved)?;
    if let Some(store) = session.context().store()
        && let Err(error) = store.note_run(&folder)
    {
        session.context().tell_unkept(&error);
    }
    let outcome = execute(&source, &text, &session);
    describe(&mut record, &session);
    record.end(outcome.as_ref().map(|_| ()).map_err(|d| &d.error));
    record.save(&folder).map_err(unsaved)?;
    let run = Kept { folder, record };
    write_page(&run).map_err(unsaved)?;
    let folder = run.folder.display();
    session.notice(match run.record.status {
        Status::Interrupted => {
            format!("the run is in {folder}; with --out {folder} it goes on where it was")
        }
        _ => format!("the run is in {folder}"),
    });
    outcome?;
    Ok(run)
}

/// Refuses a script that no run can come through, before it spends time; what a run may not come
/// to is only told.
fn checked(session: &Session, source: &str, text: &str) -> Result<(), Failure> {
    let found = check(session, source, text);
    if found.iter().any(|finding| finding.certain) {
        let all = found.into_iter().map(|finding| finding.diagnostic);
        return Err(Failure::Mistakes(all.collect()));
    }
    for finding in found {
        match finding.diagnostic.severity {
            Severity::Error => {
                session.notice(format!("where it comes there, {}", finding.diagnostic));
            }
            // Some of them the run itself tells too.
            Severity::Warning => session.notice_once(finding.diagnostic.to_string()),
        }
    }
    Ok(())
}

/// Runs the text of the script at `source` in `session`.
pub fn execute(source: &str, text: &str, session: &Session) -> Result<(), Box<Diagnostic>> {
    let _value = Interpreter::new(session.clone()).run(source, text)?;
    session
        .check_params()
        .map_err(|error| Box::new(Diagnostic::of(source, error)))
}

/// An error if `--set` names a parameter that the script does not ask for, before anything runs.
/// Where the script may ask for others, by a computed name or in a module, it runs and is checked
/// at its end.
fn known_parameters(text: &str, session: &Session) -> Result<(), Error> {
    let mut asked = Vec::new();
    for call in text.split("param(").skip(1) {
        match call
            .trim_start()
            .strip_prefix('"')
            .and_then(|rest| rest.split_once('"'))
        {
            Some((name, _)) => asked.push(name),
            None => return Ok(()),
        }
    }
    if text.contains("import ") {
        return Ok(());
    }
    for name in asked {
        session.param(name);
    }
    session.check_params()
}

/// Takes what the script said of itself into its record.
fn describe(record: &mut Record, session: &Session) {
    let said = session.extension::<Study>().said();
    if let Some(name) = said.name {
        record.name = name;
    }
    record.question = said.question;
    record.recorded = said.recorded;
    record.seed = session.seed();
    record.parameters.extend(session.params());
    record.inputs = session.inputs();
    record.store = session
        .context()
        .store()
        .map(Store::used)
        .unwrap_or_default();
    record.imports = session
        .imports()
        .into_iter()
        .map(|import| (display(&import.path), import.hash))
        .collect();
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
