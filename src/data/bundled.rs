//! The small datasets that come with the binary.
//!
//! Made by `scripts/bundle.rs`; sources and licences stand in `NOTICE`.

use std::io::Read;

use super::Dataset;
use super::columns;
use super::table::Table;
use crate::{Error, Result, nearest};

/// A dataset of the binary.
#[derive(Debug, Clone, Copy)]
pub struct Bundled {
    /// The name to ask for it by.
    pub name: &'static str,
    /// What it is, one line.
    pub description: &'static str,
    /// The licence it may be passed on under.
    pub licence: &'static str,
    rows: &'static [u8],
}

impl Bundled {
    /// The size of its rows as they lie in the binary.
    pub fn bytes(&self) -> u64 {
        self.rows.len() as u64
    }
}

macro_rules! bundled {
    ($($name:literal, $description:literal, $licence:literal;)*) => {
        &[$(Bundled {
            name: $name,
            description: $description,
            licence: $licence,
            rows: include_bytes!(concat!("../../stdlib/data/", $name, ".jsonl.gz")),
        }),*]
    };
}

/// All of them.
#[rustfmt::skip]
const ALL: &[Bundled] = bundled! {
    "films", "sentences of film reviews, negative or positive", "CC BY 4.0";
    "products", "sentences of product reviews, rated negative or positive", "MIT";
    "news", "sentences of newspaper editorials, rated negative or positive", "MIT";
    "tweets", "tweets, rated negative or positive", "MIT";
    "subjectivity", "sentences on films, objective plot or subjective review", "CC BY 4.0";
    "reviews", "sentences of customer reviews of electronics, negative or positive", "CC BY 4.0";
    "spam", "text messages, ham or spam", "CC BY 4.0";
    "glosses", "dictionary definitions of nouns, in 14 semantic fields", "WordNet 3.0";
};

/// The datasets of the binary, each with its description and licence.
pub fn all() -> &'static [Bundled] {
    ALL
}

/// Their names.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|bundled| bundled.name)
}

/// The dataset of this name: at most 2,000 rows, 70 % train, 10 % validation, 20 % test.
pub fn load(name: &str) -> Result<Dataset> {
    let Some(bundled) = ALL.iter().find(|bundled| bundled.name == name) else {
        let error = Error::new(format!(
            "no dataset \"{name}\" comes with the binary; those are {}",
            names().collect::<Vec<_>>().join(", ")
        ));
        return Err(match nearest(name, names()) {
            Some(meant) => error.hint(format!("did you mean \"{meant}\"?")),
            None => error,
        });
    };
    let broken = |what: &dyn std::fmt::Display| Error::new(format!("dataset {name}: {what}"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(bundled.rows)
        .read_to_string(&mut text)
        .map_err(|e| broken(&e))?;
    let table = Table::json_lines(format!("dataset {name}"), &text)?;
    let mut parts = columns::divide(table, "split")?;
    let mut part = |split| {
        parts
            .remove(split)
            .ok_or_else(|| broken(&"a split is missing"))
    };
    let splits = [part("train")?, part("validation")?, part("test")?];
    Dataset::from_tables(name, splits)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::data::{Label, Split};

    #[test]
    fn every_dataset_loads_and_is_cut_as_promised() {
        for name in names() {
            let data = load(name).unwrap();
            let counts = Split::ALL.map(|split| data.split(split).len());
            assert!(data.len() <= 2000 && data.len() > 1500, "{data}");
            for (count, share) in counts.into_iter().zip([0.7, 0.1, 0.2]) {
                assert!(
                    (count as f64 - share * data.len() as f64).abs() <= 1.0,
                    "{data}"
                );
            }
            let expected = if name == "glosses" { 14 } else { 2 };
            assert_eq!(data.labels().len(), expected, "{data}");
            for class in 0..expected {
                let test = data.split(Split::Test).iter();
                assert!(
                    test.filter(|row| row.label == Label::Class(class)).count() > 15,
                    "{data}"
                );
            }
        }
    }

    #[test]
    fn no_text_comes_twice() {
        for name in names() {
            let data = load(name).unwrap();
            let texts: BTreeSet<&str> = data.texts().collect();
            assert_eq!(texts.len(), data.len(), "{name}");
            assert!(texts.iter().all(|text| !text.trim().is_empty()), "{name}");
        }
    }

    #[test]
    fn unknown_names_list_the_known() {
        let error = load("film").unwrap_err().to_string();
        assert!(
            error.ends_with("glosses; did you mean \"films\"?"),
            "{error}"
        );
    }
}
