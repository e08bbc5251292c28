//! When an option acts in a call.
//!
//! An option that cannot act is an error: what a script says and what is computed must not differ.
//! The conditions are declared with the option, so that reading a call, `check`, the docs and the
//! tests follow from one place.

use std::fmt::{self, Display};

use super::spec::{Absent, NativeSpec};
use crate::{About, Error, Result};

/// A condition under which an option acts. Of several, all must hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Acts {
    /// Another option has one of these words, given or by default. The last part says why, where
    /// one can say more; `{}` in it is the word that the other option has.
    With(&'static str, &'static [&'static str], &'static str),
    /// Another option is given and is neither 0 nor `false`; why.
    Given(&'static str, &'static str),
    /// Another option is not given; why.
    Without(&'static str, &'static str),
    /// One of these holds.
    Any(&'static [Acts]),
    /// What the text says ("of a soup"), which the native checks by the values of the call.
    Where(&'static str),
}

/// What a call says of an option.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// It is not given.
    Nothing,
    /// It has this word.
    Word(String),
    /// It is 0 or `false`.
    Off,
    /// It is something else; `check` does not always know what.
    Something,
}

impl Acts {
    /// Whether the condition holds by what a call `said` of an option; none where that cannot be
    /// told.
    fn holds(self, spec: &NativeSpec, said: &dyn Fn(&str) -> Said) -> Option<bool> {
        match self {
            Self::With(other, words, _) => match word(spec, other, said) {
                Some(word) => Some(words.contains(&word.as_str())),
                // A default that the native decides is none of the words.
                None => (said(other) == Said::Nothing).then_some(false),
            },
            Self::Given(other, _) => match said(other) {
                Said::Nothing | Said::Off => Some(false),
                Said::Word(_) => Some(true),
                Said::Something => None,
            },
            Self::Without(other, _) => Some(said(other) == Said::Nothing),
            Self::Any(several) => {
                let all = several.iter().map(|one| one.holds(spec, said));
                all.reduce(|a, b| match (a, b) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (None, _) | (_, None) => None,
                    _ => Some(false),
                })?
            }
            Self::Where(_) => None,
        }
    }

    /// Why an option does not act, where the condition does not hold.
    fn why(self, spec: &NativeSpec, said: &dyn Fn(&str) -> Said) -> String {
        match self {
            Self::With(other, _, why) if !why.is_empty() => {
                why.replace("{}", &word(spec, other, said).unwrap_or_default())
            }
            Self::Given(_, why) | Self::Without(_, why) if !why.is_empty() => why.to_string(),
            Self::Any([first, ..]) => match first.why(spec, said) {
                why if why.starts_with(ONLY) => format!("{ONLY}{self}"),
                why => why,
            },
            _ => format!("{ONLY}{self}"),
        }
    }
}

/// How the message of a condition without a reason of its own begins.
const ONLY: &str = "acts only ";

/// The word that an option has, given or by default.
fn word(spec: &NativeSpec, name: &str, said: &dyn Fn(&str) -> Said) -> Option<String> {
    match (said(name), spec.find(name)?.default) {
        (Said::Word(word), _) => Some(word),
        (Said::Nothing, Absent::Value(default)) => Some(default.to_string()),
        _ => None,
    }
}

impl Display for Acts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::With(other, words, _) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                write!(out, "with {other}: {}", listed(&words))
            }
            Self::Given(other, _) => write!(out, "with {other}"),
            Self::Without(other, _) => write!(out, "without {other}"),
            Self::Any(several) => {
                let all: Vec<String> = several.iter().map(ToString::to_string).collect();
                out.write_str(&all.join(" or "))
            }
            Self::Where(text) => out.write_str(text),
        }
    }
}

fn listed(words: &[String]) -> String {
    match words {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        all => all.join(""),
    }
}

/// When an option acts, as a phrase: "with lora: "svd""; empty where it always does.
pub fn told(conditions: &[Acts]) -> String {
    let all: Vec<String> = conditions.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// An error if one of the conditions of an option cannot hold by what a call `said`.
pub(super) fn check(
    spec: &NativeSpec,
    name: &str,
    conditions: &[Acts],
    said: &dyn Fn(&str) -> Said,
) -> Result<()> {
    let broken = conditions
        .iter()
        .find(|one| one.holds(spec, said) == Some(false));
    match broken {
        None => Ok(()),
        Some(condition) => {
            let why = condition.why(spec, said);
            Err(Error::new(format!("{}: option {name}: {why}", spec.name))
                .about(About::Value(name.into())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::OptionSpec;
    use super::*;

    static SPEC: NativeSpec = NativeSpec {
        name: "mix",
        options: &[
            OptionSpec::choice("how", &["plain", "cut", "drawn"], "the way").or("plain"),
            OptionSpec::int("draws", 0, 9, "the draws").or("0"),
            OptionSpec::value("from", "a start", "the start").otherwise("a fresh one"),
        ],
    };
    const CUT: Acts = Acts::With("how", &["cut", "drawn"], "");
    const DRAWN: Acts = Acts::Any(&[Acts::With("how", &["drawn"], ""), Acts::Given("draws", "")]);

    fn message(condition: Acts, said: &[(&str, Said)]) -> Option<String> {
        let of = |name: &str| {
            let found = said.iter().find(|(own, _)| *own == name);
            found.map_or(Said::Nothing, |(_, said)| said.clone())
        };
        let checked = check(&SPEC, "x", &[condition], &of);
        checked.err().map(|error| error.to_string())
    }

    #[test]
    fn an_option_acts_by_the_others_of_the_call() {
        let how = |word: &str| ("how", Said::Word(word.into()));
        let only = |why: &str| Some(format!("mix: option x: {why}"));
        assert_eq!(message(CUT, &[how("cut")]), None);
        assert_eq!(
            message(CUT, &[]),
            only("acts only with how: \"cut\" or \"drawn\"")
        );
        // What cannot be told is no mistake yet.
        assert_eq!(message(CUT, &[("how", Said::Something)]), None);
        let told = Acts::With("how", &["cut"], "{} cuts nothing");
        assert_eq!(message(told, &[]), only("plain cuts nothing"));
        assert_eq!(
            message(DRAWN, &[]),
            only("acts only with how: \"drawn\" or with draws")
        );
        assert_eq!(message(DRAWN, &[("draws", Said::Something)]), None);
        assert!(message(DRAWN, &[("draws", Said::Off)]).is_some());
        assert_eq!(message(Acts::Without("from", ""), &[]), None);
        let from = [("from", Said::Something)];
        assert_eq!(
            message(Acts::Without("from", ""), &from),
            only("acts only without from")
        );
        assert_eq!(message(Acts::Where("of a soup"), &[]), None);
    }
}
