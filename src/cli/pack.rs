//! `tureen pack study.rhai`: a study in one file.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, lock, runs, surroundings};
use crate::adapter::formats::refused;
use crate::data::bundled;
use crate::model::BUNDLED;
use crate::report::table::{Table, Value};
use crate::script::is_standard_module;
use crate::study::pack::{ENDING, LeftOut, Pack, Packed, Packing, is_pack};
use crate::study::size::{bytes, read_bytes};
use crate::study::{Lock, Run};
use crate::{Error, Result, bail};

/// Make one file of a study that runs anywhere: script, modules, lock, small inputs, a run.
///
/// `tureen run study.tureen` runs it as that run was run, `tureen reproduce study.tureen` compares
/// with what that run recorded. The same contents give the same bytes.
#[derive(Debug, Args)]
pub(super) struct PackCommand {
    /// The script.
    script: PathBuf,
    /// The archive to write (default: beside the script, as NAME.tureen).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The run whose records go in (default: the last one of this script that is done,
    /// reproductions aside).
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// The folder that holds the runs.
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    folder: PathBuf,
    /// The largest input, and the largest file of the run, that goes in: 500kB, 1GB.
    #[arg(long, default_value = "10MB", value_name = "SIZE")]
    limit: String,
    /// Overwrite a file that is there already and is no archive of this script.
    #[arg(long)]
    force: bool,
}

impl PackCommand {
    pub(super) fn main(self) -> Result<(), Failure> {
        let limit = read_bytes(&self.limit).map_err(Failure::Command)?;
        let script = &self.script;
        let out = self.out.clone();
        let out = out.unwrap_or_else(|| script.with_extension(ENDING));
        if !is_pack(&out) {
            let error = Error::new(format!(
                "--out {}: expected a name that ends in .{ENDING}",
                out.display()
            ));
            return Err(Failure::Command(
                error.hint("run and reproduce know an archive by it"),
            ));
        }
        self.pack(limit, &out).map_err(Failure::Failed)
    }

    fn pack(&self, limit: u64, out: &std::path::Path) -> Result<()> {
        if is_pack(&self.script) {
            bail!("{} is an archive already", self.script.display(); hint: "pack takes a script");
        }
        let run = lock::chosen(&self.script, self.run.as_deref(), &self.folder)?;
        let lock = self.lock(&run)?;
        if !self.force && out.exists() {
            self.replaces(out)?;
        }
        let packed = Packing {
            script: &self.script,
            run: &run,
            lock: &lock,
            limit,
            module_path: &surroundings::module_path(),
            carried: &carried,
        }
        .write(out)?;
        tell(&packed, &run, out)
    }

    /// An error unless the file is an archive of a script of the same name.
    fn replaces(&self, out: &std::path::Path) -> Result<()> {
        let name = |path: &std::path::Path| path.file_name().map(std::ffi::OsStr::to_os_string);
        match Pack::open(out) {
            Ok(pack) if name(pack.manifest().script.as_ref()) == name(&self.script) => Ok(()),
            Ok(pack) => {
                let other = &pack.manifest().script;
                Err(refused(out, &format!("is an archive of {other}")))
            }
            Err(_) => Err(refused(out, "is there already, and is no archive")),
        }
    }

    /// The lock beside the script, if it is that of the run; else what the run read.
    fn lock(&self, run: &Run) -> Result<Lock> {
        let read = Lock::of(&run.record);
        if !Lock::path(&self.script).exists() {
            return Ok(read);
        }
        let lock = Lock::read(&self.script)?;
        let script = self.script.display();
        lock.agrees(&read).map_err(|error| {
            Error::new(format!(
                "the lock is not that of {}: {}",
                run.name(),
                error.message()
            ))
            .hint(format!(
                "tureen lock {script} pins that run, or --run names another"
            ))
        })?;
        Ok(lock)
    }
}

/// Whether a module, model or dataset comes with the program.
fn carried(kind: &str, name: &str) -> bool {
    match kind {
        "module" => is_standard_module(name),
        "model" => BUNDLED.contains(&name),
        "dataset" => bundled::names().any(|known| known == name),
        _ => false,
    }
}

fn tell(packed: &Packed, run: &Run, out: &std::path::Path) -> Result<()> {
    let manifest = &packed.manifest;
    crate::say!(
        "{}: {} files, {}, id {}",
        out.display(),
        manifest.files.len(),
        bytes(packed.bytes),
        packed.id.short()
    );
    let parameters = runs::parameters(&run.record);
    let given = match parameters.as_str() {
        "" => String::new(),
        given => format!(" ({given})"),
    };
    crate::say!("with the run {}{given}", run.name());
    if manifest.left_out.is_empty() {
        return Ok(());
    }
    crate::say!("left out:");
    let column = |of: &dyn Fn(&LeftOut) -> String| {
        let cells = manifest.left_out.iter().map(|left| Value::text(of(left)));
        cells.collect::<Vec<_>>()
    };
    let table = Table::from_columns([
        ("what", column(&|left| left.what.clone())),
        (
            "size",
            column(&|left| left.bytes.map(bytes).unwrap_or_default()),
        ),
        ("id", column(&|left| left.id.chars().take(8).collect())),
        ("why", column(&|left| left.why.clone())),
    ])?;
    crate::say!("{}", table.fitted(super::screen::screen().width));
    Ok(())
}
