//! `tureen models` and `tureen datasets`: what is at hand without a download.

use clap::Args;
use serde_json::json;

use super::{Failure, screen};
use crate::Result;
use crate::data::bundled;
use crate::hub::{AtHand, Hub, Kind};
use crate::model::bundled as carried;
use crate::report::table::{Table, Value};
use crate::study::size::bytes as shown;

/// List the models and adapters that are at hand: those of the binary, those in the hub's cache.
#[derive(Debug, Args)]
pub(super) struct Models {
    /// Print them as JSON, one a line.
    #[arg(long)]
    json: bool,
}

/// List the datasets that are at hand: those of the binary, those in the hub's cache.
#[derive(Debug, Args)]
pub(super) struct Datasets {
    /// Print them as JSON, one a line.
    #[arg(long)]
    json: bool,
}

impl Models {
    pub(super) fn main(self) -> Result<(), Failure> {
        let mini = Line {
            name: carried::NAME.to_string(),
            what: format!("model: {}", carried::DESCRIPTION),
            bytes: carried::mini().weights.len() as u64,
            origin: format!("the binary, {}", carried::LICENCE),
            commit: None,
        };
        let cached = Hub::from_env().at_hand(Kind::Model);
        let cached = cached
            .iter()
            .map(|one| Line::cached("", one, model_or_adapter(one)));
        print([mini].into_iter().chain(cached).collect(), self.json).map_err(Failure::Failed)
    }
}

impl Datasets {
    pub(super) fn main(self) -> Result<(), Failure> {
        let own = bundled::all().iter().map(|one| Line {
            name: one.name.to_string(),
            what: one.description.to_string(),
            bytes: one.bytes(),
            origin: format!("the binary, {}", one.licence),
            commit: None,
        });
        let cached = Hub::from_env().at_hand(Kind::Dataset);
        let cached = cached.iter().map(|one| {
            let files = match one.files.len() {
                1 => "1 file".to_string(),
                n => format!("{n} files"),
            };
            Line::cached("hub:", one, files)
        });
        print(own.chain(cached).collect(), self.json).map_err(Failure::Failed)
    }
}

/// Something at hand.
struct Line {
    /// What a script asks for it by.
    name: String,
    what: String,
    bytes: u64,
    origin: String,
    commit: Option<String>,
}

impl Line {
    fn cached(prefix: &str, one: &AtHand, what: String) -> Self {
        // What no branch or tag stands for is asked for by its commit.
        let revision = match one.revisions.iter().any(|r| r == "main") {
            true => String::new(),
            false => format!("@{}", one.revisions.first().unwrap_or(&one.commit)),
        };
        Self {
            name: format!("{prefix}{}{revision}", one.name),
            what,
            bytes: one.bytes,
            origin: "the hub's cache".into(),
            commit: Some(one.commit.clone()),
        }
    }
}

/// What a repository of the cache is, by its files.
fn model_or_adapter(one: &AtHand) -> String {
    let is = |file: &str| {
        one.files
            .iter()
            .any(|own| own.rsplit('/').next() == Some(file))
    };
    let config = |file: &str, key: &str| -> Option<String> {
        let text = std::fs::read_to_string(one.folder.join(file)).ok()?;
        let config: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some(config.get(key)?.as_str()?.to_string())
    };
    if is("adapter_config.json") {
        let of = config("adapter_config.json", "base_model_name_or_path")
            .or_else(|| config("adapter_config.json", "model_name"));
        return match of {
            Some(of) => format!("adapter of {of}"),
            None => "adapter".into(),
        };
    }
    match (is("config.json"), config("config.json", "model_type")) {
        (_, Some(kind)) => format!("model: {kind}"),
        (true, None) => "model".into(),
        (false, None) => "neither a model nor an adapter".into(),
    }
}

fn print(lines: Vec<Line>, as_json: bool) -> Result<()> {
    if as_json {
        for line in &lines {
            let object = json!({
                "name": line.name,
                "what": line.what,
                "bytes": line.bytes,
                "from": line.origin,
                "commit": line.commit,
            });
            crate::say!("{object}");
        }
        return Ok(());
    }
    let column = |of: &dyn Fn(&Line) -> String| {
        let cells = lines.iter().map(|line| Value::text(of(line)));
        cells.collect::<Vec<_>>()
    };
    let table = Table::from_columns([
        ("name", column(&|line| line.name.clone())),
        ("what", column(&|line| line.what.clone())),
        ("size", column(&|line| shown(line.bytes))),
        ("from", column(&|line| line.origin.clone())),
    ])?;
    crate::say!("{}", table.fitted(screen::screen().width));
    Ok(())
}
