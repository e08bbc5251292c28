//! The record of a run: what was run, with what, and what it found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::write_atomic;
use super::id::Id;
use crate::text::unmarked_bytes;
use crate::{Error, Result};

/// What a run itself writes into its folder, and a script cannot.
pub const OWN_FILES: [&str; 6] = [
    "log.txt",
    "metrics.jsonl",
    "recipes.jsonl",
    "report.html",
    "run.json",
    SCRIPT,
];

/// What a run's folder calls the script as it was run.
pub const SCRIPT: &str = "script.rhai";

/// The JSON schema of `run.json`.
pub const SCHEMA: &str = include_str!("run.schema.json");

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Begun, or ended without a word.
    Running,
    /// Ended as it should.
    Done,
    /// Ended by an error.
    Failed,
    /// Stopped by the user, or by a limit of what it may take.
    Interrupted,
    /// Ended as far as it goes without what it leaves to others.
    Pending,
}

impl Status {
    const ALL: [(&str, Self); 5] = [
        ("running", Self::Running),
        ("done", Self::Done),
        ("failed", Self::Failed),
        ("interrupted", Self::Interrupted),
        ("pending", Self::Pending),
    ];
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Self::ALL[*self as usize].0)
    }
}

impl std::str::FromStr for Status {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        crate::stats::choose("status", name, &Self::ALL)
    }
}

/// What `run.json` holds. [`SCHEMA`] describes it for other programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The layout of the file: 1.
    #[serde(default = "layout")]
    pub run: u32,
    /// How the run stands.
    pub status: Status,
    /// The study's name: the script's, unless the script gives one.
    pub name: String,
    /// The question the study asks, if it says.
    pub question: Option<String>,
    /// The script's path as it was given.
    pub script: String,
    /// The hash of the script's text.
    pub script_hash: String,
    /// Hashes of imported modules, by path.
    pub imports: BTreeMap<String, String>,
    /// Ids of what the script read, by kind and name.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// The ids of what the run took from the store or put there.
    #[serde(default)]
    pub store: BTreeSet<Id>,
    /// Those of them that the store had already: trainings and evaluations that were not computed.
    #[serde(default)]
    pub found: BTreeSet<Id>,
    /// The parameters that the script asked for, with their values, given or default.
    pub parameters: BTreeMap<String, String>,
    /// The study's seed.
    pub seed: u64,
    /// What the script recorded, by name.
    pub recorded: BTreeMap<String, Value>,
    /// The version of the program.
    pub version: String,
    /// The command line, after the program's name.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Where tensors lived: `cpu`, `cuda:0`.
    #[serde(default = "cpu")]
    pub device: String,
    /// The version of the driver of the GPU that computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// How models computed, by name: device and precision.
    #[serde(default)]
    pub models: BTreeMap<String, BTreeSet<String>>,
    /// The class of kernels that computed.
    pub class: String,
    /// Threads that computed.
    pub threads: usize,
    /// When it began and, once it has, ended; UTC.
    pub started: String,
    /// When it ended.
    pub ended: Option<String>,
    /// The error that ended it.
    pub error: Option<String>,
}

impl Record {
    /// Whether it is another run made again, to compare the two.
    pub fn is_reproduction(&self) -> bool {
        self.arguments
            .first()
            .is_some_and(|first| first == "reproduce")
    }

    /// The record of a run of this script that begins now.
    pub fn begin(script: &Path, text: &str, parameters: BTreeMap<String, String>) -> Self {
        Self {
            run: layout(),
            status: Status::Running,
            name: stem(script),
            question: None,
            script: script.display().to_string(),
            script_hash: script_hash(text.as_bytes()),
            imports: BTreeMap::new(),
            inputs: BTreeMap::new(),
            store: BTreeSet::new(),
            found: BTreeSet::new(),
            parameters,
            seed: 0,
            recorded: BTreeMap::new(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            arguments: Vec::new(),
            device: cpu(),
            driver: None,
            models: BTreeMap::new(),
            class: crate::compute::class().to_string(),
            threads: rayon::current_num_threads(),
            started: now(),
            ended: None,
            error: None,
        }
    }

    /// Ends the run; an interruption is an end of its own kind.
    pub fn end(&mut self, outcome: std::result::Result<(), &Error>) {
        self.ended = Some(now());
        (self.status, self.error) = match outcome {
            Ok(()) => (Status::Done, None),
            Err(error) if error.kind() == crate::Kind::Interrupted => (Status::Interrupted, None),
            Err(error) if error.kind() == crate::Kind::Pending => (Status::Pending, None),
            // What was finished is kept: with more room the run goes on from there.
            Err(error) if error.kind() == crate::Kind::Limit => {
                (Status::Interrupted, Some(error.to_string()))
            }
            Err(error) => (Status::Failed, Some(error.to_string())),
        };
    }

    /// Writes `run.json` to the run's folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).map_err(|e| Error::new(e.to_string()))?;
        text.push('\n');
        write_atomic(&folder.join("run.json"), text.as_bytes())
    }

    /// The folder of a run by default: `runs/NAME-TIME-ID`.
    pub fn folder(&self) -> PathBuf {
        let time: String = self
            .started
            .chars()
            .filter(char::is_ascii_digit)
            .take(14)
            .collect();
        let key = serde_json::json!([self.script_hash, self.started, std::process::id()]);
        let id = Id::of_recipe("run/1", &key);
        Path::new("runs").join(format!("{}-{time}-{}", self.name, &id.as_str()[..6]))
    }
}

/// The hash of a script's text, a byte-order mark in front aside.
pub fn script_hash(text: &[u8]) -> String {
    Id::of_content("script", unmarked_bytes(text))
        .as_str()
        .to_string()
}

fn layout() -> u32 {
    1
}

fn cpu() -> String {
    "cpu".to_string()
}

fn stem(script: &Path) -> String {
    script
        .file_stem()
        .map_or("study".into(), |s| s.to_string_lossy().into_owned())
}

fn now() -> String {
    Timestamp::now()
        .round(jiff::Unit::Second)
        .unwrap_or_else(|_| Timestamp::now())
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::begin(Path::new("a/study.rhai"), "1 + 1", BTreeMap::new());
        assert!(record.folder().to_string_lossy().contains("study-20"));
        record.end(Err(&Error::interrupted()));
        record.save(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("run.json")).unwrap();
        let back: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (back.status, back.name.as_str()),
            (Status::Interrupted, "study")
        );
    }
}
