//! What the word at the cursor may become.

use std::path::Path;

use super::commands;
use super::known::{Known, What};
use super::place::Place;
use super::tokens::{KEYWORDS, Kind};
use crate::script::{Absent, Kind as Takes, NativeSpec, OptionSpec, docs, options_of};
use crate::{data, model};

/// One of the things the word may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// What the list of candidates shows.
    pub(super) shown: String,
    /// What is written.
    pub(super) written: String,
}

impl Candidate {
    fn plain(text: impl Into<String>) -> Self {
        let written = text.into();
        Self {
            shown: written.clone(),
            written,
        }
    }
}

/// Where the word at the end of `line` starts, and what it may become, sorted.
pub(super) fn complete(known: &Known, line: &str, folder: &Path) -> (usize, Vec<Candidate>) {
    if let Some(found) = commands::complete(line) {
        return found;
    }
    let code = commands::code(line);
    let offset = line.len() - code.len();
    let Some(place) = Place::at_end_of(code) else {
        return (line.len(), Vec::new());
    };
    let mut found = match place {
        _ if place.quoted => return in_quotes(&place, offset, folder),
        _ if place.receiver().is_some() => members(known, &place),
        _ => match place.options() {
            Some((native, map)) if map.key.is_none() => keys(native, &map.keys),
            _ => names(known, &place),
        },
    };
    found.retain(|candidate| candidate.written.starts_with(place.word));
    (offset + place.start, found)
}

/// The names that can stand here: variables, natives, functions, words of the language.
fn names(known: &Known, place: &Place) -> Vec<Candidate> {
    if place.word.is_empty() {
        return value_of_option(place);
    }
    if let [.., module, colons] = &place.before[..]
        && colons.is("::")
    {
        let of_module = format!("{}::", module.text);
        let functions = known.catalogue.names();
        let functions = functions.filter_map(|name| name.strip_prefix(&of_module));
        return functions.map(Candidate::plain).collect();
    }
    let mut names: Vec<String> = known.catalogue.names().map(String::from).collect();
    names.extend(known.variables.iter().map(|(name, _)| name.clone()));
    names.extend(known.functions.iter().map(|(name, _)| name.clone()));
    names.extend(KEYWORDS.iter().map(ToString::to_string));
    let made_here = place.before.windows(2).filter(|pair| {
        matches!(pair[0].text, "let" | "const" | "fn" | "for") && pair[1].kind == Kind::Word
    });
    names.extend(made_here.map(|pair| pair[1].text.to_string()));
    names.sort();
    names.dedup();
    names.into_iter().map(Candidate::plain).collect()
}

/// The default, where an option's value is to be written and nothing is there yet.
fn value_of_option(place: &Place) -> Vec<Candidate> {
    let Some(option) = option(place) else {
        return Vec::new();
    };
    match option.kind {
        Takes::Choice(words) => words
            .iter()
            .map(|word| Candidate::plain(format!("\"{word}\"")))
            .collect(),
        Takes::Bool => vec![Candidate::plain("false"), Candidate::plain("true")],
        _ => Vec::new(),
    }
}

/// The option whose value is being written.
fn option(place: &Place) -> Option<&'static OptionSpec> {
    let (native, map) = place.options()?;
    options_of(native)?.find(map.key?)
}

/// What can follow the dot; of every type where that of the value cannot be told.
fn members(known: &Known, place: &Place) -> Vec<Candidate> {
    let Some(receiver) = place.receiver() else {
        return Vec::new();
    };
    let earlier = &place.before[..place.before.len().saturating_sub(receiver.len() + 1)];
    let what = known.of(receiver, earlier);
    let mut found = Vec::new();
    if let Some(What::Value(value)) = &what
        && let Ok(map) = value.as_map_ref()
    {
        let plain = |key: &&rhai::Identifier| {
            key.chars().all(|c| c.is_alphanumeric() || c == '_') && !key.is_empty()
        };
        found.extend(
            map.keys()
                .filter(plain)
                .map(|key| Candidate::plain(key.as_str())),
        );
    }
    let Some(type_) = what.map(|what| what.type_()) else {
        return found;
    };
    for member in known.catalogue.members(&type_, false) {
        let more = member.parameters.len() > 1 || takes_options(&member.name, member.own);
        found.push(match (member.property, more) {
            (true, _) => Candidate::plain(&member.name),
            (false, more) => Candidate {
                shown: format!("{}({})", member.name, if more { "…" } else { "" }),
                written: format!("{}({}", member.name, if more { "" } else { ")" }),
            },
        });
    }
    found
}

fn takes_options(name: &str, own: bool) -> bool {
    own && options_of(name).is_some()
}

/// The options that are not given yet, with their defaults.
fn keys(native: &str, given: &[&str]) -> Vec<Candidate> {
    let options = options_of(native).map_or(&[][..], |spec: &NativeSpec| spec.options);
    options
        .iter()
        .filter(|option| !given.contains(&option.name))
        .map(|option| Candidate {
            shown: format!("{}: {}", option.name, default(option)),
            written: format!("{}: ", option.name),
        })
        .collect()
}

/// An option's default, in few words.
pub(super) fn default(option: &OptionSpec) -> String {
    match option.default {
        Absent::Required => "required".into(),
        Absent::Decided(how) => format!("({how})"),
        Absent::Value(text) => match option.kind {
            Takes::Choice(_) | Takes::Text => format!("\"{text}\""),
            _ => text.into(),
        },
    }
}

/// The natives whose text names a model, and those whose text names a dataset.
const OF_MODELS: [&str; 1] = ["model"];
const OF_DATASETS: [&str; 2] = ["dataset", "datasets"];

/// The words an option knows, the names that come with the program, files.
fn in_quotes(place: &Place, offset: usize, folder: &Path) -> (usize, Vec<Candidate>) {
    let start = offset + place.start;
    if let Some(Takes::Choice(words)) = option(place).map(|option| option.kind) {
        let fitting = words.iter().filter(|word| word.starts_with(place.word));
        return (
            start,
            fitting
                .map(|word| Candidate::plain(format!("{word}\"")))
                .collect(),
        );
    }
    if place
        .before
        .last()
        .is_some_and(|word| word.kind == Kind::Keyword && word.text == "import")
    {
        let modules = docs::modules().into_iter().map(|module| module.path);
        let fitting = modules.filter(|path| path.starts_with(place.word));
        let mut found: Vec<Candidate> = fitting
            .map(|path| Candidate::plain(format!("{path}\"")))
            .collect();
        if found.is_empty() {
            let (cut, files) = files(place.word, folder);
            return (start + cut, files);
        }
        found.sort_by(|a, b| a.written.cmp(&b.written));
        return (start, found);
    }
    let names = match place.call() {
        Some((native, _)) if OF_MODELS.contains(&native) => model::BUNDLED.to_vec(),
        Some((native, _)) if OF_DATASETS.contains(&native) => data::bundled::names().collect(),
        _ => Vec::new(),
    };
    let mut found: Vec<Candidate> = names
        .into_iter()
        .filter(|name| name.starts_with(place.word))
        .map(|name| Candidate::plain(format!("{name}\"")))
        .collect();
    let (cut, files) = files(place.word, folder);
    if cut > 0 {
        found.clear();
    }
    found.extend(files);
    (start + cut, found)
}

/// At most this many files are offered.
const MOST_FILES: usize = 200;

/// Where the last part of the path `word` starts, and the files and folders it may become.
pub(super) fn files(word: &str, folder: &Path) -> (usize, Vec<Candidate>) {
    let cut = word.rfind('/').map_or(0, |slash| slash + 1);
    let (parent, part) = word.split_at(cut);
    let Ok(entries) = std::fs::read_dir(folder.join(parent)) else {
        return (cut, Vec::new());
    };
    let mut found: Vec<Candidate> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let hidden = name.starts_with('.') && !part.starts_with('.');
            if hidden || !name.starts_with(part) {
                return None;
            }
            let slash = if entry.path().is_dir() { "/" } else { "" };
            Some(Candidate::plain(format!("{name}{slash}")))
        })
        .take(MOST_FILES)
        .collect();
    found.sort_by(|a, b| a.written.cmp(&b.written));
    (cut, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Catalogue, Session, Setup, engine};

    fn known() -> Known {
        let mut map = rhai::Map::new();
        map.insert("rate".into(), 0.5.into());
        Known {
            catalogue: Catalogue::of(&engine(&Session::new(Setup::default()))),
            variables: vec![("settings".into(), map.into())],
            functions: vec![("sought".into(), vec!["x".into()])],
            ..Known::default()
        }
    }

    fn found(line: &str) -> (usize, Vec<String>) {
        let (start, found) = complete(&known(), line, Path::new("/nonexistent"));
        (start, found.into_iter().map(|c| c.written).collect())
    }

    #[test]
    fn names_are_completed() {
        let (start, names) = found("é + so");
        assert_eq!(start, "é + ".len());
        for name in ["soup", "soups", "sought"] {
            assert!(names.contains(&name.to_string()), "{names:?}");
        }
        assert!(found("a + ").1.is_empty());
        assert_eq!(found("let zebra = 1; zeb").1, ["zebra"]);
        assert_eq!(found("whi").1, ["while"]);
    }

    #[test]
    fn members_follow_the_type() {
        assert_eq!(found("settings.ra"), (9, vec!["rate".to_string()]));
        let (_, score) = found("evaluate(b, a, d).");
        assert!(score.contains(&"accuracy".to_string()), "{score:?}");
        assert!(score.contains(&"compare(".to_string()), "{score:?}");
        assert!(!score.contains(&"heatmap(".to_string()), "{score:?}");
        assert_eq!(found("evaluate(b, a, d).confusion.heat").1, ["heatmap("]);
        assert!(found("who_knows.").1.is_empty());
    }

    #[test]
    fn options_are_completed_with_their_values() {
        assert_eq!(found("train(b, d, #{ epo").1, ["epochs: "]);
        assert!(
            !found("train(b, d, #{ lr: 1, ")
                .1
                .contains(&"lr: ".to_string())
        );
        let (_, all) = complete(&known(), "train(b, d, #{ ", Path::new("."));
        assert!(
            all.iter().any(|c| c.shown == "adapter: \"pfeiffer\""),
            "{all:?}"
        );
        assert_eq!(found("train(b, d, #{ adapter: \"pf").1, ["pfeiffer\""]);
        assert!(
            found("train(b, d, #{ adapter: ")
                .1
                .contains(&"\"lora\"".to_string())
        );
        assert_eq!(found("x.sort(\"a\", #{ descending: ").1, ["false", "true"]);
    }

    #[test]
    fn names_of_what_comes_with_the_program_are_completed() {
        assert_eq!(found("model(\"mi").1, ["mini\""]);
        assert!(found("dataset(\"").1.contains(&"films\"".to_string()));
        assert!(found("datasets([\"fi").1.contains(&"films\"".to_string()));
        assert!(
            found("import \"std/s")
                .1
                .contains(&"std/soups\"".to_string())
        );
    }

    #[test]
    fn files_are_completed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data/a.csv"), "").unwrap();
        std::fs::write(folder.path().join(".hidden"), "").unwrap();
        let (start, found) = complete(&known(), "read_table(\"da", folder.path());
        assert_eq!((start, found), (12, vec![Candidate::plain("data/")]));
        let (start, found) = complete(&known(), "read_table(\"data/a", folder.path());
        assert_eq!((start, found), (17, vec![Candidate::plain("a.csv")]));
        assert_eq!(
            complete(&known(), "read_table(\"", folder.path()).1.len(),
            1
        );
    }
}
