//! `tureen run study.rhai`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::left::{told, unless_pending, waits};
use super::opened::Opened;
use super::{Failure, Surroundings};
use crate::Error;
use crate::compute::{CUDA, driver};
use crate::report::write_page;
use crate::script::api::study::Study;
use crate::script::{Diagnostic, Interpreter, Session, Severity, check};
use crate::study::files::{is_filled, write_atomic};
use crate::study::pack::is_pack;
use crate::study::{
    Claim, Extent, Journal, Left, Lock, OWN_FILES, Record, Run as Kept, SCRIPT, Shard, Status,
    Store, disk,
};

/// Run a study: a script, or an archive that `tureen pack` made.
///
/// An archive is unpacked into a temporary folder, held against its lock, and run with the
/// parameters of the run in it; it reads nothing outside that folder. Its results are a run like
/// any other.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The script or the archive.
    #[arg(value_name = "STUDY")]
    script: PathBuf,
    /// The folder that what the script writes goes under (default: runs/NAME-TIME-ID).
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Refuse what is not as the study's lock has it; an archive is always held to its own.
    #[arg(long)]
    locked: bool,
    /// Compute nothing: say what is left to compute and what that takes. Nothing is written.
    #[arg(long, conflicts_with_all = ["shard", "out"])]
    dry_run: bool,
    /// Compute the Ith share of N of the evaluations; the others leave theirs in the same store.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Where inputs are that an archive leaves out, as they lie from its script's folder on.
    #[arg(long, value_name = "FOLDER")]
    inputs: Option<PathBuf>,
    #[command(flatten)]
    surroundings: Surroundings,
}

impl Run {
    pub(super) fn json(&self) -> bool {
        self.surroundings.json()
    }

    pub(super) fn stack(&self) -> usize {
        self.surroundings.stack()
    }

    pub(super) fn main(self) -> Result<(), Failure> {
        let opened = Opened::at(&self.script, self.inputs.as_deref());
        let opened = opened.map_err(|error| unopened(&self.script, error))?;
        let lock = match self.locked && opened.lock.is_none() {
            true => Some(Lock::read(&self.script).map_err(Failure::Failed)?),
            false => None,
        };
        let surroundings = self.surroundings.or_parameters(&opened.parameters);
        let extent = extent(self.dry_run, self.shard);
        if self.dry_run {
            return dry(&opened, surroundings, lock);
        }
        study(&opened, self.out, surroundings, (lock, extent))?;
        Ok(())
    }
}

/// Why a study cannot be opened.
pub(super) fn unopened(script: &Path, error: Error) -> Failure {
    match is_pack(script) {
        true => Failure::Failed(error),
        false => Diagnostic::of(display(script), error).into(),
    }
}

/// Runs a study into `out`, by default a new folder in `runs`; held to `lock`, where it has none of
/// its own.
pub(super) fn study(
    opened: &Opened,
    out: Option<PathBuf>,
    surroundings: Surroundings,
    (lock, extent): (Option<Lock>, Extent),
) -> Result<Kept, Failure> {
    let (source, text) = (opened.source.as_str(), opened.text.as_str());
    let unsaved = |error: Error| Failure::from(Diagnostic::of(source, error));
    let Begun {
        session,
        journal,
        mut record,
    } = begin(opened, surroundings, (lock, extent))?;
    let folder = out.unwrap_or_else(|| record.folder());
    session.set_write_folder(&folder);
    let filled = is_filled(&folder).map_err(unsaved)?;
    let _claim = Claim::of(&folder).map_err(unsaved)?;
    if Kept::is_at(&folder) {
        let before = Kept::open(&folder).map_err(unsaved)?;
        goes_on(&mut record, &before).map_err(unsaved)?;
        session.own(&folder);
    } else if filled {
        free_of_records(&folder, text).map_err(unsaved)?;
    } else {
        session.own(&folder);
    }
    record.save(&folder).map_err(unsaved)?;
    write_atomic(&folder.join(SCRIPT), text.as_bytes()).map_err(unsaved)?;
    let log = folder.join("log.txt");
    session.keep_output(&log).map_err(unsaved)?;
    if let Some(store) = session.context().store()
        && let Err(error) = store.note_run(&folder)
    {
        session.context().tell_unkept(&error);
    }
    journal.open(&folder).map_err(unsaved)?;
    let outcome = execute(source, text, &session);
    // The record of what the script did is no longer its own doing.
    disk::limit(None);
    let outcome = outcome.and_then(|()| {
        journal
            .sound()
            .map_err(|e| Diagnostic::of(source, e).into())
    });
    describe(&mut record, &session);
    record.found = journal.found();
    record.end(outcome.as_ref().map(|_| ()).map_err(|d| &d.error));
    let left = session.context().plan().left();
    if record.status == Status::Done && left != Left::default() {
        record.status = Status::Pending;
    }
    record.save(&folder).map_err(unsaved)?;
    let run = Kept { folder, record };
    write_page(&run).map_err(unsaved)?;
    if let Extent::Shard(shard) = extent {
        session.notice(format!("shard {shard}: {}", told(&left)));
    }
    let folder = run.folder.display();
    session.notice(match run.record.status {
        Status::Interrupted => {
            format!("the run is in {folder}; the same command goes on from what is finished")
        }
        _ => format!("the run is in {folder}"),
    });
    waits(&session, &outcome);
    outcome.or_else(unless_pending)?;
    Ok(run)
}

/// Takes the place of an earlier run of the study in the same folder. What that one used is this
/// one's to use, and stays in the store meanwhile.
fn goes_on(record: &mut Record, before: &Kept) -> Result<(), Error> {
    if before.record.script != record.script && before.record.name != record.name {
        let folder = before.folder.display();
        return Err(Error::new(format!(
            "{folder} holds a run of {}, which would be lost",
            before.record.script
        ))
        .hint("choose another folder: --out FOLDER"));
    }
    record.store = before.record.store.clone();
    Ok(())
}

/// An error where the record of a run would take the place of a file in its folder, which no run
/// has written.
fn free_of_records(folder: &Path, script: &str) -> Result<(), Error> {
    let lost = |name: &&&str| {
        let path = folder.join(name);
        let same = || std::fs::read_to_string(&path).is_ok_and(|text| text == script);
        path.exists() && !(**name == SCRIPT && same())
    };
    let there = OWN_FILES.iter().find(lost);
    match there {
        None => Ok(()),
        Some(name) => Err(Error::at_path(
            &folder.join(name),
            "is there already, and is no record of a run",
        )
        .hint("choose another folder: --out FOLDER")),
    }
}

/// What a run computes.
fn extent(dry: bool, shard: Option<Shard>) -> Extent {
    match shard {
        _ if dry => Extent::Nothing,
        Some(shard) => Extent::Shard(shard),
        None => Extent::All,
    }
}

/// Tells what a run of a study has left to compute, and what that takes.
fn dry(opened: &Opened, surroundings: Surroundings, lock: Option<Lock>) -> Result<(), Failure> {
    let Begun { session, .. } = begin(opened, surroundings, (lock, Extent::Nothing))?;
    let failed = |error: std::io::Error| Failure::Failed(Error::new(error.to_string()));
    // What is known already may be saved by the script.
    let aside = tempfile::tempdir().map_err(failed)?;
    session.set_write_folder(aside.path());
    session.own(aside.path());
    let outcome = execute(&opened.source, &opened.text, &session);
    session.notice(format!(
        "dry run: {}",
        told(&session.context().plan().left())
    ));
    waits(&session, &outcome);
    outcome.or_else(unless_pending)?;
    Ok(())
}

/// A study that is about to run.
struct Begun {
    session: Session,
    journal: Arc<Journal>,
    record: Record,
}

/// Checks a study and makes what it runs in.
fn begin(
    opened: &Opened,
    surroundings: Surroundings,
    (lock, extent): (Option<Lock>, Extent),
) -> Result<Begun, Failure> {
    let (source, text) = (opened.source.as_str(), opened.text.as_str());
    let lock = opened.lock.clone().or(lock);
    let journal = Arc::new(Journal::default());
    let device = surroundings.device().to_string();
    let session = surroundings
        .session_with(opened.mode(), PathBuf::new(), |setup| {
            setup.lock = lock.clone();
            setup.extent = extent;
            setup.journal = Some(journal.clone());
            opened.seal(setup);
        })
        .map_err(Failure::Command)?;
    if extent != Extent::All && session.context().store().is_none() {
        let error = Error::new("--no-store: shards and dry runs go by what the store has");
        return Err(Failure::Command(error));
    }
    known_parameters(text, &session).map_err(Failure::Command)?;
    let mut record = Record::begin(&opened.named, text, session.setup().params.clone());
    record.arguments = std::env::args().skip(1).collect();
    if device != "cpu" {
        record.class = CUDA.to_string();
        record.driver = driver();
    }
    record.device = device;
    if let Some(lock) = &lock {
        let checked = lock.check_script(&record.script_hash);
        checked.map_err(|error| Failure::from(Diagnostic::of(source, error)))?;
    }
    checked(&session, source, text)?;
    Ok(Begun {
        session,
        journal,
        record,
    })
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
                session.notice(format!("if the script gets there: {}", finding.diagnostic));
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
    record.models = session.models();
    let on_a_gpu = |how: &String| !how.starts_with("cpu ");
    if record.driver.is_none() && record.models.values().flatten().any(on_a_gpu) {
        record.driver = driver();
    }
    record.store = session
        .context()
        .store()
        .map(Store::used)
        .unwrap_or_default();
    record.imports = session
        .imports()
        .into_iter()
        .map(|import| (import.name, import.hash))
        .collect();
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
