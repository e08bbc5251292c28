//! `tureen why RUN NAME`: where a value comes from, and why it was computed or not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, screen};
use crate::Result;
use crate::report::table::{Table, Value};
use crate::study::size::bytes as shown;
use crate::study::{Comparison, Difference, Id, Made, Part, Recipes, Run, Store, Verdict};

/// Say where a value of a run comes from, and why it was computed or taken from the store.
///
/// Prints its recipe as a tree with ids, what the store had, and in what it differs from the value
/// of the same name in an earlier run: settings, inputs, versions, code.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// The run: its folder, its name, or the beginning or end of that.
    run: String,
    /// A recorded name, a saved table's file, an adapter, "ADAPTER on DATASET", or the beginning
    /// of an id.
    name: String,
    /// The run to compare with (default: the one before it of the same study that made a value
    /// of this name).
    #[arg(long, value_name = "RUN")]
    against: Option<String>,
    /// The folder that holds the runs.
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    folder: PathBuf,
}

/// A run with its recipes.
struct Known {
    run: Run,
    recipes: Recipes,
}

impl Known {
    fn of(run: Run) -> Result<Self> {
        let recipes = Recipes::read(&run.folder)?;
        Ok(Self { run, recipes })
    }

    /// The run that is called so, or the one in an archive.
    fn named(name: &str, folder: &Path) -> Result<Self> {
        let (run, recipes) = Run::with_recipes(name, folder)?;
        Ok(Self { run, recipes })
    }

    /// How the run came by a result; none for what is no result.
    fn how(&self, made: &Made) -> Option<&'static str> {
        let id = Id::read(&made.id).filter(|_| made.is_result())?;
        Some(match self.run.record.found.contains(&id) {
            true => "from the store",
            false => "computed",
        })
    }
}

impl Why {
    pub(super) fn main(self) -> Result<(), Failure> {
        self.tell().map_err(Failure::Failed)
    }

    fn tell(&self) -> Result<()> {
        let known = Known::named(&self.run, &self.folder)?;
        let found = known.recipes.find(&self.name)?;
        let [made] = found.as_slice() else {
            return several(&known, &self.name, &found);
        };
        let earlier = match &self.against {
            Some(name) => vec![Known::named(name, &self.folder)?],
            None => self.earlier(&known, made)?,
        };
        match made.is_result() {
            true => self.result(&known, made, &earlier)?,
            false => self.value(&known, made, &earlier)?,
        }
        crate::say!();
        let note = |made: &Made| known.how(made).map(str::to_string);
        for line in known.recipes.tree(made, &note) {
            crate::say!("{line}");
        }
        Ok(())
    }

    /// Earlier runs of the same study that made a value of this name, the latest first.
    fn earlier(&self, known: &Known, made: &Made) -> Result<Vec<Known>> {
        let own = &known.run.record;
        let runs = Run::all(&self.folder)?;
        let same = |run: &Run| run.record.name == own.name || run.record.script == own.script;
        let place = runs
            .iter()
            .position(|run| run.record.started == own.started && run.name() == known.run.name());
        let before = runs.into_iter().take(place.unwrap_or(0)).rev();
        let read = before.filter(same).filter_map(|run| Known::of(run).ok());
        Ok(read
            .filter(|other| known.recipes.counterpart(made, &other.recipes).is_some())
            .collect())
    }

    /// Why a training or an evaluation was computed, or was not.
    fn result(&self, known: &Known, made: &Made, earlier: &[Known]) -> Result<()> {
        let how = known.how(made).unwrap_or_default();
        let what = format!("{} {}", made.name, made.short());
        let same = |other: &&Known| other.recipes.get(&made.id).is_some();
        let with_same = earlier.iter().find(same);
        let reason = match (how, with_same) {
            ("from the store", Some(other)) => format!(
                "taken from the store: its recipe is that of {}, where it was {}",
                other.run.name(),
                match other.how(made) {
                    Some("computed") => "computed",
                    _ => "in the store too",
                }
            ),
            ("from the store", None) => {
                "taken from the store: a run that is not listed here had computed the same recipe"
                    .into()
            }
            (_, with_same) if !used_store(known, made) => match with_same {
                Some(other) => format!(
                    "computed, because the run used no store; {} had the same recipe",
                    other.run.name()
                ),
                None => "computed; the run used no store".into(),
            },
            (_, Some(other)) => format!(
                "computed, though its recipe is that of {}: the store did not have it",
                other.run.name()
            ),
            (_, None) => "computed: the store had no result of this recipe".into(),
        };
        crate::say!("{what} was {reason}");
        match earlier.first() {
            Some(other) if with_same.is_none() => {
                crate::say!("that of {} differs:", other.run.name());
                differs(known, made, other)?;
            }
            None => crate::say!("no earlier run here made a value of this name"),
            Some(_) => {}
        }
        crate::say!("{}", in_store(made)?);
        Ok(())
    }

    /// What a value that is no result stands on, and what changed in it.
    fn value(&self, known: &Known, made: &Made, earlier: &[Known]) -> Result<()> {
        let before = known.recipes.before(made);
        let kept = matches!(made.made.as_str(), "record" | "table");
        if kept {
            let computed = before.iter().filter(|m| known.how(m) == Some("computed"));
            crate::say!(
                "{} {}: a {} that {} made after {} trainings, evaluations and attacks, {} of them computed in this run",
                made.name,
                made.short(),
                made.made,
                known.run.record.script,
                before.len(),
                computed.count()
            );
        }
        let Some(other) = earlier.first() else {
            crate::say!("no earlier run here made a value of this name");
            return Ok(());
        };
        let theirs = known.recipes.counterpart(made, &other.recipes);
        match theirs.is_some_and(|theirs| theirs.id == made.id) {
            true => crate::say!("it is the same in {}", other.run.name()),
            false => crate::say!("it is another in {}", other.run.name()),
        }
        if kept {
            let mut parts = BTreeSet::new();
            for result in before {
                if let Some(theirs) = known.recipes.counterpart(result, &other.recipes) {
                    parts.extend(known.recipes.differences(result, &other.recipes, theirs));
                }
            }
            print(parts.into_iter().collect(), known, other)?;
            given(known, other)
        } else {
            differs(known, made, other)
        }
    }
}

/// Several values have the name: what to ask for instead.
fn several(known: &Known, name: &str, found: &[&Made]) -> Result<()> {
    crate::say!(
        "{name} means {} values; ask for one by its id:",
        found.len()
    );
    let column = |of: &dyn Fn(&Made) -> String| {
        let cells = found.iter().map(|made| Value::text(of(made)));
        cells.collect::<Vec<_>>()
    };
    let table = Table::from_columns([
        ("id", column(&|made| made.short().to_string())),
        ("name", column(&|made| made.name.clone())),
        ("made by", column(&|made| made.made.clone())),
        (
            "how",
            column(&|made| known.how(made).unwrap_or_default().to_string()),
        ),
        ("differs", column(&|made| apart(made, found))),
    ])?;
    crate::say!("{}", table.fitted(screen::screen().width));
    Ok(())
}

/// The settings in which a value differs from others of its name.
fn apart(made: &Made, all: &[&Made]) -> String {
    let differs = |name: &&String| {
        all.iter()
            .any(|other| other.with.get(*name) != made.with.get(*name))
    };
    let told = made.with.keys().filter(differs);
    let told = told.map(|name| format!("{name} {}", made.with[name]));
    told.collect::<Vec<_>>().join(", ")
}

fn differs(known: &Known, made: &Made, other: &Known) -> Result<()> {
    if let Some(theirs) = known.recipes.counterpart(made, &other.recipes) {
        let parts = known.recipes.differences(made, &other.recipes, theirs);
        print(parts, known, other)?;
    }
    given(known, other)
}

/// Prints what differs, as a table.
fn print(parts: Vec<Part>, known: &Known, other: &Known) -> Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    let column = |of: &dyn Fn(&Part) -> String| {
        let cells = parts.iter().map(|part| Value::text(of(part)));
        cells.collect::<Vec<_>>()
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (first, second) = (known.run.name(), other.run.name());
    let table = Table::from_columns([
        ("of", column(&|part| part.of.clone())),
        (
            "what",
            column(&|part| format!("{} {}", part.kind, part.name).trim().to_string()),
        ),
        (first.as_str(), column(&|part| text(&part.first))),
        (second.as_str(), column(&|part| text(&part.second))),
    ])?;
    crate::say!("{}", table.fitted(screen::screen().width));
    Ok(())
}

/// Says in what the runs differ as wholes: code, parameters, inputs, the program.
fn given(known: &Known, other: &Known) -> Result<()> {
    let both = Comparison::of(&known.run.record, &other.run.record, 0.0);
    // Threads never change a result.
    let told = |d: &&Difference| d.verdict != Verdict::Same && d.what != "threads";
    for d in both.given.iter().filter(told) {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
        crate::say!(
            "{}: {} here, {} there",
            d.what,
            text(&d.first),
            text(&d.second)
        );
    }
    Ok(())
}

fn used_store(known: &Known, made: &Made) -> bool {
    Id::read(&made.id).is_some_and(|id| known.run.record.store.contains(&id))
}

/// What the store has of a result now.
fn in_store(made: &Made) -> Result<String> {
    let store = Store::open(Store::default_path()?);
    let entry = store
        .entries()?
        .into_iter()
        .find(|entry| entry.id.as_str() == made.id);
    Ok(match entry {
        Some(entry) if store.is_sound(&entry) => {
            format!("the store has it now, {}", shown(entry.bytes))
        }
        Some(_) => "the store has it damaged: it would be computed again".into(),
        None => "the store does not have it now".into(),
    })
}
