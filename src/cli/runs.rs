//! `tureen runs`: the runs of a folder.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, screen};
use crate::report::table::{Table, Value};
use crate::study::{Record, Run, SCHEMA, Status};
use crate::{Error, Result};

/// List runs, or show one.
#[derive(Debug, Args)]
pub(super) struct Runs {
    /// Show this one: its folder, its name, or the beginning or end of that.
    run: Option<String>,
    /// The folder that holds the runs.
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    folder: PathBuf,
    /// Only runs of studies whose name or script has this in it.
    #[arg(long, value_name = "NAME")]
    study: Option<String>,
    /// Only runs that stand so: running, done, failed, interrupted, pending.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Print the records as JSON, one a line.
    #[arg(long)]
    json: bool,
    /// Print nothing but the folders, one a line, for a shell: `cd $(tureen runs NAME --path)`.
    #[arg(long, conflicts_with = "json")]
    path: bool,
    /// Print the JSON schema of run.json and nothing else.
    #[arg(long, conflicts_with_all = ["json", "path", "run"])]
    schema: bool,
}

impl Runs {
    pub(super) fn main(self) -> Result<(), Failure> {
        if let Some(status) = &self.status
            && status.parse::<Status>().is_err()
        {
            let error = Error::new(format!("--status {status}: there is no such status"))
                .hint("running, done, failed, interrupted or pending");
            return Err(Failure::Command(error));
        }
        if self.schema {
            crate::say!("{}", SCHEMA.trim_end());
            return Ok(());
        }
        match &self.run {
            Some(name) => {
                let run = Run::find(name, &self.folder).map_err(Failure::Failed)?;
                self.show(&run)
            }
            None => self.list(),
        }
        .map_err(Failure::Failed)
    }

    fn list(&self) -> Result<()> {
        let runs = Run::all(&self.folder)?;
        let runs: Vec<Run> = runs.into_iter().filter(|run| self.wants(run)).collect();
        if self.json || self.path {
            for run in &runs {
                match self.path {
                    true => crate::say!("{}", run.folder.display()),
                    false => crate::say!("{}", json(run)?),
                }
            }
            return Ok(());
        }
        if runs.is_empty() {
            let such = match self.study.is_some() || self.status.is_some() {
                true => "no such runs",
                false => "no runs",
            };
            crate::tell!("{such} in {}", self.folder.display());
            return Ok(());
        }
        let column = |of: &dyn Fn(&Run) -> String| {
            runs.iter()
                .map(|run| Value::text(of(run)))
                .collect::<Vec<_>>()
        };
        let table = Table::from_columns([
            ("run", column(&Run::name)),
            ("status", column(&|run| run.status().to_string())),
            ("seconds", column(&|run| seconds(&run.record))),
            ("seed", column(&|run| run.record.seed.to_string())),
            ("parameters", column(&|run| parameters(&run.record))),
            ("recorded", column(&|run| recorded(&run.record))),
        ])?;
        crate::say!("{}", table.fitted(screen::screen().width));
        Ok(())
    }

    fn wants(&self, run: &Run) -> bool {
        let names = [&run.record.name, &run.record.script];
        let study = self.study.as_ref();
        let study = study.is_none_or(|part| names.iter().any(|name| name.contains(part.as_str())));
        let status = self.status.as_ref();
        study && status.is_none_or(|status| *status == run.status().to_string())
    }

    fn show(&self, run: &Run) -> Result<()> {
        let record = &run.record;
        if self.path {
            crate::say!("{}", run.folder.display());
            return Ok(());
        }
        if self.json {
            crate::say!("{}", json(run)?);
            return Ok(());
        }
        let mut lines = vec![
            ("run", run.folder.display().to_string()),
            ("status", run.status().to_string()),
            ("study", record.name.clone()),
        ];
        lines.extend(
            record
                .question
                .clone()
                .map(|question| ("question", question)),
        );
        lines.extend(record.error.clone().map(|error| ("error", error)));
        lines.push(("script", record.script.clone()));
        lines.push(("parameters", parameters(record)));
        lines.push(("seed", record.seed.to_string()));
        lines.push((
            "started",
            format!("{}, {} s", record.started, seconds(record)),
        ));
        lines.push((
            "computed by",
            format!(
                "tureen {}, {}, {} threads",
                record.version, record.class, record.threads
            ),
        ));
        for (name, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
            crate::say!("{name:<11}  {text}");
        }
        for (name, value) in &record.recorded {
            crate::say!("{name} = {value}");
        }
        Ok(())
    }
}

fn json(run: &Run) -> Result<String> {
    let record = Record {
        status: run.status(),
        ..run.record.clone()
    };
    serde_json::to_string(&record).map_err(|error| Error::new(error.to_string()))
}

/// The parameters of a run as they are given on the command line.
pub(super) fn parameters(record: &Record) -> String {
    let pairs = record.parameters.iter();
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join(" ")
}

fn recorded(record: &Record) -> String {
    let names: Vec<&str> = record.recorded.keys().map(String::as_str).collect();
    names.join(", ")
}

/// How long the run took; empty while it goes on.
fn seconds(record: &Record) -> String {
    let ended = record.ended.as_ref().and_then(|ended| ended.parse().ok());
    let began = record.started.parse::<jiff::Timestamp>().ok();
    match (began, ended) {
        (Some(began), Some(ended)) => {
            let ended: jiff::Timestamp = ended;
            (ended.as_second() - began.as_second()).to_string()
        }
        _ => String::new(),
    }
}
