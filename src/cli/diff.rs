//! `tureen diff A B`: two runs side by side.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, screen};
use crate::Result;
use crate::report::table::{Table, Value};
use crate::study::{Comparison, Difference, Run, Status, Verdict};

/// Compare two runs: what went in, what was recorded.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// A run: its folder, its name, or the beginning or end of that.
    first: String,
    /// Another.
    second: String,
    /// The folder that holds the runs.
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    folder: PathBuf,
    /// Show what is the same, too.
    #[arg(long)]
    all: bool,
}

impl Diff {
    pub(super) fn main(self) -> Result<(), Failure> {
        self.compare().map_err(Failure::Failed)
    }

    fn compare(&self) -> Result<()> {
        let first = Run::find(&self.first, &self.folder)?;
        let second = Run::find(&self.second, &self.folder)?;
        for run in [&first, &second] {
            if run.record.status != Status::Done {
                let why = run.record.error.as_deref();
                let why = why.and_then(|e| e.lines().next()).unwrap_or_default();
                crate::say!("{} is {} {why}", run.record.name, run.record.status);
            }
        }
        let both = Comparison::of(&first.record, &second.record, 0.0);
        print("given", &both.given, self.all)?;
        crate::say!();
        print("recorded", &both.found, self.all)
    }
}

/// Prints what differs, or all, as a table; counts the rest.
pub(super) fn print(title: &str, compared: &[Difference], all: bool) -> Result<()> {
    let shown: Vec<&Difference> = compared
        .iter()
        .filter(|d| all || d.verdict != Verdict::Same)
        .collect();
    let same = compared.iter().filter(|d| d.verdict == Verdict::Same);
    let same = same.count();
    crate::say!("{title}: {same} the same, {} not", compared.len() - same);
    if shown.is_empty() {
        return Ok(());
    }
    let column = |of: &dyn Fn(&Difference) -> Value| shown.iter().map(|d| of(d)).collect();
    let text = |text: &Option<String>| text.as_ref().map_or(Value::Null, Value::text);
    let table = Table::from_columns([
        (title, column(&|d| Value::text(&d.what))),
        ("first", column(&|d| text(&d.first))),
        ("second", column(&|d| text(&d.second))),
        (
            "difference",
            column(&|d| match d.verdict {
                Verdict::Near(by) | Verdict::Differs(Some(by)) => Value::Float(by),
                _ => Value::Null,
            }),
        ),
    ])?;
    crate::say!("{}", table.fitted(screen::screen().width));
    Ok(())
}
