//! In what a value of a run differs from one of another run.

use std::collections::BTreeSet;

use super::recipes::short;
use super::{Made, Recipes};

/// One thing in which two values differ that should be told apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The value whose own recipe differs: itself, or something it is made of.
    pub of: String,
    /// What kind of thing it is: `setting`, `input`, `version`, `members`, `processor`.
    pub kind: &'static str,
    /// Its name: a setting's, or empty.
    pub name: String,
    /// How the first has it; none where it has none.
    pub first: Option<String>,
    /// How the second has it.
    pub second: Option<String>,
}

impl Recipes {
    /// The value of another run that `made` is to be compared with: of the same name and
    /// operation, the one that differs least.
    pub fn counterpart<'o>(&self, made: &Made, other: &'o Self) -> Option<&'o Made> {
        let alike = |o: &&Made| o.name == made.name && o.operation() == made.operation();
        other
            .all
            .iter()
            .filter(alike)
            .min_by_key(|o| (o.id != made.id, self.differences(made, other, o).len()))
    }

    /// In what a value differs from one of another run, at the places where they begin to differ.
    pub fn differences(&self, made: &Made, other: &Self, theirs: &Made) -> Vec<Part> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        self.differ((made, other, theirs), &mut seen, &mut found);
        found.into_iter().collect()
    }

    fn differ<'a>(
        &'a self,
        (made, other, theirs): (&'a Made, &'a Self, &'a Made),
        seen: &mut BTreeSet<(&'a str, &'a str)>,
        found: &mut BTreeSet<Part>,
    ) {
        if made.id == theirs.id || !seen.insert((made.id.as_str(), theirs.id.as_str())) {
            return;
        }
        let mut told = false;
        let mut part = |kind, name: &str, first: Option<String>, second: Option<String>| {
            found.insert(Part {
                of: made.name.clone(),
                kind,
                name: name.to_string(),
                first,
                second,
            });
        };
        if made.made != theirs.made {
            part(
                "version",
                "",
                Some(made.made.clone()),
                Some(theirs.made.clone()),
            );
            told = true;
        }
        let (own, others) = (made.settings(), theirs.settings());
        let names: BTreeSet<&String> = own.keys().chain(others.keys()).collect();
        for name in names {
            let (first, second) = (own.get(name), others.get(name));
            if first != second {
                let kind = match name.as_str() {
                    "class" => "processor",
                    "streams" => "version",
                    _ => "setting",
                };
                part(kind, name, first.cloned(), second.cloned());
                told = true;
            }
        }
        let (own, others) = (made.parts(), theirs.parts());
        if own.len() != others.len() {
            let count = |parts: &[(String, &str)]| Some(parts.len().to_string());
            part("members", "", count(&own), count(&others));
            told = true;
        }
        for ((name, first), (_, second)) in own.iter().zip(&others) {
            if first == second {
                continue;
            }
            told = true;
            match (self.get(first), other.get(second)) {
                (Some(first), Some(second)) => self.differ((first, other, second), seen, found),
                _ => {
                    found.insert(Part {
                        of: made.name.clone(),
                        kind: "input",
                        name: name.clone(),
                        first: Some(short(first)),
                        second: Some(short(second)),
                    });
                }
            }
        }
        // Same recipe, other id: another content.
        if !told {
            found.insert(Part {
                of: made.name.clone(),
                kind: "input",
                name: made.made.clone(),
                first: Some(short(&made.id)),
                second: Some(short(&theirs.id)),
            });
        }
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    /// The recipes of a run: two datasets, an adapter of each, their soup, and its evaluation.
    pub fn run(epochs: usize, films: &str, version: &str) -> Recipes {
        let of = |parts: &[&str]| format!("{:0>8}", parts.join("").replace(' ', ""));
        let base = "ba5e0000";
        let mut all = vec![Made::plain("model", "mini", base)];
        let mut members = Vec::new();
        for (name, data) in [("films", films), ("news", "4e35")] {
            let id = of(&["a", data, &epochs.to_string()]);
            all.push(Made::plain("dataset", name, data));
            let made = Made::plain("train/1", name, &id).from([("base", base), ("data", data)]);
            all.push(
                made.with(json!({"epochs": epochs, "config": {"reduction": 16}, "dropout": null})),
            );
            members.push(id);
        }
        let id = of(&["5", &members.concat()]);
        let mut soup =
            Made::plain("soup/1", "films+news", &id).with(json!({"weights": [0.5, 0.5]}));
        soup.from.insert("members".into(), json!(members));
        all.push(soup);
        let score = of(&["e", &id, version]);
        let made = Made::plain(version, "films+news on films", &score);
        all.push(made.from([("adapter", &id), ("base", base), ("data", films)]));
        all.push(Made::plain("record", "accuracy", &of(&["c", &score])));
        Recipes::of(all)
    }

    pub fn one<'r>(recipes: &'r Recipes, name: &str) -> &'r Made {
        recipes.find(name).unwrap()[0]
    }

    #[test]
    fn differences_are_told_where_they_begin() {
        let first = run(1, "f11a", "evaluate/2");
        let told = |other: &Recipes, name: &str| -> Vec<(String, &str, String)> {
            let made = one(&first, name);
            let theirs = first.counterpart(made, other).unwrap();
            let parts = first.differences(made, other, theirs);
            parts.into_iter().map(|p| (p.of, p.kind, p.name)).collect()
        };
        let name = "films+news on films";
        let tuple = |of: &str, kind, name: &str| (of.to_string(), kind, name.to_string());
        assert!(told(&run(1, "f11a", "evaluate/2"), name).is_empty());
        let both = [
            tuple("films", "setting", "epochs"),
            tuple("news", "setting", "epochs"),
        ];
        assert_eq!(told(&run(2, "f11a", "evaluate/2"), name), both);
        let input = [tuple("films", "input", "dataset")];
        assert_eq!(told(&run(1, "f11b", "evaluate/2"), name), input);
        assert_eq!(told(&run(1, "f11b", "evaluate/2"), "films"), input);
        let version = [tuple(name, "version", "")];
        assert_eq!(told(&run(1, "f11a", "evaluate/3"), name), version);
    }
}
