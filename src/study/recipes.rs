//! How the values of a run came about.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde_json::{Map, Value};

use super::Made;
use super::journal::RECIPES;
use crate::{Error, Result, nearest};

/// The recipes of a run, in the order in which its values were asked for.
#[derive(Debug, Clone)]
pub struct Recipes {
    pub(super) all: Vec<Made>,
    by_id: HashMap<String, usize>,
}

impl Recipes {
    /// Those of the run in this folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(RECIPES);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::at_path(&path, error).hint("runs keep their recipes there; run the study again")
        })?;
        Self::parse(&text).map_err(|error| Error::at_path(&path, error))
    }

    /// Those in the text of such a file.
    pub fn parse(text: &str) -> Result<Self> {
        let line = |(at, line): (usize, &str)| {
            let made = serde_json::from_str(line);
            made.map_err(|error| Error::new(format!("line {}: {error}", at + 1)))
        };
        let all = text.lines().enumerate().map(line);
        Ok(Self::of(all.collect::<Result<_>>()?))
    }

    /// These.
    pub fn of(all: Vec<Made>) -> Self {
        let mut by_id = HashMap::new();
        for (at, made) in all.iter().enumerate() {
            by_id.entry(made.id.clone()).or_insert(at);
        }
        Self { all, by_id }
    }

    /// The operations that `later` has in another version, each with both: `("train/1", "train/2")`.
    pub fn versions<'r>(&'r self, later: &'r Self) -> BTreeSet<(&'r str, &'r str)> {
        let operations = |all: &'r [Made]| -> BTreeMap<&'r str, &'r str> {
            let of = |made: &'r Made| (made.operation(), made.made.as_str());
            all.iter().map(of).collect()
        };
        let (own, theirs) = (operations(&self.all), operations(&later.all));
        let pair = |(operation, own): (&&'r str, &&'r str)| {
            let theirs = theirs.get(operation).filter(|theirs| *theirs != own)?;
            Some((*own, *theirs))
        };
        own.iter().filter_map(pair).collect()
    }

    /// The value of this id.
    pub fn get(&self, id: &str) -> Option<&Made> {
        self.by_id.get(id).map(|at| &self.all[*at])
    }

    /// What `name` means: the values that are called so, else those whose id begins so. An error
    /// with the nearest name where there is none.
    pub fn find(&self, name: &str) -> Result<Vec<&Made>> {
        let named = |made: &&Made| made.name == name;
        let mut found: Vec<&Made> = self.all.iter().filter(named).collect();
        // A file or a model is asked for by its own name only where nothing was made of that name.
        let given = |made: &Made| matches!(made.made.as_str(), "dataset" | "model");
        if found.iter().any(|made| !given(made)) {
            found.retain(|made| !given(made));
        }
        if found.is_empty() && name.len() >= 4 {
            let begins = |made: &&Made| made.id.starts_with(name);
            found = self.all.iter().filter(begins).collect();
        }
        if !found.is_empty() {
            return Ok(found);
        }
        let error = Error::new(format!("the run has made nothing that is called {name}"));
        let names: BTreeSet<&str> = self.all.iter().map(|made| made.name.as_str()).collect();
        Err(match nearest(name, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint(
                "a name given to record, a saved table's file, an adapter, ADAPTER on DATASET, or an id",
            ),
        })
    }

    /// What was asked for before `made`, without what was loaded.
    pub fn before(&self, made: &Made) -> Vec<&Made> {
        let until = self.all.iter().position(|other| other == made);
        let results = |made: &&Made| made.is_result();
        self.all[..until.unwrap_or(0)]
            .iter()
            .filter(results)
            .collect()
    }

    /// The tree of a value's recipe, one line each, with what `note` says of a value behind it.
    ///
    /// ```text
    /// films on news 3f2a91bc: evaluate/2, split test
    /// ├─ adapter films 06e86745: train/1, epochs 3, lr 0.001
    /// │  ├─ base mini 8a7b6c5d: model
    /// │  └─ data films c139a869: dataset
    /// ├─ base mini 8a7b6c5d: model
    /// └─ data news 5d10aa31: dataset
    /// ```
    pub fn tree(&self, made: &Made, note: &dyn Fn(&Made) -> Option<String>) -> Vec<String> {
        let mut lines = vec![line(made, note)];
        let mut shown = BTreeSet::from([made.id.as_str()]);
        self.branches(made, "", note, (&mut lines, &mut shown));
        lines
    }

    /// What a value is made of, each part with its own parts where it comes first.
    fn branches<'a>(
        &'a self,
        made: &'a Made,
        indent: &str,
        note: &dyn Fn(&Made) -> Option<String>,
        (lines, shown): (&mut Vec<String>, &mut BTreeSet<&'a str>),
    ) {
        let parts = made.parts();
        for (at, (part, id)) in parts.iter().enumerate() {
            let (branch, below) = match at + 1 == parts.len() {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            let Some(inner) = self.get(id) else {
                lines.push(format!("{indent}{branch}{part} {}", short(id)));
                continue;
            };
            let is_new = shown.insert(&inner.id);
            let again = match is_new || inner.parts().is_empty() {
                true => "",
                false => ", as above",
            };
            lines.push(format!(
                "{indent}{branch}{part} {}{again}",
                line(inner, note)
            ));
            if is_new {
                self.branches(inner, &format!("{indent}{below}"), note, (lines, shown));
            }
        }
    }
}

impl Made {
    /// Whether it is a training, an evaluation or an attack: what the store keeps.
    pub fn is_result(&self) -> bool {
        matches!(self.operation(), "train" | "evaluate" | "attack")
    }

    /// Its operation without the version.
    pub fn operation(&self) -> &str {
        self.made.split('/').next().unwrap_or_default()
    }

    /// The beginning of its id, for people.
    pub fn short(&self) -> &str {
        self.id.get(..8).unwrap_or(&self.id)
    }

    /// What it is made of, one by one.
    pub(super) fn parts(&self) -> Vec<(String, &str)> {
        let mut parts = Vec::new();
        for (part, ids) in &self.from {
            match ids {
                Value::String(id) => parts.push((part.clone(), id.as_str())),
                Value::Array(ids) => {
                    // Members go without a word of what they are.
                    let all = ids.iter().filter_map(Value::as_str);
                    parts.extend(all.map(|id| (part.trim_end_matches('s').to_string(), id)));
                }
                _ => {}
            }
        }
        parts
    }

    /// Its settings as texts, those of settings too; without those that are not set.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        flatten("", &self.with, &mut all);
        // The head is a part of the adapter, whose id counts it.
        all.remove("head");
        all
    }
}

fn flatten(above: &str, map: &Map<String, Value>, all: &mut BTreeMap<String, String>) {
    for (name, value) in map {
        let name = match above {
            "" => name.clone(),
            above => format!("{above}.{name}"),
        };
        match value {
            Value::Null => {}
            Value::Object(inner) => flatten(&name, inner, all),
            Value::String(text) => {
                all.insert(name, text.clone());
            }
            plain => {
                all.insert(name, plain.to_string());
            }
        }
    }
}

fn line(made: &Made, note: &dyn Fn(&Made) -> Option<String>) -> String {
    let mut parts = vec![made.made.clone()];
    for (name, value) in &made.with {
        let told = match value {
            // A head's id tells nobody anything; null is not set; a map is the kind's own.
            Value::Null | Value::Object(_) => continue,
            _ if name == "head" => continue,
            Value::String(text) => text.clone(),
            plain => plain.to_string(),
        };
        parts.push(format!("{name} {told}"));
    }
    let note = note(made).map(|note| format!(" ({note})"));
    format!(
        "{} {}: {}{}",
        made.name,
        short(&made.id),
        parts.join(", "),
        note.unwrap_or_default()
    )
}

/// The beginning of an id, for people.
pub(super) fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::super::differences::tests::{one, run};
    use super::*;

    #[test]
    fn a_recipe_is_a_tree() {
        let run = run(1, "f11a", "evaluate/2");
        let note = |made: &Made| made.is_result().then(|| "computed".to_string());
        let tree = run.tree(one(&run, "films+news on films"), &note).join("\n");
        insta::assert_snapshot!(tree, @r"
        films+news on films e500af11: evaluate/2 (computed)
        ├─ adapter films+news 500af11a: soup/1, weights [0.5,0.5]
        │  ├─ member films 00af11a1: train/1, epochs 1 (computed)
        │  │  ├─ base mini ba5e0000: model
        │  │  └─ data films f11a: dataset
        │  └─ member news 00a4e351: train/1, epochs 1 (computed)
        │     ├─ base mini ba5e0000: model
        │     └─ data news 4e35: dataset
        ├─ base mini ba5e0000: model
        └─ data films f11a: dataset
        ");
    }

    #[test]
    fn a_circle_ends_and_what_was_shown_is_not_shown_again() {
        let made = |id: &str, of: &str| {
            Made::plain("soup/1", id, id).from([("member", of), ("other", of)])
        };
        let circle = Recipes::of(vec![made("aaaa", "bbbb"), made("bbbb", "aaaa")]);
        let tree = circle.tree(circle.get("aaaa").unwrap(), &|_| None);
        let ends: Vec<bool> = tree.iter().map(|l| l.ends_with(", as above")).collect();
        assert_eq!(ends, [false, false, true, true, true], "{tree:#?}");
    }

    #[test]
    fn names_mean_what_was_made_first_and_slips_get_the_nearest() {
        let run = run(1, "f11a", "evaluate/2");
        let found: Vec<&str> = run
            .find("films")
            .unwrap()
            .iter()
            .map(|m| m.made.as_str())
            .collect();
        assert_eq!(found, ["train/1"]);
        assert_eq!(one(&run, "mini").made, "model");
        assert_eq!(one(&run, "ba5e").name, "mini");
        let told = run.find("acuracy").unwrap_err().to_string();
        assert!(told.ends_with("did you mean accuracy?"), "{told}");
        let before = run.before(one(&run, "accuracy"));
        let names: Vec<&str> = before.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["films", "news", "films+news on films"]);
    }
}
